//! What each user did in training, oldest first: histories, seen items, known positives.
//!
//! `history.arrow` is a shard of the training rows sorted by user, then time, then input order (without weights). Where
//! it is small it is kept in memory; else rows are read from the file when they are asked for, so that memory stays
//! bounded at any number of rows: 8 bytes a user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::Pod;

use crate::data::dataset::{Dataset, FileInfo};
use crate::data::shard::ipc::ByteSource;
use crate::data::shard::{ShardBlock, ShardIndex};
use crate::files::OpenedFile;
use crate::threads::Threads;
use crate::{Error, Result, memory};

mod check;
mod sort;

use check::Check;

/// The file's name in a dataset folder.
pub const FILE_NAME: &str = "history.arrow";

/// What takes the memory.
const WHAT: &str = "the histories of the users";
/// Rows that are read at a time where all are.
const ROWS_AT_ONCE: u64 = 1 << 18;
/// Columns of up to this many bytes are kept in memory.
const CACHE_BYTES: u64 = 96 << 20;

/// The training rows by user.
#[derive(Debug)]
pub struct History {
    index: Arc<ShardIndex>,
    file: OpenedFile,
    /// User u has rows `offsets[u]..offsets[u + 1]`.
    offsets: Vec<u64>,
    cache: Option<Cache>,
    /// Items are below this.
    item_rows: u32,
}

#[derive(Debug, Default)]
struct Cache {
    items: Vec<u32>,
    timestamps: Vec<i64>,
}

/// Items of rows that were read together.
#[derive(Debug, Default)]
pub(crate) struct HistoryPiece {
    first: u64,
    items: Vec<u32>,
}

impl History {
    /// Sorts the rows of the training shards into `dir/history.arrow`: runs are sorted in memory, put into a temp file
    /// in `dir` and merged. Takes less than 128 MiB at any number of rows.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for a user at or past `users`, [`Error::Schema`] when only some shards have timestamps,
    /// [`Error::Io`]; as [`Shard::open`](crate::data::shard::Shard::open) else.
    pub fn write(dir: &Path, train: &[PathBuf], users: u32) -> Result<FileInfo> {
        let open = |path: &PathBuf| ShardIndex::read(OpenedFile::open(path)?).map(Arc::new);
        Self::write_shards(dir, train.iter().map(open).collect::<Result<_>>()?, users)
    }

    /// [`write`](History::write) of shards that are open.
    pub(crate) fn write_shards(dir: &Path, train: Vec<Arc<ShardIndex>>, users: u32) -> Result<FileInfo> {
        sort::write(dir, train, users, sort::RUN_ROWS)
    }

    /// [`write`](History::write) of a dataset's training rows.
    pub(crate) fn write_of(dir: &Path, dataset: &Dataset) -> Result<FileInfo> {
        let manifest = dataset.manifest();
        let open = |file: &FileInfo| ShardIndex::of(dataset.opened(file)?, file).map(Arc::new);
        let train = manifest.train.files.iter().map(open).collect::<Result<_>>()?;
        Self::write_shards(dir, train, manifest.users.rows)
    }

    /// Opens `dir/`[`FileInfo::name`], a file that [`write`](History::write) made, and reads it once: checksums, order,
    /// users below `users`, items below `items`.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::IdOutOfRange`]; as [`Shard::open`](crate::data::shard::Shard::open) else.
    pub fn open(dir: &Path, info: &FileInfo, users: u32, items: u32) -> Result<History> {
        Self::of(OpenedFile::open(&dir.join(&info.name))?, info, users, items)
    }

    /// [`open`](History::open) of a file that is open.
    pub(crate) fn of(file: OpenedFile, info: &FileInfo, users: u32, items: u32) -> Result<History> {
        let index = Arc::new(ShardIndex::of(file.clone(), info)?);
        let width = if index.timestamps { 12 } else { 4 };
        let mut cache = (index.rows.saturating_mul(width) <= CACHE_BYTES).then(Cache::default);
        let mut offsets = memory::zeros::<u64>(users as usize + 1, WHAT)?;
        if let Some(cache) = &mut cache {
            memory::reserve_exact(&mut cache.items, index.rows as usize, WHAT)?;
            memory::reserve_exact(&mut cache.timestamps, if index.timestamps { index.rows as usize } else { 0 }, WHAT)?;
        }
        let check = Check { path: file.path(), users, items };
        let threads = if index.rows > ROWS_AT_ONCE { Threads::available() } else { Threads::new(1)? };
        let mut last = check::FIRST;
        index.scan_together(
            &threads,
            |first, rows| check.piece(first, rows),
            |rows, piece| {
                for (user, rows) in check.follows(&mut last, piece)? {
                    offsets[user as usize + 1] += rows;
                }
                if let Some(cache) = &mut cache {
                    cache.items.extend_from_slice(rows.items);
                    cache.timestamps.extend_from_slice(rows.timestamps.unwrap_or_default());
                }
                Ok(())
            },
        )?;
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        Ok(History { index, file, offsets, cache, item_rows: items })
    }

