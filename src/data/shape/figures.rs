//! The figures of a shape.

use serde::{Deserialize, Serialize};

use crate::data::dataset::parts::SplitInfo;

/// From this share of rows with another time than the user's row before, the order of a user's rows means something.
const ORDERED: f64 = 0.5;

/// What is known of a dataset's training rows as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shape {
    /// Training rows.
    pub rows: u64,
    /// Users of the training split.
    pub users: u64,
    /// Items of the training split.
    pub items: u64,
    /// Training rows of a user, on average.
    pub user_rows: f64,
    /// Training rows of the user in the middle.
    pub user_rows_median: u64,
    /// Training rows of an item, on average.
    pub item_rows: f64,
    /// Gini coefficient of the items' training rows: 0 where all items have as many, near 1 where a few have nearly all.
    pub gini: f64,
    /// Share of the training rows that repeat an earlier one.
    pub repeats: f64,
    /// Of the rows that are not their user's first, the share with another time than the row before; absent without
    /// times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timed: Option<f64>,
    /// Validation rows.
    pub valid_rows: u64,
    /// Share of the validation rows, of the test rows where there are none, that are not earlier than their user's last
    /// training row ([`SplitInfo::later`]); absent without times, and where nothing is held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub later: Option<f64>,
    /// How much of a user's next item the ones before explain; absent without times, and where there is nobody to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextItem>,
    /// How much of one of a user's items the others explain; absent where there is nobody to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
}

/// How many users' last training item, where it is new to them, stands among 20 that are told without it. Nothing is told
/// that a user has. Users with fewer than five rows are not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NextItem {
    /// Users that were asked.
    pub users: u64,
    /// The share by the neighbours of the two items before.
    pub last: f64,
    /// The share by the neighbours of two items before these, drawn by chance: as much as [`last`](NextItem::last) where
    /// the order of a user's rows means nothing.
    pub earlier: f64,
    /// The share by the neighbours of all items before, up to 50.
    pub all: f64,
    /// The share by popularity.
    pub popularity: f64,
}

/// How many users' training item, one drawn by chance of each user, stands among 20 that are told without it. Nothing is
/// told that a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldOut {
    /// Users that were asked.
    pub users: u64,
    /// The share by the neighbours of the user's other items, up to 50.
    pub neighbours: f64,
    /// The share by popularity.
    pub popularity: f64,
}

/// What is known of the rows that a dataset keeps from training.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeldOutRows {
    pub(super) valid_rows: u64,
    pub(super) later: Option<f64>,
}

impl HeldOutRows {
    pub(crate) fn of(valid: &SplitInfo, test: &SplitInfo) -> HeldOutRows {
        HeldOutRows { valid_rows: valid.rows, later: if valid.rows > 0 { valid.later } else { test.later } }
    }
}

impl Shape {
    /// Whether the rows of a user stand in an order that means something: there are times, and most rows have another
    /// than the user's row before.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.timed.is_some_and(|share| share >= ORDERED)
    }

    /// What a change of the splits would change.
    pub(super) fn counts(&self) -> [u64; 4] {
        [self.rows, self.users, self.items, self.valid_rows]
    }
}

/// `part / whole`, to four decimals.
pub(in crate::data) fn share(part: u64, whole: u64) -> f64 {
    rounded(part as f64 / whole.max(1) as f64)
}

/// To four decimals.
pub(super) fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}
