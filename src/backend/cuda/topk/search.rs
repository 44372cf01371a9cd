//! One chunk of queries: sample, scan, rank, and what is left over.

use super::items::{Codes, CudaItems, Prepared};
use super::plan::{self, Form, RANK_THREADS, Sample, Tile};
use crate::Result;
use crate::backend::cuda::kernels::Kernel;
use crate::backend::cuda::launch::{Arg, args};
use crate::backend::cuda::{Buf, Cuda};

/// What a query still needs (`topk/rank.cuh`); anything else: a ranking of all items.
pub(super) struct QueryState;

impl QueryState {
    /// Nothing.
    const DONE: u32 = 0;
    /// Another scan, with the threshold that the last one found.
    const RESCAN: u32 = 1;
}

/// Scans after the first, for queries whose list overflowed or whose threshold was too high.
const RESCANS: usize = 3;

/// Skip lists of the chunk on the device; addresses are 0 where there are none.
pub(super) struct Skips {
    pub offsets: Option<Buf<u32>>,
    pub items: Option<Buf<u32>>,
}

impl Skips {
    fn ptrs(&self) -> (u64, u64) {
        (self.offsets.as_ref().map_or(0, Buf::ptr), self.items.as_ref().map_or(0, Buf::ptr))
    }
}

/// A chunk of queries and where its results go. Lengths are checked before it is made: `queries` is the address of
/// `rows` x dim values, `ids` and `scores` hold rows x k.
pub(super) struct QueryChunk<'a> {
    pub cuda: &'a Cuda,
    pub items: &'a CudaItems,
    pub queries: u64,
    pub rows: usize,
    pub k: usize,
    pub skips: Skips,
    pub ids: Buf<u32>,
    pub scores: Buf<f32>,
}

/// The queries of a chunk that a launch is for.
#[derive(Clone, Copy)]
struct Picked {
    /// The address of `rows` places; 0 for the first `rows` of the chunk.
    index: u64,
    rows: usize,
}

/// Items that a scan kept: places of `room` a query of the chunk.
#[derive(Clone, Copy)]
pub(super) struct Shortlists<'a> {
    pub lists: &'a Buf<u64>,
    pub room: usize,
}

/// What decides which items a list has, and whether it is complete: a value a query of the chunk, by address. All are 0
/// where lists are whole as they are.
#[derive(Clone, Copy, Default)]
struct Limits {
    counts: u64,
    thresholds: u64,
    bars: u64,
}

/// A scan of all items.
struct Sweep<'a> {
    kernel: &'a Kernel<[Arg]>,
    tile: &'a Tile,
    splits: usize,
    prepared: &'a Prepared,
    codes: Option<&'a Codes>,
}

/// What a scan did, over all its queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Queries that were scanned again.
    pub rescanned: usize,
    /// Queries for which all items were ranked.
    pub ranked_all: usize,
}

impl Report {
    pub(super) fn add(&mut self, other: Report) {
        self.rescanned += other.rescanned;
        self.ranked_all += other.ranked_all;
    }
}

/// Items in the form that the scan reads.
fn form_of(items: &CudaItems, codes: Option<&Codes>) -> (Form, u64, u64) {
    match codes {
        None => (Form::Bf16, items.scan.ptr(), 0),
        Some(codes) => (Form::Int8, codes.codes.ptr(), codes.scales.ptr()),
    }
}

