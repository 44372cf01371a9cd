//! The best items of each query: a scan of all items that never stores a score matrix.
//!
//! A score is one chain of multiply-adds over the width from the item's bias on, so it does not depend on how queries
//! and items are cut up, and the order is total (score descending, item ascending), so neither does the result. There
//! are two ways to the same bits: [`scan`] scores everything in fp32; [`certified`] scores small whole numbers, which
//! bound the true score from both sides, and scores in fp32 only what may be among the best.

mod candidates;
mod certified;
mod codes;
mod estimates;
mod hits;
mod item_view;
mod places;
mod quadratic;
mod scan;
mod shortlist;

use std::ops::Range;

use candidates::TopKCandidates;
use codes::ItemCodes;
pub(crate) use codes::Panel;
pub(crate) use estimates::{CodedRows, Estimate, EstimateQueries};
pub(crate) use hits::hits;
pub(crate) use item_view::ItemView;
pub(crate) use places::{PlaceSearch, within};
pub(crate) use quadratic::quadratic_norms;

pub(crate) use super::simd::PANEL;

use super::simd::{Isa, Op, Simd};
use super::{Cpu, need, need_biases, need_len};
use crate::backend::Skip;
use crate::slab::Slab;
use crate::threads::ranges;
use crate::{Result, memory};

/// Queries of a task, at most: laying a block of items out for them costs little beside scoring it.
const QUERIES: usize = 1024;
/// Items of a block that all queries of a task see before the next one.
const BLOCK: usize = 1024;
/// Few queries share the items out: at least this many items to a part, and this many parts at most.
const PART: usize = 1 << 13;
const PARTS: usize = 16;
/// Multiplications below which a task costs more than it saves.
const SMALL: usize = 1 << 18;

/// What takes the memory.
const WHAT: &str = "the item embeddings";

/// Item embeddings, row-major, their codes, and what each item adds to its scores.
pub(crate) struct CpuItems {
    pub values: Slab<f32>,
    pub codes: ItemCodes,
    /// Absent: nothing. Up to whole panels; -inf, with which an item has no score, is kept as NaN.
    pub biases: Option<Slab<f32>>,
    rows: usize,
    dim: usize,
}

impl CpuItems {
    /// See [`Scan::items`](crate::backend::Scan::items).
    pub(crate) fn new(rows: usize, dim: usize, biased: bool) -> Result<CpuItems> {
        let values = memory::zeros(rows * dim, WHAT)?;
        let biases = if biased { Some(memory::zeros(rows.next_multiple_of(PANEL), WHAT)?.into()) } else { None };
        Ok(CpuItems { values: values.into(), codes: ItemCodes::new(rows, dim)?, biases, rows, dim })
    }

    /// See [`Scan::pack_items`](crate::backend::Scan::pack_items).
    pub(crate) fn pack(
        &mut self,
        cpu: &Cpu,
        first: usize,
        embeddings: &[f32],
        biases: Option<&[f32]>,
        rows: usize,
    ) -> Result<()> {
        const OP: &str = "pack_items";
        need_len(OP, "embeddings", embeddings.len(), rows * self.dim)?;
        let end = first.saturating_add(rows);
        let whole = first.is_multiple_of(PANEL) && (rows.is_multiple_of(PANEL) || end == self.rows);
        need(OP, whole && end <= self.rows, format_args!("whole panels inside {} items", self.rows), "others")?;
        need_biases(OP, biases.map(<[f32]>::len), self.biases.is_some(), rows)?;
        let embeddings = &embeddings[..rows * self.dim];
        self.values.to_mut()[first * self.dim..end * self.dim].copy_from_slice(embeddings);
        if let (Some(kept), Some(biases)) = (&mut self.biases, biases) {
            kept.to_mut()[first..end].iter_mut().zip(biases).for_each(|(kept, &bias)| *kept = start_of(bias));
        }
        let biases = self.biases.as_ref().map(|biases| &biases[first..end]);
        self.codes.encode(cpu, first, embeddings, biases, None);
        Ok(())
    }

    /// Items from their embeddings, rows x D, and their biases.
    pub(crate) fn of(cpu: &Cpu, values: Vec<f32>, biases: Option<Vec<f32>>, dim: usize) -> Result<CpuItems> {
        let codes = ItemCodes::new(values.len() / dim.max(1), dim)?;
        Ok(CpuItems::encoded(cpu, values, biases, codes))
    }

    /// Few items, from their embeddings and biases: their memory is not worth a refusal.
    pub(crate) fn of_few(cpu: &Cpu, values: Vec<f32>, biases: Option<Vec<f32>>, dim: usize) -> CpuItems {
        let codes = ItemCodes::of_few(values.len() / dim.max(1), dim);
        CpuItems::encoded(cpu, values, biases, codes)
    }

