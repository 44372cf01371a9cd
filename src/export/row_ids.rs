//! The ids beside a file of vectors: JSON lines, so that no id needs quoting rules of its own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::vocabulary::RawId;
use crate::files::AtomicFile;
use crate::index::predictions::text::Id;
use crate::{Error, Result};

/// Where the ids of a file of vectors lie, when they are not in it: `items.npy` has `items.npy.ids.jsonl`.
pub fn ids_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".ids.jsonl");
    path.with_file_name(name)
}

#[derive(Serialize)]
struct Line<'a> {
    row: u64,
    id: Id<'a>,
}

/// Such a file, being written.
pub(super) struct RowIds {
    path: PathBuf,
    target: AtomicFile,
    out: BufWriter<File>,
}

impl RowIds {
    pub(super) fn create(path: &Path) -> Result<RowIds> {
        let target = AtomicFile::create(path)?;
        let file = target.file().try_clone().map_err(|e| Error::io(path, e))?;
        Ok(RowIds { path: path.to_owned(), target, out: BufWriter::with_capacity(1 << 18, file) })
    }

    pub(super) fn push(&mut self, row: u64, id: RawId<'_>) -> Result<()> {
        let line = serde_json::to_writer(&mut self.out, &Line { row, id: Id(id) });
        line.map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|e| Error::io(&self.path, e))
    }

    /// The whole file, which is to be committed.
    pub(super) fn finish(mut self) -> Result<AtomicFile> {
        self.out.flush().map_err(|e| Error::io(&self.path, e))?;
        Ok(self.target)
    }
}
