//! Where searches run, and what lies there.

use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::open::{self, Cuda, CudaIndex};
use crate::config::Precision;
use crate::index::places::Places;
use crate::{Device, Result};

/// Where searches run.
pub(super) enum SearchEngine {
    Host,
    Cuda(Box<OnDevice>),
}

/// The device, and the items of now.
pub(super) struct OnDevice {
    pub cuda: Cuda,
    pub all: LazyCatalogue,
}

/// A catalogue that is laid out when it is first asked for.
#[derive(Default)]
pub(super) struct LazyCatalogue(Mutex<Option<Arc<DeviceCatalogue>>>);

/// Items on the device.
pub(super) struct DeviceCatalogue {
    pub index: CudaIndex,
    /// The number of each place.
    pub ids: Vec<u32>,
    /// The place of each number.
    pub places: Places,
}

impl SearchEngine {
    pub(super) fn open(device: Device) -> Result<SearchEngine> {
        Ok(match open::cuda(device, Precision::Bf16)? {
            Some(cuda) => SearchEngine::Cuda(Box::new(OnDevice { cuda, all: LazyCatalogue::default() })),
            None => SearchEngine::Host,
        })
    }

    pub(super) fn is_host(&self) -> bool {
        matches!(self, SearchEngine::Host)
    }

    /// Items have changed.
    pub(super) fn forget(&mut self) {
        if let SearchEngine::Cuda(device) = self {
            device.all = LazyCatalogue::default();
        }
    }
}

impl LazyCatalogue {
    pub(super) fn get(&self, make: impl FnOnce() -> Result<DeviceCatalogue>) -> Result<Arc<DeviceCatalogue>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(catalogue) = &*kept {
            return Ok(Arc::clone(catalogue));
        }
        Ok(Arc::clone(kept.insert(Arc::new(make()?))))
    }
}
