//! Which items a query may be given, and the rows that they go by.

use crate::Result;
use crate::backend::Skip;
use crate::backend::cpu::simd::PANEL;
use crate::backend::cpu::{need, need_len};

/// Items lie at places; a place's row is what a caller knows the item by.
#[derive(Clone, Copy, Default)]
pub(crate) struct ItemView<'a> {
    /// The row of each place; absent, a place is its row.
    pub order: Option<&'a [u32]>,
    /// Bit j of word i: the item at place 32 i + j may be given; absent, every one may be.
    pub allowed: Option<&'a [u32]>,
    /// Rows that each query must not be given.
    pub skip: Option<Skip<'a>>,
}

impl<'a> ItemView<'a> {
    pub(super) fn check(&self, op: &'static str, queries: usize, places: usize) -> Result<()> {
        if let Some(order) = self.order {
            need_len(op, "order", order.len(), places)?;
        }
        if let Some(allowed) = self.allowed {
            need_len(op, "allowed", allowed.len(), places.div_ceil(PANEL))?;
        }
        if let Some(skip) = self.skip {
            need_len(op, "skip offsets", skip.offsets.len(), queries + 1)?;
            let offsets = &skip.offsets[..queries + 1];
            let ok = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets[queries] <= skip.items.len();
            need(op, ok, format_args!("ascending skip offsets up to {}", skip.items.len()), "others")?;
        }
        Ok(())
    }

    /// The row of a place.
    #[inline(always)]
    pub(super) fn row(&self, place: u32) -> u32 {
        self.order.map_or(place, |order| order[place as usize])
    }

    /// Which of the panel's items may be given to some query.
    #[inline(always)]
    pub(super) fn panel(&self, first: usize) -> u32 {
        self.allowed.map_or(u32::MAX, |allowed| allowed[first / PANEL])
    }

    /// The rows that a query must not be given.
    pub(super) fn skipped(&self, query: usize) -> &'a [u32] {
        self.skip.map_or(&[], |skip| &skip.items[skip.offsets[query]..skip.offsets[query + 1]])
    }
}
