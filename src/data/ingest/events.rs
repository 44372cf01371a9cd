//! What ingest tells: how far it is, and what it did.

use crate::data::dataset::{Filtered, SourceColumns};

/// What ingest is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the files of interactions.
    Read,
    /// Splitting and counting.
    Count,
    /// Reading and fitting features.
    Features,
    /// Writing shards.
    Write,
    /// Writing the users' histories.
    History,
}

impl Stage {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Read => "read",
            Stage::Count => "count",
            Stage::Features => "features",
            Stage::Write => "write",
            Stage::History => "history",
        }
    }
}

/// How far ingest is.
#[derive(Clone, Copy, Debug)]
pub struct IngestProgress {
    /// What it is doing.
    pub stage: Stage,
    /// Rows done in this stage.
    pub rows: u64,
    /// Bytes of the files of interactions that were read; for Arrow IPC an estimate.
    pub bytes: u64,
    /// Their size.
    pub total_bytes: u64,
}

/// What ingest did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct IngestSummary {
    /// Rows in the dataset's shards.
    pub rows: u64,
    /// Of them in the training split.
    pub train_rows: u64,
    /// Of them in the validation split.
    pub valid_rows: u64,
    /// Of them in the test split.
    pub test_rows: u64,
    /// Training rows that repeat an earlier one's user and item.
    pub train_repeats: u64,
    /// Validation rows whose user has their item in the training split.
    pub valid_repeats: u64,
    /// Test rows likewise.
    pub test_repeats: u64,
    /// Users that the training split names.
    pub users: u64,
    /// Items that the training split names.
    pub items: u64,
    /// Users that only other splits name.
    pub unseen_users: u64,
    /// Items that only other splits name.
    pub unseen_items: u64,
    /// Rows that could not be read (see `rejected.csv`), those of feature files included.
    pub rejected: u64,
    /// What the lower bounds on counts left out; absent where there are none.
    pub filtered: Option<Filtered>,
    /// What the columns were taken for.
    pub columns: SourceColumns,
    /// Things worth knowing: files and features that were left out and why, what features were taken for.
    pub notes: Vec<String>,
    /// Wall-clock time.
    pub seconds: f64,
}
