//! Which places of the best of each query have relevant items, and where each item comes first (`kernels/topk/hits.cuh`).
//! A bit a place comes to the host, not an item and a score.

use std::ops::Range;

use super::arguments::HitsArgs;
use super::chunks::{Call, each_chunk};
use super::items::CudaItems;
use super::search::QueryChunk;
use super::{ExactPlan, need, need_len, need_lists};
use crate::Result;
use crate::backend::cuda::{Buf, Cuda};
use crate::backend::{HitCounts, Relevant, TopK};

const OP: &str = "topk_hits";
/// Threads of a block: a warp a query.
const THREADS: usize = 256;

/// See [`Scan::topk_hits`](crate::backend::Scan::topk_hits).
pub(crate) fn topk_hits(
    cuda: &Cuda,
    HitCounts { hits, first_places }: HitCounts<'_, Cuda>,
    items: &CudaItems,
    asked: &TopK<'_, Buf<f32>>,
    relevant: Relevant<'_>,
) -> Result<()> {
    let words = asked.k.div_ceil(32);
    need_len(OP, "hits", hits.len(), asked.rows * words)?;
    need_len(OP, "first places", first_places.len(), items.rows)?;
    need(OP, first_places.owned(), "first places of their own", "a staged input")?;
    need_lists(OP, "relevant", relevant.offsets, relevant.items.len(), asked.rows)?;
    let Some(call) = Call::new(None, items, asked)? else {
        hits[..asked.rows * words].fill(0);
        return Ok(());
    };
    let plan = ExactPlan::new(cuda, items, None, &call)?;
    let bytes = |q: usize| {
        let wanted = relevant.offsets[q + 1] - relevant.offsets[q];
        plan.bytes(q).saturating_add((wanted + 1 + words) * 4)
    };
    each_chunk(cuda, None, items, &call, bytes, |search, at| {
        // Staged now, the lists come in while the items are scanned.
        let lists = stage_lists(cuda, relevant, at.clone())?;
        let report = plan.search(search, at.clone())?;
        let found = search.hits(&lists, first_places)?;
        cuda.download(&mut hits[at.start * words..at.end * words], &found, 0)?;
        Ok(report)
    })?;
    Ok(())
}

/// The relevant items of these queries on their way to the device: where each list ends, from 0 on, then the items.
fn stage_lists(cuda: &Cuda, relevant: Relevant<'_>, queries: Range<usize>) -> Result<Buf<u32>> {
    let offsets = &relevant.offsets[queries.start..=queries.end];
    let (first, end) = (offsets[0], offsets[queries.len()]);
    let items = &relevant.items[first..end];
    need(OP, u32::try_from(items.len()).is_ok(), "fewer than 2^32 relevant items a chunk", items.len())?;
    let words: Vec<u32> = offsets.iter().map(|&at| (at - first) as u32).chain(items.iter().copied()).collect();
    let (chunk, offset) = cuda.uploads().stage(&cuda.context, bytemuck::cast_slice(&words))?;
    Ok(Buf::staged(chunk, offset, words.len()))
}

impl QueryChunk<'_> {
    /// The hits in the lists that were found: k / 32 words a query. `relevant`: as [`stage_lists`] leaves them.
    fn hits(&self, relevant: &Buf<u32>, first_places: &Buf<u32>) -> Result<Buf<u32>> {
        let (cuda, rows) = (self.cuda, self.rows);
        let found = cuda.scratch(rows * self.k.div_ceil(32))?;
        let args = HitsArgs {
            hits: found.output(),
            first_places: first_places.output(),
            ids: self.ids.input(),
            offsets: relevant.input(),
            relevant: relevant.input_at(rows + 1),
            rows: rows as u32,
            k: self.k as u32,
        };
        let kernel = &cuda.kernels.topk(&cuda.context)?.topk_hits;
        let grid = [(rows * 32).div_ceil(THREADS) as u32, 1, 1];
        // SAFETY: lists of k ids a query, each an item of the catalogue or none; a first place for every item of it (checked
        // by the caller); the words sized above; offsets of rows lists, which end inside what was staged behind them. One
        // stream orders it.
        unsafe { cuda.launch(kernel, grid, THREADS as u32, 0, &args) }?;
        Ok(found)
    }
}
