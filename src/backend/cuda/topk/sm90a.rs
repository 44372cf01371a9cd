//! The first scan of a call on Hopper (`kernels/topk/sm90a.cu`): items and queries in panels, scored by warpgroups.
//!
//! Items lie in an order as if at random, so that a sample is their first rows. What passes a query's bar goes to lists
//! of the lanes' own, and a warp or a block ranks it and proves the result. What is not proven is for the other kernels,
//! with the same thresholds ([`QueryChunk::settle`]).

pub(in crate::backend::cuda) mod arguments;
mod plan;

use super::ScanPlan;
use super::chunks::Call;
use super::items::{CudaItems, Prepared};
use super::plan::{Form, Sample, usual_rank};
use super::search::{FirstScan, Left, LimitBufs, Limits, Pass, QueryChunk};
use crate::backend::cuda::architecture::Architecture;
use crate::backend::cuda::arguments::{In, Out, Pad};
use crate::backend::cuda::launch::blocks;
use crate::backend::cuda::{Buf, Cuda, input, output};
use crate::{Error, Result};
use arguments::{PanelArgs, PanelOperands, PanelRankArgs, PanelSampleArgs, PanelScanArgs};
pub(super) use plan::PanelPlan;
use plan::{PanelTile, Parts, Size};

/// A catalogue in panels.
pub(super) struct ItemPanels {
    /// 64 columns each, `padded` rows.
    panels: Buf<u16>,
    padded: usize,
    /// The item of each row.
    order: Buf<u32>,
    /// In fragment order, for `padded` rows.
    biases: Option<Buf<f32>>,
    /// Whether every value is finite and small enough for the bounds of a scan.
    bounded: bool,
}

/// How the scan serves a call; `None` where it does not, which the log tells.
///
/// # Errors
/// [`Error::Cuda`].
pub(super) fn serves(cuda: &Cuda, items: &CudaItems, call: &Call<'_>, scan: &ScanPlan) -> Result<Option<PanelPlan>> {
    if cuda.architecture() != Architecture::Sm90a {
        return Ok(None);
    }
    let catalogue = (items.rows, items.dim, items.biases.is_some());
    let size = size(cuda, catalogue, (call.chunk_rows(), call.k), &scan.sample, usual_rank(&scan.ranks));
    let why = match PanelPlan::new(&size) {
        Ok(plan) => match items.panels(cuda, plan.columns) {
            Ok(panels) if panels.bounded => return Ok(Some(plan)),
            Ok(_) => "items that are not finite, or too large for a bound",
            Err(Error::DeviceMemory { .. }) => "no memory left for the items in panels",
            Err(error) => return Err(error),
        },
        Err(why) => why,
    };
    tracing::debug!("top K: scanned by the kernels for sm_80: {why}");
    Ok(None)
}

/// What is asked of this device: items, their columns and whether they are biased; queries of a chunk and places.
pub(super) fn size(
    cuda: &Cuda,
    (items, dim, biased): (usize, usize, bool),
    (queries, k): (usize, usize),
    sample: &Sample,
    rank: usize,
) -> Size {
    let info = cuda.info();
    let (multiprocessors, shared) = (info.multiprocessors as usize, info.shared_bytes_per_block as usize);
    Size { items, dim, biased, queries, k, sampled: sample.items, rank, multiprocessors, shared }
}

impl ItemPanels {
    /// Lays out what is packed now.
    pub(super) fn new(cuda: &Cuda, items: &CudaItems, columns: usize) -> Result<ItemPanels> {
        // Whole tiles of a sample.
        let padded = items.rows.next_multiple_of(128);
        let panels = ItemPanels {
            panels: cuda.uninit(padded * columns)?,
            padded,
            order: cuda.uninit(items.rows)?,
            biases: if items.biases.is_some() { Some(cuda.uninit(padded)?) } else { None },
            bounded: items.bounded(cuda)?,
        };
        let args = PanelArgs {
            panels: panels.panels.output(),
            order: panels.order.output(),
            biases: output(panels.biases.as_ref()),
            from: items.scan.input(),
            item_biases: input(items.biases.as_ref()),
            rows: items.rows as u32,
            padded: padded as u32,
            width: (Form::Bf16.row_bytes(items.dim) / 2) as u32,
            columns: columns as u32,
        };
        lay_out(cuda, &args, padded, columns)?;
        Ok(panels)
    }
}

/// Queues the kernel that lays out `padded` rows.
fn lay_out(cuda: &Cuda, args: &PanelArgs, padded: usize, columns: usize) -> Result<()> {
    let kernel = &cuda.kernels.topk_sm90a(&cuda.context)?.topk_panels;
    // SAFETY: `from` holds `rows` bf16 rows of `width` columns, no more than `columns`; the panels hold padded x columns
    // values; order and biases, where there are any, `rows` and `padded`, and so many biases are read. One stream orders it.
    unsafe { cuda.launch(kernel, [blocks(padded * columns / 8, 256), 1, 1], 256, 0, args) }
}

