//! The external sort behind `history.arrow`.
//!
//! Runs of consecutive input rows are sorted in memory and merged. Equal rows are taken from the earlier run first, so
//! the whole is stable. Memory does not depend on how rows spread over users.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::FILE_NAME;
use crate::data::batch::{Rows, SortScratch};
use crate::data::dataset::FileInfo;
use crate::data::shard::ShardIndex;
use crate::data::shard::ipc::ByteSource;
use crate::data::writer::ShardWriter;
use crate::{Error, Result};

/// Rows of a run: 32 MiB of records and as much for sorting.
pub(super) const RUN_ROWS: usize = 2 << 20;
/// Rows that are pushed to the writer at once.
const OUT_ROWS: usize = 4096;

/// A row of the temp file: `user << 32 | item`, and the timestamp's bits.
type Record = [u64; 2];
const RECORD_BYTES: u64 = size_of::<Record>() as u64;

fn user(record: &Record) -> u32 {
    (record[0] >> 32) as u32
}

fn time(record: &Record) -> i64 {
    record[1].cast_signed()
}

pub(super) fn write(dir: &Path, shards: Vec<Arc<ShardIndex>>, users: u32, run_rows: usize) -> Result<FileInfo> {
    let timestamps = shards.first().is_some_and(|shard| shard.timestamps);
    if let Some(other) = shards.iter().find(|shard| shard.timestamps != timestamps) {
        return Err(Error::Schema {
            path: other.path.clone(),
            column: "timestamp".into(),
            expected: "the same columns as in the first shard".into(),
            found: format!("timestamps: {}", other.timestamps),
        });
    }
    let mut sorter = Sorter {
        dir,
        rows: Vec::new(),
        scratch: SortScratch::default(),
        runs: Vec::new(),
        temp: None,
        out: Out {
            writer: ShardWriter::single(&dir.join(FILE_NAME), timestamps, false),
            timestamps,
            users: Vec::new(),
            items: Vec::new(),
            times: Vec::new(),
        },
    };
    for shard in &shards {
        shard.scan(|first, rows| {
            if let Some((i, &id)) = rows.users.iter().enumerate().find(|(_, user)| **user >= users) {
                let (path, row) = (shard.path.clone(), first + i as u64);
                return Err(Error::IdOutOfRange { path, row, column: "user", id, rows: users });
            }
            sorter.take(rows, run_rows)
        })?;
    }
    sorter.finish()
}

struct Sorter<'a> {
    dir: &'a Path,
    /// The run in the making.
    rows: Vec<Record>,
    scratch: SortScratch,
    /// Rows of the runs in the temp file, where they start and end.
    runs: Vec<(u64, u64)>,
    temp: Option<BufWriter<File>>,
    out: Out,
}

