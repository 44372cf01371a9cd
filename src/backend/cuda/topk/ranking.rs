//! Ranking: exact scores of what a scan kept, or of all items.

use super::arguments::{RankAllArgs, RankListArgs, RankMergeArgs};
use super::items::Prepared;
use super::plan::{self, RANK_THREADS};
use super::search::{Limits, Picked, QueryChunk, Shortlists};
use crate::Result;
use crate::backend::cuda::Buf;
use crate::backend::cuda::arguments::{In, Pad};

impl QueryChunk<'_> {
    /// Ranks the lists and says which are complete.
    pub(super) fn rank(
        &self,
        prepared: &Prepared,
        kept: Shortlists<'_>,
        limits: Limits,
        margin: f32,
        picked: Picked,
    ) -> Result<()> {
        let kernel = &self.cuda.kernels.topk(&self.cuda.context)?.topk_rank_list;
        let room = plan::room(self.k);
        let args = RankListArgs {
            ids: self.ids,
            scores: self.scores,
            states: prepared.states.output(),
            thresholds: limits.thresholds,
            bars: limits.bars,
            errors: prepared.errors.input(),
            index: picked.index,
            lists: kept.lists.input(),
            counts: limits.counts.read(),
            queries: prepared.exact.input(),
            items: self.items.exact(),
            list_room: kept.room as u32,
            k: self.k as u32,
            room: room as u32,
            margin,
        };
        // Without thresholds, no bars either; `room` fits k and the shared memory.
        // SAFETY: one place a query in each (k in ids and scores, dim in queries), list_room a picked one in lists; the
        // index names queries of the chunk, lists hold items of the catalogue (scans append no other). One stream orders
        // it.
        unsafe { self.launch(kernel, [picked.rows as u32, 1, 1], RANK_THREADS as u32, rank_shared(room), &args) }
    }

    /// Ranks lists that are whole as they are.
    pub(super) fn rank_buckets(&self, prepared: &Prepared, kept: Shortlists<'_>, margin: f32) -> Result<()> {
        self.rank(prepared, kept, Limits::NONE, margin, Picked { index: In::NULL, rows: self.rows })
    }

    /// Ranks all items for the queries of `index` (all of the chunk where it is absent).
    pub(super) fn all(&self, prepared: &Prepared, index: Option<(&Buf<u32>, usize)>) -> Result<()> {
        let cuda = self.cuda;
        let kernels = cuda.kernels.topk(&cuda.context)?;
        let (index, rows) = index.map_or((In::NULL, self.rows), |(index, rows)| (index.input(), rows));
        let parts = plan::parts(rows, self.items.rows, cuda.info().multiprocessors as usize);
        let per_part = self.items.rows.div_ceil(parts);
        let last = cuda.scratch::<u64>(rows)?;
        // A block keeps so many places; where k is more, the next round goes on behind the last key of this one.
        for place in (0..self.k).step_by(plan::PLACES) {
            let k = (self.k - place).min(plan::PLACES);
            let room = plan::room(k);
            let keys = cuda.scratch::<u64>(rows * parts * k)?;
            let args = RankAllArgs {
                keys: keys.output(),
                index,
                after: if place == 0 { In::NULL } else { last.input() },
                ceilings: prepared.ceilings.input(),
                skip: self.skips.lists(),
                queries: prepared.exact.input(),
                items: self.items.exact(),
                per_part: per_part as u32,
                k: k as u32,
                room: room as u32,
                unused: Pad::Zero,
            };
            // SAFETY: keys hold rows x parts x k values, `after` one a row (written by the merge below of the round
            // before); the rest as in `rank` and `sweep`. One stream orders it.
            unsafe {
                let grid = [rows as u32, parts as u32, 1];
                self.launch(&kernels.topk_rank_all, grid, RANK_THREADS as u32, rank_shared(room), &args)
            }?;
            let args = RankMergeArgs {
                ids: self.ids,
                scores: self.scores,
                last: last.output(),
                index,
                keys: keys.input(),
                n: (parts * k) as u32,
                k: k as u32,
                places: self.k as u32,
                place: place as u32,
                room: room as u32,
                unused: Pad::Zero,
            };
            // SAFETY: n keys a row as above; ids and scores hold `places` a query of the chunk, place + k <= places. One
            // stream orders it.
            unsafe {
                let shared = (room * 8) as u32;
                self.launch(&kernels.topk_rank_merge, [rows as u32, 1, 1], RANK_THREADS as u32, shared, &args)
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
