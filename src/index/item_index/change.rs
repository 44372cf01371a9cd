//! Items that come and go without a new build.

use hashbrown::HashMap;

use super::base::Base;
use super::bits::ones;
use super::ivf::OwnRows;
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
    pub(super) fn new(cpu: &Cpu, dim: usize, biased: bool) -> Tail {
        Tail { ids: Vec::new(), items: CpuItems::of_few(cpu, Vec::new(), biased.then(Vec::new), dim) }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Number, vector and bias of an item.
    pub(super) fn item(&self, i: usize) -> (u32, &[f32], f32) {
        (self.ids[i], self.items.row(i), self.items.bias(i))
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
    fn change(&mut self, cpu: &Cpu, dim: usize, gone: impl Fn(u32) -> bool, new: &NewItems<'_>) -> usize {
        let before = self.ids.len();
        let kept: Vec<usize> = (0..before).filter(|&i| !gone(self.ids[i])).collect();
        let removed = before - kept.len();
        let mut values: Vec<f32> = kept.iter().flat_map(|&i| self.items.row(i).iter().copied()).collect();
        values.extend_from_slice(new.vectors);
        let mut biases = self.items.biases.as_ref().map(|_| kept.iter().map(|&i| self.items.bias(i)).collect());
        if let (Some(biases), Some(new)) = (&mut biases, new.biases) {
            Vec::extend_from_slice(biases, new);
        }
        self.ids = kept.iter().map(|&i| self.ids[i]).chain(new.ids.iter().copied()).collect();
        self.items = CpuItems::of_few(cpu, values, biases, dim);
        removed
    }
}

/// Items that come; none by default.
#[derive(Clone, Copy, Default)]
struct NewItems<'a> {
    ids: &'a [u32],
    vectors: &'a [f32],
    biases: Option<&'a [f32]>,
}

impl ItemIndex {
    /// Adds items (`vectors`: a row of D values for each of `ids`) to an index without biases; an item that is there
    /// already is replaced. The lists stay as they are: new items are searched whole, and go to their lists once there
    /// are many.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when there are not as many rows as items, an item comes twice, a value is
    /// not finite, or the index has biases; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn add(&mut self, ids: &[u32], vectors: &[f32]) -> Result<()> {
        self.add_items(&NewItems { ids, vectors, biases: None })
    }

    /// As [`add`](ItemIndex::add), to an index with biases: `biases` has one for each of `ids`.
    ///
    /// # Errors
    /// As [`add`](ItemIndex::add), and [`Error::Shape`](crate::Error::Shape) when there are not as many biases as
    /// items, one is not finite, or the index has none.
    pub fn add_biased(&mut self, ids: &[u32], vectors: &[f32], biases: &[f32]) -> Result<()> {
        self.add_items(&NewItems { ids, vectors, biases: Some(biases) })
    }

    fn add_items(&mut self, new: &NewItems<'_>) -> Result<()> {
        let &NewItems { ids, vectors, biases } = new;
        if vectors.len() != ids.len() * self.dim {
            let expected = format!("{} rows of {} values", ids.len(), self.dim);
            return Err(shape(expected, format!("{} values", vectors.len())));
        }
        if self.biased != biases.is_some() {
            let words = ["items without biases: the index has none", "a bias for each item: the index has biases"];
            return Err(shape(words[usize::from(self.biased)], ["none", "biases"][usize::from(biases.is_some())]));
        }
        unique(ids)?;
        finite(vectors, self.dim)?;
        check_biases(biases, ids.len())?;
        if ids.is_empty() {
            return Ok(());
        }
        self.take_out(ids, new);
        self.about.added += ids.len() as u64;
        if self.tail.len() > TAIL.max(self.base.len() / TAIL_PART) {
            self.settle()?;
        }
        Ok(())
    }

    /// Removes items; answers how many were there.
    pub fn remove(&mut self, ids: &[u32]) -> usize {
        let removed = self.take_out(ids, &NewItems::default());
        self.about.removed += removed as u64;
        removed
    }

    /// Removes items, then appends others to the tail.
    fn take_out(&mut self, gone: &[u32], new: &NewItems<'_>) -> usize {
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
        removed += self.tail.change(&self.cpu, self.dim, is_gone, new);
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
        let item = |at: u32| match places.get(at as usize) {
            Some(&place) => (items.row(place as usize), items.bias(place as usize)),
            None => {
                let (_, row, bias) = self.tail.item(at as usize - places.len());
                (row, bias)
            }
        };
        let mut values = memory::with_capacity(numbered.len() * self.dim, "the vectors of an index")?;
        numbered.iter().for_each(|&(_, at)| values.extend_from_slice(item(at).0));
        let biases = self.biased.then(|| numbered.iter().map(|&(_, at)| item(at).1).collect());
        let rows = OwnRows { values, biases, dim: self.dim };
        let ids: Vec<u32> = numbered.iter().map(|&(id, _)| id).collect();
        self.base = match &self.base {
            Base::Lists(lists) => match lists.reassigned(&self.cpu, rows.rows(), &ids)? {
                Some(lists) => Base::Lists(Box::new(lists)),
                None => Base::whole(&self.cpu, rows, ids)?,
            },
            Base::Whole(..) => Base::whole(&self.cpu, rows, ids)?,
        };
        self.alive = None;
        self.places = None;
        self.tail = Tail::new(&self.cpu, self.dim, self.biased);
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

/// An error where there are not `items` biases, or one is not finite: an item that is not to be found is removed.
pub(super) fn check_biases(biases: Option<&[f32]>, items: usize) -> Result<()> {
    let Some(biases) = biases else { return Ok(()) };
    if biases.len() != items {
        return Err(shape(format!("{items} biases"), biases.len()));
    }
    match biases.iter().position(|bias| !bias.is_finite()) {
        Some(at) => Err(shape("finite biases", format!("{} in row {at}", biases[at]))),
        None => Ok(()),
    }
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
