//! Items that come and go without a new build.

use hashbrown::HashMap;

use super::base::Base;
use super::bits::ones;
use super::{Guides, ItemIndex, new_generation, shape};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{CpuItems, ItemView, TopKQueries, topk};
use crate::finite::all_finite;
use crate::index::Found;
use crate::{Result, memory};

/// Items that were added: searched whole, until there are too many.
pub(super) struct Tail {
    ids: Vec<u32>,
    items: CpuItems,
}

/// A tail longer than this, and than this part of the base, goes to the lists.
const TAIL: usize = 1024;
const TAIL_PART: usize = 256;

impl Tail {
    pub(super) fn new(cpu: &Cpu, dim: usize) -> Tail {
        Tail { ids: Vec::new(), items: CpuItems::of_few(cpu, Vec::new(), dim) }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Number and vector of an item.
    pub(super) fn item(&self, i: usize) -> (u32, &[f32]) {
        (self.ids[i], self.items.row(i))
    }

    pub(super) fn search(
        &self,
        cpu: &Cpu,
        found: &mut Found,
        search: &TopKQueries<'_>,
        allowed: Option<&[u32]>,
    ) -> Result<()> {
        let view = ItemView { order: Some(&self.ids), allowed, skip: search.view.skip };
        topk(cpu, &mut found.ids, &mut found.scores, &self.items, &TopKQueries { view, ..*search }, None)
    }

    /// Lets go of items, and takes others in.
    fn change(&mut self, cpu: &Cpu, dim: usize, gone: impl Fn(u32) -> bool, ids: &[u32], values: &[f32]) -> usize {
        let before = self.ids.len();
        let kept: Vec<(u32, &[f32])> = (0..before).map(|i| self.item(i)).filter(|(id, _)| !gone(*id)).collect();
        let removed = before - kept.len();
        let mut all: Vec<f32> = kept.iter().flat_map(|(_, vector)| vector.iter().copied()).collect();
        all.extend_from_slice(values);
        self.ids = kept.iter().map(|(id, _)| *id).chain(ids.iter().copied()).collect();
        self.items = CpuItems::of_few(cpu, all, dim);
        removed
    }
}

impl ItemIndex {
    /// Adds items (`vectors`: a row of D values for each of `ids`); an item that is there already is replaced. The lists
    /// stay as they are: new items are searched whole, and go to their lists once there are many.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when there are not as many rows as items, an item comes twice, or a value is
    /// not finite; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn add(&mut self, ids: &[u32], vectors: &[f32]) -> Result<()> {
        if vectors.len() != ids.len() * self.dim {
            let expected = format!("{} rows of {} values", ids.len(), self.dim);
            return Err(shape(expected, format!("{} values", vectors.len())));
        }
        unique(ids)?;
        finite(vectors, self.dim)?;
        if ids.is_empty() {
            return Ok(());
        }
        self.take_out(ids, ids, vectors);
        self.about.added += ids.len() as u64;
        if self.tail.len() > TAIL.max(self.base.len() / TAIL_PART) {
            self.settle()?;
        }
        Ok(())
    }

    /// Removes items; answers how many were there.
    pub fn remove(&mut self, ids: &[u32]) -> usize {
        let removed = self.take_out(ids, &[], &[]);
        self.about.removed += removed as u64;
        removed
    }

    /// Removes items, then appends others to the tail.
    fn take_out(&mut self, gone: &[u32], ids: &[u32], vectors: &[f32]) -> usize {
        let known = self.places.get_or_insert_with(|| self.base.order().iter().copied().zip(0..).collect());
        let places: Vec<u32> = gone.iter().filter_map(|id| known.get(id).copied()).collect();
        let mut removed = 0;
        if !places.is_empty() {
            let len = self.base.len();
            let alive = self.alive.get_or_insert_with(|| every(len));
            for place in places {
                let (word, bit) = (&mut alive[place as usize / 32], 1 << (place % 32));
                removed += usize::from(*word & bit != 0);
                *word &= !bit;
            }
        }
        let mut sorted = gone.to_vec();
        sorted.sort_unstable();
        let is_gone = |id: u32| sorted.binary_search(&id).is_ok();
        removed += self.tail.change(&self.cpu, self.dim, is_gone, ids, vectors);
        self.changed();
        removed
    }

    fn changed(&mut self) {
        self.generation = new_generation();
        self.guides = Guides::default();
        self.engine.forget();
    }

    /// Puts the tail into the lists and lets go of what was removed. Centroids stay.
    pub(super) fn settle(&mut self) -> Result<()> {
        if self.tail.len() == 0 && self.alive.is_none() {
            return Ok(());
        }
        let (order, items) = (self.base.order(), self.base.items());
        let places: Vec<u32> = match &self.alive {
            Some(alive) => ones(alive).collect(),
            None => (0..order.len() as u32).collect(),
        };
        let ids = places.iter().map(|&place| order[place as usize]).chain(self.tail.ids.iter().copied());
        let mut numbered: Vec<(u32, u32)> = ids.zip(0..).collect();
        numbered.sort_unstable();
        let row = |at: u32| match places.get(at as usize) {
            Some(&place) => items.row(place as usize),
            None => self.tail.item(at as usize - places.len()).1,
        };
        let mut values = memory::with_capacity(numbered.len() * self.dim, "the vectors of an index")?;
        numbered.iter().for_each(|&(_, at)| values.extend_from_slice(row(at)));
        let ids: Vec<u32> = numbered.iter().map(|&(id, _)| id).collect();
        self.base = match &self.base {
            Base::Lists(lists) => match lists.reassigned(&self.cpu, &values, &ids)? {
                Some(lists) => Base::Lists(Box::new(lists)),
                None => Base::whole(&self.cpu, values, self.dim, ids)?,
            },
            Base::Whole(..) => Base::whole(&self.cpu, values, self.dim, ids)?,
        };
        self.alive = None;
        self.places = None;
        self.tail = Tail::new(&self.cpu, self.dim);
        self.changed();
        Ok(())
    }
}

/// Bits for places that all have items.
fn every(places: usize) -> Vec<u32> {
    let mut words = vec![u32::MAX; places.div_ceil(32)];
    if let Some(last) = words.last_mut()
        && !places.is_multiple_of(32)
    {
        *last = (1 << (places % 32)) - 1;
    }
    words
}

/// An error where a value is not finite: such an item has no place among others.
pub(super) fn finite(vectors: &[f32], dim: usize) -> Result<()> {
    if all_finite(vectors) {
        return Ok(());
    }
    let at = vectors.iter().position(|x| !x.is_finite()).unwrap_or_default();
    Err(shape("finite values", format!("{} in row {}", vectors[at], at / dim)))
}

/// An error where an item comes twice.
pub(super) fn unique(ids: &[u32]) -> Result<()> {
    let mut first = HashMap::with_capacity(ids.len());
    for (row, &id) in ids.iter().enumerate() {
        if id == crate::index::NO_ITEM {
            return Err(shape(format!("item numbers below {}", crate::index::NO_ITEM), id));
        }
        if let Some(before) = first.insert(id, row) {
            return Err(shape("each item at most once", format!("item {id} in rows {before} and {row}")));
        }
    }
    Ok(())
}
