//! What `dataset.json` says of the files, the splits, and the users and items.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Of rows that are each user's last, all are later; of rows that were drawn at random, those that happen to be the last.
pub(crate) const LATE: f64 = 0.9;

/// A split of the interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model learns from. Vocabularies, counts and bucket edges come from it alone.
    Train,
    /// What early stopping and tuning look at.
    Valid,
    /// What is reported.
    Test,
}

impl Split {
    /// Every split, in the order of time.
    pub const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

    /// `train`, `valid` or `test`: also the prefix of the shards' names.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

impl std::str::FromStr for Split {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == text)
            .ok_or_else(|| Error::config("split", format!("`{text}` is not one of train, valid, test")))
    }
}

/// One file of the folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name inside the folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The xxh3-64 of its bytes, 16 hex digits; absent for a file that another program put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xxh3: Option<String>,
    /// Of a shard of ours the xxh3-64 of its Arrow footer, which holds a checksum of every record batch: so that rows
    /// are compared as they are read, and the file need not be read once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<String>,
}

/// The shards of one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// Rows in all shards.
    pub rows: u64,
    /// The smallest timestamp (seconds), where there are timestamps and rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_timestamp: Option<i64>,
    /// The largest timestamp (seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_timestamp: Option<i64>,
    /// Rows whose pair of user and item the training split has; in the training split itself, rows that repeat an
    /// earlier one. Absent where nobody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// Share of the rows of users with training rows that are not earlier than the user's last training row: 1 where
    /// the split comes after training, little where it was drawn by chance. Absent for the training split itself, without
    /// times, and where nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<f64>,
    /// The shards, in the order of their rows.
    pub files: Vec<FileInfo>,
}

impl SplitInfo {
    /// Whether the split comes after training: nearly all of its rows are not earlier than their user's training rows.
    /// `None` where that is not known.
    #[must_use]
    pub fn is_later(&self) -> Option<bool> {
        self.later.map(|later| later >= LATE)
    }

    /// A split of which nothing is known but its rows.
    pub(crate) fn new(
        rows: u64,
        first_timestamp: Option<i64>,
        last_timestamp: Option<i64>,
        files: Vec<FileInfo>,
    ) -> Self {
        SplitInfo { rows, first_timestamp, last_timestamp, repeats: None, later: None, files }
    }

    /// What is true of the split whatever the other splits are.
    pub(crate) fn alone(&self) -> SplitInfo {
        SplitInfo::new(self.rows, self.first_timestamp, self.last_timestamp, self.files.clone())
    }

    /// This split and another one behind it. Times are told where both tell theirs.
    pub(crate) fn join(self, other: SplitInfo) -> SplitInfo {
        let (a, b) = match (self.rows, other.rows) {
            (0, _) => (&other, &other),
            (_, 0) => (&self, &self),
            _ => (&self, &other),
        };
        let first = a.first_timestamp.zip(b.first_timestamp).map(|(a, b)| a.min(b));
        let last = a.last_timestamp.zip(b.last_timestamp).map(|(a, b)| a.max(b));
        let rows = self.rows.saturating_add(other.rows);
        SplitInfo::new(rows, first, last, [self.files, other.files].concat())
    }
}

/// The names that the interaction columns had in the input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceColumns {
    /// The user column.
    pub user: String,
    /// The item column.
    pub item: String,
    /// The time column, if the shards have timestamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The weight column, if the shards have weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// What the times were taken for: `dates`, `epoch milliseconds`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_read_as: Option<String>,
    /// Columns of the input that are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// Users or items: their vocabulary and features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityInfo {
    /// Rows of the vocabulary: 1 for the unknown id (row 0) + the ids that the training split names.
    pub rows: u32,
    /// Ids that only the other splits name. They have no table row; in `valid` and `test` shards they are numbered
    /// `rows, rows + 1, …`, so that an id of such a shard is below `rows + unseen`.
    pub unseen: u32,
    /// Of them those that the validation split names: they are numbered first, so that training on both splits keeps every
    /// number. Absent where there are none, and in folders of earlier builds, which numbered all unseen ids alike.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unseen_valid: u32,
    /// The vocabulary (`users.arrow`, `items.arrow`), `rows` rows.
    pub file: FileInfo,
    /// Raw ids and features of the unseen ids, `unseen` rows, the same columns; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_file: Option<FileInfo>,
    /// The feature columns, in the order of the vocabulary file's columns.
    pub features: Vec<Feature>,
}

/// One feature column, as fitted on the training split. Codes start at 1; code 0 is missing or unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name in the input and in the vocabulary file.
    pub name: String,
    /// What its codes mean.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// What the codes of a feature column mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeatureKind {
    /// One value of a closed set: code i + 1 is `values[i]`.
    Categorical {
        /// The values, most frequent first, ties in byte order.
        values: Vec<String>,
    },
    /// Several values of a closed set, split at `separator`.
    MultiHot {
        /// What stands between two values.
        separator: String,
        /// The values, most frequent first, ties in byte order.
        values: Vec<String>,
    },
    /// A number: code 1 + the count of edges that are <= it.
    Numeric {
        /// Ascending quantile edges.
        edges: Vec<f64>,
    },
}

impl Feature {
    /// Rows of an embedding table for this feature: the codes and row 0.
    pub fn rows(&self) -> usize {
        1 + match &self.kind {
            FeatureKind::Categorical { values } | FeatureKind::MultiHot { values, .. } => values.len(),
            FeatureKind::Numeric { edges } => edges.len() + 1,
        }
    }

    /// Whether a row has a list of codes and not just one.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, FeatureKind::MultiHot { .. })
    }
}

/// What the lower bounds on counts ([`MinCount`](crate::data::ingest::MinCount)) left out of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Users below the bound.
    pub users: u64,
    /// Items below the bound.
    pub items: u64,
    /// Training rows of either.
    pub train_rows: u64,
    /// Validation rows of either; none where they are kept.
    pub valid_rows: u64,
    /// Test rows of either; none where they are kept.
    pub test_rows: u64,
}

/// Whether a number is left out of the text.
fn is_zero(number: &u32) -> bool {
    *number == 0
}
