//! An index whose searches run on a CUDA device: all items lie there, and one scan with a recall to keep takes the place
//! of lists.

use super::admit::Admitted;
use super::bits::ones;
use super::engine::{DeviceCatalogue, OnDevice, SearchEngine};
use super::{Filter, IndexKind, ItemIndex, shape};
use crate::Result;
use crate::backend::open::{Cuda, CudaIndex};
use crate::backend::{Memory, Skip, TopK, TopKOutput};
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

impl ItemIndex {
    /// [`search`](ItemIndex::search) for `rows` queries that stand on a CUDA device, as what `from` queued leaves them; none
    /// where this index is searched elsewhere.
    ///
    /// # Errors
    /// As [`search`](ItemIndex::search).
    pub(crate) fn search_near(
        &self,
        from: &Cuda,
        queries: &Buf,
        rows: usize,
        k: usize,
        filter: &Filter<'_>,
    ) -> Result<Option<Found>> {
        let SearchEngine::Cuda(device) = &self.engine else { return Ok(None) };
        if !device.cuda.follow(from)? {
            return Ok(None);
        }
        self.checked(rows, k, filter)?;
        let mut found = Found::empty(rows, k)?;
        self.search_on(device, &mut found, &DeviceQueries { queries, rows }, filter, self.scan_recall())?;
        Ok(Some(found))
    }

    /// The recall that the scan is asked for.
    pub(super) fn scan_recall(&self) -> f32 {
        self.about.scan_recall.unwrap_or(1.0)
    }

    /// As [`search`](ItemIndex::search), on the device, with this recall in expectation; 1 is exact.
    pub(super) fn search_on(
        &self,
        device: &OnDevice,
        found: &mut Found,
        queries: &DeviceQueries<'_>,
        filter: &Filter<'_>,
        recall: f32,
    ) -> Result<()> {
        let &DeviceQueries { queries, rows } = queries;
        let catalogue = match filter.only {
            None => device.all.get(|| self.lay_out(&device.cuda, None))?,
            Some(only) => only.device.get(|| self.lay_out(&device.cuda, Some(only)))?,
        };
        let local = filter.skip.map(|skip| catalogue.places(skip));
        let skip = local.as_ref().map(|local| Skip { offsets: &local.offsets, items: &local.values });
        let best = TopKOutput { ids: &mut found.ids, scores: &mut found.scores };
        catalogue.index.search(&device.cuda, best, &TopK { queries, rows, k: found.k, skip }, recall)?;
        for id in found.ids.iter_mut().filter(|id| **id != NO_ITEM) {
            *id = catalogue.ids[*id as usize];
        }
        found.sort();
        Ok(())
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
        let places = ids.iter().copied().zip(0..).collect();
        Ok(DeviceCatalogue { index, ids, places })
    }
}
