//! Where searches run, and what lies there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::open::{self, Cuda, CudaIndex};
use crate::config::Precision;
use crate::index::Lists;
use crate::{Device, Result};

/// Where searches run.
pub(super) enum Engine {
    Host,
    Cuda(Box<OnDevice>),
}

/// The device, and the items of now.
pub(super) struct OnDevice {
    pub cuda: Cuda,
    pub all: Kept,
}

/// A catalogue that is laid out when it is first asked for.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Arc<Catalogue>>>);

/// Items on the device.
pub(super) struct Catalogue {
    pub index: CudaIndex,
    /// The number of each place.
    pub ids: Vec<u32>,
    /// Numbers, ascending, each with its place.
    pub places: Vec<(u32, u32)>,
}

impl Engine {
    pub(super) fn open(device: Device) -> Result<Engine> {
        Ok(match open::cuda(device, Precision::Bf16)? {
            Some(cuda) => Engine::Cuda(Box::new(OnDevice { cuda, all: Kept::default() })),
            None => Engine::Host,
        })
    }

    pub(super) fn is_host(&self) -> bool {
        matches!(self, Engine::Host)
    }

    /// Items have changed.
    pub(super) fn forget(&mut self) {
        if let Engine::Cuda(device) = self {
            device.all = Kept::default();
        }
    }
}

impl Kept {
    pub(super) fn get(&self, make: impl FnOnce() -> Result<Catalogue>) -> Result<Arc<Catalogue>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalogue) = &*kept {
            return Ok(Arc::clone(catalogue));
        }
        Ok(Arc::clone(kept.insert(Arc::new(make()?))))
    }
}

impl Catalogue {
    /// Lists of numbers as lists of places; others are left out.
    pub(super) fn places(&self, skip: &Lists) -> Lists {
        let mut local = Lists::default();
        for query in 0..skip.len() {
            let start = local.values.len();
            let place = |id: &u32| self.places.binary_search_by_key(id, |(of, _)| *of).ok().map(|at| self.places[at].1);
            local.values.extend(skip.get(query).iter().filter_map(place));
            local.values[start..].sort_unstable();
            local.close();
        }
        local
    }
}
