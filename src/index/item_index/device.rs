//! An index whose searches run on a CUDA device: all items lie there, and one scan with a recall to keep takes the place
//! of lists.

use std::sync::Arc;

use super::admit::Admitted;
use super::bits::ones;
use super::engine::{DeviceCatalogue, OnDevice, SearchEngine};
use super::{Filter, IndexKind, ItemIndex, shape};
use crate::Result;
use crate::backend::open::{AskedLists, Cuda, CudaIndex};
use crate::backend::{Memory, Skip, TopK};
use crate::index::places::Places;
use crate::index::{Found, NO_ITEM};
use crate::rng::Rng;

/// Marks the random numbers that items are mixed with.
const MIX: u64 = u64::from_le_bytes(*b"mixed\0\0\0");

/// Queries in the memory of the device.
pub(super) struct DeviceQueries<'a> {
    /// `rows` x D.
    pub queries: &'a Buf,
    pub rows: usize,
}

/// Values on the device.
type Buf = <Cuda as Memory>::Buf<f32>;

/// Lists that a search on the device was asked for.
pub(crate) struct AskedOnDevice {
    catalogue: Arc<DeviceCatalogue>,
    asked: AskedLists,
    k: usize,
}

impl ItemIndex {
    /// Whether this index is searched on the device that `from` is: then what items are there, of which `only` those may be
    /// given.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory) where the items do not fit there.
    pub(crate) fn places_near(&self, from: &Cuda, only: Option<&Admitted>) -> Result<Option<Places>> {
        match &self.engine {
            SearchEngine::Cuda(device) if device.cuda.info().ordinal == from.info().ordinal => {
                Ok(Some(self.catalogue_on(device, only)?.places.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Asks for what [`search`](ItemIndex::search) finds for `rows` queries that stand on a CUDA device, as what `from`
    /// queued leaves them; none where this index is searched elsewhere. `from` may write them again. `skip` has
    /// [`places_near`](ItemIndex::places_near).
    ///
    /// # Errors
    /// As [`search`](ItemIndex::search).
    pub(crate) fn ask_near(
        &self,
        from: &Cuda,
        queries: &Buf,
        rows: usize,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Option<AskedOnDevice>> {
        let SearchEngine::Cuda(device) = &self.engine else { return Ok(None) };
        if !device.cuda.follow(from)? {
            return Ok(None);
        }
        let skip = self.checked(rows, k, filter)?;
        let catalogue = self.catalogue_on(device, filter.only)?;
        let asked = TopK { queries, rows, k, skip };
        let asked = catalogue.index.ask(&device.cuda, &asked, self.scan_recall())?;
        from.follow(&device.cuda)?;
        Ok(Some(AskedOnDevice { catalogue, asked, k }))
    }

    /// What was asked for; empty where this index is searched elsewhere.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub(crate) fn found_near(&self, asked: AskedOnDevice) -> Result<Found> {
        let SearchEngine::Cuda(device) = &self.engine else { return Found::empty(0, asked.k) };
        let AskedOnDevice { catalogue, asked, k } = asked;
        let mut lists = catalogue.index.lists(&device.cuda, asked)?;
        for id in lists.ids.iter_mut().filter(|id| **id != NO_ITEM) {
            *id = catalogue.ids[*id as usize];
        }
        let mut found = Found { k, ids: lists.ids, scores: lists.scores };
        found.sort();
        Ok(found)
    }

    /// The recall that the scan is asked for.
    pub(super) fn scan_recall(&self) -> f32 {
        self.about.scan_recall.unwrap_or(1.0)
    }

    /// As [`search`](ItemIndex::search), on the device, with this recall in expectation; 1 is exact.
    pub(super) fn search_on(
        &self,
        device: &OnDevice,
        &DeviceQueries { queries, rows }: &DeviceQueries<'_>,
        k: usize,
        filter: &Filter<'_>,
        recall: f32,
    ) -> Result<Found> {
        let catalogue = self.catalogue_on(device, filter.only)?;
        let mut local = filter.skip.cloned();
        if let Some(lists) = &mut local {
            catalogue.places.translate(lists);
        }
        let skip = local.as_ref().map(|local| Skip { offsets: &local.offsets, items: &local.values });
        let asked = catalogue.index.ask(&device.cuda, &TopK { queries, rows, k, skip }, recall)?;
        self.found_near(AskedOnDevice { catalogue, asked, k })
    }

    /// The items that a search is among, on the device.
    fn catalogue_on(&self, device: &OnDevice, only: Option<&Admitted>) -> Result<Arc<DeviceCatalogue>> {
        match only {
            None => device.all.get(|| self.lay_out(&device.cuda, None)),
            Some(only) => only.device.get(|| self.lay_out(&device.cuda, Some(only))),
        }
    }

    /// All items that are there, or those of them that are admitted, by number.
    fn lay_out(&self, cuda: &Cuda, only: Option<&Admitted>) -> Result<DeviceCatalogue> {
        let (order, items, tail) = (self.base.order(), self.base.items(), &self.tail);
        let words = only.map(|only| only.base.as_slice()).or(self.alive.as_deref());
        let places: Vec<u32> = match words {
            Some(words) => ones(words).collect(),
            None => (0..order.len() as u32).collect(),
        };
        let base =
            places.iter().map(|&place| (order[place as usize], items.row(place as usize), items.bias(place as usize)));
        let added = (0..tail.len()).filter(|&i| only.is_none_or(|only| only.tail[i / 32] >> (i % 32) & 1 == 1));
        let mut rows: Vec<(u32, &[f32], f32)> = base.chain(added.map(|i| tail.item(i))).collect();
        rows.sort_unstable_by_key(|(id, ..)| *id);
        if let IndexKind::Approx { .. } = self.about.kind {
            // The scan's buckets are to be random, whatever order a catalogue has.
            Rng::at(self.about.seed, &[MIX]).shuffle(&mut rows);
        }
        if rows.len() >= i32::MAX as usize {
            return Err(shape("fewer than 2^31 items", rows.len()));
        }
        let index = CudaIndex::new(cuda, rows.len(), self.dim, self.biased, |r| (rows[r].1, rows[r].2))?;
        let ids: Vec<u32> = rows.iter().map(|(id, ..)| *id).collect();
        let places = Places::Shuffled(Arc::new(ids.iter().copied().zip(0..).collect()));
        Ok(DeviceCatalogue { index, ids, places })
    }
}