    fn encoded(cpu: &Cpu, values: Vec<f32>, biases: Option<Vec<f32>>, mut codes: ItemCodes) -> CpuItems {
        let (dim, rows) = (codes.dim, values.len() / codes.dim.max(1));
        let biases = biases.map(|mut biases| {
            biases.iter_mut().for_each(|bias| *bias = start_of(*bias));
            biases.resize(rows.next_multiple_of(PANEL), 0.0);
            biases
        });
        codes.encode(cpu, 0, &values, biases.as_deref(), None);
        CpuItems { rows, values: values.into(), codes, biases: biases.map(Slab::from), dim }
    }

    /// Items from what another process made of them; none where the parts do not fit together.
    pub(crate) fn from_parts(
        values: Slab<f32>,
        bytes: Slab<u8>,
        panels: Slab<Panel>,
        biases: Option<Slab<f32>>,
        rows: usize,
        dim: usize,
    ) -> Option<CpuItems> {
        let width = dim.checked_next_multiple_of(8)?;
        let fits = values.len() == rows.checked_mul(dim)?
            && panels.len() == rows.div_ceil(PANEL)
            && biases.as_ref().is_none_or(|biases| biases.len() == panels.len().saturating_mul(PANEL))
            && bytes.len() == panels.len().checked_mul(PANEL)?.checked_mul(width)?;
        fits.then_some(CpuItems { values, codes: ItemCodes { bytes, panels, width, dim }, biases, rows, dim })
    }

    /// D.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The embedding of an item.
    pub(crate) fn row(&self, item: usize) -> &[f32] {
        &self.values[item * self.dim..(item + 1) * self.dim]
    }

    /// Where the chain of an item's scores starts: its bias, or 0.
    #[inline(always)]
    pub(crate) fn bias(&self, item: usize) -> f32 {
        self.biases.as_ref().map_or(0.0, |biases| biases[item])
    }

    /// The biases of the panel that starts with `item`; absent where items have none. Scans are compiled for both cases, so
    /// that one without biases pays nothing for them: it asks with `BIASED` false.
    #[inline(always)]
    fn panel_biases<const BIASED: bool>(&self, item: usize) -> Option<&[f32; PANEL]> {
        if BIASED { self.biases.as_ref()?.get(item..)?.first_chunk() } else { None }
    }
}

/// Where a chain starts: a score of -inf is that of an item which is never returned, as is one that is NaN.
fn start_of(bias: f32) -> f32 {
    if bias == f32::NEG_INFINITY { f32::NAN } else { bias }
}

/// How the best are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopKMethod {
    /// Every score in fp32.
    Fp32,
    /// By codes, and what they leave in fp32.
    Certified,
}

impl TopKMethod {
    /// The faster one of those that can be gone.
    fn choose(isa: Isa, items: &CpuItems, k: usize) -> TopKMethod {
        // Lists that take in a good part of the items cost more than the codes save.
        let short = k <= MOST_CERTIFIED && k.saturating_mul(LEAST_ITEMS_A_PLACE) <= items.rows;
        if short && isa.run(FastCodes) { TopKMethod::Certified } else { TopKMethod::Fp32 }
    }
}

/// The longest lists that are found by codes, and how many items there must be for each place.
const MOST_CERTIFIED: usize = 256;
const LEAST_ITEMS_A_PLACE: usize = 64;

/// Whether codes are faster than values.
struct FastCodes;

impl Op for FastCodes {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        S::FAST_CODES
    }
}

/// What is looked for among items.
#[derive(Clone, Copy)]
pub(crate) struct TopKQueries<'a> {
    /// `rows` x D.
    pub queries: &'a [f32],
    pub rows: usize,
    /// Items for each query.
    pub k: usize,
    pub view: ItemView<'a>,
}

/// One query of a search, with its skips.
pub(crate) struct SingleQuery<'a> {
    search: TopKQueries<'a>,
    offsets: Option<[usize; 2]>,
    skipped: &'a [u32],
}

impl<'a> TopKQueries<'a> {
    /// Query `n` alone.
    pub(crate) fn one(&self, n: usize, dim: usize) -> SingleQuery<'a> {
        let queries = &self.queries[n * dim..(n + 1) * dim];
        let skipped = self.view.skipped(n);
        let offsets = self.view.skip.map(|_| [0, skipped.len()]);
        SingleQuery {
            search: TopKQueries { queries, rows: 1, k: self.k, view: ItemView { skip: None, ..self.view } },
            offsets,
            skipped,
        }
    }
}

