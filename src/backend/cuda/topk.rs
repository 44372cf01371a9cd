//! The best items of each query (`kernels/topk/`).
//!
//! Exact: a sample of the items gives each query a threshold that its k best pass all but surely; one scan on tensor
//! cores appends what passes, widened by a true bound of the scan's error; the candidates are scored in fp32 as on the
//! CPU (one chain of multiply-adds from the item's bias on: the same bits), sorted, and the list is proven complete by
//! its k-th score. Queries whose proof fails are scanned again with the score that is known by then, at last ranked
//! against all items: bounded work, and always the exact answer. Scores are never stored. On Hopper the first scan may be
//! of items laid out for its tensor cores ([`sm90a`]): the same answer, sooner.
//!
//! Approximate: see [`approximate`].

mod approximate;
pub(super) mod arguments;
mod chunks;
#[cfg(test)]
pub(crate) mod floors;
mod form;
mod hits;
mod index;
mod items;
mod plan;
mod ranking;
mod search;
pub(super) mod sm90a;

use std::ops::Range;

use super::{Buf, Cuda, need, need_len};
use crate::Result;
use crate::backend::cuda::arguments::In;
use crate::backend::{TopK, TopKLists, TopKOutput};

#[cfg(test)]
pub(crate) use approximate::{Approximate, Method, topk_approx};
pub(crate) use chunks::AskedLists;
use chunks::{Call, QueuedChunk, Way, each_chunk};
pub(crate) use form::Form;
pub(crate) use hits::topk_hits;
pub(crate) use index::CudaIndex;
pub(crate) use items::{Codes, CudaItems};
use plan::{Sample, Tile};
pub(crate) use search::Report;
use search::{FirstScan, Left, Pass, QueryChunk};

/// See [`Scan::ask`](crate::backend::Scan::ask).
pub(super) fn ask(cuda: &Cuda, items: &CudaItems, asked: &TopK<'_, Buf<f32>>) -> Result<AskedLists> {
    AskedLists::new(asked.rows, asked.k, |mut best| Ok(queue(cuda, &mut best, items, None, asked)?.0))
}

/// See [`Scan::lists`](crate::backend::Scan::lists).
pub(super) fn lists(cuda: &Cuda, items: &CudaItems, asked: AskedLists) -> Result<TopKLists> {
    asked.lists(cuda, items, None)
}

/// The best of each query, with a report of what it took: by a scan of int8 codes where they are given and items are not
/// laid out for Hopper.
#[cfg(test)]
pub(crate) fn topk_reported(
    cuda: &Cuda,
    mut best: TopKOutput<'_>,
    items: &CudaItems,
    codes: Option<&Codes>,
    asked: &TopK<'_, Buf<f32>>,
) -> Result<Report> {
    let queued = queue(cuda, &mut best, items, codes, asked)?;
    finish(cuda, &mut best, (items, codes), queued)
}

/// Queues a call; what has come back of it is in its place.
fn queue(
    cuda: &Cuda,
    best: &mut TopKOutput<'_>,
    items: &CudaItems,
    codes: Option<&Codes>,
    asked: &TopK<'_, Buf<f32>>,
) -> Result<(Option<QueuedChunk>, Report)> {
    let Some(call) = Call::new(Some(&mut *best), items, asked)? else { return Ok((None, Report::default())) };
    let plan = ExactPlan::new(cuda, items, codes, &call)?;
    let way = Way {
        bytes: |q| plan.bytes(q),
        queue: |chunk: &QueryChunk<'_>, at| plan.queue(chunk, &call, at),
        leaves_out: false,
    };
    each_chunk(cuda, (items, codes), &call, best, way)
}

/// Waits for the last chunk of a call.
#[cfg(test)]
fn finish(
    cuda: &Cuda,
    best: &mut TopKOutput<'_>,
    (items, codes): (&CudaItems, Option<&Codes>),
    (last, mut report): (Option<QueuedChunk>, Report),
) -> Result<Report> {
    if let Some(last) = last {
        report.add(last.finish(cuda, items, codes, best)?);
    }
    Ok(report)
}

/// How a call is searched exactly.
struct ExactPlan<'a> {
    items: &'a CudaItems,
    codes: Option<&'a Codes>,
    /// Absent where all items are ranked.
    scan: Option<ScanPlan>,
    /// The scan on Hopper, where it serves the call.
    panels: Option<sm90a::PanelPlan>,
}

/// A sample, each query's rank in it, and places of its list.
struct ScanPlan {
    sample: Sample,
    ranks: Vec<u32>,
    room: usize,
}

impl ScanPlan {
    fn new(sample: Sample, items: usize, call: &Call<'_>) -> ScanPlan {
        let ranks = plan::ranks(call.k, (0..call.rows).map(|q| call.skipped(q)), items, &sample);
        let room = plan::list_room(plan::usual_rank(&ranks), sample.part(items), items);
        ScanPlan { sample, ranks, room }
    }

    /// Bytes of a query's list and maxima.
    fn bytes(&self) -> usize {
        self.room * 8 + self.sample.groups * 4
    }

    fn first(&self, queries: In<f32>, at: Range<usize>, margin: f32) -> FirstScan<'_> {
        FirstScan { queries, sample: &self.sample, ranks: &self.ranks[at], room: self.room, margin }
    }
}

impl<'a> ExactPlan<'a> {
    fn new(cuda: &Cuda, items: &'a CudaItems, codes: Option<&'a Codes>, call: &Call<'_>) -> Result<ExactPlan<'a>> {
        let form = if codes.is_some() { Form::Int8 } else { Form::Bf16 };
        let sample = sample_for(cuda, items, call.k, form);
        let scan = sample.map(|sample| ScanPlan::new(sample, items.rows, call));
        let panels = match &scan {
            Some(scan) => sm90a::serves(cuda, items, call, scan)?,
            None => None,
        };
        Ok(ExactPlan { items, codes, scan, panels })
    }

    /// Bytes of the lists and maxima of query `q`.
    fn bytes(&self, q: usize) -> usize {
        match (&self.scan, &self.panels) {
            (Some(scan), Some(panels)) => panels.bytes(scan.ranks[q]),
            (Some(scan), None) => scan.bytes(),
            (None, _) => 0,
        }
    }

    /// Queues the first pass of a chunk: queries `at` of the call.
    fn queue(&self, chunk: &QueryChunk<'_>, call: &Call<'_>, at: Range<usize>) -> Result<Pass> {
        let queries = call.queries_at(at.start, self.items);
        let Some(scan) = &self.scan else {
            let prepared = self.items.prepare(chunk.cuda, Form::Bf16, queries, chunk.rows)?;
            chunk.all(&prepared, None)?;
            return Ok(Pass { prepared, left: Left::Nothing, waits: false });
        };
        let first = scan.first(queries, at, 1.0);
        match &self.panels {
            Some(panels) => chunk.scan_panels(panels, &first),
            None => chunk.scan(self.codes, &first),
        }
    }
}

/// The sample for a scan, where a scan is worth it and the device can run it.
fn sample_for(cuda: &Cuda, items: &CudaItems, k: usize, form: Form) -> Option<Sample> {
    let shared = Tile::wide(form.row_bytes(items.dim)).shared;
    let can = (1..=plan::WIDEST).contains(&items.dim) && shared <= cuda.info().shared_bytes_per_block;
    if !can || items.rows < plan::FEW_ITEMS || k > plan::PLACES { None } else { Sample::of(items.rows, k) }
}