impl QueryChunk<'_> {
    /// The exact answer, by a scan of `codes` or of bf16 rows. `margin`: 1, or less for an answer that may miss items
    /// whose approximate scores are off by more than this part of the bound.
    pub(super) fn scan(&self, codes: Option<&Codes>, sample: &Sample, ranks: &[u32], margin: f32) -> Result<Report> {
        let cuda = self.cuda;
        let prepared = self.items.prepare(cuda, form_of(self.items, codes).0, self.queries, self.rows)?;
        let thresholds = cuda.scratch::<f32>(self.rows)?;
        let bars = cuda.scratch::<f32>(self.rows)?;
        self.thresholds(&prepared, codes, sample, ranks, margin, (&thresholds, &bars))?;
        let room = self.items.rows.min(plan::LIST);
        let lists = cuda.scratch::<u64>(self.rows * room)?;
        let kept = Shortlists { lists: &lists, room };
        let mut counts = cuda.scratch::<u32>(self.rows)?;
        let (mut report, mut states) = (Report::default(), vec![0; self.rows]);
        let mut index: Option<(Buf<u32>, usize)> = None;
        for round in 0..=RESCANS {
            cuda.fill_zero(&mut counts, 0, self.rows)?;
            let picked = Picked {
                index: index.as_ref().map_or(0, |index| index.0.ptr()),
                rows: index.as_ref().map_or(self.rows, |index| index.1),
            };
            let limits = Limits { counts: counts.ptr(), thresholds: thresholds.ptr(), bars: bars.ptr() };
            self.filter(&prepared, codes, kept, limits, picked)?;
            self.rank(&prepared, kept, limits, margin, picked)?;
            cuda.download(&mut states, &prepared.states, 0)?;
            let rescan: Vec<u32> = places(&states, QueryState::RESCAN);
            if rescan.is_empty() || round == RESCANS {
                break;
            }
            report.rescanned += rescan.len();
            let buf = cuda.uninit(rescan.len())?;
            cuda.send(&buf, &rescan)?;
            index = Some((buf, rescan.len()));
        }
        report.add(self.leftover(&prepared)?);
        Ok(report)
    }

    /// Ranks all items for the queries that are not done.
    pub(super) fn leftover(&self, prepared: &Prepared) -> Result<Report> {
        let cuda = self.cuda;
        let mut states = vec![0; self.rows];
        cuda.download(&mut states, &prepared.states, 0)?;
        let left: Vec<u32> = (0..self.rows as u32).filter(|&q| states[q as usize] != QueryState::DONE).collect();
        if !left.is_empty() {
            let buf = cuda.uninit(left.len())?;
            cuda.send(&buf, &left)?;
            self.all(prepared, Some((&buf, left.len())))?;
        }
        Ok(Report { rescanned: 0, ranked_all: left.len() })
    }

    /// Thresholds and bars of all queries from a sample.
    fn thresholds(
        &self,
        prepared: &Prepared,
        codes: Option<&Codes>,
        sample: &Sample,
        ranks: &[u32],
        margin: f32,
        (thresholds, bars): (&Buf<f32>, &Buf<f32>),
    ) -> Result<()> {
        let (cuda, rows) = (self.cuda, self.rows);
        let kernels = cuda.kernels.topk(&cuda.context)?;
        let (form, items, item_scales) = form_of(self.items, codes);
        let bytes = form.row_bytes(self.items.dim);
        let tile = Tile::wide(bytes);
        let pitch = rows.next_multiple_of(8);
        let maxima = cuda.scratch::<f32>(sample.groups * pitch)?;
        let kernel = if form == Form::Bf16 { &kernels.topk_sample_bf16 } else { &kernels.topk_sample_int8 };
        let splits = tile.splits(rows, sample.items, cuda.info().multiprocessors as usize);
        let args = args![
            maxima.ptr(),
            items,
            item_scales,
            self.items.biases(),
            prepared.rows.ptr(),
            prepared.scales(),
            sample.step(self.items.rows),
            self.items.rows as u32,
            rows as u32,
            bytes as u32,
            (sample.items / tile.items) as u32,
            pitch as u32,
            u32::from(sample.wide_groups),
        ];
        let grid = [rows.div_ceil(tile.queries) as u32, splits as u32, 1];
        // topk_sample_*(maxima, items, item_scales, item_biases, queries, query_scales, item_step, item_count, rows,
        // row_bytes, tiles, pitch, wide_groups); a tile of 128 items fills 16 groups (4 wide ones), as `Sample` counts.
        // SAFETY: maxima hold groups x pitch values, pitch >= rows; the kernel reads items (and biases) below
        // item_count and queries below rows, each row_bytes long as their buffers were sized. One stream orders it.
        unsafe { cuda.launch(kernel, grid, tile.threads, tile.shared, &args) }?;
        let ranks_buf = cuda.uninit(rows)?;
        cuda.send(&ranks_buf, &ranks[..rows])?;
        let args = args![
            thresholds.ptr(),
            bars.ptr(),
            prepared.errors.ptr(),
            prepared.states.ptr(),
            ranks_buf.ptr(),
            maxima.ptr(),
            rows as u32,
            sample.groups as u32,
            pitch as u32,
            margin,
        ];
        let (grid, shared) = ([rows.div_ceil(8) as u32, 1, 1], 8 * (2048 + 4) * 4);
        // SAFETY: topk_threshold(thresholds, bars, errors, states, ranks, maxima, rows, groups, pitch, margin): one
        // value a query in each; maxima as above; groups <= 2,048, for which the shared memory is sized. One stream
        // orders it.
        unsafe { cuda.launch(&kernels.topk_threshold, grid, RANK_THREADS as u32, shared, &args) }
    }

    /// Appends what reaches the bars to the lists of these queries.
    fn filter(
        &self,
        prepared: &Prepared,
        codes: Option<&Codes>,
        kept: Shortlists<'_>,
        limits: Limits,
        picked: Picked,
    ) -> Result<()> {
        let kernels = self.cuda.kernels.topk(&self.cuda.context)?;
        let bytes = prepared.form.row_bytes(self.items.dim);
        let tile = Tile::of(prepared.form, bytes, picked.rows);
        let kernel = match (prepared.form, tile.narrow) {
            (Form::Bf16, 128) => &kernels.topk_filter_bf16_128,
            (Form::Bf16, 256) => &kernels.topk_filter_bf16_256,
            (Form::Bf16, _) => &kernels.topk_filter_bf16,
            (Form::Int8, 64) => &kernels.topk_filter_int8_64,
            (Form::Int8, 128) => &kernels.topk_filter_int8_128,
            (Form::Int8, _) => &kernels.topk_filter_int8,
        };
        let splits = tile.splits(picked.rows, self.items.rows, self.cuda.info().multiprocessors as usize);
        self.sweep(&Sweep { kernel, tile: &tile, splits, prepared, codes }, kept, limits, picked)
    }

    /// The best [`KEPT`](super::approximate::KEPT) of each of `splits` x the tile's buckets, all queries.
    pub(super) fn buckets(
        &self,
        prepared: &Prepared,
        codes: Option<&Codes>,
        kept: Shortlists<'_>,
        tile: &Tile,
        splits: usize,
    ) -> Result<()> {
        let kernels = self.cuda.kernels.topk(&self.cuda.context)?;
        let kernel = match (prepared.form, tile.narrow) {
            (Form::Bf16, 128) => &kernels.topk_buckets_bf16_128,
            (Form::Bf16, 256) => &kernels.topk_buckets_bf16_256,
            (Form::Bf16, _) => &kernels.topk_buckets_bf16,
            (Form::Int8, 64) => &kernels.topk_buckets_int8_64,
            (Form::Int8, 128) => &kernels.topk_buckets_int8_128,
            (Form::Int8, _) => &kernels.topk_buckets_int8,
        };
        let picked = Picked { index: 0, rows: self.rows };
        self.sweep(&Sweep { kernel, tile, splits, prepared, codes }, kept, Limits::default(), picked)
    }

    fn sweep(&self, sweep: &Sweep<'_>, kept: Shortlists<'_>, limits: Limits, picked: Picked) -> Result<()> {
        let Sweep { kernel, tile, splits, prepared, codes } = *sweep;
        let (form, items, item_scales) = form_of(self.items, codes);
        let (skip_offsets, skip_items) = self.skips.ptrs();
        let args = args![
            kept.lists.ptr(),
            limits.counts,
            limits.bars,
            items,
            item_scales,
            self.items.biases(),
            prepared.rows.ptr(),
            prepared.scales(),
            picked.index,
            skip_offsets,
            skip_items,
            self.items.rows as u32,
            picked.rows as u32,
            form.row_bytes(self.items.dim) as u32,
            self.items.rows.div_ceil(tile.items) as u32,
            kept.room as u32,
        ];
        let grid = [picked.rows.div_ceil(tile.queries) as u32, splits as u32, 1];
        // topk_filter_* and topk_buckets_*(lists, counts, bars, items, item_scales, item_biases, queries, query_scales,
        // index, skip_offsets, skip_items, item_count, rows, row_bytes, tiles, list_room): at most `room` ids a query
        // are written (buckets: `room` is splits x the tile's buckets x 4). Skip lists were checked against their
        // offsets. SAFETY: items and queries are in the form that the kernel's name says, sized for it; the index holds
        // `rows` queries of the chunk; lists, counts and bars have a place for every query of it. One stream orders it.
        unsafe { self.cuda.launch(kernel, grid, tile.threads, tile.shared, &args) }
    }

    /// Ranks the lists and says which are complete.
    fn rank(
        &self,
        prepared: &Prepared,
        kept: Shortlists<'_>,
        limits: Limits,
        margin: f32,
        picked: Picked,
    ) -> Result<()> {
        let kernel = &self.cuda.kernels.topk(&self.cuda.context)?.topk_rank_list;
        let room = plan::room(self.k);
        let args = args![
            self.ids.ptr(),
            self.scores.ptr(),
            prepared.states.ptr(),
            limits.thresholds,
            limits.bars,
            prepared.errors.ptr(),
            picked.index,
            kept.lists.ptr(),
            limits.counts,
            kept.room as u32,
            prepared.exact.ptr(),
            self.items.exact.ptr(),
            self.items.biases(),
            self.items.pitch as u32,
            self.k as u32,
            room as u32,
            margin,
        ];
        // topk_rank_list(ids, scores, states, thresholds, bars, errors, index, lists, counts, list_room, queries, exact,
        // biases, pitch, k, room, margin): without thresholds, no bars either; `room` fits k and the shared memory.
        // SAFETY: one place a query in each (k in ids and scores, list_room in lists, dim in queries), the index names
        // queries of the chunk, lists hold items of the catalogue (scans append no other). One stream orders it.
        unsafe { self.cuda.launch(kernel, [picked.rows as u32, 1, 1], RANK_THREADS as u32, rank_shared(room), &args) }
    }

    /// Ranks lists that are whole as they are.
    pub(super) fn rank_buckets(&self, prepared: &Prepared, kept: Shortlists<'_>, margin: f32) -> Result<()> {
        self.rank(prepared, kept, Limits::default(), margin, Picked { index: 0, rows: self.rows })
    }

    /// Ranks all items for the queries of `index` (all of the chunk where it is absent).
    pub(super) fn all(&self, prepared: &Prepared, index: Option<(&Buf<u32>, usize)>) -> Result<()> {
        let cuda = self.cuda;
        let kernels = cuda.kernels.topk(&cuda.context)?;
        let (index, rows) = index.map_or((0, self.rows), |(index, rows)| (index.ptr(), rows));
        let parts = plan::parts(rows, self.items.rows, cuda.info().multiprocessors as usize);
        let per_part = self.items.rows.div_ceil(parts);
        let (skip_offsets, skip_items) = self.skips.ptrs();
        let last = cuda.scratch::<u64>(rows)?;
        // A block keeps so many places; where k is more, the next round goes on behind the last key of this one.
        for place in (0..self.k).step_by(plan::PLACES) {
            let k = (self.k - place).min(plan::PLACES);
            let room = plan::room(k);
            let keys = cuda.scratch::<u64>(rows * parts * k)?;
            let args = args![
                keys.ptr(),
                index,
                if place == 0 { 0 } else { last.ptr() },
                prepared.ceilings.ptr(),
                skip_offsets,
                skip_items,
                prepared.exact.ptr(),
                self.items.exact.ptr(),
                self.items.biases(),
                self.items.rows as u32,
                per_part as u32,
                self.items.pitch as u32,
                k as u32,
                room as u32,
            ];
            // SAFETY: topk_rank_all(keys, index, after, ceilings, skip_offsets, skip_items, queries, exact, biases,
            // items, per_part, pitch, k, room): keys hold rows x parts x k values, `after` one a row (written by the
            // merge below of the round before); the rest as in `rank` and `sweep`. One stream orders it.
            unsafe {
                let grid = [rows as u32, parts as u32, 1];
                cuda.launch(&kernels.topk_rank_all, grid, RANK_THREADS as u32, rank_shared(room), &args)
            }?;
            let (ids, scores, keys) = (self.ids.ptr(), self.scores.ptr(), keys.ptr());
            let (n, k, places) = ((parts * k) as u32, k as u32, self.k as u32);
            let args = args![ids, scores, last.ptr(), index, keys, n, k, places, place as u32, room as u32];
            // SAFETY: topk_rank_merge(ids, scores, last, index, keys, n, k, places, place, room): n keys a row as
            // above; ids and scores hold `places` a query of the chunk, place + k <= places. One stream orders it.
            unsafe {
                let shared = (room * 8) as u32;
                cuda.launch(&kernels.topk_rank_merge, [rows as u32, 1, 1], RANK_THREADS as u32, shared, &args)
            }?;
        }
        Ok(())
    }
}

/// Shared memory of a ranking block with `room` keys: a tile of 16 columns a thread, the keys, two queued
/// items a thread, and how many there are.
fn rank_shared(room: usize) -> u32 {
    (RANK_THREADS * 16 * 4 + room * 8 + RANK_THREADS * 2 * 4 + 16) as u32
}

/// The queries in this state.
fn places(states: &[u32], state: u32) -> Vec<u32> {
    (0..states.len() as u32).filter(|&q| states[q as usize] == state).collect()
}
