//! Rows on their way from reading to the shards: columns in a temp file, so that memory does not grow with the rows.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytemuck::{cast_slice, cast_slice_mut};

use crate::data::dataset::Split;
use crate::{Error, Result};

/// Some rows of one input file, with provisional ids.
#[derive(Default)]
pub(super) struct SpillBlock {
    pub(super) split: Option<Split>,
    pub(super) users: Vec<u32>,
    pub(super) items: Vec<u32>,
    /// Empty where there is no time column.
    pub(super) times: Vec<i64>,
    /// Empty where there is no weight column.
    pub(super) weights: Vec<f32>,
}

/// The temp file, while it is written.
pub(super) struct Spill {
    path: PathBuf,
    out: BufWriter<File>,
    times: bool,
    weights: bool,
    /// Rows so far.
    pub(super) rows: u64,
}

impl Spill {
    pub(super) fn create(path: &Path, times: bool, weights: bool) -> Result<Spill> {
        let file =
            File::options().read(true).write(true).create_new(true).open(path).map_err(|e| Error::io(path, e))?;
        Ok(Spill { path: path.to_owned(), out: BufWriter::with_capacity(1 << 18, file), times, weights, rows: 0 })
    }

    /// Appends rows; `times` and `weights` are as many as the users, or ignored where the file has none.
    pub(super) fn append(
        &mut self,
        split: Split,
        users: &[u32],
        items: &[u32],
        times: &[i64],
        weights: &[f32],
    ) -> Result<()> {
        if users.is_empty() {
            return Ok(());
        }
        let mut write = || {
            self.out.write_all(cast_slice(&[users.len() as u32, split as u32]))?;
            self.out.write_all(cast_slice(users))?;
            self.out.write_all(cast_slice(items))?;
            if self.times {
                self.out.write_all(cast_slice(times))?;
            }
            if self.weights {
                self.out.write_all(cast_slice(weights))?;
            }
            Ok(())
        };
        write().map_err(|e| Error::io(&self.path, e))?;
        self.rows += users.len() as u64;
        Ok(())
    }

    /// Ends the writing.
    pub(super) fn finish(mut self) -> Result<Spilled> {
        self.out.flush().map_err(|e| Error::io(&self.path, e))?;
        Ok(Spilled { path: self.path, times: self.times, weights: self.weights, rows: self.rows })
    }
}

/// The temp file, to be read as often as needed.
pub(super) struct Spilled {
    path: PathBuf,
    times: bool,
    weights: bool,
    pub(super) rows: u64,
}

impl Spilled {
    /// Calls `each` with every block, in input order, and the number of its first row.
    pub(super) fn for_each(&self, mut each: impl FnMut(&SpillBlock, u64) -> Result<()>) -> Result<()> {
        let file = File::open(&self.path).map_err(|e| Error::io(&self.path, e))?;
        let mut input = BufReader::with_capacity(1 << 18, file);
        let mut block = SpillBlock::default();
        let mut row = 0;
        while row < self.rows {
            self.read(&mut input, &mut block).map_err(|e| Error::io(&self.path, e))?;
            each(&block, row)?;
            row += block.users.len() as u64;
        }
        Ok(())
    }

    fn read(&self, input: &mut impl Read, block: &mut SpillBlock) -> std::io::Result<()> {
        let mut head = [0u32; 2];
        input.read_exact(cast_slice_mut(&mut head))?;
        let rows = head[0] as usize;
        block.split = Split::ALL.get(head[1] as usize).copied();
        block.users.resize(rows, 0);
        input.read_exact(cast_slice_mut(&mut block.users))?;
        block.items.resize(rows, 0);
        input.read_exact(cast_slice_mut(&mut block.items))?;
        if self.times {
            block.times.resize(rows, 0);
            input.read_exact(cast_slice_mut(&mut block.times))?;
        }
        if self.weights {
            block.weights.resize(rows, 0.0);
            input.read_exact(cast_slice_mut(&mut block.weights))?;
        }
        Ok(())
    }

    /// Whether rows have times and weights.
    pub(super) fn columns(&self) -> (bool, bool) {
        (self.times, self.weights)
    }
}

impl SpillBlock {
    /// Every row's user, item, time (0 where there is none) and number.
    pub(super) fn rows(&self, first: u64) -> impl Iterator<Item = (u32, u32, i64, u64)> + '_ {
        let times = self.times.iter().copied().chain(std::iter::repeat(0));
        self.users.iter().zip(&self.items).zip(times).zip(first..).map(|(((u, i), t), row)| (*u, *i, t, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(&dir.path().join("rows"), true, false).unwrap();
        spill.append(Split::Train, &[1, 2], &[3, 4], &[-5, 6], &[]).unwrap();
        spill.append(Split::Train, &[], &[], &[], &[]).unwrap();
        spill.append(Split::Test, &[7], &[8], &[9], &[]).unwrap();
        let spilled = spill.finish().unwrap();
        let mut found = Vec::new();
        for _ in 0..2 {
            spilled
                .for_each(|block, first| {
                    found.extend(block.rows(first).map(|row| (block.split.unwrap(), row)));
                    Ok(())
                })
                .unwrap();
        }
        let rows = [(Split::Train, (1, 3, -5, 0)), (Split::Train, (2, 4, 6, 1)), (Split::Test, (7, 8, 9, 2))];
        assert_eq!(found, [rows, rows].concat());
    }
}
