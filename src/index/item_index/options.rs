//! What an index is to be: exact or approximate, for which k, where.

use serde::{Deserialize, Serialize};

use crate::eval::metrics::check_k;
use crate::{Device, Error, Result};

/// Exact, or approximate with a recall to keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Finds the best, always.
    Exact,
    /// Finds this part of them on average, or more.
    Approx {
        /// From 0 to 1, both excluded; 0.95 is usual.
        recall: f32,
    },
}

/// How an index is built.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IndexOptions {
    /// Default: [`IndexKind::Approx`] with a recall of 0.95.
    pub kind: IndexKind,
    /// The k that the recall is meant for. Default 10. Searches may ask for any other.
    pub k: usize,
    /// The same seed gives the same index. Default 0.
    pub seed: u64,
    /// Threads of building and searching; 0 (default) takes every core. No result depends on it.
    pub threads: usize,
    /// What catalogue this is: a model's checksum, a date. Default empty.
    pub catalogue: String,
    /// Where searches run; lists are made on the CPU alone. Default: the CPU.
    pub device: Device,
}

impl Default for IndexOptions {
    fn default() -> Self {
        IndexOptions {
            kind: IndexKind::Approx { recall: 0.95 },
            k: 10,
            seed: 0,
            threads: 0,
            catalogue: String::new(),
            device: Device::Cpu,
        }
    }
}

impl From<IndexKind> for IndexOptions {
    fn from(kind: IndexKind) -> IndexOptions {
        IndexOptions { kind, ..IndexOptions::default() }
    }
}

impl IndexOptions {
    /// An exact index.
    pub fn exact() -> IndexOptions {
        IndexKind::Exact.into()
    }

    /// An approximate index that keeps this recall, between 0 and 1.
    pub fn approx(recall: f32) -> IndexOptions {
        IndexKind::Approx { recall }.into()
    }

    /// Sets the k that the recall is meant for.
    #[must_use]
    pub fn k(mut self, k: usize) -> IndexOptions {
        self.k = k;
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> IndexOptions {
        self.seed = seed;
        self
    }

    /// Sets the threads.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> IndexOptions {
        self.threads = threads;
        self
    }

    /// Says what catalogue it is.
    #[must_use]
    pub fn catalogue(mut self, catalogue: impl Into<String>) -> IndexOptions {
        self.catalogue = catalogue.into();
        self
    }

    /// Sets where searches run.
    #[must_use]
    pub fn device(mut self, device: Device) -> IndexOptions {
        self.device = device;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if let IndexKind::Approx { recall } = self.kind
            && !(recall > 0.0 && recall < 1.0)
        {
            let reason = format!("{recall} is not between 0 and 1; 0.95 is usual, and an exact index has recall 1");
            return Err(Error::config("recall", reason));
        }
        check_k(self.k)
    }
}
