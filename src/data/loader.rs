//! From shards to batches, in a seeded order, on threads.
//!
//! The order of an epoch: the blocks of all shards are shuffled; windows of consecutive rows of that sequence are read
//! and their rows shuffled; batches are cut from the windows. Every row comes once an epoch. Everything follows from
//! (seed, epoch, window), so any batch can be made alone, and by any number of threads: the bits are the same.

use std::path::PathBuf;
use std::sync::Arc;

use crate::data::batch::{Cursor, Prepare};
use crate::data::dataset::{Dataset, Split};
use crate::data::shard::ShardIndex;
use crate::{Error, Result};

mod pipeline;
mod pool;
mod window;

pub use pipeline::Batches;
pub use pool::Pooled;

use window::Unit;

/// How batches are cut, ordered and made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Rows of a batch. Default 1024.
    pub batch_size: usize,
    /// Seed of the order. Default 0.
    pub seed: u64,
    /// Worker threads; 0 (default) takes every core. The batches do not depend on it.
    pub threads: usize,
    /// Shuffles, anew in each epoch. Default true; otherwise rows come in the order of the files.
    pub shuffle: bool,
    /// Rows that are shuffled with each other, and in memory at once (up to four times). Rounded down to a multiple of
    /// `batch_size`, at least one batch. Default 1 Mi: 8 to 20 MiB.
    pub window_rows: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        LoaderConfig { batch_size: 1024, seed: 0, threads: 0, shuffle: true, window_rows: 1 << 20 }
    }
}

/// The batches of one split. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    inner: Arc<Inner>,
}

/// What windows are built from.
struct Inner {
    dir: PathBuf,
    shards: Vec<Arc<ShardIndex>>,
    /// Pieces of the shards that are read together, in file order.
    units: Vec<Unit>,
    rows: u64,
    timestamps: bool,
    weights: bool,
    /// User and item ids of the shards are below these.
    limits: [u32; 2],
    batch_size: u64,
    window_rows: u64,
    threads: usize,
    shuffle: bool,
    seed: u64,
}

impl Loader {
    /// Opens the shards of a split and checks their footers and headers; rows are checked when they are read.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot be used, [`Error::Damaged`] when a shard is not what the manifest
    /// says, [`Error::Schema`] when some shards have a column that others lack; as
    /// [`Shard::open`](crate::data::shard::Shard::open) else.
    pub fn open(dataset: &Dataset, split: Split, config: LoaderConfig) -> Result<Loader> {
        if config.batch_size == 0 || config.batch_size > 1 << 30 {
            return Err(Error::config("batch_size", format!("{} is not in 1 to 2^30", config.batch_size)));
        }
        if config.window_rows > 1 << 31 {
            return Err(Error::config("window_rows", format!("{} is more than 2^31", config.window_rows)));
        }
        let manifest = dataset.manifest();
        let limit = |side: &crate::data::dataset::EntityInfo| match split {
            Split::Train => side.rows,
            Split::Valid | Split::Test => side.rows.saturating_add(side.unseen),
        };
        let mut inner = Inner {
            dir: dataset.dir().to_owned(),
            shards: Vec::new(),
            units: Vec::new(),
            rows: 0,
            timestamps: false,
            weights: false,
            limits: [limit(&manifest.users), limit(&manifest.items)],
            batch_size: config.batch_size as u64,
            window_rows: (config.window_rows / config.batch_size).max(1) as u64 * config.batch_size as u64,
            threads: match config.threads {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                threads => threads,
            },
            shuffle: config.shuffle,
            seed: config.seed,
        };
        for file in &dataset.split(split).files {
            inner.add(ShardIndex::of(dataset.opened(file)?, file)?)?;
        }
        if inner.rows != dataset.split(split).rows {
            let reason = format!("{} rows, the {} shards have {}", dataset.split(split).rows, split.name(), inner.rows);
            return Err(Error::damaged(dataset.dir().join("dataset.json"), split.name(), reason));
        }
        Ok(Loader { inner: Arc::new(inner) })
    }

    /// Rows of the split.
    pub fn rows(&self) -> u64 {
        self.inner.rows
    }

    /// Batches of an epoch; the last one may be short.
    pub fn batches_per_epoch(&self) -> u64 {
        self.inner.rows.div_ceil(self.inner.batch_size)
    }

    /// Whether the rows have timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.inner.timestamps
    }

    /// Whether the rows have weights.
    pub fn has_weights(&self) -> bool {
        self.inner.weights
    }

    /// The batches from `from` to the end of its epoch, prepared ahead on threads. Dropping the iterator early stops
    /// the threads and waits for them.
    ///
    /// An error comes at the place of the first batch that it touches, and ends the iterator. A preparation that
    /// panics is an error, too.
    pub fn batches<P: Prepare>(&self, from: Cursor, prepare: Arc<P>) -> Batches<P> {
        Batches::start(self.inner.clone(), from, prepare)
    }
}

impl Inner {
    fn add(&mut self, index: ShardIndex) -> Result<()> {
        if self.shards.is_empty() {
            (self.timestamps, self.weights) = (index.timestamps, index.weights);
        }
        for (column, here, first) in
            [("timestamp", index.timestamps, self.timestamps), ("weight", index.weights, self.weights)]
        {
            if here != first {
                let words = |there| if there { "a column" } else { "no such column" };
                return Err(Error::Schema {
                    path: index.path,
                    column: column.into(),
                    expected: format!("{}, as in the first shard", words(first)),
                    found: words(here).into(),
                });
            }
        }
        let shard = self.shards.len() as u32;
        self.units.extend(index.pieces().map(|(block, start, rows)| Unit { shard, block: block as u32, start, rows }));
        self.rows = self
            .rows
            .checked_add(index.rows)
            .ok_or_else(|| Error::damaged(&index.path, "footer", "more rows in all shards than can be counted"))?;
        self.shards.push(Arc::new(index));
        Ok(())
    }

    fn batches_per_window(&self) -> u64 {
        self.window_rows / self.batch_size
    }
}

#[cfg(test)]
mod tests;
