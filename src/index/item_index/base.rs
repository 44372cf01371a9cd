//! The items as they were laid out when the index was built.

use std::sync::Arc;

use super::bits::count;
use super::ivf::{Guide, InvertedLists, OwnRows};
use crate::Result;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{CpuItems, ItemView, TopKQueries, topk};
use crate::index::Found;
use crate::slab::Slab;

/// The longest lists that are found through inverted lists, and how many items there must be for each place.
const LONGEST: usize = 256;
const LEAST_ITEMS_A_PLACE: usize = 64;

/// A catalogue.
pub(super) enum Base {
    /// Searched whole; the number of each place, ascending.
    Whole(CpuItems, Slab<u32>),
    /// In inverted lists.
    Lists(Box<InvertedLists>),
}

impl Base {
    /// Items that are searched whole.
    pub(super) fn whole(cpu: &Cpu, items: OwnRows, ids: Vec<u32>) -> Result<Base> {
        Ok(Base::Whole(CpuItems::of(cpu, items.values, items.biases, items.dim)?, ids.into()))
    }

    pub(super) fn items(&self) -> &CpuItems {
        match self {
            Base::Whole(items, _) => items,
            Base::Lists(lists) => &lists.items,
        }
    }

    /// The number of each place.
    pub(super) fn order(&self) -> &[u32] {
        match self {
            Base::Whole(_, order) => order,
            Base::Lists(lists) => &lists.order,
        }
    }

    /// Places.
    pub(super) fn len(&self) -> usize {
        self.order().len()
    }

    /// Places whose items are there.
    pub(super) fn alive(&self, alive: Option<&[u32]>) -> usize {
        alive.map_or(self.len(), count)
    }

    /// Searches through the lists where there are any and k is small beside what they admit; else everything. Answers how
    /// many items were read.
    pub(super) fn search(
        &self,
        cpu: &Cpu,
        found: &mut Found,
        search: &TopKQueries<'_>,
        guide: impl Fn(&InvertedLists) -> Arc<Guide>,
    ) -> Result<u64> {
        if let Base::Lists(lists) = self
            && search.k <= LONGEST
        {
            let guide = guide(lists);
            if search.k.saturating_mul(LEAST_ITEMS_A_PLACE) <= guide.admitted {
                return lists.search(cpu, &mut found.ids, &mut found.scores, search, &guide);
            }
        }
        self.exact(cpu, found, search)
    }

    /// Searches everything. Answers how many items were read.
    pub(super) fn exact(&self, cpu: &Cpu, found: &mut Found, search: &TopKQueries<'_>) -> Result<u64> {
        match self {
            Base::Lists(lists) => lists.exact(cpu, &mut found.ids, &mut found.scores, search)?,
            Base::Whole(items, order) => {
                let search = TopKQueries { view: ItemView { order: Some(order), ..search.view }, ..*search };
                topk(cpu, &mut found.ids, &mut found.scores, items, &search, None)?;
            }
        }
        Ok((self.len() * search.rows) as u64)
    }
}