    /// Opens the dataset's history; where the manifest names none, sorts one into a temp folder that vanishes with it.
    ///
    /// # Errors
    /// As [`write`](History::write) and [`open`](History::open).
    pub fn of_dataset(dataset: &Dataset) -> Result<History> {
        let manifest = dataset.manifest();
        let (users, items) = (manifest.users.rows, manifest.items.rows);
        if let Some(info) = &manifest.history {
            return Self::of(dataset.opened(info)?, info, users, items);
        }
        let dir = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), e))?;
        let info = Self::write_of(dir.path(), dataset)?;
        // The file stays readable through its open handle when the folder is removed.
        Self::open(dir.path(), &info, users, items)
    }

    /// How many training rows a user has; 0 past the last user.
    pub fn count(&self, user: u32) -> usize {
        let (start, end) = self.range(user);
        (end - start) as usize
    }

    /// Training rows, of all users together.
    pub(crate) fn rows(&self) -> u64 {
        self.offsets.last().copied().unwrap_or_default()
    }

    /// The file, to be read row by row.
    pub(crate) fn index(&self) -> &Arc<ShardIndex> {
        &self.index
    }

    /// Rows of the item vocabulary: every item is below.
    pub(crate) fn item_rows(&self) -> u32 {
        self.item_rows
    }

    /// Whether the rows have timestamps.
    pub fn has_timestamps(&self) -> bool {
        self.index.timestamps
    }

    /// Appends all training items of a user to `out`, oldest first, repeats included.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] when the file changed since it was opened.
    pub fn items(&self, user: u32, out: &mut Vec<u32>) -> Result<()> {
        let (start, end) = self.range(user);
        self.read_items(start, end, out)
    }

    /// The rows of these users in one piece, where they lie together in the file; otherwise nothing. Takes as many values as
    /// the users have rows, twice at most.
    ///
    /// # Errors
    /// As [`items`](History::items).
    pub(crate) fn piece(&self, users: &[u32]) -> Result<HistoryPiece> {
        let mut piece = HistoryPiece::default();
        if self.cache.is_some() {
            return Ok(piece);
        }
        let ranges = users.iter().map(|&user| self.range(user)).filter(|(start, end)| start < end);
        let all = ranges.fold((u64::MAX, 0, 0), |(first, last, rows), (start, end)| {
            (first.min(start), last.max(end), rows + (end - start))
        });
        let (first, last, rows) = all;
        if rows > 0 && last - first <= 2 * rows {
            memory::reserve_exact(&mut piece.items, (last - first) as usize, WHAT)?;
            self.read_items(first, last, &mut piece.items)?;
            piece.first = first;
        }
        Ok(piece)
    }

    /// [`items`](History::items), from `piece` where it has them.
    ///
    /// # Errors
    /// As [`items`](History::items).
    pub(crate) fn items_of(&self, user: u32, piece: &HistoryPiece, out: &mut Vec<u32>) -> Result<()> {
        let (start, end) = self.range(user);
        let at = |row: u64| row.checked_sub(piece.first).map(|row| row as usize);
        match at(start).zip(at(end)).and_then(|(start, end)| piece.items.get(start..end)) {
            Some(items) => out.extend_from_slice(items),
            None => self.read_items(start, end, out)?,
        }
        Ok(())
    }

    /// Appends the last `n` items of a user with a timestamp (seconds) below `before` (`None`: of all rows) to `out`,
    /// oldest first.
    ///
    /// # Errors
    /// [`Error::Schema`] when `before` is given and there are no timestamps; as [`items`](History::items) else.
    pub fn last_before(&self, user: u32, before: Option<i64>, n: usize, out: &mut Vec<u32>) -> Result<()> {
        let (start, mut end) = self.range(user);
        if let Some(before) = before {
            end = self.first_at_or_after(start, end, before)?;
        }
        self.read_items(start.max(end.saturating_sub(n as u64)), end, out)
    }

    /// Tells `each` of all rows in their order, piece by piece: the number of the piece's first row, the items, and the
    /// times where there are times.
    ///
    /// # Errors
    /// As [`items`](History::items).
    pub(crate) fn each_piece(&self, mut each: impl FnMut(u64, &[u32], &[i64])) -> Result<()> {
        let (mut items, mut times) = (Vec::new(), Vec::new());
        for start in (0..self.rows()).step_by(ROWS_AT_ONCE as usize) {
            let end = self.rows().min(start + ROWS_AT_ONCE);
            items.clear();
            times.clear();
            self.read_items(start, end, &mut items)?;
            self.read_times(start, end, &mut times)?;
            each(start, &items, &times);
        }
        Ok(())
    }

    /// Where each user's rows end.
    pub(crate) fn ends(&self) -> &[u64] {
        &self.offsets[1..]
    }

    fn range(&self, user: u32) -> (u64, u64) {
        match self.offsets.get(user as usize..=user as usize + 1) {
            Some(&[start, end]) => (start, end),
            _ => (0, 0),
        }
    }

    /// The first of rows `start..end` with a timestamp of at least `time`, or `end`.
    fn first_at_or_after(&self, start: u64, end: u64, time: i64) -> Result<u64> {
        if !self.index.timestamps {
            return Err(Error::Schema {
                path: self.index.path.clone(),
                column: "timestamp".into(),
                expected: "int64: a history before a time needs times".into(),
                found: "no such column".into(),
            });
        }
        if let Some(cache) = &self.cache {
            let times = &cache.timestamps[start as usize..end as usize];
            return Ok(start + times.partition_point(|&t| t < time) as u64);
        }
        // A user's rows are few: one read of up to 4 KiB settles it; for more, halve first.
        let (mut low, mut high) = (start, end);
        let mut times = Vec::new();
        while high - low > 512 {
            let middle = low + (high - low) / 2;
            times.clear();
            self.read(middle, middle + 1, &mut times, |block| block.timestamps)?;
            if times[0] < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        times.clear();
        self.read(low, high, &mut times, |block| block.timestamps)?;
        Ok(low + times.partition_point(|&t: &i64| t < time) as u64)
    }

    fn read_items(&self, start: u64, end: u64, out: &mut Vec<u32>) -> Result<()> {
        if let Some(cache) = &self.cache {
            out.extend_from_slice(&cache.items[start as usize..end as usize]);
            return Ok(());
        }
        let from = out.len();
        self.read(start, end, out, |block| block.items)?;
        if out[from..].iter().any(|&item| item >= self.item_rows) {
            out.truncate(from);
            return Err(Error::damaged(&self.index.path, "column item", "it changed while in use"));
        }
        Ok(())
    }

    /// Appends the times of rows `start..end`, where there are times.
    fn read_times(&self, start: u64, end: u64, out: &mut Vec<i64>) -> Result<()> {
        match &self.cache {
            _ if !self.index.timestamps => {}
            Some(cache) => out.extend_from_slice(&cache.timestamps[start as usize..end as usize]),
            None => self.read(start, end, out, |block| block.timestamps)?,
        }
        Ok(())
    }

    /// Appends rows `start..end` of a column, whose place in a block `column` gives.
    fn read<T: Pod>(&self, mut start: u64, end: u64, out: &mut Vec<T>, column: fn(&ShardBlock) -> u64) -> Result<()> {
        let blocks = &self.index.blocks;
        let mut number = blocks.partition_point(|block| block.first_row + block.rows <= start);
        while start < end {
            let block = &blocks[number];
            let to = end.min(block.first_row + block.rows);
            let from = out.len();
            out.resize(from + (to - start) as usize, T::zeroed());
            let at = column(block) + (start - block.first_row) * size_of::<T>() as u64;
            self.file
                .read(at, bytemuck::cast_slice_mut(&mut out[from..]))
                .map_err(|e| Error::io(&self.index.path, e))?;
            start = to;
            number += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
