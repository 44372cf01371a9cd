//! Reading shards: Arrow files of interactions, mapped into memory, with every offset and every value checked.
//!
//! A shard is an uncompressed Arrow IPC file with the columns `user` and `item` (uint32) and, optionally, `timestamp`
//! (int64, seconds) and `weight` (float32); other columns are ignored. Shards of this crate carry a checksum for each
//! record batch; files of pyarrow or Polars have none and are read as they are.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::batch::Rows;
use crate::data::dataset::parts::FileInfo;
use crate::files::{OpenedFile, hash_opened};
use crate::mapped::Mapped;
use crate::threads::Threads;
use crate::{Error, Result, memory};

pub(crate) mod checksum;
pub(crate) mod ipc;
mod summary;

pub use summary::{Summary, summarise};

use ipc::{ByteSource, Column, ColumnType, Footer};

#[cfg(target_endian = "big")]
compile_error!("Arrow files of this crate are little-endian and are read without conversion");

/// Rows that are read together from a record batch without a checksum.
const PIECE_ROWS: u64 = 16 << 10;
/// Rows after which a scan maps the file anew.
const SCAN_ROWS: u64 = 1 << 20;

/// An open shard.
pub struct Shard {
    index: Arc<ShardIndex>,
    bytes: FileBytes,
}

impl Shard {
    /// Opens and maps a shard, and checks its footer and record batch headers. Values are checked when they are read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Input`] (no Arrow file, an empty one, a compressed one), [`Error::Schema`] (a column is
    /// missing or has another type) or [`Error::Damaged`].
    pub fn open(path: impl AsRef<Path>) -> Result<Shard> {
        Arc::new(ShardIndex::read(OpenedFile::open(path.as_ref())?)?).map()
    }

    /// Reads a shard from memory; `name` stands for its path in errors.
    ///
    /// # Errors
    /// As [`open`](Shard::open).
    pub fn from_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Shard> {
        let index = ShardIndex::new(bytes, name.as_ref())?;
        // Words, so that the values are aligned as in a mapping.
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Ok(Shard { index: Arc::new(index), bytes: FileBytes::Owned { words, len: bytes.len() } })
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.index.rows
    }

    /// The number of blocks (record batches).
    pub fn blocks(&self) -> usize {
        self.index.blocks.len()
    }

    /// Whether there are timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.index.timestamps
    }

    /// Whether there are sample weights.
    pub fn has_weights(&self) -> bool {
        self.index.weights
    }

    /// Whether the shard carries checksums of its rows.
    pub fn has_checksums(&self) -> bool {
        self.index.checked
    }

    /// The rows of block `i`, compared with their checksum where the shard has one.
    ///
    /// # Errors
    /// [`Error::Damaged`] when they differ, or when there is no such block.
    pub fn block(&self, i: usize) -> Result<Rows<'_>> {
        let rows = self.unchecked_block(i)?;
        let block = &self.index.blocks[i];
        if self.index.checked && checksum::of_rows(rows) != block.checksum {
            return Err(self.index.damaged_block(i, "the checksum of its rows differs"));
        }
        Ok(rows)
    }

    /// Rows `range` of block `i`. A block with a checksum is read whole; of one without only this part is.
    pub(crate) fn part(&self, i: usize, range: Range<usize>) -> Result<Rows<'_>> {
        let rows = if self.index.checked { self.block(i)? } else { self.unchecked_block(i)? };
        rows.slice(range.start, range.end).ok_or_else(|| self.index.damaged_block(i, "it has fewer rows"))
    }

    fn unchecked_block(&self, i: usize) -> Result<Rows<'_>> {
        let block = self.index.blocks.get(i).ok_or_else(|| self.index.damaged_block(i, "there is no such block"))?;
        let bytes = self.bytes.as_slice();
        let rows = || -> Option<Rows<'_>> {
            Some(Rows {
                users: values(bytes, block.users, block.rows)?,
                items: values(bytes, block.items, block.rows)?,
                timestamps: match self.index.timestamps {
                    true => Some(values(bytes, block.timestamps, block.rows)?),
                    false => None,
                },
                weights: match self.index.weights {
                    true => Some(values(bytes, block.weights, block.rows)?),
                    false => None,
                },
            })
        };
        rows().ok_or_else(|| self.index.damaged_block(i, "its values are misaligned or lie outside the file"))
    }
}

/// `rows` values from byte `start` on.
pub(crate) fn values<T: bytemuck::AnyBitPattern>(bytes: &[u8], start: u64, rows: u64) -> Option<&[T]> {
    if rows == 0 {
        return Some(&[]);
    }
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(rows).ok()?.checked_mul(size_of::<T>())?)?;
    bytemuck::try_cast_slice(bytes.get(start..end)?).ok()
}

