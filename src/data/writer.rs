//! Writing shards: Arrow files of interactions that carry a checksum for every record batch.

use std::path::{Path, PathBuf};

use arrow2::array::PrimitiveArray;
use arrow2::datatypes::{DataType, Field};

use crate::data::batch::Rows;
use crate::data::dataset::FileInfo;
use crate::data::shard::checksum;
use crate::{Error, Result};

mod arrow_file;

pub(crate) use arrow_file::ArrowFile;

/// Rows of a shard unless told otherwise: 32 to 80 MiB.
const ROWS_PER_SHARD: u64 = 4 << 20;
/// Rows of a record batch unless told otherwise. The loader shuffles record batches whole and checks each when it
/// reads it: many small ones mix better, few large ones read faster.
const ROWS_PER_BLOCK: usize = 16 << 10;

/// Writes the shards of a split: `train-00000.arrow`, `train-00001.arrow`, … A file appears under its name when it is
/// complete. Memory: one record batch.
pub struct ShardWriter {
    names: Names,
    columns: Columns,
    rows_per_shard: u64,
    rows_per_block: usize,
    block: Block,
    /// The open shard.
    open: Option<OpenShard>,
    done: Vec<FileInfo>,
}

enum Names {
    Numbered { dir: PathBuf, prefix: String },
    One(PathBuf),
}

#[derive(Clone, Copy)]
struct Columns {
    timestamps: bool,
    weights: bool,
}

struct OpenShard {
    file: ArrowFile,
    rows: u64,
    checksums: Vec<u64>,
}

#[derive(Default)]
struct Block {
    users: Vec<u32>,
    items: Vec<u32>,
    timestamps: Vec<i64>,
    weights: Vec<f32>,
}

impl ShardWriter {
    /// Prepares to write `dir/prefix-00000.arrow` and so on, with these columns beside `user` and `item`. Nothing is
    /// written before there are rows.
    pub fn create(dir: &Path, prefix: &str, timestamps: bool, weights: bool) -> ShardWriter {
        Self::new(Names::Numbered { dir: dir.to_owned(), prefix: prefix.to_owned() }, Columns { timestamps, weights })
    }

    /// Prepares to write one file of any length.
    pub(crate) fn single(path: &Path, timestamps: bool, weights: bool) -> ShardWriter {
        let mut writer = Self::new(Names::One(path.to_owned()), Columns { timestamps, weights });
        writer.rows_per_shard = u64::MAX;
        writer
    }

    fn new(names: Names, columns: Columns) -> ShardWriter {
        ShardWriter {
            names,
            columns,
            rows_per_shard: ROWS_PER_SHARD,
            rows_per_block: ROWS_PER_BLOCK,
            block: Block::default(),
            open: None,
            done: Vec::new(),
        }
    }

    /// Starts a new shard after this many rows, at least 1 (default 4 Mi).
    pub fn rows_per_shard(mut self, rows: u64) -> ShardWriter {
        self.rows_per_shard = rows.max(1);
        self
    }

    /// Makes record batches of this many rows, 1 to 1 Mi (default 16 Ki).
    pub fn rows_per_block(mut self, rows: usize) -> ShardWriter {
        self.rows_per_block = rows.clamp(1, 1 << 20);
        self
    }

