//! How a scan of panels is laid out, and what it serves. Plain arithmetic.

use crate::backend::cuda::topk::form::Form;
use crate::backend::cuda::topk::plan::{self, MOST_GROUPS};

/// Widest rows that the scan's kernels hold in registers.
const WIDEST: usize = 128;
/// Places that a block ranks: it compares each candidate with each.
const MOST_PLACES: usize = 256;
/// Candidates that a block holds: one of a warp, one of 256 threads.
const WARP_ROOM: usize = 1024;
const BLOCK_ROOM: usize = 4096;
/// Places up to which a warp ranks a query by itself, where there are queries enough for all warps.
const WARP_PLACES: usize = 32;
const WARP_QUERIES: usize = 4096;
/// Entries at the end of a list that take what an overflow writes (`LIST_SLACK` in `topk/sm90a/lists.cuh`).
const SLACK: usize = 9;
/// Lists of a query in each part of the items: one a lane that holds its scores.
const LANES: usize = 4;
/// Groups of a part of the sample: the places of a tile.
const SAMPLE_TILE: usize = 128;
/// Parts of a sample: enough groups for queries that skip many items, no more than a threshold holds.
const SAMPLE_PARTS: std::ops::RangeInclusive<usize> = 2..=MOST_GROUPS / SAMPLE_TILE;
/// Tiles on their way through shared memory at most.
const MOST_STAGES: usize = 8;
/// How many times as many items pass by the wider bound of codes than by that of bf16 (counted: benches/README.md).
const PASSING_CODES: f64 = 3.0;

/// Rows of a catalogue in panels: whole tiles of a sample.
pub(super) fn padded_items(items: usize) -> usize {
    items.next_multiple_of(SAMPLE_TILE)
}

/// A kernel's tile: rows of queries and of items, threads, and what its shared memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PanelTile {
    pub queries: usize,
    pub items: usize,
    pub threads: u32,
    pub stages: usize,
    pub shared: u32,
}

impl PanelTile {
    /// Of `groups` warpgroups of 64 queries each, and one that copies; rows of `row_bytes`.
    fn new(groups: usize, items: usize, row_bytes: usize, biased: bool, shared_limit: usize) -> Option<PanelTile> {
        // 1,023 bytes before the first multiple of 1,024; a barrier for the queries, two for each stage.
        let fixed = 1024 + groups * 64 * row_bytes + 64;
        let stage = items * row_bytes + if biased { items * 4 } else { 0 } + 16;
        let stages = (shared_limit.checked_sub(fixed)? / stage).min(MOST_STAGES);
        let shared = (fixed + stages * stage) as u32;
        let threads = 128 * groups as u32 + 128;
        (stages >= 2).then_some(PanelTile { queries: groups * 64, items, threads, stages, shared })
    }
}

/// The items of a launch in parts, one a block row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub tiles: usize,
    pub part_tiles: usize,
    pub parts: usize,
}

impl Parts {
    /// About `parts` of them, none empty.
    fn about(parts: usize, tiles: usize) -> Parts {
        let part_tiles = tiles.div_ceil(parts.clamp(1, tiles));
        Parts { tiles, part_tiles, parts: tiles.div_ceil(part_tiles) }
    }

    /// As many as keep the multiprocessors busy to the end, a block each: few, since each has lists of its own.
    fn best(blocks: usize, multiprocessors: usize, tiles: usize) -> Parts {
        let busy = |parts: usize| {
            let Parts { part_tiles, parts, .. } = Parts::about(parts, tiles);
            let waves = (blocks * parts).div_ceil(multiprocessors);
            (blocks * tiles) as f64 / (waves * multiprocessors * part_tiles) as f64 - 0.002 * parts as f64
        };
        let (mut best, mut most) = (1, 0.0);
        for parts in 1..=multiprocessors.min(tiles) {
            let busy = busy(parts);
            if busy > most + 0.01 {
                (best, most) = (parts, busy);
            }
        }
        Parts::about(best, tiles)
    }
}

/// What a call asks of the scan.
#[derive(Clone, Copy, Debug)]
pub(in crate::backend::cuda::topk) struct Size {
    pub form: Form,
    pub items: usize,
    pub dim: usize,
    pub biased: bool,
    /// Queries of a chunk.
    pub queries: usize,
    pub k: usize,
    /// Items of the sample, whole tiles.
    pub sampled: usize,
    /// The rank that nearly all queries have at most.
    pub rank: usize,
    pub multiprocessors: usize,
    /// Shared memory of a block at most.
    pub shared: usize,
}

/// How a call is scanned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::backend::cuda::topk) struct PanelPlan {
    pub(super) form: Form,
    /// Columns of a row in its panels.
    pub(super) columns: usize,
    pub(super) sample_tile: PanelTile,
    pub(super) sample: Parts,
    pub(super) tile: PanelTile,
    pub(super) scan: Parts,
    /// Places that are asked for.
    pub(super) k: usize,
    /// Queries of a chunk.
    queries: usize,
    /// The part of the items that is sampled.
    part: f64,
}