/// What is known of a shard without a mapping: enough to map it again and read any block.
#[derive(Debug)]
pub(crate) struct ShardIndex {
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    pub(crate) blocks: Vec<ShardBlock>,
    pub(crate) timestamps: bool,
    pub(crate) weights: bool,
    /// Whether `ShardBlock::checksum` counts.
    pub(crate) checked: bool,
    bytes: u64,
    /// The xxh3-64 of its footer.
    pub(crate) footer: String,
    /// The file, which stays readable when another takes its place; absent for a shard in memory.
    file: Option<OpenedFile>,
}

/// A record batch: its rows, and the byte of the file at which each column's values start.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShardBlock {
    pub(crate) first_row: u64,
    pub(crate) rows: u64,
    pub(crate) users: u64,
    pub(crate) items: u64,
    pub(crate) timestamps: u64,
    pub(crate) weights: u64,
    checksum: u64,
}

impl ShardIndex {
    /// Reads footer and headers of a file, without mapping it: mapped headers would drag their pages' neighbours in.
    pub(crate) fn read(file: OpenedFile) -> Result<ShardIndex> {
        let mut index = Self::new(&file, file.path())?;
        index.file = Some(file);
        Ok(index)
    }

    /// Reads them of the file that a manifest describes. Its footer, which holds a checksum of every record batch, is
    /// compared with the manifest's; where that knows of no footer, the file is read once and compared as a whole.
    pub(crate) fn of(file: OpenedFile, info: &FileInfo) -> Result<ShardIndex> {
        let damaged = |at, reason: String| Err(Error::damaged(file.path(), at, format!("{reason}; ingest again")));
        let mut index = Self::new(&file, file.path())?;
        match (&info.footer, &info.xxh3) {
            (Some(recorded), _) if *recorded != index.footer => {
                return damaged("footer", "it is not the file that the manifest describes".into());
            }
            (Some(_), _) if !index.checked => return damaged("footer", "its checksums are missing".into()),
            (Some(_), _) | (None, None) => {}
            (None, Some(recorded)) => match hash_opened(&file)? {
                found if found == *recorded => {}
                found => return damaged("file", format!("checksum {found}, expected {recorded}")),
            },
        }
        if index.rows != info.rows {
            return damaged("footer", format!("{} rows, the manifest says {}", index.rows, info.rows));
        }
        index.file = Some(file);
        Ok(index)
    }

    fn new<S: ByteSource + ?Sized>(source: &S, path: &Path) -> Result<ShardIndex> {
        let footer = Footer::read(source, path)?;
        let required = |name, kind| {
            optional(&footer, path, name, kind)?.ok_or_else(|| Error::Schema {
                path: path.to_owned(),
                column: name.to_owned(),
                expected: "uint32".into(),
                found: "no such column".into(),
            })
        };
        let users = required("user", ColumnType::U32)?;
        let items = required("item", ColumnType::U32)?;
        let timestamps = optional(&footer, path, "timestamp", ColumnType::I64)?;
        let weights = optional(&footer, path, "weight", ColumnType::F32)?;
        if let Some(promise) = &footer.promise
            && promise.checksums.len() != footer.batches()
        {
            return Err(Error::damaged(path, "footer", "its checksums do not match its record batches"));
        }
        let mut index = ShardIndex {
            path: path.to_owned(),
            rows: 0,
            blocks: Vec::with_capacity(footer.batches()),
            timestamps: timestamps.is_some(),
            weights: weights.is_some(),
            checked: footer.promise.is_some(),
            bytes: footer.file_bytes(),
            footer: footer.xxh3(),
            file: None,
        };
        for i in 0..footer.batches() {
            let batch = footer.batch(source, path, i)?;
            let start = |column: &Column, width| match batch.primitive(column, width) {
                Some(place) => Ok(place.start),
                None => {
                    let reason = "it has nulls or its values do not fit; nulls are not allowed";
                    Err(Error::damaged(path, format!("record batch {i}, column {}", column.name), reason))
                }
            };
            index.blocks.push(ShardBlock {
                first_row: index.rows,
                rows: batch.rows,
                users: start(users, 4)?,
                items: start(items, 4)?,
                timestamps: timestamps.map_or(Ok(0), |column| start(column, 8))?,
                weights: weights.map_or(Ok(0), |column| start(column, 4))?,
                checksum: footer.promise.as_ref().map_or(0, |promise| promise.checksums[i]),
            });
            index.rows = index
                .rows
                .checked_add(batch.rows)
                .ok_or_else(|| Error::damaged(path, format!("record batch {i}"), "more rows than can be counted"))?;
        }
        if let Some(promise) = &footer.promise
            && promise.rows != index.rows
        {
            return Err(Error::damaged(path, "footer", format!("{} rows, but it says {}", index.rows, promise.rows)));
        }
        Ok(index)
    }

