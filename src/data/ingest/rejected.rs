//! Rows that cannot be read: the first ends the run, or all are written to `rejected.csv`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::config::OnError;
use crate::table::Reject;
use crate::{Error, Result};

/// The most bytes of a row's text that `rejected.csv` keeps.
const KEPT: usize = 4096;
/// The most rows and bytes that it keeps; rows behind them are counted.
const MOST_ROWS: u64 = 100_000;
const MOST_BYTES: u64 = 64 << 20;

pub(super) struct Rejected {
    on_error: OnError,
    path: PathBuf,
    writer: Option<csv::Writer<File>>,
    /// Rows so far.
    pub(super) rows: u64,
    /// Rows that are in the file, and about how long they are.
    written: (u64, u64),
    /// The first of them, in words.
    pub(super) first: Option<String>,
}

impl Rejected {
    /// The file comes to be with the first rejected row.
    pub(super) fn new(on_error: OnError, folder: &Path) -> Rejected {
        Rejected { on_error, path: folder.join("rejected.csv"), writer: None, rows: 0, written: (0, 0), first: None }
    }

    pub(super) fn stops(&self) -> bool {
        self.on_error == OnError::Stop
    }

    /// Takes row number `row` of `file`.
    ///
    /// # Errors
    /// [`Error::Row`] under [`OnError::Stop`].
    pub(super) fn push(&mut self, file: &Path, row: u64, reject: Reject) -> Result<()> {
        if self.stops() {
            return Err(Error::Row { path: file.to_owned(), row, column: reject.column, reason: reject.reason });
        }
        self.rows += 1;
        self.first.get_or_insert_with(|| format!("row {row}, column {}: {}", reject.column, reject.reason));
        if self.written.0 >= MOST_ROWS || self.written.1 >= MOST_BYTES {
            return Ok(());
        }
        let long = reject.text.len().min(KEPT) + reject.reason.len() + reject.column.len();
        self.written = (self.written.0 + 1, self.written.1 + long as u64);
        let write = |writer: &mut Option<csv::Writer<File>>, path: &Path| -> csv::Result<()> {
            let writer = match writer {
                Some(writer) => writer,
                None => {
                    let created = writer.insert(csv::Writer::from_path(path)?);
                    created.write_record(["file", "row", "column", "reason", "line"])?;
                    created
                }
            };
            let text = String::from_utf8_lossy(&reject.text[..reject.text.len().min(KEPT)]);
            let row = row.to_string();
            let file = file.to_string_lossy();
            writer.write_record([file.as_ref(), row.as_str(), reject.column.as_str(), reject.reason.as_str(), &text])
        };
        write(&mut self.writer, &self.path).map_err(|e| Error::io(&self.path, e.into()))
    }

    /// What to say where the file does not hold all rows.
    pub(super) fn note(&self) -> Option<String> {
        let (written, rows) = (self.written.0, self.rows);
        (written < rows)
            .then(|| format!("rejected.csv contains the first {written} of {rows} rejected rows, its maximum"))
    }

    /// Ends the file; how many rows were rejected.
    pub(super) fn finish(mut self) -> Result<u64> {
        if let Some(mut writer) = self.writer.take() {
            writer.flush().map_err(|e| Error::io(&self.path, e))?;
            let file = writer.into_inner().map_err(|e| Error::io(&self.path, e.into_error()))?;
            file.sync_all().map_err(|e| Error::io(&self.path, e))?;
        }
        Ok(self.rows)
    }
}
