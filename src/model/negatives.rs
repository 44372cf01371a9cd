//! Who the candidates of a batch are, and their log q: what the logQ correction takes off a score.

use crate::config::{LogQ, Negatives};
use crate::index::Lists;
use crate::rng::Rng;

/// Salt of the uniform draws' random stream.
const UNIFORM: u64 = 0x756e_6966;

/// Draws candidates and knows their sampling probabilities. Shared by the loader's threads.
pub(crate) struct NegativeSampler {
    negatives: Negatives,
    logq: LogQ,
    seed: u64,
    /// Rows of the item vocabulary, row 0 (never a candidate) included.
    items: u32,
    /// Per item row: its share of the training rows, p.
    share: Vec<f32>,
}

impl NegativeSampler {
    /// `counts`: training rows of each item row.
    pub(crate) fn new(negatives: Negatives, logq: LogQ, seed: u64, counts: &[u64]) -> NegativeSampler {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let share = counts.iter().map(|&count| (count as f64 / total) as f32).collect();
        NegativeSampler { negatives, logq, seed, items: counts.len() as u32, share }
    }

    /// The candidates whose embeddings a batch computes: its own items, then the draws, sorted; or the whole catalogue.
    pub(crate) fn candidates(&self, epoch: u64, batch: u64, items: &[u32], out: &mut Vec<u32>) {
        out.clear();
        match self.negatives {
            Negatives::Full => out.extend(1..self.items),
            Negatives::InBatch | Negatives::CrossBatch(_) => out.extend_from_slice(items),
            Negatives::InBatchUniform(draws) => {
                out.extend_from_slice(items);
                let mut rng = Rng::at(self.seed, &[UNIFORM, epoch, batch]);
                out.extend((0..draws).map(|_| 1 + rng.below(u64::from(self.items - 1)) as u32));
                out[items.len()..].sort_unstable();
            }
        }
    }

    /// Whether columns get a `-log q` from the counts here; a streaming estimate is the trainer's.
    pub(crate) fn corrects(&self) -> bool {
        matches!(self.logq, LogQ::Exact | LogQ::Corrected) && self.negatives != Negatives::Full
    }

    /// q of an item in a batch of `rows` rows, from `p`, its probability as one row's positive: with extra uniform
    /// draws the mixture of both, per draw.
    pub(crate) fn mixture(&self, p: f32, rows: usize) -> f32 {
        match self.negatives {
            Negatives::InBatchUniform(draws) => {
                let uniform = draws as f32 / (self.items - 1) as f32;
                (rows as f32 * p + uniform) / (rows + draws) as f32
            }
            _ => p,
        }
    }

    /// q of an item by the exact counts. Above 0 also for an item that the counts do not know (the unknown row, or a
    /// vocabulary of another program): its correction is large, not infinite.
    pub(crate) fn q(&self, item: u32, rows: usize) -> f32 {
        self.mixture(self.share[item as usize], rows).max(f32::MIN_POSITIVE)
    }

    /// `-log q` of every candidate.
    pub(crate) fn bias(&self, candidates: &[u32], rows: usize, out: &mut Vec<f32>) {
        out.clear();
        out.extend(candidates.iter().map(|&item| -self.q(item, rows).ln()));
    }

    /// `log(1 - q)` of every row's positive, for the corrected form.
    pub(crate) fn log1m(&self, items: &[u32], out: &mut Vec<f32>) {
        out.clear();
        if self.logq == LogQ::Corrected && self.negatives != Negatives::Full {
            out.extend(items.iter().map(|&item| (-self.q(item, items.len())).ln_1p().max(-30.0)));
        }
    }
}

/// Sampling probabilities estimated from the stream of batches (Yi et al. 2019, algorithm 2): per item the moving
/// average of the steps between two of its appearances. Its inverse is the probability to be in a batch.
pub(crate) struct StreamingQ {
    /// Per item row: the step of its last appearance.
    pub last: Vec<u32>,
    /// Per item row: the estimated steps between two appearances.
    pub gap: Vec<f32>,
}

impl StreamingQ {
    const RATE: f32 = 0.01;
    const FIRST_GAP: f32 = 100.0;

    pub(crate) fn new(items: usize) -> StreamingQ {
        StreamingQ { last: vec![0; items], gap: vec![Self::FIRST_GAP; items] }
    }

    /// Takes in the distinct items of a batch's rows, at `step` (from 1).
    pub(crate) fn observe(&mut self, step: u64, unique: impl Iterator<Item = u32>) {
        let now = u32::try_from(step).unwrap_or(u32::MAX);
        for item in unique {
            let (last, gap) = (&mut self.last[item as usize], &mut self.gap[item as usize]);
            *gap = (1.0 - Self::RATE) * *gap + Self::RATE * now.saturating_sub(*last).max(1) as f32;
            *last = now;
        }
    }

