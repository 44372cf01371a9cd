//! Reading a vocabulary file, ours or that of another program.

use std::ops::Range;
use std::path::Path;

use super::{EntityTable, FeatureColumn, RawIds};
use crate::data::dataset::parts::{Feature, FileInfo};
use crate::data::shard::ipc::{BatchHeader, Column, ColumnType, Footer};
use crate::data::shard::{FileBytes, optional, values};
use crate::files::OpenedFile;
use crate::{Error, Result, memory};

impl EntityTable {
    /// Reads the table at `path`: its checksum (where `info` has one), its columns, its number of rows, and that every
    /// code is below its feature's [`rows`](Feature::rows).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Input`] (no Arrow file, compressed), [`Error::Schema`] or [`Error::Damaged`].
    pub fn open(path: &Path, info: &FileInfo, features: &[Feature]) -> Result<EntityTable> {
        Self::of(&OpenedFile::open(path)?, info, features)
    }

    /// [`open`](EntityTable::open) of a file that is open.
    pub(crate) fn of(file: &OpenedFile, info: &FileInfo, features: &[Feature]) -> Result<EntityTable> {
        let path = file.path();
        let bytes = FileBytes::read(file)?;
        let bytes = bytes.as_slice();
        if let Some(expected) = &info.xxh3 {
            let found = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes));
            if &found != expected {
                return Err(Error::damaged(
                    path,
                    "file",
                    format!("checksum {found}, expected {expected}; ingest again"),
                ));
            }
        }
        let table = parse(bytes, path, features)?;
        if table.len() as u64 != info.rows {
            return Err(Error::damaged(path, "file", format!("{} rows, the manifest says {}", table.len(), info.rows)));
        }
        Ok(table)
    }
}

/// What takes the memory.
const WHAT: &str = "the ids and features of users and items";

/// Reads a table from a file's bytes.
pub(super) fn parse(bytes: &[u8], path: &Path, features: &[Feature]) -> Result<EntityTable> {
    let footer = Footer::read(bytes, path)?;
    let missing = |name: &str, expected: String| Error::Schema {
        path: path.to_owned(),
        column: name.to_owned(),
        expected,
        found: "no such column".into(),
    };
    let id = footer.column("id", path)?.ok_or_else(|| missing("id", "string or int64".into()))?;
    let ids = match id.kind {
        ColumnType::Utf8 | ColumnType::LargeUtf8 | ColumnType::Utf8View => RawIds::text(),
        ColumnType::I64 => RawIds::integer(),
        _ => return Err(mismatch(path, id, "string or int64")),
    };
    let count = optional(&footer, path, "count", ColumnType::U64)?
        .ok_or_else(|| missing("count", ColumnType::U64.to_string()))?;
    let mut columns = Vec::new();
    let mut table = EntityTable { ids, counts: Vec::new(), features: Vec::new() };
    for feature in features {
        let expected = if feature.is_list() { ColumnType::ListU32 } else { ColumnType::U32 };
        let column = footer.column(&feature.name, path)?.ok_or_else(|| missing(&feature.name, expected.to_string()))?;
        match (feature.is_list(), &column.kind) {
            (false, ColumnType::U32) => table.features.push(FeatureColumn::Codes(Vec::new())),
            (true, ColumnType::ListU32 | ColumnType::LargeListU32) => {
                table.features.push(FeatureColumn::Lists { offsets: vec![0], codes: Vec::new() });
            }
            _ => return Err(mismatch(path, column, &expected.to_string())),
        }
        columns.push((column, u32::try_from(feature.rows()).unwrap_or(u32::MAX)));
    }
    for i in 0..footer.batches() {
        let batch = footer.batch(bytes, path, i)?;
        let reader = BatchReader { bytes, path, batch: &batch, i };
        reader.ids(id, &mut table.ids)?;
        let counts: &[u64] = reader.primitive(count)?;
        memory::extend(&mut table.counts, counts, WHAT)?;
        for (&(column, rows), feature) in columns.iter().zip(&mut table.features) {
            reader.codes(column, rows, feature)?;
        }
    }
    Ok(table)
}

