//! Small text tables that users bring along: id lists and histories.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::{Error, Result};

/// How much of the first line is looked at to find the separator.
const PEEK: usize = 1 << 16;

/// A CSV or TSV file, row by row, with a header or (one column) without.
pub(super) struct Table {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read>>,
    header: Option<Vec<String>>,
    /// A first row that is no header.
    first: Option<StringRecord>,
    record: StringRecord,
}

/// One row of a [`Table`].
pub(super) struct Row<'a> {
    record: &'a StringRecord,
    path: &'a Path,
}

impl Row<'_> {
    /// The trimmed cell of a column that [`Table::column`] gave.
    pub(super) fn get(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or("").trim()
    }

    /// An error about this row.
    pub(super) fn error(&self, column: &str, reason: impl Into<String>) -> Error {
        let row = self.record.position().map_or(0, csv::Position::line);
        Error::Row { path: self.path.to_owned(), row, column: column.to_owned(), reason: reason.into() }
    }
}

impl Table {
    /// Opens a file, unpacking `.gz` and `.zst`. Its first row is a header when one of its cells is in `names`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Row`] for a first row that cannot be read, [`Error::Schema`] for several columns
    /// without a header.
    pub(super) fn open(path: &Path, names: &[&str]) -> Result<Table> {
        let io = |source| Error::io(path, source);
        let file = File::open(path).map_err(io)?;
        let unpacked: Box<dyn Read> = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Some("zst") => Box::new(zstd::Decoder::new(file).map_err(io)?),
            _ => Box::new(file),
        };
        let mut unpacked = BufReader::with_capacity(PEEK, unpacked);
        let mut head = Vec::new();
        unpacked.by_ref().take(PEEK as u64).read_to_end(&mut head).map_err(io)?;
        let mark = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let line = head[mark..].split(|&byte| byte == b'\n').next().unwrap_or(&[]);
        let separator = [b'\t', b',', b';'].into_iter().find(|separator| line.contains(separator)).unwrap_or(b',');
        let text = Cursor::new(head.split_off(mark)).chain(unpacked);
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(separator)
            .from_reader(Box::new(text) as Box<dyn Read>);
        let mut table = Table { path: path.to_owned(), reader, header: None, first: None, record: StringRecord::new() };
        if table.read()? {
            let cells: Vec<String> = table.record.iter().map(|cell| cell.trim().to_owned()).collect();
            if cells.iter().any(|cell| names.contains(&cell.as_str())) {
                table.header = Some(cells);
            } else if cells.len() > 1 {
                return Err(Error::Schema {
                    path: path.to_owned(),
                    column: names.first().copied().unwrap_or("id").to_owned(),
                    expected: "a header line that names it, or one id a line".into(),
                    found: format!("a first line of {} cells without it", cells.len()),
                });
            } else {
                table.first = Some(std::mem::take(&mut table.record));
            }
        }
        Ok(table)
    }

    /// The columns' names; none where the file is a plain list.
    pub(super) fn names(&self) -> &[String] {
        self.header.as_deref().unwrap_or(&[])
    }

    /// Where the first of `names` stands that is there. A plain list has the column 0 under every name when it
    /// `leads`, and no other.
    ///
    /// # Errors
    /// [`Error::Schema`] when the column leads and is missing, or stands twice.
    pub(super) fn column(&self, names: &[&str], leads: bool) -> Result<Option<usize>> {
        let Some(header) = &self.header else { return Ok(leads.then_some(0)) };
        let wrong = |expected: &str| Error::Schema {
            path: self.path.clone(),
            column: names.first().copied().unwrap_or("id").to_owned(),
            expected: expected.to_owned(),
            found: header.join(", "),
        };
        for name in names {
            let mut places = header.iter().enumerate().filter(|(_, cell)| cell == name).map(|(at, _)| at);
            if let Some(at) = places.next() {
                return if places.next().is_some() { Err(wrong("one column of this name")) } else { Ok(Some(at)) };
            }
        }
        if leads { Err(wrong("a column of this name")) } else { Ok(None) }
    }

    /// The next row; empty lines are passed over.
    ///
    /// # Errors
    /// [`Error::Row`] for bytes that are no UTF-8 or a row with another number of cells, [`Error::Io`].
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>> {
        if let Some(first) = self.first.take() {
            self.record = first;
        } else if !self.read()? {
            return Ok(None);
        }
        Ok(Some(Row { record: &self.record, path: &self.path }))
    }

    fn read(&mut self) -> Result<bool> {
        self.reader.read_record(&mut self.record).map_err(|error| {
            let row = error.position().map_or(0, csv::Position::line);
            let bad = |reason: String| Error::Row { path: self.path.clone(), row, column: "any".into(), reason };
            match error.kind() {
                csv::ErrorKind::Utf8 { .. } => bad("not UTF-8; save the file as UTF-8".into()),
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    bad(format!("{len} cells, the first row has {expected_len}"))
                }
                _ => match error.into_kind() {
                    csv::ErrorKind::Io(source) => Error::io(&self.path, source),
                    other => bad(format!("{other:?}")),
                },
            }
        })
    }
}