impl PanelPlan {
    /// What the scan serves, and how; or why it does not.
    pub(in crate::backend::cuda::topk) fn new(size: &Size) -> Result<PanelPlan, &'static str> {
        let &Size { form, items, dim, queries, k, sampled, rank, multiprocessors, .. } = size;
        let columns = match dim {
            1..=64 => 64,
            65..=WIDEST => 128,
            _ => return Err("rows of more than 128 columns"),
        };
        if k > MOST_PLACES {
            return Err("more than 256 places");
        }
        let row_bytes = form.panel_bytes(columns);
        let tile = |groups, items| PanelTile::new(groups, items, row_bytes, size.biased, size.shared);
        // A panel's row has 128 bytes: two items where they have half of it.
        let (Some(sample_tile), Some(tile)) = (tile(2, SAMPLE_TILE), tile(4, 64 * (128 / row_bytes).max(1))) else {
            return Err("too little shared memory");
        };
        let blocks = |tile: PanelTile| queries.div_ceil(tile.queries);
        let parts = multiprocessors.div_ceil(blocks(sample_tile)).clamp(*SAMPLE_PARTS.start(), *SAMPLE_PARTS.end());
        let sample = Parts::about(parts, sampled / SAMPLE_TILE);
        // The more of the groups must pass, the more of their maxima are second to another of their group.
        if rank * 10 > sample.parts * SAMPLE_TILE * 6 {
            return Err("too many places for the sample");
        }
        let part = sampled as f64 / items as f64;
        if 2.0 * passing(form, rank, part) + 256.0 > BLOCK_ROOM as f64 {
            return Err("more candidates than a block ranks");
        }
        let scan = Parts::best(blocks(tile), multiprocessors, items.div_ceil(tile.items));
        Ok(PanelPlan { form, columns, sample_tile, sample, tile, scan, k, queries, part })
    }

    /// The grid of the scan of all items for so many queries.
    #[cfg(test)]
    pub(in crate::backend::cuda::topk) fn grid(&self, queries: usize) -> [usize; 3] {
        [queries.div_ceil(self.tile.queries), self.scan.parts, 1]
    }

    /// Groups of the sample.
    pub(super) fn groups(&self) -> usize {
        self.sample.parts * SAMPLE_TILE
    }

    /// Lists of a query.
    fn lists(&self) -> usize {
        self.scan.parts * LANES
    }

    /// Entries of a query's lists together.
    fn entries(&self, rank: u32) -> usize {
        let lists = self.lists() as f64;
        // A rank that the sample does not have lets everything pass: that query is for the other scan.
        let served = rank as usize <= self.groups();
        let each = if served { passing(self.form, rank as usize, self.part) / lists } else { 0.0 };
        let room = (1.6 * each + 8.0 * each.sqrt()) as usize + 16;
        self.lists() * (room + SLACK)
    }

    /// Where each query's lists begin, and the end, in entries.
    pub(super) fn places(&self, ranks: &[u32]) -> Vec<u32> {
        let mut known = Vec::new();
        let mut end = 0;
        let mut places = Vec::with_capacity(ranks.len() + 1);
        places.push(0);
        for &rank in ranks {
            let at = (rank as usize).min(self.groups() + 1);
            if at >= known.len() {
                known.resize(at + 1, 0);
            }
            if known[at] == 0 {
                known[at] = self.entries(rank);
            }
            end += known[at];
            places.push(end as u32);
        }
        places
    }

    /// Bytes of a query's lists, counts and maxima, and of its unit and multiplier.
    pub(in crate::backend::cuda::topk) fn bytes(&self, rank: u32) -> usize {
        self.entries(rank) * 8 + (self.lists() + self.groups() + 1 + 2) * 4
    }

    /// Whether a warp ranks a query of this rank by itself.
    pub(super) fn by_warp(&self, rank: u32) -> bool {
        let few = 2.0 * passing(self.form, rank as usize, self.part) + 256.0 <= WARP_ROOM as f64;
        few && self.k <= WARP_PLACES && self.queries > WARP_QUERIES
    }

    /// Candidates that a warp holds, or a block of 256 threads; and its shared memory: a key and an item each.
    pub(super) fn room(by_warp: bool) -> (usize, u32) {
        let room = if by_warp { WARP_ROOM } else { BLOCK_ROOM };
        (room, (room * 12) as u32)
    }
}

/// Items that pass a threshold of this rank, on average.
fn passing(form: Form, rank: usize, part: f64) -> f64 {
    plan::passing(rank, part) * if form == Form::Int8 { PASSING_CODES } else { 1.0 }
}

