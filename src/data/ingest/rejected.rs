//! Rows that cannot be read: the first ends the run, or all are written to `rejected.csv`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::config::OnError;
use super::rows::Reject;
use crate::{Error, Result};

/// The most bytes of a row's text that `rejected.csv` keeps.
const KEPT: usize = 4096;

pub(super) struct Rejected {
    on_error: OnError,
    path: PathBuf,
    writer: Option<csv::Writer<File>>,
    /// Rows so far.
    pub(super) rows: u64,
}

impl Rejected {
    /// The file comes to be with the first rejected row.
    pub(super) fn new(on_error: OnError, folder: &Path) -> Rejected {
        Rejected { on_error, path: folder.join("rejected.csv"), writer: None, rows: 0 }
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

    /// Ends the file; how many rows it has.
    pub(super) fn finish(mut self) -> Result<u64> {
        if let Some(mut writer) = self.writer.take() {
            writer.flush().map_err(|e| Error::io(&self.path, e))?;
            let file = writer.into_inner().map_err(|e| Error::io(&self.path, e.into_error()))?;
            file.sync_all().map_err(|e| Error::io(&self.path, e))?;
        }
        Ok(self.rows)
    }
}
