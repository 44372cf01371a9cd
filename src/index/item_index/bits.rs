//! Sets of places, a bit each.

/// How many places are in it.
pub(super) fn count(words: &[u32]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// The places of the ones.
pub(super) fn ones(words: &[u32]) -> impl Iterator<Item = u32> {
    words.iter().zip(0u32..).flat_map(|(&word, w)| (0..32).filter(move |j| word >> j & 1 == 1).map(move |j| 32 * w + j))
}