impl SingleQuery<'_> {
    /// As a search.
    pub(crate) fn search(&self) -> TopKQueries<'_> {
        let skip = self.offsets.as_ref().map(|offsets| Skip { offsets, items: self.skipped });
        TopKQueries { view: ItemView { skip, ..self.search.view }, ..self.search }
    }
}

impl TopKQueries<'_> {
    /// Refuses what does not fit together.
    pub(crate) fn check(&self, op: &'static str, ids: &[u32], scores: &[f32], items: &CpuItems) -> Result<()> {
        need_len(op, "ids", ids.len(), self.rows * self.k)?;
        need_len(op, "scores", scores.len(), self.rows * self.k)?;
        need_len(op, "queries", self.queries.len(), self.rows * items.dim)?;
        self.view.check(op, self.rows, items.rows)
    }
}

/// See [`Scan::ask`](crate::backend::Scan::ask). `method`: absent, the faster one.
pub(crate) fn topk(
    cpu: &Cpu,
    ids: &mut [u32],
    scores: &mut [f32],
    items: &CpuItems,
    search: &TopKQueries<'_>,
    method: Option<TopKMethod>,
) -> Result<()> {
    search.check("topk", ids, scores, items)?;
    let (rows, k) = (search.rows, search.k);
    if k == 0 || rows == 0 || items.rows == 0 {
        ids[..rows * k].fill(u32::MAX);
        scores[..rows * k].fill(f32::NEG_INFINITY);
        return Ok(());
    }
    let method = method.unwrap_or_else(|| TopKMethod::choose(cpu.isa, items, k));
    let method = if items.codes.usable() { method } else { TopKMethod::Fp32 };
    // Enough tasks for every thread; how queries and items are cut changes no result.
    let size = rows.div_ceil(4 * cpu.threads.count()).clamp(96, QUERIES);
    let blocks = ranges(rows, size);
    let parts = (PARTS / blocks.len()).clamp(1, (items.rows / PART).max(1));
    let per_part = items.rows.div_ceil(parts).next_multiple_of(PANEL).max(PANEL);
    let spans = ranges(items.rows, per_part);
    let mut found: Vec<Vec<TopKCandidates>> = Vec::new();
    found.resize_with(blocks.len() * spans.len(), Vec::new);
    let tasks = found.iter_mut().enumerate().map(|(t, found)| {
        let (block, span) = (blocks[t / spans.len()].clone(), spans[t % spans.len()].clone());
        (found, ScanTask { items, search, block, span, method })
    });
    let parallel = rows * items.rows * items.dim > SMALL;
    let mut outputs: Vec<_> = ids.chunks_mut(k * size).zip(scores.chunks_mut(k * size)).collect();
    if spans.len() == 1 {
        // Each task writes its queries' results itself: lists of few queries live at a time.
        let tasks = tasks.zip(outputs).collect();
        cpu.threads.each(
            parallel,
            tasks,
            |((_, task), (ids, scores)): ((_, ScanTask<'_>), (&mut [u32], &mut [f32]))| {
                for ((list, ids), scores) in
                    cpu.isa.run(task).into_iter().zip(ids.chunks_mut(k)).zip(scores.chunks_mut(k))
                {
                    list.write(ids, scores);
                }
            },
        );
        return Ok(());
    }
    cpu.threads.each(parallel, tasks.collect(), |(found, task)| *found = cpu.isa.run(task));
    for (found, (ids, scores)) in found.chunks_mut(spans.len()).zip(&mut outputs) {
        let (first, others) = found.split_at_mut(1);
        for (q, mut list) in first[0].drain(..).enumerate() {
            others.iter_mut().for_each(|other| list.merge(&other[q]));
            list.write(&mut ids[q * k..(q + 1) * k], &mut scores[q * k..(q + 1) * k]);
        }
    }
    Ok(())
}

/// A block of queries against a span of items.
struct ScanTask<'a> {
    items: &'a CpuItems,
    search: &'a TopKQueries<'a>,
    block: Range<usize>,
    span: Range<usize>,
    method: TopKMethod,
}

impl ScanTask<'_> {
    fn query(&self, number: usize) -> &[f32] {
        &self.search.queries[number * self.items.dim..(number + 1) * self.items.dim]
    }
}

impl Op for ScanTask<'_> {
    type Output = Vec<TopKCandidates>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<TopKCandidates> {
        match self.method {
            TopKMethod::Fp32 => scan::scan(s, &self, &self.block.clone().collect::<Vec<_>>()),
            TopKMethod::Certified => certified::scan(s, &self),
        }
    }
}
