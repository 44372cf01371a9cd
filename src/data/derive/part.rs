//! Rows on their way to the shards of a split.

use std::path::Path;

use crate::Result;
use crate::data::batch::Rows;
use crate::data::dataset::{Split, SplitInfo};
use crate::data::writer::ShardWriter;

/// Which columns rows have beside user and item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OptionalColumns {
    pub(super) timestamps: bool,
    pub(super) weights: bool,
}

/// A split in the making.
pub(super) struct SplitWriter {
    writer: ShardWriter,
    users: Vec<u32>,
    items: Vec<u32>,
    timestamps: Vec<i64>,
    weights: Vec<f32>,
    rows: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl SplitWriter {
    /// Of shards with these columns, named after `split`.
    pub(super) fn create(dir: &Path, split: Split, columns: OptionalColumns) -> SplitWriter {
        let writer = ShardWriter::create(dir, split.name(), columns.timestamps, columns.weights);
        let (users, items, timestamps, weights) = Default::default();
        SplitWriter { writer, users, items, timestamps, weights, rows: 0, first: None, last: None }
    }

    /// Takes row `i`, which is written with the next [`flush`](SplitWriter::flush).
    pub(super) fn push(&mut self, rows: &Rows<'_>, i: usize) {
        self.users.push(rows.users[i]);
        self.items.push(rows.items[i]);
        self.timestamps.extend(rows.timestamps.map(|timestamps| timestamps[i]));
        self.weights.extend(rows.weights.map(|weights| weights[i]));
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows + self.users.len() as u64
    }

    /// Writes the rows that were taken.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.writer.push(&self.users, &self.items, &self.timestamps, &self.weights)?;
        self.rows += self.users.len() as u64;
        self.first = self.timestamps.iter().copied().chain(self.first).min();
        self.last = self.timestamps.iter().copied().chain(self.last).max();
        self.users.clear();
        self.items.clear();
        self.timestamps.clear();
        self.weights.clear();
        Ok(())
    }

    /// Ends the split.
    pub(super) fn finish(mut self) -> Result<SplitInfo> {
        self.flush()?;
        let SplitWriter { writer, rows, first, last, .. } = self;
        Ok(SplitInfo::new(rows, first, last, writer.finish()?))
    }
}
