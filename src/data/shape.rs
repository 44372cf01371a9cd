//! The shape of the data: what the defaults of a training follow from.
//!
//! All of it is of the training split, but for the number of validation rows. Ingest measures it and leaves it in
//! `dataset.json`; for a dataset without it, it is measured when it is asked for. Figures are rounded to four decimals,
//! counted in whole numbers before that: the same for any number of threads.

use super::dataset::{Dataset, Split};
use super::history::History;
use super::repeats::repeats;
use crate::threads::Threads;
use crate::{Result, memory};

mod figures;
mod later;
mod predictability;

pub(crate) use figures::HeldOutRows;
pub use figures::{HeldOut, NextItem, Shape};
pub(crate) use later::later;

use figures::{rounded, share};

/// What takes the memory.
const WHAT: &str = "the shape of the data";
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
