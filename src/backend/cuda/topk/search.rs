//! One chunk of queries: sample, scan, and what is left over. [`ranking`](super::ranking) ranks what a scan kept.

use std::cell::RefCell;

use super::arguments::{SampleArgs, ScanArgs, ScanOperands, SkipLists, ThresholdArgs};
use super::form::Form;
use super::items::{Codes, CudaItems, Prepared};
use super::plan::{self, LIST, RANK_THREADS, RESCANNED, Sample, Tile};
use crate::Result;
use crate::backend::cuda::arguments::{In, KernelArgs, Out, Pad};
use crate::backend::cuda::kernels::Kernel;
use crate::backend::cuda::room::Room;
use crate::backend::cuda::{Buf, Cuda, input};

/// What a query still needs (`topk/rank.cuh`); anything else: a ranking of all items.
pub(super) struct QueryState;

impl QueryState {
    /// Nothing.
    const DONE: u32 = 0;
    /// Another scan, with the threshold that the last one found.
    const RESCAN: u32 = 1;
    /// The rest of its list: the host's word.
    pub(super) const SHORT: u32 = u32::MAX;
}

/// Scans after the first, for queries whose list overflowed or whose threshold was too high.
const RESCANS: usize = 3;

/// Skip lists of the chunk on the device, where there are any.
pub(super) struct Skips {
    pub offsets: Option<Buf<u32>>,
    pub items: Option<Buf<u32>>,
}

impl Skips {
    pub(super) fn lists(&self) -> SkipLists {
        SkipLists { offsets: input(self.offsets.as_ref()), items: input(self.items.as_ref()) }
    }
}

/// A chunk of queries and where its results go. Lengths are checked before it is made: `ids` and `scores` hold rows x k.
pub(super) struct QueryChunk<'a> {
    pub cuda: &'a Cuda,
    pub items: &'a CudaItems,
    pub rows: usize,
    pub k: usize,
    pub skips: &'a Skips,
    pub ids: Out<u32>,
    pub scores: Out<f32>,
    /// What comes from the host is staged here.
    pub room: RefCell<&'a mut Room>,
}

/// The queries of a chunk that a launch is for.
#[derive(Clone, Copy)]
pub(super) struct Picked {
    /// `rows` places; null for the first `rows` of the chunk.
    pub index: In<u32>,
    pub rows: usize,
}

/// Items that a scan kept: `room` places a query that it was for.
#[derive(Clone, Copy)]
pub(super) struct Shortlists<'a> {
    pub lists: &'a Buf<u64>,
    pub room: usize,
}

/// What decides which items a list has, and whether it is complete: a value a query of the chunk.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub counts: Out<u32>,
    pub thresholds: Out<f32>,
    pub bars: Out<f32>,
}

/// The buffers of [`Limits`].
pub(super) struct LimitBufs {
    counts: Buf<u32>,
    thresholds: Buf<f32>,
    bars: Buf<f32>,
}

impl LimitBufs {
    pub(super) fn new(cuda: &Cuda, rows: usize) -> Result<LimitBufs> {
        Ok(LimitBufs { counts: cuda.scratch(rows)?, thresholds: cuda.scratch(rows)?, bars: cuda.scratch(rows)? })
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { counts: self.counts.output(), thresholds: self.thresholds.output(), bars: self.bars.output() }
    }
}

/// What the first pass over the items has left.
pub(super) struct Pass {
    pub prepared: Prepared,
    pub left: Left,
    /// Whether its kernels wait for each other: a wait that did not end is reported, and leaves no result to trust.
    pub waits: bool,
}

/// What remains to be done for a chunk's queries.
pub(super) enum Left {
    /// Nothing: all items were ranked.
    Nothing,
    /// A ranking of all items for those that were not scanned for.
    Ranking,
    /// The same, after further scans for those whose lists are not proven.
    Scans { limits: Box<LimitBufs>, margin: f32 },
}

/// How all queries of a chunk are scanned for first.
pub(super) struct FirstScan<'a> {
    /// `rows` x dim.
    pub queries: In<f32>,
    pub sample: &'a Sample,
    /// Each query's rank in the sample.
    pub ranks: &'a [u32],
    /// Places of a query's list.
    pub room: usize,
    /// 1, or less for an answer that may miss items whose approximate scores are off by more than this part of the bound.
    pub margin: f32,
}

impl Limits {
    /// Lists are whole as they are.
    pub(super) const NONE: Limits = Limits { counts: Out::NULL, thresholds: Out::NULL, bars: Out::NULL };
}

/// A scan of all items.
struct Sweep<'a> {
    kernel: &'a Kernel<ScanArgs>,
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

