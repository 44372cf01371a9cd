//! A whole table as record batches, for those who make something else of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatchIterator;
use arrow_schema::{ArrowError, Schema};

use super::{Hints, Input, InputTable, ReadOptions, Stream, TableFormat, folder};
use crate::{Error, Result};

mod texts;

use texts::Texts;

/// The files that a path stands for.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The files in the order of their paths, with the columns that `key=value` folders add: their names and values.
    pub files: Vec<(PathBuf, Vec<(String, String)>)>,
    /// What is not read, and why.
    pub passed: Vec<(PathBuf, String)>,
}

/// The data files of a folder and its sub-folders, or the file itself.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] where a folder has no data file, is one of Tercel's own, or has one file in two
/// compressions.
pub fn parts(path: &Path) -> Result<Parts> {
    if !path.is_dir() {
        return Ok(Parts { files: vec![(path.to_owned(), Vec::new())], passed: Vec::new() });
    }
    if let Some(what) = folder::ours(path) {
        return Err(Error::input(path, format!("is {what} of Tercel, not a folder of tables")));
    }
    let found = folder::walk(path)?;
    if found.files.is_empty() {
        return Err(Error::input(path, "is a folder without data files; name the files themselves"));
    }
    let files = found.files.into_iter().map(|file| (file.path, file.constants)).collect();
    Ok(Parts { files, passed: found.passed })
}

/// Reads a table: record batches whose columns are those of the file, in its order. A text file's are strings, exactly as
/// they are written, and null where a missing word stands; the schema's metadata says so (`tercel.written` is `text`). Arrow
/// and Parquet columns keep their types. Columns that cannot be used (structs, maps) are left out of text files alone.
///
/// Batches are read when they are asked for, text on a thread of its own that is a few of them ahead. What ends a stream is
/// the [`Error`] inside of [`ArrowError::ExternalError`]: [`Error::Row`] for the first row that cannot be read.
///
/// # Errors
/// [`Error::Io`], [`Error::Input`], [`Error::Damaged`] for what cannot be read.
pub fn read(input: &Input, options: &ReadOptions) -> Result<Stream> {
    let table = InputTable::of(input, &Hints { options: options.clone(), ..Hints::default() })?;
    if !matches!(table.kind, TableFormat::Text { .. }) {
        let schema = table.schema().map(Arc::clone).unwrap_or_else(|| Arc::new(Schema::empty()));
        let batches = table.open_batches(None, &Arc::default())?;
        let batches = batches.map(|batch| batch.map_err(|error| ArrowError::ExternalError(Box::new(error))));
        return Ok(Box::new(RecordBatchIterator::new(batches, schema)));
    }
    Ok(Box::new(Texts::of(table)?))
}
