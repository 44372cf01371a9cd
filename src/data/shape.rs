//! The shape of the data: what the defaults of a training follow from.
//!
//! All of it is of the training split, but for the number of validation rows. Ingest measures it and leaves it in
//! `dataset.json`; for a dataset without it, it is measured when it is asked for. Figures are rounded to four decimals,
//! counted in whole numbers before that: the same for any number of threads.

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Split, SplitInfo};
use super::history::History;
use super::later::later;
use super::repeats::repeats;
use crate::threads::Threads;
use crate::{Result, memory};

mod predictability;

/// What takes the memory.
const WHAT: &str = "the shape of the data";
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
    valid_rows: u64,
    later: Option<f64>,
}

impl HeldOutRows {
    pub(crate) fn of(valid: &SplitInfo, test: &SplitInfo) -> HeldOutRows {
        HeldOutRows { valid_rows: valid.rows, later: if valid.rows > 0 { valid.later } else { test.later } }
    }
}

impl Shape {
    /// The shape of a dataset: what ingest left in its manifest, or measured now, which reads the training rows.
    ///
    /// # Errors
    /// As [`History::of_dataset`] and [`repeats`](super::repeats).
    pub fn of(dataset: &Dataset) -> Result<Shape> {
        let manifest = dataset.manifest();
        let (users, items) = (manifest.users.rows, manifest.items.rows);
        let held_out = HeldOutRows::of(&manifest.valid, &manifest.test);
        let about = Shape {
            rows: manifest.train.rows,
            users: u64::from(users.saturating_sub(1)),
            items: u64::from(items.saturating_sub(1)),
            valid_rows: manifest.valid.rows,
            later: held_out.later,
            ..Shape::default()
        };
        match &manifest.shape {
            // Another program may have changed the splits and left it as it was.
            Some(shape) if shape.counts() == about.counts() => Ok(shape.clone()),
            _ if about.rows == 0 => Ok(about),
            _ => {
                let repeats = repeats(dataset, Split::Train)?;
                let history = History::of_dataset(dataset)?;
                let files = match (held_out.valid_rows, &manifest.derived) {
                    // Nothing that is derived looks at the test split.
                    (0, Some(_)) => &[][..],
                    (0, None) => &manifest.test.files,
                    _ => &manifest.valid.files,
                };
                let later = later(files, |file| dataset.shard(file), &history)?;
                let held_out = HeldOutRows { later, ..held_out };
                Shape::measure(&Threads::available(), &history, users, items, repeats, &held_out)
            }
        }
    }

    /// Measures the training rows of `history`, of `users` rows of users and `items` rows of items, row 0 of each
    /// included; `repeats` of them repeat an earlier one.
    ///
    /// # Errors
    /// Whatever reading the history gives; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn measure(
        threads: &Threads,
        history: &History,
        users: u32,
        items: u32,
        repeats: u64,
        held_out: &HeldOutRows,
    ) -> Result<Shape> {
        let mut found = RowCounts::of(history, users, items)?;
        let measured = predictability::measure(threads, history, users, &found.item_rows)?;
        let (users, items) = (u64::from(users.saturating_sub(1)), u64::from(items.saturating_sub(1)));
        let rows = history.rows();
        Ok(Shape {
            rows,
            users,
            items,
            user_rows: share(rows, users),
            user_rows_median: median(found.user_rows),
            item_rows: share(rows, items),
            gini: gini(found.item_rows.split_off(1.min(found.item_rows.len()))),
            repeats: share(repeats, rows),
            timed: history.has_timestamps().then(|| share(found.moved, found.followers)),
            valid_rows: held_out.valid_rows,
            later: held_out.later,
            next: measured.next,
            held_out: measured.held_out,
        })
    }

    /// Whether the rows of a user stand in an order that means something: there are times, and most rows have another
    /// than the user's row before.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.timed.is_some_and(|share| share >= ORDERED)
    }

    fn counts(&self) -> [u64; 4] {
        [self.rows, self.users, self.items, self.valid_rows]
    }
}

/// What one pass over the rows counts.
struct RowCounts {
    /// Of every user but row 0.
    user_rows: Vec<u64>,
    /// Of every item, row 0 included.
    item_rows: Vec<u64>,
    /// Rows that are not their user's first, and those among them with another time than the row before.
    followers: u64,
    moved: u64,
}

impl RowCounts {
    fn of(history: &History, users: u32, items: u32) -> Result<RowCounts> {
        let (mut user_rows, mut item_rows) = (Vec::new(), memory::zeros::<u64>(items as usize, WHAT)?);
        memory::reserve_exact(&mut user_rows, users as usize, WHAT)?;
        user_rows.extend((1..users).map(|user| history.count(user) as u64));
        let (mut followers, mut moved) = (0, 0);
        let (mut user, mut before) = (0, None);
        let ends = history.ends();
        history.each_piece(|first, items, times| {
            items.iter().for_each(|&item| item_rows[item as usize] += 1);
            for (row, &time) in (first..).zip(times) {
                while ends[user] <= row {
                    user += 1;
                    before = None;
                }
                // User 0 is nobody in particular.
                if let (Some(before), true) = (before, user > 0) {
                    followers += 1;
                    moved += u64::from(time != before);
                }
                before = Some(time);
            }
        })?;
        Ok(RowCounts { user_rows, item_rows, followers, moved })
    }
}

/// `part / whole`, to four decimals.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    rounded(part as f64 / whole.max(1) as f64)
}

fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// The lower one of two in the middle.
fn median(mut values: Vec<u64>) -> u64 {
    let middle = values.len().saturating_sub(1) / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}

/// With the counts `x_1 <= ... <= x_n`: `sum_i (2 i - n - 1) x_i / (n sum_i x_i)`.
fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let n = counts.len() as i128;
    let sum: i128 = counts.iter().map(|&count| i128::from(count)).sum();
    let weighed: i128 = (1..).zip(&counts).map(|(i, &count)| (2 * i - n - 1) * i128::from(count)).sum();
    rounded(weighed as f64 / (n * sum).max(1) as f64)
}

#[cfg(test)]
mod tests;