/// The item in each row of the panels: as `scattered` in `topk/sm90a/scatter.cuh`.
#[cfg(test)]
fn scattered(row: u32, items: u32) -> u32 {
    let half = (33 - (items - 1).leading_zeros()) / 2;
    let mask = (1 << half) - 1;
    let mut x = row;
    loop {
        let (mut left, mut right) = (x >> half, x & mask);
        for round in 0..4 {
            let next = left ^ (crate::rng::mix(round << 32 | u64::from(right)) as u32 & mask);
            (left, right) = (right, next);
        }
        x = left << half | right;
        if x < items {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cuda::topk::plan::{Sample, rank};

    const H100: Size = Size {
        form: Form::Bf16,
        items: 105_542,
        dim: 64,
        biased: true,
        queries: 1 << 16,
        k: 12,
        sampled: 6528,
        rank: 11,
        multiprocessors: 132,
        shared: 232_448,
    };

    #[test]
    fn every_item_has_a_row_and_neighbours_are_apart() {
        for items in [1, 2, 3, 5, 64, 1000, 2048, 5003, 65_536, 65_537] {
            let mut seen = vec![false; items as usize];
            (0..items).for_each(|row| seen[scattered(row, items) as usize] = true);
            assert!(seen.into_iter().all(|seen| seen), "{items}");
        }
        // The first rows are a sample of the whole: as many of each tenth as chance has it.
        let (items, sampled) = (105_542, 6528);
        let mut tenths = [0; 10];
        (0..sampled).for_each(|row| tenths[(u64::from(scattered(row, items)) * 10 / u64::from(items)) as usize] += 1);
        assert!(tenths.iter().all(|n| (550..760).contains(n)), "{tenths:?}");
    }

    #[test]
    fn parts_fill_the_device_and_none_is_empty() {
        for tiles in [1, 2, 16, 33, 1650, 16_384] {
            for blocks in [1, 4, 16, 131, 132, 256] {
                let parts = Parts::best(blocks, 132, tiles);
                assert!(parts.part_tiles * parts.parts >= tiles && parts.part_tiles * (parts.parts - 1) < tiles);
                let waves = (blocks * parts.parts).div_ceil(132);
                let busy = (blocks * tiles) as f64 / (waves * 132 * parts.part_tiles) as f64;
                assert!(busy > 0.7 || tiles < 132, "{blocks} blocks, {tiles} tiles: {parts:?}, {busy}");
            }
        }
    }

    #[test]
    fn what_is_served_and_what_is_not() {
        let plan = PanelPlan::new(&H100).expect("served");
        assert_eq!((plan.columns, plan.groups(), plan.scan.parts), (64, 256, 1));
        assert!(plan.by_warp(11) && !plan.by_warp(100), "most queries are a warp's");
        let few = PanelPlan::new(&Size { queries: 1024, k: 100, rank: 21, ..H100 }).expect("served");
        assert!(!few.by_warp(21) && few.scan.parts > 20, "{few:?}");
        for (dim, columns) in [(1, 64), (64, 64), (65, 128), (128, 128)] {
            assert_eq!(PanelPlan::new(&Size { dim, ..H100 }).expect("served").columns, columns);
        }
        let codes = PanelPlan::new(&Size { form: Form::Int8, ..H100 }).expect("served");
        assert_eq!((codes.columns, codes.tile.items, codes.groups()), (64, 128, 256), "two items a row");
        let wide = PanelPlan::new(&Size { form: Form::Int8, dim: 128, ..H100 }).expect("served");
        assert_eq!((wide.columns, wide.tile.items, wide.groups()), (128, 64, 256));
        for (size, why) in [
            (Size { form: Form::Int8, rank: 40, ..H100 }, "more candidates than a block ranks"),
            (Size { dim: 129, ..H100 }, "rows of more than 128 columns"),
            (Size { k: 257, ..H100 }, "more than 256 places"),
            (Size { rank: 154, ..H100 }, "too many places for the sample"),
            (Size { rank: 90, ..H100 }, "more candidates than a block ranks"),
            (Size { shared: 50_000, ..H100 }, "too little shared memory"),
        ] {
            assert_eq!(PanelPlan::new(&size), Err(why));
        }
    }

    #[test]
    fn tiles_fit_shared_memory() {
        for biased in [false, true] {
            for columns in [64, 128] {
                for (groups, items) in [(2, SAMPLE_TILE), (4, 64)] {
                    for form in [Form::Bf16, Form::Int8] {
                        let row_bytes = form.panel_bytes(columns);
                        let tile = PanelTile::new(groups, items, row_bytes, biased, 232_448).expect("fits");
                        assert!(tile.shared <= 232_448 && tile.stages >= 4, "{tile:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn lists_have_room_for_what_passes_and_chunks_for_tens_of_thousands_of_queries() {
        let sample = Sample::of(H100.items, H100.k).expect("there is one");
        let usual = rank(H100.k + 23, sample.part(H100.items));
        let plan = PanelPlan::new(&Size { rank: usual, sampled: sample.items, ..H100 }).expect("served");
        let ranks = [usual as u32, 40, 300, 5];
        let places = plan.places(&ranks);
        for (i, &rank) in ranks.iter().enumerate() {
            let entries = (places[i + 1] - places[i]) as usize;
            assert_eq!(entries, plan.entries(rank));
            assert!(entries.is_multiple_of(plan.lists()) && entries / plan.lists() > SLACK);
            assert!(rank == 300 || entries as f64 > 1.5 * plan::passing(rank as usize, plan.part));
        }
        let bytes = plan.bytes(usual as u32) + plan::query_bytes(H100.dim, H100.k) + 24 * 4;
        assert!(plan::CHUNK_BYTES / bytes > 40_000, "{bytes} bytes a query");
    }
}
