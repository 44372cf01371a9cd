//! The first scan of a call on Hopper (`kernels/topk/sm90a.cu`): items and queries in panels, scored by warpgroups.
//!
//! Items lie in an order as if at random, so that a sample is their first rows. What passes a query's bar goes to lists
//! of the lanes' own, and a warp or a block ranks it and proves the result. What is not proven is for the other kernels,
//! with the same thresholds ([`QueryChunk::settle`]). Panels are bf16, or int8 codes where `TERCEL_SCAN` asks for them
//! ([`Form::of`]) and they serve the call.

pub(in crate::backend::cuda) mod arguments;
mod panels;
mod plan;

use super::ScanPlan;
use super::chunks::Call;
use super::form::Form;
use super::items::{CudaItems, Prepared};
use super::plan::{Sample, usual_rank};
use super::search::{FirstScan, Left, LimitBufs, Limits, Pass, QueryChunk};
use crate::backend::cuda::architecture::Architecture;
use crate::backend::cuda::arguments::Pad;
use crate::backend::cuda::kernels::{Kernel, TopkSm90a};
use crate::backend::cuda::{Cuda, input};
use crate::{Error, Result};
use arguments::{PanelOperands, PanelRankArgs, PanelSampleArgs, PanelScanArgs};
pub(super) use panels::ItemPanels;
use panels::QueryPanels;
pub(super) use plan::PanelPlan;
use plan::{PanelTile, Parts, Size};

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
    let forms: &[Form] = if cuda.scan_form() == Form::Int8 { &[Form::Int8, Form::Bf16] } else { &[Form::Bf16] };
    for &form in forms {
        let why = match PanelPlan::new(&Size { form, ..size }) {
            Ok(plan) => match items.panels(cuda, form, plan.columns) {
                Ok(panels) if panels.bounded => return Ok(Some(plan)),
                Ok(_) => "items that are not finite, or too large for a bound",
                Err(Error::DeviceMemory { .. }) => "no memory left for the items in panels",
                Err(error) => return Err(error),
            },
            Err(why) => why,
        };
        tracing::debug!("top K: not scanned in panels of {form:?} by the kernels for sm_90a: {why}");
    }
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
    let form = cuda.scan_form();
    Size { form, items, dim, biased, queries, k, sampled: sample.items, rank, multiprocessors, shared }
}

impl TopkSm90a {
    /// The kernels that score a sample and all items.
    fn panel_scans(&self, plan: &PanelPlan, biased: bool) -> (&Kernel<PanelSampleArgs>, &Kernel<PanelScanArgs>) {
        match (plan.form, plan.columns, biased) {
            (Form::Bf16, 64, false) => (&self.topk_panel_sample_64, &self.topk_panel_scan_64),
            (Form::Bf16, 64, true) => (&self.topk_panel_sample_64_biased, &self.topk_panel_scan_64_biased),
            (Form::Bf16, _, false) => (&self.topk_panel_sample_128, &self.topk_panel_scan_128),
            (Form::Bf16, _, true) => (&self.topk_panel_sample_128_biased, &self.topk_panel_scan_128_biased),
            (Form::Int8, 64, false) => (&self.topk_panel_sample_int8_64, &self.topk_panel_scan_int8_64),
            (Form::Int8, 64, true) => (&self.topk_panel_sample_int8_64_biased, &self.topk_panel_scan_int8_64_biased),
            (Form::Int8, _, false) => (&self.topk_panel_sample_int8_128, &self.topk_panel_scan_int8_128),
            (Form::Int8, _, true) => (&self.topk_panel_sample_int8_128_biased, &self.topk_panel_scan_int8_128_biased),
        }
    }
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
        let (cuda, rows) = (self.cuda, self.rows);
        let items = self.items.panels(cuda, plan.form, plan.columns)?;
        let queries = QueryPanels::new(cuda, plan, (self.items, items), prepared, rows)?;
        let host_places = plan.places(first.ranks);
        let (places, ranks) = (self.staged(&host_places)?, self.staged(&first.ranks[..rows])?);
        let by_size: (Vec<u32>, Vec<u32>) = (0..rows as u32).partition(|&q| plan.by_warp(first.ranks[q as usize]));
        // An index of all queries in their order is none.
        let index = |some: &[u32]| (some.len() < rows).then(|| self.staged(some)).transpose();
        let (by_warp, by_block) = ((by_size.0.len(), index(&by_size.0)?), (by_size.1.len(), index(&by_size.1)?));
        let codes = queries.codes.as_ref();
        let item_terms = match codes {
            Some(codes) => input(codes.terms.as_ref()),
            None => input(items.biases.as_ref()).bits(),
        };
        let operands = |tile: &PanelTile, parts: &Parts| PanelOperands {
            queries: queries.panels.input(),
            items: items.panels.input(),
            item_terms,
            units: input(codes.map(|codes| &codes.units)),
            multipliers: input(codes.map(|codes| &codes.multipliers)),
            stuck: cuda.status().stuck(),
            query_panel: (queries.padded * 128) as u64,
            item_panel: (items.padded * 128) as u64,
            rows: rows as u32,
            tiles: parts.tiles as u32,
            part_tiles: parts.part_tiles as u32,
            stages: tile.stages as u32,
        };
        let grid = |tile: &PanelTile, parts: &Parts| [rows.div_ceil(tile.queries) as u32, parts.parts as u32, 1];
        let kernels = cuda.kernels.topk_sm90a(&cuda.context)?;
        let (sample, scan) = kernels.panel_scans(plan, items.biases.is_some());

        let pitch = rows.next_multiple_of(8);
        let maxima = cuda.scratch::<f32>(plan.groups() * pitch)?;
        let tile = &plan.sample_tile;
        let args = PanelSampleArgs {
            maxima: maxima.output(),
            operands: operands(tile, &plan.sample),
            pitch: pitch as u32,
            unused: Pad::Zero,
        };
        // SAFETY: panels of queries are padded to whole tiles, those of items (and terms) hold the tiles of the sample, in
        // the form that the kernel's name says; maxima hold groups x pitch values, pitch >= rows; the shared memory is sized
        // for the stages. One stream orders it.
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

        #[cfg(test)]
        super::floors::count_passed(cuda, &counts)?;
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
                units: input(codes.map(|codes| &codes.units)),
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
