//! Which places of the best of each query have relevant items, and where each item comes first (`kernels/topk/hits.cuh`).
//! A bit a place comes to the host, not an item and a score.

use super::arguments::HitsArgs;
use super::chunks::{Call, Way, each_chunk_counted};
use super::items::CudaItems;
use super::search::QueryChunk;
use super::{ExactPlan, need, need_len};
use crate::Result;
use crate::backend::cuda::arguments::In;
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
    relevant: &Relevant<'_, Cuda>,
) -> Result<()> {
    let words = asked.k.div_ceil(32);
    need_len(OP, "hits", hits.len(), asked.rows * words)?;
    need_len(OP, "first places", first_places.len(), items.rows)?;
    need(OP, first_places.owned(), "first places of their own", "a staged input")?;
    need_len(OP, "relevant offsets", relevant.offsets.len(), asked.rows + 1)?;
    need_len(OP, "relevant items", relevant.items.len(), relevant.listed)?;
    need(OP, u32::try_from(relevant.listed).is_ok(), "fewer than 2^32 relevant items", relevant.listed)?;
    let Some(call) = Call::new(None, items, asked)? else {
        hits[..asked.rows * words].fill(0);
        return Ok(());
    };
    let plan = ExactPlan::new(cuda, items, None, &call)?;
    let way = Way {
        bytes: |q| plan.bytes(q),
        queue: |chunk: &QueryChunk<'_>, at| plan.queue(chunk, &call, at),
        leaves_out: false,
    };
    each_chunk_counted(cuda, items, &call, &way, &HitsOf { relevant, first_places, words }, hits)
}

/// What is counted of lists on the device.
pub(super) struct HitsOf<'a> {
    relevant: &'a Relevant<'a, Cuda>,
    first_places: &'a Buf<u32>,
    /// Of a query.
    pub words: usize,
}

impl HitsOf<'_> {
    /// Queues the count for a chunk whose queries are those of the call from `first` on: for lists that these states call
    /// complete (null: all), whose words others leave zero; or for the `rest`, whose lists are complete by now.
    pub(super) fn count(
        &self,
        chunk: &QueryChunk<'_>,
        to: &Buf<u32>,
        first: usize,
        states: In<u32>,
        rest: bool,
    ) -> Result<()> {
        let args = HitsArgs {
            hits: to.output(),
            first_places: self.first_places.output(),
            ids: chunk.ids.read(),
            states,
            offsets: self.relevant.offsets.input_at(first),
            relevant: self.relevant.items.input(),
            rows: chunk.rows as u32,
            k: chunk.k as u32,
            listed: self.relevant.listed as u32,
            rest: u32::from(rest),
        };
        let kernel = &chunk.cuda.kernels.topk(&chunk.cuda.context)?.topk_hits;
        let grid = [(chunk.rows * 32).div_ceil(THREADS) as u32, 1, 1];
        // Whoever made this has checked lengths: an offset more than there are queries, items up to `listed`, a first place an
        // item.
        // SAFETY: k ids and a state a query, each id an item of the catalogue or none; `to` was made for the words of so many
        // queries; the kernel cuts lists at `listed`. One stream orders it.
        unsafe { chunk.launch(kernel, grid, THREADS as u32, 0, &args) }
    }
}