    /// Appends rows: `users[i]` and `items[i]` with `timestamps[i]` (seconds) and `weights[i]`, where the writer was
    /// created with these columns; otherwise they are empty.
    ///
    /// # Errors
    /// [`Error::Shape`] when the columns differ in length, [`Error::Io`] naming the shard.
    pub fn push(&mut self, users: &[u32], items: &[u32], timestamps: &[i64], weights: &[f32]) -> Result<()> {
        let due = |there: bool| if there { users.len() } else { 0 };
        let found = [items.len(), timestamps.len(), weights.len()];
        let expected = [users.len(), due(self.columns.timestamps), due(self.columns.weights)];
        if found != expected {
            return Err(Error::Shape {
                op: "ShardWriter::push (items, timestamps, weights)",
                expected: format!("{expected:?}"),
                found: format!("{found:?}"),
            });
        }
        let mut from = 0;
        while from < users.len() {
            let written = self.open.as_ref().map_or(0, |open| open.rows);
            let left_in_shard = self.rows_per_shard - written - self.block.users.len() as u64;
            let left_in_block = self.rows_per_block - self.block.users.len();
            let n = left_in_block.min(users.len() - from).min(usize::try_from(left_in_shard).unwrap_or(usize::MAX));
            let to = from + n;
            self.block.users.extend_from_slice(&users[from..to]);
            self.block.items.extend_from_slice(&items[from..to]);
            if self.columns.timestamps {
                self.block.timestamps.extend_from_slice(&timestamps[from..to]);
            }
            if self.columns.weights {
                self.block.weights.extend_from_slice(&weights[from..to]);
            }
            from = to;
            if n == left_in_block || n as u64 == left_in_shard {
                self.write_block()?;
            }
            if n as u64 == left_in_shard {
                self.close_shard()?;
            }
        }
        Ok(())
    }

    /// Writes what is left and gives the last shard its name. No rows, no files.
    ///
    /// # Errors
    /// [`Error::Io`] naming the shard.
    pub fn finish(mut self) -> Result<Vec<FileInfo>> {
        self.write_block()?;
        self.close_shard()?;
        Ok(self.done)
    }

    /// [`finish`](ShardWriter::finish) for a [`single`](ShardWriter::single) file, which is written without rows, too.
    pub(crate) fn finish_single(mut self) -> Result<FileInfo> {
        self.write_block()?;
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open_shard()?,
        };
        open.finish()
    }

    fn open_shard(&self) -> Result<OpenShard> {
        let file = ArrowFile::create(&self.names.path(self.done.len()), self.columns.fields())?;
        Ok(OpenShard { file, rows: 0, checksums: Vec::new() })
    }

    fn write_block(&mut self) -> Result<()> {
        let block = std::mem::take(&mut self.block);
        if block.users.is_empty() {
            return Ok(());
        }
        let Columns { timestamps, weights } = self.columns;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_shard()?,
        };
        let rows = Rows {
            users: &block.users,
            items: &block.items,
            timestamps: timestamps.then_some(&block.timestamps),
            weights: weights.then_some(&block.weights),
        };
        open.checksums.push(checksum::of_rows(rows));
        open.rows += block.users.len() as u64;
        let mut columns =
            vec![PrimitiveArray::from_vec(block.users).boxed(), PrimitiveArray::from_vec(block.items).boxed()];
        if timestamps {
            columns.push(PrimitiveArray::from_vec(block.timestamps).boxed());
        }
        if weights {
            columns.push(PrimitiveArray::from_vec(block.weights).boxed());
        }
        open.file.write(columns)?;
        self.open = Some(open);
        Ok(())
    }

    fn close_shard(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            self.done.push(open.finish()?);
        }
        Ok(())
    }
}

impl OpenShard {
    fn finish(self) -> Result<FileInfo> {
        self.file.finish(checksum::to_metadata(self.rows, &self.checksums))
    }
}

impl Names {
    fn path(&self, number: usize) -> PathBuf {
        match self {
            Names::Numbered { dir, prefix } => dir.join(format!("{prefix}-{number:05}.arrow")),
            Names::One(path) => path.clone(),
        }
    }
}

impl Columns {
    fn fields(self) -> Vec<Field> {
        let mut fields = vec![Field::new("user", DataType::UInt32, false), Field::new("item", DataType::UInt32, false)];
        if self.timestamps {
            fields.push(Field::new("timestamp", DataType::Int64, false));
        }
        if self.weights {
            fields.push(Field::new("weight", DataType::Float32, false));
        }
        fields
    }
}