impl QueryChunk<'_> {
    /// Queues a kernel, behind the copies of what was staged.
    ///
    /// # Errors
    /// As [`Cuda::launch`].
    ///
    /// # Safety
    /// As [`Cuda::launch`].
    pub(super) unsafe fn launch<A: KernelArgs>(
        &self,
        kernel: &Kernel<A>,
        grid: [u32; 3],
        threads: u32,
        shared: u32,
        args: &A,
    ) -> Result<()> {
        self.room.borrow_mut().flush(&self.cuda.context)?;
        // SAFETY: the caller's promise is this function's.
        unsafe { self.cuda.launch(kernel, grid, threads, shared, args) }
    }

    /// Values of the host, for the kernels that are launched from now on.
    pub(super) fn staged(&self, host: &[u32]) -> Result<Buf<u32>> {
        self.room.borrow_mut().stage(&self.cuda.context, host)
    }

    /// The first pass for the exact answer (where the margin is 1), by a scan of `codes` or of bf16 rows.
    pub(super) fn scan(&self, codes: Option<&Codes>, first: &FirstScan<'_>) -> Result<Pass> {
        let cuda = self.cuda;
        let form = if codes.is_some() { Form::Int8 } else { Form::Bf16 };
        let prepared = self.items.prepare(cuda, form, first.queries, self.rows)?;
        let mut limits = LimitBufs::new(cuda, self.rows)?;
        let ranks = self.staged(&first.ranks[..self.rows])?;
        self.thresholds(&prepared, codes, first, &ranks, limits.limits())?;
        let all = Picked { index: In::NULL, rows: self.rows };
        self.pass(&prepared, codes, &mut limits, first.room, first.margin, all)?;
        Ok(Pass { prepared, left: Left::Scans { limits: Box::new(limits), margin: first.margin }, waits: false })
    }

    /// What the first pass left undone for these states of the queries: scans again, each time with what the last one
    /// found, at last a ranking of all items. `codes`: those of the first pass.
    pub(super) fn settle(&self, codes: Option<&Codes>, pass: &mut Pass, mut states: Vec<u32>) -> Result<Report> {
        let (cuda, prepared, mut report) = (self.cuda, &pass.prepared, Report::default());
        if let Left::Scans { limits, margin } = &mut pass.left {
            for _ in 0..RESCANS {
                let rescan = places(&states, QueryState::RESCAN);
                if rescan.is_empty() {
                    break;
                }
                report.rescanned += rescan.len();
                for some in rescan.chunks(RESCANNED) {
                    let index = self.staged(some)?;
                    let picked = Picked { index: index.input(), rows: some.len() };
                    self.pass(prepared, codes, limits, LIST.min(self.items.rows), *margin, picked)?;
                }
                cuda.download(&mut states, &prepared.states, 0)?;
            }
        }
        let left: Vec<u32> = (0..self.rows as u32).filter(|&q| states[q as usize] != QueryState::DONE).collect();
        if !left.is_empty() {
            self.all(prepared, Some((&self.staged(&left)?, left.len())))?;
        }
        report.ranked_all = left.len();
        Ok(report)
    }

    /// One scan of these queries, and the ranking of what it kept.
    fn pass(
        &self,
        prepared: &Prepared,
        codes: Option<&Codes>,
        bufs: &mut LimitBufs,
        room: usize,
        margin: f32,
        picked: Picked,
    ) -> Result<()> {
        let cuda = self.cuda;
        let lists = cuda.scratch::<u64>(picked.rows * room)?;
        let kept = Shortlists { lists: &lists, room };
        cuda.fill_zero(&mut bufs.counts, 0, self.rows)?;
        self.filter(prepared, codes, kept, bufs.limits(), picked)?;
        self.rank(prepared, kept, bufs.limits(), margin, picked)
    }

    /// Thresholds and bars of all queries from a sample.
    fn thresholds(
        &self,
        prepared: &Prepared,
        codes: Option<&Codes>,
        first: &FirstScan<'_>,
        ranks: &Buf<u32>,
        limits: Limits,
    ) -> Result<()> {
        let (cuda, rows, sample) = (self.cuda, self.rows, first.sample);
        let kernels = cuda.kernels.topk(&cuda.context)?;
        let form = prepared.form;
        let tile = Tile::wide(form.row_bytes(self.items.dim));
        let pitch = rows.next_multiple_of(8);
        let maxima = cuda.scratch::<f32>(sample.groups * pitch)?;
        let kernel = if form == Form::Bf16 { &kernels.topk_sample_bf16 } else { &kernels.topk_sample_int8 };
        let splits = tile.splits(rows, sample.items, cuda.info().multiprocessors as usize);
        let args = SampleArgs {
            maxima: maxima.output(),
            operands: self.operands(prepared, codes, rows, sample.items / tile.items),
            item_step: sample.step(self.items.rows),
            pitch: pitch as u32,
            wide_groups: u32::from(sample.wide_groups),
        };
        let grid = [rows.div_ceil(tile.queries) as u32, splits as u32, 1];
        // A tile of 128 items fills 16 groups (4 wide ones), as `Sample` counts.
        // SAFETY: maxima hold groups x pitch values, pitch >= rows; the kernel reads items (and biases) below item_count
        // and queries below rows, each row_bytes long as their buffers were sized. One stream orders it.
        unsafe { self.launch(kernel, grid, tile.threads, tile.shared, &args) }?;
        self.threshold(prepared, (&maxima, sample.groups), ranks, first.margin, limits)
    }

    /// Thresholds and bars of all queries from their ranks in a sample and the maxima of its groups, a row of at least
    /// `rows` values a group.
    pub(super) fn threshold(
        &self,
        prepared: &Prepared,
        (maxima, groups): (&Buf<f32>, usize),
        ranks: &Buf<u32>,
        margin: f32,
        limits: Limits,
    ) -> Result<()> {
        let (cuda, rows) = (self.cuda, self.rows);
        let args = ThresholdArgs {
            thresholds: limits.thresholds,
            bars: limits.bars,
            errors: prepared.errors.input(),
            states: prepared.states.input(),
            ranks: ranks.input(),
            maxima: maxima.input(),
            rows: rows as u32,
            groups: groups as u32,
            pitch: (maxima.len() / groups) as u32,
            margin,
        };
        let kernel = &cuda.kernels.topk(&cuda.context)?.topk_threshold;
        let (grid, shared) = ([rows.div_ceil(8) as u32, 1, 1], plan::threshold_shared(groups));
        // SAFETY: one value a query in each; maxima hold groups x pitch values, pitch >= rows; the shared memory is sized
        // for these groups. One stream orders it.
        unsafe { self.launch(kernel, grid, RANK_THREADS as u32, shared, &args) }
    }

    /// What a scan of `tiles` tiles of items reads for `rows` queries.
    fn operands(&self, prepared: &Prepared, codes: Option<&Codes>, rows: usize, tiles: usize) -> ScanOperands {
        let items = codes.map_or(&self.items.scan, |codes| &codes.codes);
        ScanOperands {
            items: items.input(),
            item_scales: input(codes.map(|codes| &codes.scales)),
            item_biases: input(self.items.biases.as_ref()),
            queries: prepared.scan.input(),
            query_scales: input(prepared.scales.as_ref()),
            item_count: self.items.rows as u32,
            rows: rows as u32,
            row_bytes: prepared.form.row_bytes(self.items.dim) as u32,
            tiles: tiles as u32,
        }
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
        let picked = Picked { index: In::NULL, rows: self.rows };
        self.sweep(&Sweep { kernel, tile, splits, prepared, codes }, kept, Limits::NONE, picked)
    }

    fn sweep(&self, sweep: &Sweep<'_>, kept: Shortlists<'_>, limits: Limits, picked: Picked) -> Result<()> {
        let Sweep { kernel, tile, splits, prepared, codes } = *sweep;
        let args = ScanArgs {
            lists: kept.lists.output(),
            counts: limits.counts,
            bars: limits.bars.read(),
            operands: self.operands(prepared, codes, picked.rows, self.items.rows.div_ceil(tile.items)),
            index: picked.index,
            skip: self.skips.lists(),
            list_room: kept.room as u32,
            unused: Pad::Zero,
        };
        let grid = [picked.rows.div_ceil(tile.queries) as u32, splits as u32, 1];
        // At most `room` ids a query are written (buckets: `room` is splits x the tile's buckets x 4). Skip lists were
        // checked against their offsets.
        // SAFETY: items and queries are in the form that the kernel's name says, sized for it; the index holds `rows`
        // queries of the chunk; lists have `room` places for each of them, counts and bars one for every query of the
        // chunk. One stream orders it.
        unsafe { self.launch(kernel, grid, tile.threads, tile.shared, &args) }
    }
}

/// Whether a chunk's first pass was all that its queries needed.
pub(super) fn all_done(states: &[u32]) -> bool {
    states.iter().all(|&state| state == QueryState::DONE)
}

/// The queries in this state.
fn places(states: &[u32], state: u32) -> Vec<u32> {
    (0..states.len() as u32).filter(|&q| states[q as usize] == state).collect()
}
