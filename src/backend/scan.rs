//! The best items of queries.

use super::memory::Memory;
use crate::Result;

/// Items that a query must not return: query q skips `items[offsets[q]..offsets[q + 1]]`, ascending rows.
#[derive(Clone, Copy)]
pub(crate) struct Skip<'a> {
    pub offsets: &'a [usize],
    pub items: &'a [u32],
}

/// What is asked of items: the best for each query.
pub(crate) struct TopK<'a, Q: ?Sized> {
    /// `rows` x D.
    pub queries: &'a Q,
    pub rows: usize,
    /// Items for each query.
    pub k: usize,
    pub skip: Option<Skip<'a>>,
}

/// Where the answer goes: k places a query.
pub(crate) struct TopKOutput<'a> {
    pub ids: &'a mut [u32],
    pub scores: &'a mut [f32],
}

/// The answer: k places a query.
pub(crate) struct TopKLists {
    pub ids: Vec<u32>,
    pub scores: Vec<f32>,
}

impl TopKLists {
    pub(crate) fn output(&mut self) -> TopKOutput<'_> {
        TopKOutput { ids: &mut self.ids, scores: &mut self.scores }
    }
}

/// Items that are to be found: query q is after `items[offsets[q]..offsets[q + 1]]`, ascending rows. What lies beyond the
/// `listed` items of all lists is no part of any.
pub(crate) struct Relevant<'a, B: Memory> {
    pub offsets: &'a B::Buf<u32>,
    pub items: &'a B::Buf<u32>,
    pub listed: usize,
}

/// What is counted of the best of queries.
pub(crate) struct HitCounts<'a, B: Memory> {
    /// k / 32 words a query, rounded up: bit j of word i is set where place 32 i + j has a relevant item.
    pub hits: &'a mut [u32],
    /// A value an item: lowered to the first place that it has in any of the lists.
    pub first_places: &'a mut B::Buf<u32>,
}

/// A device that ranks.
pub(crate) trait Scan: Memory {
    /// Item embeddings in the layout that is scanned.
    type Items: Send + Sync;
    /// Lists that were asked for.
    type Asked: Send + Sync;
    /// Whether lists come later than they are asked for: then the next should be asked for before they are waited for.
    const LATER: bool;

    /// Room for `rows` items, `dim` wide, as they are scanned. `biased`: each adds a bias of its own to its scores.
    fn items(&self, rows: usize, dim: usize, biased: bool) -> Result<Self::Items>;
    /// Lays out items `first .. first + rows` from their embeddings (rows x D) and, where items are biased, their
    /// biases (rows). Pieces come in any order; each but the last is a multiple of 64 items.
    fn pack_items(
        &self,
        to: &mut Self::Items,
        first: usize,
        embeddings: &Self::Buf<f32>,
        biases: Option<&Self::Buf<f32>>,
        rows: usize,
    ) -> Result<()>;
    /// Asks for the k best items of each query: score descending, then item row ascending. A score is one chain of
    /// multiply-adds over the width, from the item's bias on (0 where items are not biased). NaN is never returned, nor is
    /// an item whose bias is -inf. Places without an item hold `u32::MAX` and -inf. The queries may be written again.
    fn ask(&self, items: &Self::Items, asked: &TopK<'_, Self::Buf<f32>>) -> Result<Self::Asked>;
    /// What was asked for, of the same items.
    fn lists(&self, items: &Self::Items, asked: Self::Asked) -> Result<TopKLists>;
    /// The hits in the lists that [`ask`](Scan::ask) is for, which stay where they are made.
    fn topk_hits(
        &self,
        counts: HitCounts<'_, Self>,
        items: &Self::Items,
        asked: &TopK<'_, Self::Buf<f32>>,
        relevant: &Relevant<'_, Self>,
    ) -> Result<()>;
}
