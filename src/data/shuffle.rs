//! Seeded order: the random numbers of the loader, and a shuffle that stays in the caches.

/// SplitMix64 (Steele, Lea, Flood 2014): the same seed, the same numbers, on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator for this list of numbers (a seed, an epoch, a window): other lists, other streams.
    pub fn new(seeds: &[u64]) -> Rng {
        let mut rng = Rng(0x7465_7263_656c_0001);
        for &seed in seeds {
            rng.0 = rng.next_u64() ^ seed;
        }
        rng.0 = rng.next_u64();
        rng
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (at least 1), all equally likely: the high half of a product, redrawn where the low half
    /// falls into the uneven rest (Lemire 2019).
    pub fn below(&mut self, bound: u32) -> u32 {
        let mut product = (self.next_u64() >> 32) * u64::from(bound);
        if (product as u32) < bound {
            let rest = bound.wrapping_neg() % bound;
            while (product as u32) < rest {
                product = (self.next_u64() >> 32) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// Shuffles a slice (Fisher and Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            values.swap(i, self.below(u32::try_from(i + 1).unwrap_or(u32::MAX)) as usize);
        }
    }
}

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
    taken: usize,
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
        self.taken = 0;
    }

    /// Where the next `rows` rows go.
    pub(crate) fn places(&mut self, rows: usize) -> &[u32] {
        let digits = &self.digits[self.taken..self.taken + rows];
        self.taken += rows;
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
            self.swaps.extend((1..rows).rev().map(|i| rng.below(i + 1)));
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
        let mut rng = Rng::new(&[seed]);
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

    #[test]
    fn bounded_numbers_are_even() {
        let mut rng = Rng::new(&[1]);
        let mut counts = [0; 3];
        for _ in 0..30_000 {
            counts[rng.below(3) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
        assert!((0..1000).all(|_| rng.below(1) == 0));
        // Three quarters of 2^32: a biased draw would favour low numbers by a third.
        let bound = 3 << 30;
        let low = (0..30_000).filter(|_| rng.below(bound) < bound / 2).count();
        assert!((14_600..15_400).contains(&low), "{low}");
    }
}