impl Sorter<'_> {
    fn take(&mut self, rows: Rows<'_>, run_rows: usize) -> Result<()> {
        for i in 0..rows.len() {
            if self.rows.len() == run_rows {
                self.spill()?;
            }
            let time = rows.timestamps.map_or(0, |timestamps| timestamps[i]);
            self.rows.push([u64::from(rows.users[i]) << 32 | u64::from(rows.items[i]), time.cast_unsigned()]);
        }
        Ok(())
    }

    fn io(&self, error: std::io::Error) -> Error {
        Error::io(self.dir.join(FILE_NAME), error)
    }

    /// Sorts the run and appends it to the temp file.
    fn spill(&mut self) -> Result<()> {
        let start = self.runs.last().map_or(0, |&(_, end)| end);
        let mut temp = match self.temp.take() {
            Some(temp) => temp,
            None => BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(self.dir).map_err(|e| self.io(e))?),
        };
        let rows = &self.rows;
        let mut result = Ok(());
        for &key in sorted(rows, &mut self.scratch).iter() {
            result = temp.write_all(bytemuck::cast_slice(&rows[key as u32 as usize]));
            if result.is_err() {
                break;
            }
        }
        result.map_err(|e| self.io(e))?;
        self.runs.push((start, start + self.rows.len() as u64));
        self.rows.clear();
        self.temp = Some(temp);
        Ok(())
    }

    fn finish(mut self) -> Result<FileInfo> {
        if self.runs.is_empty() {
            for &key in sorted(&self.rows, &mut self.scratch).iter() {
                self.out.push(&self.rows[key as u32 as usize])?;
            }
            return self.out.finish();
        }
        if !self.rows.is_empty() {
            self.spill()?;
        }
        (self.rows, self.scratch) = (Vec::new(), SortScratch::default());
        let Some(temp) = self.temp.take() else { return self.out.finish() };
        let temp = temp.into_inner().map_err(|e| self.io(e.into_error()))?;
        let buffer_rows = (RUN_ROWS / self.runs.len()).clamp(256, 16 << 10);
        let mut heap = BinaryHeap::new();
        let mut runs = Vec::new();
        for &(next, end) in &self.runs {
            let mut run = Run { next, end, buffer: Vec::new(), at: 0 };
            run.fill(&temp, buffer_rows).map_err(|e| self.io(e))?;
            heap.extend(run.key(runs.len()));
            runs.push(run);
        }
        while let Some(Reverse((.., number))) = heap.pop() {
            // This run goes on as long as it is ahead of the others: a user's rows mostly come together.
            let run = &mut runs[number];
            loop {
                self.out.push(&run.buffer[run.at])?;
                run.at += 1;
                if run.at == run.buffer.len() {
                    run.fill(&temp, buffer_rows).map_err(|e| Error::io(self.dir.join(FILE_NAME), e))?;
                }
                match run.key(number) {
                    None => break,
                    Some(key) if heap.peek().is_some_and(|top| key < *top) => {
                        heap.push(key);
                        break;
                    }
                    Some(_) => {}
                }
            }
        }
        self.out.finish()
    }
}

/// The order of `rows` by user, time and position: the low half of each key is the row's position.
fn sorted<'a>(rows: &[Record], scratch: &'a mut SortScratch) -> &'a [u64] {
    let keys = scratch.sort(rows.iter().map(user));
    // The radix sort was by user alone; input is mostly in the order of time, so few users are left to sort.
    for same_user in keys.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
        let time = |key: &u64| time(&rows[*key as u32 as usize]);
        if !same_user.is_sorted_by_key(time) {
            same_user.sort_by_key(time);
        }
    }
    keys
}

/// A sorted run in the temp file, and a buffer of its next rows.
struct Run {
    next: u64,
    end: u64,
    buffer: Vec<Record>,
    at: usize,
}

impl Run {
    fn fill(&mut self, temp: &File, rows: usize) -> std::io::Result<()> {
        let rows = (self.end - self.next).min(rows as u64);
        // A few megabytes in all.
        self.buffer.resize(rows as usize, [0; 2]);
        self.at = 0;
        temp.read(self.next * RECORD_BYTES, bytemuck::cast_slice_mut(&mut self.buffer))?;
        self.next += rows;
        Ok(())
    }

    /// What the heap orders the next row by; the least comes first. `None` at the end.
    fn key(&self, number: usize) -> Option<Reverse<(u32, i64, usize)>> {
        self.buffer.get(self.at).map(|record| Reverse((user(record), time(record), number)))
    }
}

/// Rows on their way to the writer.
struct Out {
    writer: ShardWriter,
    timestamps: bool,
    users: Vec<u32>,
    items: Vec<u32>,
    times: Vec<i64>,
}

impl Out {
    fn push(&mut self, record: &Record) -> Result<()> {
        self.users.push(user(record));
        self.items.push(record[0] as u32);
        if self.timestamps {
            self.times.push(time(record));
        }
        if self.users.len() == OUT_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.push(&self.users, &self.items, &self.times, &[])?;
        self.users.clear();
        self.items.clear();
        self.times.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<FileInfo> {
        self.flush()?;
        self.writer.finish_single()
    }
}
