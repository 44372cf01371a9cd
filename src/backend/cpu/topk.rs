//! The best items of each query: a scan of all items that never stores a score matrix.
//!
//! A tile of 12 queries by 32 items is scored in registers and compared with each query's bar, the k-th best score so
//! far; what passes goes to the query's short list, which is cut back to k when full. A score is one chain of
//! multiply-adds over the width, so it does not depend on how queries and items are cut up, and the order is total
//! (score descending, item ascending), so neither does the result.

mod candidates;

use candidates::Candidates;

use super::simd::{GROUP, Op, PANEL, Simd, pack_panels, scan_panel};
use super::threads::ranges;
use super::{Cpu, need, need_len};
use crate::Result;
use crate::backend::Skip;

/// Queries of a task: their lists, and the items between them, stay in the cache.
const QUERIES: usize = 96;
/// Items of a block that all queries of a task see before the next one.
const BLOCK: usize = 1024;
/// Few queries share the items out: at least this many items to a part, and this many parts at most.
const PART: usize = 1 << 13;
const PARTS: usize = 16;
/// Multiplications below which a task costs more than it saves.
const SMALL: usize = 1 << 18;

/// Item embeddings in panels of 32 items.
pub(crate) struct Items {
    panels: Vec<f32>,
    rows: usize,
    dim: usize,
}

impl Items {
    /// See [`Backend::items`](crate::backend::Backend::items).
    pub(crate) fn new(rows: usize, dim: usize) -> Items {
        Items { panels: vec![0.0; rows.div_ceil(PANEL) * PANEL * dim], rows, dim }
    }

    /// See [`Backend::pack_items`](crate::backend::Backend::pack_items).
    pub(crate) fn pack(&mut self, first: usize, embeddings: &[f32], rows: usize) -> Result<()> {
        const OP: &str = "pack_items";
        need_len(OP, "embeddings", embeddings.len(), rows * self.dim)?;
        let end = first.saturating_add(rows);
        let whole = first.is_multiple_of(PANEL) && (rows.is_multiple_of(PANEL) || end == self.rows);
        need(OP, whole && end <= self.rows, format_args!("whole panels inside {} items", self.rows), "others")?;
        pack_panels(&mut self.panels[first * self.dim..], embeddings, rows, self.dim);
        Ok(())
    }
}

/// See [`Backend::topk`](crate::backend::Backend::topk).
#[allow(clippy::too_many_arguments)]
pub(crate) fn topk(
    cpu: &Cpu,
    ids: &mut [u32],
    scores: &mut [f32],
    queries: &[f32],
    items: &Items,
    skip: Option<Skip<'_>>,
    rows: usize,
    k: usize,
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
    let blocks = ranges(rows, QUERIES);
    let parts = (PARTS / blocks.len()).clamp(1, (items.rows / PART).max(1));
    let per_part = items.rows.div_ceil(parts).next_multiple_of(PANEL).max(PANEL);
    let spans = ranges(items.rows, per_part);
    let mut found: Vec<Vec<Candidates>> = Vec::new();
    found.resize_with(blocks.len() * spans.len(), Vec::new);
    let tasks = found.iter_mut().enumerate().map(|(t, found)| {
        let (block, span) = (blocks[t / spans.len()].clone(), spans[t % spans.len()].clone());
        (found, Scan { queries, items, skip, block, span, k })
    });
    let parallel = rows * items.rows * items.dim > SMALL;
    let mut outputs: Vec<_> = ids.chunks_mut(k * QUERIES).zip(scores.chunks_mut(k * QUERIES)).collect();
    if spans.len() == 1 {
        // Each task writes its queries' results itself: lists of few queries live at a time.
        let tasks = tasks.zip(outputs).collect();
        cpu.threads.each(parallel, tasks, |((_, scan), (ids, scores)): ((_, Scan<'_>), (&mut [u32], &mut [f32]))| {
            for ((list, ids), scores) in cpu.isa.run(scan).into_iter().zip(ids.chunks_mut(k)).zip(scores.chunks_mut(k))
            {
                list.write(ids, scores);
            }
        });
        return Ok(());
    }
    cpu.threads.each(parallel, tasks.collect(), |(found, scan)| *found = cpu.isa.run(scan));
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
struct Scan<'a> {
    queries: &'a [f32],
    items: &'a Items,
    skip: Option<Skip<'a>>,
    block: std::ops::Range<usize>,
    span: std::ops::Range<usize>,
    k: usize,
}

impl Op for Scan<'_> {
    type Output = Vec<Candidates>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<Candidates> {
        let Scan { queries, items, skip, block, span, k } = self;
        let dim = items.dim;
        let mut lists: Vec<_> = block.clone().map(|_| Candidates::new(k)).collect();
        // Queries of a group stand side by side; missing ones are zero, with a bar that zero does not reach.
        let mut bars = vec![[f32::INFINITY; GROUP]; block.len().div_ceil(GROUP)];
        bars.as_flattened_mut()[..block.len()].fill(f32::NEG_INFINITY);
        let mut packed = vec![0.0; bars.len() * GROUP * dim];
        for (n, q) in block.clone().enumerate() {
            let group = &mut packed[n / GROUP * GROUP * dim..];
            for (c, &x) in queries[q * dim..(q + 1) * dim].iter().enumerate() {
                group[c * GROUP + n % GROUP] = x;
            }
        }
        let (mut scores, mut hits) = ([0.0; GROUP * PANEL], [0; GROUP]);
        for from in span.clone().step_by(BLOCK) {
            let to = (from + BLOCK).min(span.end);
            for (g, bars) in bars.iter_mut().enumerate() {
                let group = &packed[g * GROUP * dim..(g + 1) * GROUP * dim];
                for item in (from..to).step_by(PANEL) {
                    let panel = &items.panels[item * dim..(item + PANEL) * dim];
                    if !scan_panel(s, &mut scores, &mut hits, group, panel, bars, dim) {
                        continue;
                    }
                    for (r, &hits) in hits.iter().enumerate() {
                        let n = g * GROUP + r;
                        if hits == 0 || n >= lists.len() {
                            continue;
                        }
                        let skip = skip
                            .map_or(&[][..], |x| &x.items[x.offsets[block.start + n]..x.offsets[block.start + n + 1]]);
                        bars[r] = lists[n].push(hits, &scores[r * PANEL..(r + 1) * PANEL], item, to, skip);
                    }
                }
            }
        }
        lists
    }
}
