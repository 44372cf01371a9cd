//! How a search is laid out: the sample that gives thresholds, ranks in it, tiles and splits. Plain arithmetic.

use std::collections::HashMap;

/// Columns that the scan can serve; wider items are ranked without one.
pub(super) const WIDEST: usize = 1024;
/// Items below which ranking all of them costs less than a sample and a scan.
pub(super) const FEW_ITEMS: usize = 2048;
/// Queries of a chunk: their lists and maxima take at most 150 MB.
pub(super) const CHUNK: usize = 2048;
/// Candidates that a query's list holds.
pub(super) const LIST: usize = 8192;
/// Places that one ranking fills; more come in further rounds.
pub(super) const PLACES: usize = 2048;
/// Threads of a ranking block.
pub(super) const RANK_THREADS: usize = 256;
/// Chance that a threshold lets fewer than k items pass, for one query.
const SHORT: f64 = 1e-6;
/// Items of a sample at most, and items of a tile of it.
const MOST_SAMPLED: usize = 1 << 16;
const SAMPLE_TILE: usize = 128;
/// Groups whose maxima `topk_threshold` can hold.
const MOST_GROUPS: usize = 2048;

/// How a query or an item stands in memory for the scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// bf16.
    Bf16,
    /// Codes of 8 bits, with a scale a row.
    Int8,
}

impl Form {
    /// Bytes of a row of `dim` columns.
    pub(crate) fn row_bytes(self, dim: usize) -> usize {
        match self {
            Form::Bf16 => dim.next_multiple_of(16) * 2,
            Form::Int8 => dim.next_multiple_of(32),
        }
    }
}

/// The tile of a scan kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// Bytes a row for which the kernel keeps queries in registers; 0: any row, queries in shared memory.
    pub narrow: usize,
    pub queries: usize,
    pub items: usize,
    pub threads: u32,
    pub shared: u32,
    /// Buckets of a query that one block keeps.
    pub buckets: usize,
}

impl Tile {
    /// The kernel for any row of up to 2,048 bytes.
    pub(super) fn wide(row_bytes: usize) -> Tile {
        let shared = row_bytes.next_multiple_of(64) * 64 + 4 * 128 * 64 + 2 * 4 * 128 * 4;
        Tile { narrow: 0, queries: 64, items: 128, threads: 256, shared: shared as u32, buckets: 16 }
    }

    /// The best kernel for so many queries.
    pub(super) fn of(form: Form, row_bytes: usize, queries: usize) -> Tile {
        let whole = match form {
            Form::Bf16 => [128, 256],
            Form::Int8 => [64, 128],
        };
        // Its 128 queries a block are worth it where they are there.
        if queries <= 64 || !whole.contains(&row_bytes) {
            return Tile::wide(row_bytes);
        }
        let shared = 3 * 64 * row_bytes + 2 * 3 * 64 * 4;
        Tile { narrow: row_bytes, queries: 128, items: 64, threads: 128, shared: shared as u32, buckets: 4 }
    }

    /// Parts of the items, so that all multiprocessors have two blocks.
    pub(super) fn splits(&self, queries: usize, items: usize, multiprocessors: usize) -> usize {
        let (across, along) = (queries.div_ceil(self.queries), items.div_ceil(self.items));
        (2 * multiprocessors / across.max(1)).clamp(1, along.max(1))
    }
}

/// A sample of the items, whose scores give every query its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Items sampled: whole tiles.
    pub items: usize,
    /// Groups of which the best score is known: 8 items each, or 32.
    pub groups: usize,
    pub wide_groups: bool,
}

impl Sample {
    /// The smallest sample that serves `k` places: about a 16th of the items, more where `k` is a large part of them.
    /// `None` where no sample is much less than the whole.
    pub(super) fn of(items: usize, k: usize) -> Option<Sample> {
        let whole = items / SAMPLE_TILE * SAMPLE_TILE;
        let mut size = (items / 16).clamp(FEW_ITEMS, MOST_SAMPLED) / SAMPLE_TILE * SAMPLE_TILE;
        loop {
            size = size.min(whole);
            let sample = Sample::sized(size);
            // The more of the groups must pass, the more of their maxima are second to another of their group.
            if size > 0 && rank(k, size as f64 / items as f64) * 10 <= sample.groups * 6 {
                return Some(sample);
            }
            if size == whole || size >= MOST_SAMPLED {
                return None;
            }
            size *= 2;
        }
    }