    /// Maps the file.
    pub(crate) fn map(self: &Arc<Self>) -> Result<Shard> {
        let Some(file) = &self.file else {
            return Err(Error::Shape { op: "shard", expected: "a file".into(), found: "bytes in memory".into() });
        };
        let bytes = FileBytes::map(file)?;
        if bytes.as_slice().len() as u64 != self.bytes {
            return Err(Error::damaged(&self.path, "end of file", "its length changed while it was read"));
        }
        Ok(Shard { index: self.clone(), bytes })
    }

    /// The rows cut into pieces that are read together, as (block, first row in it, rows): a block with a checksum is
    /// read whole.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        self.blocks.iter().enumerate().flat_map(|(i, block)| {
            let most = if self.checked { block.rows.max(1) } else { PIECE_ROWS };
            (0..block.rows.div_ceil(most)).map(move |n| (i, n * most, most.min(block.rows - n * most)))
        })
    }

    /// Reads all rows in order, piece by piece; `visit` gets the number of a piece's first row with it. The file is
    /// mapped anew every now and then, so that pages that are done with do not count as this process's memory.
    pub(crate) fn scan(self: &Arc<Self>, mut visit: impl FnMut(u64, Rows<'_>) -> Result<()>) -> Result<()> {
        let mut mapped: Option<(u64, Shard)> = None;
        for (block, start, rows) in self.pieces() {
            let first = self.blocks[block].first_row + start;
            let shard = match &mut mapped {
                Some((since, shard)) if first - *since < SCAN_ROWS => shard,
                _ => &mut mapped.insert((first, self.map()?)).1,
            };
            visit(first, shard.part(block, start as usize..(start + rows) as usize)?)?;
        }
        Ok(())
    }

    /// [`scan`](ShardIndex::scan) by several threads: `see` is asked of pieces in any order, `take` gets what it said in
    /// theirs.
    pub(crate) fn scan_together<T: Send>(
        self: &Arc<Self>,
        threads: &Threads,
        see: impl Fn(u64, Rows<'_>) -> T + Send + Sync,
        mut take: impl FnMut(Rows<'_>, T) -> Result<()>,
    ) -> Result<()> {
        let mut pieces = self.pieces().peekable();
        while pieces.peek().is_some() {
            let shard = self.map()?;
            let (mut together, mut rows_together) = (Vec::new(), 0);
            while let Some(piece) = pieces.next_if(|_| rows_together < SCAN_ROWS) {
                rows_together += piece.2;
                together.push(piece);
            }
            let seen = threads.map(together, 1, |_, (block, start, rows)| {
                let rows = shard.part(block, start as usize..(start + rows) as usize)?;
                Ok::<_, Error>((rows, see(self.blocks[block].first_row + start, rows)))
            });
            for seen in seen {
                let (rows, seen) = seen?;
                take(rows, seen)?;
            }
        }
        Ok(())
    }

    fn damaged_block(&self, i: usize, reason: &str) -> Error {
        Error::damaged(&self.path, format!("record batch {i}"), format!("{reason}; ingest or write it again"))
    }
}

/// The column `name`, if there is one; it must have this type.
pub(crate) fn optional<'a>(
    footer: &'a Footer,
    path: &Path,
    name: &str,
    kind: ColumnType,
) -> Result<Option<&'a Column>> {
    match footer.column(name, path)? {
        Some(column) if column.kind != kind => Err(Error::Schema {
            path: path.to_owned(),
            column: name.to_owned(),
            expected: kind.to_string(),
            found: column.kind.to_string(),
        }),
        column => Ok(column),
    }
}

/// The bytes of a file.
pub(crate) enum FileBytes {
    /// Mapped, read-only.
    Map(Mapped),
    /// In memory, aligned to 8 bytes.
    Owned {
        /// The bytes, padded to whole words.
        words: Vec<u64>,
        /// How many of them count.
        len: usize,
    },
}

impl FileBytes {
    /// Maps a file.
    pub(crate) fn map(file: &OpenedFile) -> Result<FileBytes> {
        let opened = file.file().map_err(|e| Error::io(file.path(), e))?;
        Ok(FileBytes::Map(Mapped::new(&opened, file.path())?))
    }

    /// Reads a file into memory.
    pub(crate) fn read(file: &OpenedFile) -> Result<FileBytes> {
        let path = file.path();
        let len = ByteSource::bytes(file).map_err(|e| Error::io(path, e))?;
        let what = || format!("the bytes of {}", path.display());
        let len = usize::try_from(len).map_err(|_| Error::OutOfMemory { what: what(), needed: len })?;
        let mut words = memory::zeros::<u64>(len.div_ceil(8), &what())?;
        let bytes = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..len];
        ByteSource::read(file, 0, bytes).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Error::damaged(path, "end of file", "it was cut while it was read"),
            _ => Error::io(path, e),
        })?;
        Ok(FileBytes::Owned { words, len })
    }

    /// All of them.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            FileBytes::Map(map) => map,
            FileBytes::Owned { words, len } => &bytemuck::cast_slice(words)[..*len],
        }
    }
}
