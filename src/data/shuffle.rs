//! Seeded order: a shuffle that stays in the caches.

use crate::rng::Rng;

/// Rows of a bucket of [`Scatter`]: its columns stay in the second-level cache.
const BUCKET_ROWS: usize = 4096;

/// A random permutation of a window of rows in two steps (Rao 1961, Sandelius 1962): every row draws a bucket and goes
/// to its end, then each bucket is shuffled. All permutations are equally likely, and nothing is ever moved at random
/// over more memory than a bucket.
#[derive(Debug, Default)]
pub(crate) struct Scatter {
    digits: Vec<u8>,
    /// Where each bucket's next row goes; in the end, where each bucket ends.
    ends: Vec<u32>,
    /// Where the rows of the last [`places`](Scatter::places) go.
    places: Vec<u32>,
    consumed: usize,
    swaps: Vec<u32>,
}

impl Scatter {
    /// Draws the buckets of `rows` rows.
    pub(crate) fn start(&mut self, rows: usize, rng: &mut Rng) {
        let buckets = rows.div_ceil(BUCKET_ROWS).next_power_of_two().min(256);
        let mask = (buckets - 1) as u8;
        self.digits.clear();
        self.digits.resize(rows, 0);
        let mut counts = [0u32; 256];
        for chunk in self.digits.chunks_mut(8) {
            for (digit, random) in chunk.iter_mut().zip(rng.next_u64().to_le_bytes()) {
                *digit = random & mask;
                counts[usize::from(*digit)] += 1;
            }
        }
        self.ends.clear();
        let mut sum = 0;
        for count in &counts[..buckets] {
            self.ends.push(sum);
            sum += count;
        }
        self.consumed = 0;
    }

    /// Where the next `rows` rows go.
    pub(crate) fn places(&mut self, rows: usize) -> &[u32] {
        let digits = &self.digits[self.consumed..self.consumed + rows];
        self.consumed += rows;
        self.places.clear();
        let ends = &mut self.ends;
        self.places.extend(digits.iter().map(|&digit| {
            let end = &mut ends[usize::from(digit)];
            let place = *end;
            *end += 1;
            place
        }));
        &self.places
    }

    /// Shuffles each bucket: `swap` is called with a bucket's range and, for i from its last row down to its second,
    /// the row to swap i with (both counted from the bucket's start).
    pub(crate) fn finish(&mut self, rng: &mut Rng, mut swap: impl FnMut(std::ops::Range<usize>, &[u32])) {
        let mut start = 0;
        for &end in &self.ends {
            let rows = end - start;
            self.swaps.clear();
            self.swaps.extend((1..rows).rev().map(|i| rng.below_u32(i + 1)));
            swap(start as usize..end as usize, &self.swaps);
            start = end;
        }
    }
}

/// Applies the swaps that [`Scatter::finish`] gives to a column.
pub(crate) fn apply_swaps<T>(column: &mut [T], swaps: &[u32]) {
    for (i, &j) in (1..column.len()).rev().zip(swaps) {
        column.swap(i, j as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permute(rows: usize, seed: u64, piece: usize) -> Vec<u32> {
        let mut rng = Rng::at(seed, &[]);
        let mut scatter = Scatter::default();
        scatter.start(rows, &mut rng);
        let mut out = vec![u32::MAX; rows];
        let all: Vec<u32> = (0..rows as u32).collect();
        for values in all.chunks(piece) {
            for (&place, &value) in scatter.places(values.len()).iter().zip(values) {
                out[place as usize] = value;
            }
        }
        scatter.finish(&mut rng, |range, swaps| apply_swaps(&mut out[range], swaps));
        out
    }

    #[test]
    fn a_scatter_is_a_permutation_however_it_is_fed() {
        for rows in [0, 1, 2, 5, 4096, 4097, 100_000] {
            let out = permute(rows, 3, 1000);
            let mut sorted = out.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq(0..rows as u32));
            assert_eq!(out, permute(rows, 3, 77));
            assert!(rows < 5 || out != permute(rows, 4, 1000));
        }
    }

    /// Each row lands in each tenth of the window about equally often.
    #[test]
    fn rows_spread_evenly() {
        let rows = 20_000;
        let mut counts = [[0u32; 10]; 10];
        for seed in 0..20 {
            for (place, row) in permute(rows, seed, rows).into_iter().enumerate() {
                counts[row as usize / (rows / 10)][place / (rows / 10)] += 1;
            }
        }
        for count in counts.as_flattened() {
            // 4,000 expected, standard deviation 60.
            assert!((3_700..4_300).contains(count), "{counts:?}");
        }
    }

    /// All orders of four values are equally likely.
    #[test]
    fn small_shuffles_are_uniform() {
        let mut seen = std::collections::BTreeMap::<Vec<u32>, u32>::new();
        for seed in 0..24_000 {
            *seen.entry(permute(4, seed, 4)).or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        assert!(seen.values().all(|count| (850..1150).contains(count)), "{seen:?}");
    }
}
