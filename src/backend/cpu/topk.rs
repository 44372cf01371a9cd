//! The best items of each query: a scan of all items that never stores a score matrix.
//!
//! A score is one chain of multiply-adds over the width, so it does not depend on how queries and items are cut up, and
//! the order is total (score descending, item ascending), so neither does the result. There are two ways to the same
//! bits: [`scan`] scores everything in fp32; [`certified`] scores small whole numbers, which bound the true score from
//! both sides, and scores in fp32 only what may be among the best.

mod candidates;
mod certified;
mod codes;
mod scan;
mod shortlist;

use std::ops::Range;

use candidates::Candidates;
use codes::ItemCodes;

use super::simd::{Isa, Op, PANEL, Simd};
use super::threads::ranges;
use super::{Cpu, need, need_len};
use crate::Result;
use crate::backend::Skip;

/// Queries of a task, at most: laying a block of items out for them costs little beside scoring it.
const QUERIES: usize = 1024;
/// Items of a block that all queries of a task see before the next one.
const BLOCK: usize = 1024;
/// Few queries share the items out: at least this many items to a part, and this many parts at most.
const PART: usize = 1 << 13;
const PARTS: usize = 16;
/// Multiplications below which a task costs more than it saves.
const SMALL: usize = 1 << 18;

/// Item embeddings, row-major, and their codes.
pub(crate) struct Items {
    values: Vec<f32>,
    codes: ItemCodes,
    rows: usize,
    dim: usize,
}

impl Items {
    /// See [`Backend::items`](crate::backend::Backend::items).
    pub(crate) fn new(rows: usize, dim: usize) -> Items {
        Items { values: vec![0.0; rows * dim], codes: ItemCodes::new(rows, dim), rows, dim }
    }

    /// See [`Backend::pack_items`](crate::backend::Backend::pack_items).
    pub(crate) fn pack(&mut self, cpu: &Cpu, first: usize, embeddings: &[f32], rows: usize) -> Result<()> {
        const OP: &str = "pack_items";
        need_len(OP, "embeddings", embeddings.len(), rows * self.dim)?;
        let end = first.saturating_add(rows);
        let whole = first.is_multiple_of(PANEL) && (rows.is_multiple_of(PANEL) || end == self.rows);
        need(OP, whole && end <= self.rows, format_args!("whole panels inside {} items", self.rows), "others")?;
        let embeddings = &embeddings[..rows * self.dim];
        self.values[first * self.dim..end * self.dim].copy_from_slice(embeddings);
        self.codes.encode(cpu, first, embeddings);
        Ok(())
    }

    fn row(&self, item: usize) -> &[f32] {
        &self.values[item * self.dim..(item + 1) * self.dim]
    }
}

/// How the best are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Every score in fp32.
    Fp32,
    /// By codes, and what they leave in fp32.
    Certified,
}

impl Way {
    /// The faster one of those that can be gone.
    fn choose(isa: Isa, items: &Items, k: usize) -> Way {
        // Lists that take in a good part of the items cost more than the codes save.
        let short = k <= MOST_CERTIFIED && k.saturating_mul(LEAST_ITEMS_A_PLACE) <= items.rows;
        if short && isa.run(FastCodes) { Way::Certified } else { Way::Fp32 }
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

/// See [`Backend::topk`](crate::backend::Backend::topk). `way`: absent, the faster one.
#[allow(clippy::too_many_arguments)]
pub(crate) fn topk(
    cpu: &Cpu,
    ids: &mut [u32],
    scores: &mut [f32],
    queries: &[f32],
    items: &Items,
    skip: Option<Skip<'_>>,
    (rows, k): (usize, usize),
    way: Option<Way>,
) -> Result<()> {
    const OP: &str = "topk";
    need_len(OP, "ids", ids.len(), rows * k)?;
    need_len(OP, "scores", scores.len(), rows * k)?;
    need_len(OP, "queries", queries.len(), rows * items.dim)?;
    if let Some(skip) = skip {
        need_len(OP, "skip offsets", skip.offsets.len(), rows + 1)?;
        let ok = skip.offsets[..rows + 1].windows(2).all(|w| w[0] <= w[1]) && skip.offsets[rows] <= skip.items.len();
        need(OP, ok, format_args!("ascending skip offsets up to {}", skip.items.len()), "others")?;
    }
    if k == 0 || rows == 0 || items.rows == 0 {
        ids[..rows * k].fill(u32::MAX);
        scores[..rows * k].fill(f32::NEG_INFINITY);
        return Ok(());
    }
    let way = way.unwrap_or_else(|| Way::choose(cpu.isa, items, k));
    let way = if items.codes.usable() { way } else { Way::Fp32 };
    // Enough tasks for every thread; how queries and items are cut changes no result.
    let size = rows.div_ceil(4 * cpu.threads.count()).clamp(96, QUERIES);
    let blocks = ranges(rows, size);
    let parts = (PARTS / blocks.len()).clamp(1, (items.rows / PART).max(1));
    let per_part = items.rows.div_ceil(parts).next_multiple_of(PANEL).max(PANEL);
    let spans = ranges(items.rows, per_part);
    let mut found: Vec<Vec<Candidates>> = Vec::new();
    found.resize_with(blocks.len() * spans.len(), Vec::new);
    let tasks = found.iter_mut().enumerate().map(|(t, found)| {
        let (block, span) = (blocks[t / spans.len()].clone(), spans[t % spans.len()].clone());
        (found, Task { queries, items, skip, block, span, k, way })
    });
    let parallel = rows * items.rows * items.dim > SMALL;
    let mut outputs: Vec<_> = ids.chunks_mut(k * size).zip(scores.chunks_mut(k * size)).collect();
    if spans.len() == 1 {
        // Each task writes its queries' results itself: lists of few queries live at a time.
        let tasks = tasks.zip(outputs).collect();
        cpu.threads.each(parallel, tasks, |((_, task), (ids, scores)): ((_, Task<'_>), (&mut [u32], &mut [f32]))| {
            for ((list, ids), scores) in cpu.isa.run(task).into_iter().zip(ids.chunks_mut(k)).zip(scores.chunks_mut(k))
            {
                list.write(ids, scores);
            }
        });
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
struct Task<'a> {
    queries: &'a [f32],
    items: &'a Items,
    skip: Option<Skip<'a>>,
    block: Range<usize>,
    span: Range<usize>,
    k: usize,
    way: Way,
}

impl Task<'_> {
    fn query(&self, number: usize) -> &[f32] {
        &self.queries[number * self.items.dim..(number + 1) * self.items.dim]
    }

    /// The items that a query skips.
    fn skip(&self, number: usize) -> &[u32] {
        self.skip.map_or(&[], |skip| &skip.items[skip.offsets[number]..skip.offsets[number + 1]])
    }
}

impl Op for Task<'_> {
    type Output = Vec<Candidates>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<Candidates> {
        match self.way {
            Way::Fp32 => scan::scan(s, &self, &self.block.clone().collect::<Vec<_>>()),
            Way::Certified => certified::scan(s, &self),
        }
    }
}
