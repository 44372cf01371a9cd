//! What a loader hands out: rows, the place they stand at, and what a worker made of them.

use serde::{Deserialize, Serialize};

use crate::Result;

mod segments;

pub use segments::{Segments, SortScratch};

/// Rows of interactions, column by column. All columns that are there have the same length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows<'a> {
    /// User rows (dense ids).
    pub users: &'a [u32],
    /// Item rows (dense ids).
    pub items: &'a [u32],
    /// Seconds since 1970, negative before.
    pub timestamps: Option<&'a [i64]>,
    /// Sample weights.
    pub weights: Option<&'a [f32]>,
}

impl<'a> Rows<'a> {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Rows `from..to` of every column; `None` where they are not all there.
    pub fn slice(&self, from: usize, to: usize) -> Option<Rows<'a>> {
        Some(Rows {
            users: self.users.get(from..to)?,
            items: self.items.get(from..to)?,
            timestamps: match self.timestamps {
                Some(column) => Some(column.get(from..to)?),
                None => None,
            },
            weights: match self.weights {
                Some(column) => Some(column.get(from..to)?),
                None => None,
            },
        })
    }
}

/// A batch's place in training. Orders as training does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch in the epoch, from 0.
    pub batch: u64,
}

/// Only this crate prepares batches: what a preparation may do is part of the loader's promises.
pub(crate) mod sealed {
    /// Nobody else implements it.
    pub trait Sealed {}
}

/// What a worker thread makes of a batch's rows: [`PlainBatches`] for a loop of your own. Outputs are pooled: `out` may hold what an earlier batch left there.
pub trait Prepare: sealed::Sealed + Send + Sync + 'static {
    /// What comes out; it is reused for later batches.
    type Output: Default + Send + 'static;

    /// Overwrites `out` with what `rows` give. The same `at` and `rows` must give the same output.
    ///
    /// # Errors
    /// What it cannot prepare; the error reaches the consumer at this batch's place.
    fn prepare(&self, at: Cursor, rows: Rows<'_>, out: &mut Self::Output) -> Result<()>;
}

/// The plain preparation's output.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Where the batch stands; `None` before its first use.
    pub at: Option<Cursor>,
    /// User rows.
    pub users: Vec<u32>,
    /// Item rows.
    pub items: Vec<u32>,
    /// Seconds since 1970; empty where the shards have none.
    pub timestamps: Vec<i64>,
    /// Sample weights; empty where the shards have none.
    pub weights: Vec<f32>,
    /// The users, sorted and unique, and where each occurs.
    pub user_segments: Segments,
    /// The items, sorted and unique, and where each occurs.
    pub item_segments: Segments,
    scratch: SortScratch,
}

impl Batch {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// The plain preparation: copies the rows and builds both sides' segments.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainBatches;

impl sealed::Sealed for PlainBatches {}

impl Prepare for PlainBatches {
    type Output = Batch;

    fn prepare(&self, at: Cursor, rows: Rows<'_>, out: &mut Batch) -> Result<()> {
        out.at = Some(at);
        copy(&mut out.users, rows.users);
        copy(&mut out.items, rows.items);
        copy(&mut out.timestamps, rows.timestamps.unwrap_or_default());
        copy(&mut out.weights, rows.weights.unwrap_or_default());
        out.user_segments.build(rows.users, &mut out.scratch);
        out.item_segments.build(rows.items, &mut out.scratch);
        Ok(())
    }
}

fn copy<T: Copy>(to: &mut Vec<T>, from: &[T]) {
    to.clear();
    to.extend_from_slice(from);
}