    fn sized(items: usize) -> Sample {
        let wide_groups = items / 8 > MOST_GROUPS;
        Sample { items, groups: items / if wide_groups { 32 } else { 8 }, wide_groups }
    }

    /// The sampled part of `items`, 2^-32 items each.
    pub(super) fn step(&self, items: usize) -> u64 {
        ((items as u64) << 32) / self.items as u64
    }
}

/// The least r such that fewer than r of the k - 1 best items are in a sample of the part `f` of all, but for a chance
/// of [`SHORT`]: then the r-th best of the sample is no better than the k-th best of all.
pub(super) fn rank(k: usize, f: f64) -> usize {
    if f >= 1.0 || k <= 1 {
        return k.max(1);
    }
    let n = (k - 1) as f64;
    if k > 1 << 14 {
        // Normal: 6 deviations are a chance of 1e-9, room enough for the skew.
        return (n * f + 6.0 * (n * f * (1.0 - f)).sqrt() + 6.0).min(k as f64) as usize;
    }
    let odds = (f / (1.0 - f)).ln();
    let mut log = n * (-f).ln_1p();
    let mut chances = Vec::with_capacity(k);
    for j in 0..k {
        chances.push(log.exp());
        log += ((n - j as f64) / (j as f64 + 1.0)).ln() + odds;
    }
    let mut tail = 0.0;
    let mut r = k;
    while r > 1 && tail + chances[r - 1] < SHORT {
        tail += chances[r - 1];
        r -= 1;
    }
    r
}

/// [`rank`] for each query: those that skip items need more of the best.
pub(super) fn ranks(k: usize, skipped: impl Iterator<Item = usize>, items: usize, sample: &Sample) -> Vec<u32> {
    let f = sample.items as f64 / items as f64;
    let mut known = HashMap::new();
    skipped
        .map(|skipped| {
            let k = k.saturating_add(skipped).min(items);
            *known.entry(k).or_insert_with(|| rank(k, f) as u32)
        })
        .collect()
}

/// Keys that a ranking block holds: a power of two with room for the k best and a batch of new ones, or more.
pub(super) fn room(k: usize) -> usize {
    (2 * k + RANK_THREADS).next_power_of_two().clamp(1024, 4096)
}

/// Parts into which the items are cut when all of them are ranked: enough blocks for the device, and long parts.
pub(super) fn parts(queries: usize, items: usize, multiprocessors: usize) -> usize {
    (4 * multiprocessors / queries.max(1)).clamp(1, items.div_ceil(4096).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_binomial() {
        // Computed apart from this code, for chances of 1e-6.
        for (k, part, r) in [(100, 256.0, 7), (100, 64.0, 11), (100, 16.0, 21), (10, 16.0, 7), (1000, 256.0, 17)] {
            let found = rank(k, 1.0 / part);
            assert!(found.abs_diff(r) <= 1, "k {k}, 1/{part}: {found}, not {r}");
        }
        assert_eq!(rank(1, 0.5), 1);
        assert_eq!(rank(50, 1.0), 50);
        assert!((5_000..6_000).contains(&rank(20_000, 0.25)));
    }

    #[test]
    fn samples_are_whole_tiles_that_the_threshold_can_hold() {
        for items in [2048, 2049, 5000, 20_000, 105_000, 1 << 20, 10_000_000, 2_000_000_000] {
            for k in [1, 12, 100, 1000] {
                let Some(sample) = Sample::of(items, k) else {
                    assert!(items < 40 * k, "{items} items, k {k}");
                    continue;
                };
                assert!(sample.items <= items && sample.items % SAMPLE_TILE == 0 && sample.groups <= MOST_GROUPS);
                let last = ((sample.items as u64 - 1) * sample.step(items)) >> 32;
                assert!(last + (sample.step(items) >> 32) <= items as u64, "the last stratum ends inside");
            }
        }
    }

    #[test]
    fn rooms_hold_the_best_and_a_batch() {
        for k in [1, 100, 384, 385, 1024, PLACES] {
            let room = room(k);
            assert!(room.is_power_of_two() && room >= k + RANK_THREADS, "{k}");
        }
    }
}