/// The values, where none is negative.
fn all<T: Copy + TryInto<u64>>(values: &[T]) -> Result<Option<Vec<u64>>> {
    let mut found = memory::with_capacity(values.len(), WHAT)?;
    found.extend(values.iter().map_while(|&value| value.try_into().ok()));
    Ok((found.len() == values.len()).then_some(found))
}

fn mismatch(path: &Path, column: &Column, expected: &str) -> Error {
    Error::Schema {
        path: path.to_owned(),
        column: column.name.clone(),
        expected: expected.to_owned(),
        found: column.kind.to_string(),
    }
}

/// One record batch.
struct BatchReader<'a> {
    bytes: &'a [u8],
    path: &'a Path,
    batch: &'a BatchHeader,
    i: usize,
}

impl<'a> BatchReader<'a> {
    fn damaged(&self, column: &Column, reason: &str) -> Error {
        let at = format!("record batch {}, column {}", self.i, column.name);
        Error::damaged(self.path, at, format!("{reason}; ingest or write it again"))
    }

    fn values<T: bytemuck::AnyBitPattern>(&self, place: Option<Range<u64>>) -> Option<&'a [T]> {
        let place = place?;
        values(self.bytes, place.start, (place.end - place.start) / size_of::<T>() as u64)
    }

    fn primitive<T: bytemuck::AnyBitPattern>(&self, column: &Column) -> Result<&'a [T]> {
        self.values(self.batch.primitive(column, size_of::<T>() as u64))
            .ok_or_else(|| self.damaged(column, "it contains nulls, or its values lie outside the file"))
    }

    /// Offsets from 0 of a text or list column, rows + 1 of them, and the first one's value in the file.
    fn offsets(&self, column: &Column) -> Result<Vec<u64>> {
        let large = matches!(column.kind, ColumnType::LargeUtf8 | ColumnType::LargeListU32);
        let found: Option<Vec<u64>> = if large {
            all(self.values::<i64>(self.batch.offsets(column, 8)).unwrap_or(&[-1]))?
        } else {
            all(self.values::<i32>(self.batch.offsets(column, 4)).unwrap_or(&[-1]))?
        };
        let mut offsets =
            found.ok_or_else(|| self.damaged(column, "its offsets lie outside the file or are negative"))?;
        if offsets.is_empty() {
            offsets.push(0);
        }
        if !offsets.is_sorted() {
            return Err(self.damaged(column, "its offsets do not ascend"));
        }
        Ok(offsets)
    }

    /// Whether the column's only null is row 0 of the file; an error where there are other nulls.
    fn first_is_null(&self, column: &Column, row_before: usize) -> Result<bool> {
        let bad = || self.damaged(column, "only row 0 may be null");
        let (nulls, bitmap) = self.batch.validity(column).ok_or_else(bad)?;
        if nulls == 0 {
            return Ok(false);
        }
        let bitmap: &[u8] = self.values(Some(bitmap)).ok_or_else(bad)?;
        let valid = |row: u64| {
            let byte = usize::try_from(row / 8).ok().and_then(|byte| bitmap.get(byte));
            byte.is_some_and(|byte| byte >> (row % 8) & 1 == 1)
        };
        let others = (1..self.batch.rows).all(valid);
        if nulls == 1
            && row_before == 0
            && self.batch.rows > 0
            && others
            && bitmap.first().is_some_and(|byte| byte & 1 == 0)
        {
            return Ok(true);
        }
        Err(bad())
    }

    fn ids(&self, column: &Column, ids: &mut RawIds) -> Result<()> {
        let first_is_null = self.first_is_null(column, ids.len())?;
        match ids {
            RawIds::Integer(to) => {
                let from = to.len();
                let values: &[i64] = self
                    .values(self.batch.values_with_nulls(column, 8))
                    .ok_or_else(|| self.damaged(column, "its values lie outside the file"))?;
                memory::extend(to, values, WHAT)?;
                if first_is_null {
                    to[from] = 0;
                }
            }
            RawIds::Text { .. } if column.kind == ColumnType::Utf8View => {
                for row in 0..self.batch.rows {
                    let text = match first_is_null && row == 0 {
                        true => Some(""),
                        false => self.view(column, row).and_then(|text| std::str::from_utf8(text).ok()),
                    };
                    ids.push_text(
                        text.ok_or_else(|| self.damaged(column, "a text is not UTF-8 or lies outside the file"))?,
                    );
                }
            }
            RawIds::Text { offsets: to, bytes } => {
                let mut offsets = self.offsets(column)?;
                if first_is_null && let [first, second, ..] = offsets.as_mut_slice() {
                    *first = *second;
                }
                let text: &[u8] = self
                    .values(self.batch.text(column))
                    .ok_or_else(|| self.damaged(column, "its texts lie outside the file"))?;
                let base = bytes.len() as u64;
                memory::reserve(to, offsets.len(), WHAT)?;
                let start = offsets[0];
                for pair in offsets.windows(2) {
                    let text = text.get(pair[0] as usize..pair[1] as usize);
                    if text.is_none_or(|text| std::str::from_utf8(text).is_err()) {
                        return Err(self.damaged(column, "a text is not UTF-8 or lies outside the file"));
                    }
                    to.push(base + pair[1] - start);
                }
                let end = offsets[offsets.len() - 1] as usize;
                memory::extend(bytes, &text[start as usize..end], WHAT)?;
            }
        }
        Ok(())
    }

    /// The text of a row of a view column: its length, then itself where it has up to 12 bytes, else four bytes of it,
    /// the number of its data buffer and its offset there.
    fn view(&self, column: &Column, row: u64) -> Option<&'a [u8]> {
        let views: &[u8] = self.values(self.batch.values_with_nulls(column, 16))?;
        let view = views.get(usize::try_from(row).ok()?.checked_mul(16)?..)?.first_chunk::<16>()?;
        let number = |at: usize| usize::try_from(i32::from_le_bytes(*view.get(at..)?.first_chunk()?)).ok();
        let length = number(0)?;
        if length <= 12 {
            return views.get(row as usize * 16 + 4..)?.get(..length);
        }
        let (buffer, offset) = (number(8)?, number(12)?);
        if buffer as u64 >= self.batch.view_buffers(column)? {
            return None;
        }
        let data: &[u8] = self.values(Some(self.batch.buffer(column, 2 + buffer)?))?;
        data.get(offset..)?.get(..length)
    }

    fn codes(&self, column: &Column, rows: u32, to: &mut FeatureColumn) -> Result<()> {
        let codes: &[u32] = match to {
            FeatureColumn::Codes(to) => {
                let codes = self.primitive(column)?;
                memory::extend(to, codes, WHAT)?;
                codes
            }
            FeatureColumn::Lists { offsets: to, codes: all } => {
                self.first_is_null(column, usize::MAX)?;
                let offsets = self.offsets(column)?;
                let codes: Option<&[u32]> = self.values(self.batch.list_values(column)).and_then(|codes: &[u32]| {
                    codes.get(usize::try_from(offsets[0]).ok()?..usize::try_from(offsets[offsets.len() - 1]).ok()?)
                });
                let codes = codes.ok_or_else(|| self.damaged(column, "its lists lie outside the file"))?;
                let base = all.len() as u64;
                memory::reserve(to, offsets.len(), WHAT)?;
                for &end in &offsets[1..] {
                    to.push(
                        u32::try_from(base + end - offsets[0])
                            .map_err(|_| self.damaged(column, "more than 2^32 - 1 codes in all"))?,
                    );
                }
                memory::extend(all, codes, WHAT)?;
                codes
            }
        };
        if let Some(code) = codes.iter().find(|&&code| code >= rows) {
            return Err(self.damaged(column, &format!("code {code}, but the feature has {rows}")));
        }
        Ok(())
    }
}
