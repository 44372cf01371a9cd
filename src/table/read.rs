//! A whole table as texts, for those who make something else of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Hints, Input, Kind, ReadOptions, Stream, Table, folder};
use crate::{Error, Result};

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

/// The key of a schema's metadata that says that a table is written as text, and its columns have no types.
const WRITTEN: &str = "tercel.written";

/// Rows of a batch.
const ROWS: usize = 16 << 10;

/// Reads a table: record batches whose columns are those of the file, in its order. A text file's are strings, exactly as
/// they are written, and null where a missing word stands; the schema's metadata says so (`tercel.written` is `text`). Arrow
/// and Parquet columns keep their types. Columns that cannot be used (structs, maps) are left out of text files alone.
///
/// Text is read into memory; Arrow and Parquet batch by batch.
///
/// # Errors
/// [`Error::Io`], [`Error::Input`], [`Error::Damaged`] for what cannot be read, [`Error::Row`] for the first row that
/// cannot be.
pub fn read(input: &Input, options: &ReadOptions) -> Result<Stream> {
    let table = Table::of(input, &Hints { options: options.clone(), ..Hints::default() })?;
    if !matches!(table.kind, Kind::Text { .. }) {
        let schema = table.schema().map(Arc::clone).unwrap_or_else(|| Arc::new(Schema::empty()));
        let batches = table.open_batches(None, &Arc::default())?;
        let batches =
            batches.map(|batch| batch.map_err(|error| arrow_schema::ArrowError::ExternalError(Box::new(error))));
        return Ok(Box::new(RecordBatchIterator::new(batches, schema)));
    }
    let fields = table.columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
    let written = HashMap::from([(WRITTEN.to_owned(), "text".to_owned())]);
    let schema: SchemaRef = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), written));
    let mut builders: Vec<StringBuilder> = table.columns.iter().map(|_| StringBuilder::new()).collect();
    let (mut batches, mut rows) = (Vec::new(), 0);
    let mut close = |builders: &mut Vec<StringBuilder>| -> Result<()> {
        let columns = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        batches.push(batch.map_err(|error| Error::damaged(&table.path, "rows", error.to_string()))?);
        Ok(())
    };
    table.for_each(None, &mut |row, values| {
        let at = |column: &str, reason: String| Error::Row {
            path: table.path.clone(),
            row,
            column: column.to_owned(),
            reason,
        };
        let values = values.map_err(|reject| at(&reject.column, reject.reason))?;
        for ((builder, value), name) in builders.iter_mut().zip(values).zip(&table.columns) {
            match std::str::from_utf8(value) {
                _ if table.missing.is_value(value) => builder.append_null(),
                Ok(text) => builder.append_value(text),
                Err(_) => return Err(at(name, format!("{} is not UTF-8", super::quoted(value)))),
            }
        }
        rows += 1;
        if rows == ROWS {
            rows = 0;
            close(&mut builders)?;
        }
        Ok(())
    })?;
    if rows > 0 {
        close(&mut builders)?;
    }
    Ok(Box::new(RecordBatchIterator::new(batches.into_iter().map(Ok), schema)))
}