    /// The estimated probability of `item` as one row's positive, in batches of `rows` rows.
    pub(crate) fn p(&self, item: u32, rows: usize) -> f32 {
        // 1 - (1 - p)^rows = 1 / gap, to first order.
        (1.0 / self.gap[item as usize].max(1.0)) / rows.max(1) as f32
    }
}

/// Where items stand in a batch's list of unique items: an open-addressing table that stays in the first-level cache,
/// for the hundreds of look-ups that every row's known positives take.
#[derive(Default)]
pub(crate) struct Places {
    /// Item and place; item 0 marks a free slot (the unknown row is never looked up).
    slots: Vec<(u32, u32)>,
    bits: u32,
}

impl Places {
    pub(crate) fn build(&mut self, unique: &[u32]) {
        self.bits = (2 * unique.len()).next_power_of_two().max(16).trailing_zeros();
        self.slots.clear();
        self.slots.resize(1 << self.bits, (0, 0));
        for (place, &item) in unique.iter().enumerate().filter(|(_, item)| **item != 0) {
            let mut slot = self.slot(item);
            while self.slots[slot].0 != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = (item, place as u32);
        }
    }

    pub(crate) fn get(&self, item: u32) -> Option<usize> {
        let mut slot = self.slot(item);
        loop {
            match self.slots[slot] {
                (0, _) => return None,
                (other, place) if other == item => return Some(place as usize),
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Fibonacci hashing: the upper bits of the product with 2^32 / golden ratio.
    fn slot(&self, item: u32) -> usize {
        (item.wrapping_mul(0x9e37_79b9) >> (32 - self.bits)) as usize
    }
}

/// The columns of known positives: for each row, those candidates that its user is known to like, but for the row's
/// own positive item (whose repeats are accidental hits, masked by id).
///
/// `known` may repeat items, in any order. `columns_of` appends the columns of an item. Fills `offsets` (rows + 1) and
/// `columns`.
pub(crate) fn mask_known(
    known: &Lists,
    items: &[u32],
    offsets: &mut Vec<u32>,
    columns: &mut Vec<u32>,
    columns_of: impl Fn(u32, &mut Vec<u32>),
) {
    offsets.clear();
    columns.clear();
    offsets.push(0);
    for (row, &positive) in items.iter().enumerate().take(known.len()) {
        let start = columns.len();
        for &item in known.get(row).iter().filter(|&&item| item != positive) {
            columns_of(item, columns);
        }
        columns[start..].sort_unstable();
        let mut end = start;
        for at in start..columns.len() {
            if at == start || columns[at] != columns[end - 1] {
                columns[end] = columns[at];
                end += 1;
            }
        }
        columns.truncate(end);
        offsets.push(end as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(negatives: Negatives, counts: &[u64]) -> NegativeSampler {
        NegativeSampler::new(negatives, LogQ::Exact, 0, counts)
    }

    #[test]
    fn mixture_probabilities_sum_to_one_over_the_catalogue() {
        let s = sampler(Negatives::InBatchUniform(30), &[0, 5, 3, 2]);
        let sum: f32 = (1..4).map(|item| s.q(item, 10)).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        // By hand: (10 x 0.5 + 30 / 3) / 40.
        assert!((s.q(1, 10) - 0.375).abs() < 1e-6);
    }

    #[test]
    fn uniform_draws_repeat_and_skip_the_unknown_row() {
        let s = sampler(Negatives::InBatchUniform(1000), &[0, 1, 1, 1]);
        let draw = |batch| {
            let mut out = Vec::new();
            s.candidates(2, batch, &[3, 1], &mut out);
            out
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert_eq!(draw(5)[..2], [3, 1]);
        assert!(draw(5).iter().all(|item| (1..4).contains(item)));
    }

    #[test]
    fn streaming_estimate_finds_the_gap() {
        let mut q = StreamingQ::new(2);
        for step in 1..=5_000 {
            if step % 4 == 0 {
                q.observe(step, [1].into_iter());
            }
        }
        assert!((q.gap[1] - 4.0).abs() < 0.1, "{}", q.gap[1]);
    }

    #[test]
    fn places_are_found_and_strangers_are_not() {
        let unique: Vec<u32> = (0..500).map(|n| n * n).collect();
        let mut places = Places::default();
        places.build(&[9]);
        places.build(&unique);
        for item in 1..250_000 {
            assert_eq!(places.get(item), unique.binary_search(&item).ok());
        }
    }

    #[test]
    fn known_positives_are_masked_but_the_own_positive_is_not() {
        let (mut offsets, mut columns) = (Vec::new(), Vec::new());
        let candidates = [4u32, 2, 4, 7];
        let known = Lists { offsets: vec![0, 4, 4, 5], values: vec![4, 2, 4, 2, 7] };
        mask_known(&known, &[4, 2, 9], &mut offsets, &mut columns, |item, out| {
            out.extend((0..4).filter(|&c| candidates[c as usize] == item));
        });
        assert_eq!(offsets, [0, 1, 1, 2]);
        assert_eq!(columns, [1, 3]);
    }
}