impl QueryChunk<'_> {
    /// The first pass for the exact answer, by a scan of panels.
    pub(super) fn scan_panels(&self, plan: &PanelPlan, first: &FirstScan<'_>) -> Result<Pass> {
        let prepared = self.items.prepare(self.cuda, Form::Bf16, first.queries, self.rows)?;
        let limits = LimitBufs::new(self.cuda, self.rows)?;
        self.panel_pass(plan, &prepared, first, limits.limits())?;
        Ok(Pass { prepared, left: Left::Scans { limits: Box::new(limits), margin: first.margin }, waits: true })
    }

    /// Sample, thresholds, scan and ranking of all queries.
    fn panel_pass(&self, plan: &PanelPlan, prepared: &Prepared, first: &FirstScan<'_>, limits: Limits) -> Result<()> {
        let (cuda, rows, columns) = (self.cuda, self.rows, plan.columns);
        let items = self.items.panels(cuda, columns)?;
        let host_places = plan.places(first.ranks);
        let (places, ranks) = (self.staged(&host_places)?, self.staged(&first.ranks[..rows])?);
        let by_size: (Vec<u32>, Vec<u32>) = (0..rows as u32).partition(|&q| plan.by_warp(first.ranks[q as usize]));
        // An index of all queries in their order is none.
        let index = |some: &[u32]| (some.len() < rows).then(|| self.staged(some)).transpose();
        let (by_warp, by_block) = ((by_size.0.len(), index(&by_size.0)?), (by_size.1.len(), index(&by_size.1)?));
        let padded = rows.next_multiple_of(plan.tile.queries);
        let queries = cuda.scratch::<u16>(padded * columns)?;
        let args = PanelArgs {
            panels: queries.output(),
            order: Out::NULL,
            biases: Out::NULL,
            from: prepared.scan.input(),
            item_biases: In::NULL,
            rows: rows as u32,
            padded: padded as u32,
            width: (Form::Bf16.row_bytes(self.items.dim) / 2) as u32,
            columns: columns as u32,
        };
        lay_out(cuda, &args, padded, columns)?;
        let operands = |tile: &PanelTile, parts: &Parts| PanelOperands {
            queries: queries.input(),
            items: items.panels.input(),
            item_biases: input(items.biases.as_ref()),
            stuck: cuda.status().stuck(),
            query_panel: (padded * 64) as u64,
            item_panel: (items.padded * 64) as u64,
            rows: rows as u32,
            tiles: parts.tiles as u32,
            part_tiles: parts.part_tiles as u32,
            stages: tile.stages as u32,
        };
        let grid = |tile: &PanelTile, parts: &Parts| [rows.div_ceil(tile.queries) as u32, parts.parts as u32, 1];
        let kernels = cuda.kernels.topk_sm90a(&cuda.context)?;
        let (sample, scan) = match (columns, items.biases.is_some()) {
            (64, false) => (&kernels.topk_panel_sample_64, &kernels.topk_panel_scan_64),
            (64, true) => (&kernels.topk_panel_sample_64_biased, &kernels.topk_panel_scan_64_biased),
            (_, false) => (&kernels.topk_panel_sample_128, &kernels.topk_panel_scan_128),
            (_, true) => (&kernels.topk_panel_sample_128_biased, &kernels.topk_panel_scan_128_biased),
        };

        let pitch = rows.next_multiple_of(8);
        let maxima = cuda.scratch::<f32>(plan.groups() * pitch)?;
        let tile = &plan.sample_tile;
        let args = PanelSampleArgs {
            maxima: maxima.output(),
            operands: operands(tile, &plan.sample),
            pitch: pitch as u32,
            unused: Pad::Zero,
        };
        // SAFETY: panels of queries are padded to whole tiles, those of items (and biases) hold the tiles of the sample;
        // maxima hold groups x pitch values, pitch >= rows; the shared memory is sized for the stages. One stream orders
        // it.
        unsafe { self.launch(sample, grid(tile, &plan.sample), tile.threads, tile.shared, &args) }?;
        self.threshold(prepared, (&maxima, plan.groups()), &ranks, first.margin, limits)?;
        drop(maxima);

        let (tile, parts) = (&plan.tile, plan.scan.parts);
        let lists = cuda.scratch::<[u32; 2]>(host_places[rows] as usize)?;
        let counts = cuda.scratch::<u32>(rows * parts * 4)?;
        let args = PanelScanArgs {
            lists: lists.output(),
            counts: counts.output(),
            bars: limits.bars.read(),
            places: places.input(),
            operands: operands(tile, &plan.scan),
        };
        // SAFETY: as above, with panels that hold all tiles of the items; `places` has the bounds of each query's lists,
        // inside `lists`, which the kernel stays in; counts hold a value for each list. One stream orders it.
        unsafe { self.launch(scan, grid(tile, &plan.scan), tile.threads, tile.shared, &args) }?;

        for ((some, index), by_warp) in [(by_warp, true), (by_block, false)] {
            if some == 0 {
                continue;
            }
            let (room, shared) = PanelPlan::room(by_warp);
            let args = PanelRankArgs {
                ids: self.ids,
                scores: self.scores,
                states: prepared.states.output(),
                thresholds: limits.thresholds,
                bars: limits.bars,
                errors: prepared.errors.input(),
                ceilings: prepared.ceilings.input(),
                index: input(index.as_ref()),
                lists: lists.input(),
                counts: counts.input(),
                places: places.input(),
                order: items.order.input(),
                skip: self.skips.lists(),
                queries: prepared.exact.input(),
                items: self.items.exact(),
                parts: parts as u32,
                k: self.k as u32,
                room: room as u32,
                unused: Pad::Zero,
            };
            let (kernel, threads) =
                if by_warp { (&kernels.topk_panel_rank_32, 32) } else { (&kernels.topk_panel_rank_256, 256) };
            // SAFETY: one place a query in each (k in ids and scores, dim in queries); the index names queries of the
            // chunk; lists, counts and places as the scan had them, entries are rows of the panels, for which `order` has
            // items of the catalogue; the shared memory is sized for `room`. One stream orders it.
            unsafe { self.launch(kernel, [some as u32, 1, 1], threads, shared, &args) }?;
        }
        Ok(())
    }
}
