//! How a search is laid out: the sample that gives thresholds, ranks in it, tiles and splits. Plain arithmetic.

use super::form::Form;

/// Columns that the scan can serve; wider items are ranked without one.
pub(super) const WIDEST: usize = 1024;
/// Items below which ranking all of them costs less than a sample and a scan.
pub(super) const FEW_ITEMS: usize = 2048;
/// Bytes that a chunk of queries takes on the device, whatever is asked; a single query may take more.
pub(super) const CHUNK_BYTES: usize = 512 << 20;
/// Queries of a chunk at most.
pub(super) const MOST_QUERIES: usize = 1 << 16;
/// Candidates that a query's list holds at most.
pub(super) const LIST: usize = 8192;
/// Queries that are scanned again together: with lists of [`LIST`] places they take half of what a chunk may.
pub(super) const RESCANNED: usize = CHUNK_BYTES / 2 / (LIST * 8);
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
pub(super) const MOST_GROUPS: usize = 2048;

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

    /// The sampled part of so many items.
    pub(super) fn part(&self, items: usize) -> f64 {
        self.items as f64 / items as f64
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
    let f = sample.part(items);
    let mut known = vec![None; known_place(few_bits(items)) + 1];
    skipped
        .map(|skipped| {
            let skipped = few_bits(skipped.min(items));
            let known = &mut known[known_place(skipped)];
            *known.get_or_insert_with(|| rank(k.saturating_add(skipped).min(items), f) as u32)
        })
        .collect()
}

/// The least number from `n` on with four significant bits: few of them, at most an eighth apart.
fn few_bits(n: usize) -> usize {
    let step = 1 << n.checked_ilog2().unwrap_or(0).saturating_sub(3);
    n.next_multiple_of(step)
}

/// A place of its own for each number that [`few_bits`] gives, ascending.
fn known_place(n: usize) -> usize {
    let shift = n.checked_ilog2().unwrap_or(0).saturating_sub(3);
    shift as usize * 8 + (n >> shift)
}

/// The rank that all but one in a hundred queries have at most; 1 where there are no queries.
pub(super) fn usual_rank(ranks: &[u32]) -> usize {
    let mut sorted = ranks.to_vec();
    let at = (ranks.len() * 99 / 100).min(ranks.len().saturating_sub(1));
    if sorted.is_empty() { 1 } else { *sorted.select_nth_unstable(at).1 as usize }
}

/// Items that pass a threshold of this rank in a sample of the part `f`, on average: groups hide some of the sample's
/// best from the rank, and the scan's error lets more pass.
pub(super) fn passing(rank: usize, f: f64) -> f64 {
    1.4 * rank as f64 / f
}

/// Places of a query's list: several times what passes, since what passes varies with the sample.
pub(super) fn list_room(rank: usize, f: f64, items: usize) -> usize {
    ((4.0 * passing(rank, f)) as usize + 512).next_multiple_of(64).min(LIST).min(items)
}

/// Bytes that a query of `dim` columns takes on the device beside its lists, maxima and skipped items: its rows, terms
/// and results, and what a ranking of all items takes.
pub(super) fn query_bytes(dim: usize, k: usize) -> usize {
    let rows = dim.next_multiple_of(16) * 4 + 2 * dim.next_multiple_of(64) * 2;
    // Nine values and places, and the last key of a round.
    rows + 9 * 4 + 8 + k.saturating_mul(8) + k.min(PLACES) * 8
}

/// Where the chunk of queries that begins at `from` ends, `to` at the latest: it has one query at least, and then as
/// many as their bytes allow.
pub(super) fn chunk_end(from: usize, to: usize, bytes: impl Fn(usize) -> usize) -> usize {
    let mut left = CHUNK_BYTES.saturating_sub(bytes(from));
    for q in from + 1..to {
        match left.checked_sub(bytes(q)) {
            Some(rest) => left = rest,
            None => return q,
        }
    }
    to
}

/// Keys that a ranking block holds: a power of two with room for the k best and a batch of new ones, or more.
pub(super) fn room(k: usize) -> usize {
    (2 * k + RANK_THREADS).next_power_of_two().clamp(1024, 4096)
}

/// Shared memory of a block that finds the thresholds of 8 queries in so many maxima each (`topk_threshold`).
pub(super) fn threshold_shared(groups: usize) -> u32 {
    (8 * (groups.next_multiple_of(32) + 4) * 4) as u32
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
    fn ranks_of_queries_that_skip_items_are_high_enough() {
        let sample = Sample::of(105_542, 12).expect("there is one");
        let skipped: Vec<usize> = (0..3000).chain([50_000, 105_541, 105_542, 1 << 40]).collect();
        let ranks = ranks(12, skipped.iter().copied(), 105_542, &sample);
        for (skipped, found) in skipped.into_iter().zip(ranks) {
            let exact = rank((12 + skipped).min(105_542), sample.part(105_542));
            assert!((exact..=exact + 2 + exact / 7).contains(&(found as usize)), "{skipped}: {found}, not {exact}");
        }
    }

    #[test]
    fn chunks_are_bounded_in_bytes() {
        assert_eq!(chunk_end(0, 5000, |_| 12), 5000);
        assert_eq!(chunk_end(10, 5000, |_| CHUNK_BYTES / 4), 14);
        assert_eq!(chunk_end(0, 5, |_| usize::MAX), 1, "one query comes through, whatever it takes");
        assert_eq!(chunk_end(0, 5, |q| [1, 1, CHUNK_BYTES, 1, 1][q]), 2);
        // H&M's customers against its articles: tens of thousands at a time.
        let (k, dim, items) = (12, 64, 105_542);
        let sample = Sample::of(items, k).expect("there is one");
        let room = list_room(rank(k + 23, sample.part(items)), sample.part(items), items);
        let bytes = room * 8 + sample.groups * 4 + query_bytes(dim, k) + 24 * 4;
        let end = chunk_end(0, 1 << 20, |_| bytes);
        assert!((20_000..100_000).contains(&end) && end * bytes <= CHUNK_BYTES, "{end} queries of {bytes} bytes");
    }

    #[test]
    fn rooms_hold_the_best_and_a_batch() {
        for k in [1, 100, 384, 385, 1024, PLACES] {
            let room = room(k);
            assert!(room.is_power_of_two() && room >= k + RANK_THREADS, "{k}");
        }
    }
}
