//! What a derived dataset records of how it was made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The dataset that another one was made of, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Derived {
    /// The [fingerprint](crate::data::dataset::Dataset::fingerprint) of the dataset that it was made of.
    pub from: String,
    /// How it was made.
    pub kind: DerivedKind,
}

/// How a dataset was made of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DerivedKind {
    /// Its training split is the other's training and validation rows
    /// ([`Dataset::refit`](crate::data::dataset::Dataset::refit)).
    Refit {
        /// Validation rows that are not in it: the other one comes of an earlier build, which did not number the new
        /// users and items of the validation split before those of the test split.
        left_out: u64,
    },
    /// Its validation split is a part of the other's training rows
    /// ([`Dataset::hold_out`](crate::data::dataset::Dataset::hold_out)).
    HoldOut(Holdout),
}

/// The training rows that were held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdout {
    /// Which they are.
    pub kind: HoldoutKind,
    /// How many.
    pub rows: u64,
}

/// Which training rows are held out. A row that is the only one left of its user or of its item never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldoutKind {
    /// The last rows of each user.
    LastPerUser,
    /// Rows of each user, drawn by a seed.
    RandomPerUser {
        /// The seed.
        seed: u64,
    },
    /// The last part of the time, as the test split is behind all of it.
    Time {
        /// Its first second.
        from: i64,
    },
    /// Some, drawn by a seed.
    Random {
        /// The seed.
        seed: u64,
    },
}

impl fmt::Display for DerivedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DerivedKind::Refit { left_out: 0 } => f.write_str("also trains on the validation rows"),
            DerivedKind::Refit { left_out } => write!(
                f,
                "also trains on the validation rows, except {left_out} of new users and items: the dataset was made by an \
                 earlier build; ingest again to keep them"
            ),
            DerivedKind::HoldOut(holdout) => holdout.fmt(f),
        }
    }
}

impl fmt::Display for Holdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows;
        match self.kind {
            HoldoutKind::LastPerUser => write!(f, "{rows} training rows held out: the last rows of each user"),
            HoldoutKind::RandomPerUser { seed } => {
                write!(f, "{rows} training rows held out: some of each user, drawn at random, seed {seed}")
            }
            HoldoutKind::Time { from } => {
                let from = crate::table::time::format_time(from);
                write!(f, "{rows} training rows held out: from {from} onwards")
            }
            HoldoutKind::Random { seed } => write!(f, "{rows} training rows held out: drawn at random, seed {seed}"),
        }
    }
}
