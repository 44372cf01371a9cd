//! Rows as ingest reads them, before an id has a number: what each worker of a cluster makes of its part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::config::{IngestConfig, OnError};
use super::ids::KeyList;
use super::inputs::Inputs;
use super::rows::{Layout, ParsedRows, Readings, mixed};
use super::source::{check_times, plan};
use crate::table::{Input, Reject, Stream};
use crate::{Error, Result};

/// Reads the interactions of a table into memory: record batches with the columns `user` and `item` (string), `time`
/// (int64, seconds since 1970, UTC) and `weight` (float), the last two where the table has them. Columns are found,
/// times parsed and rows refused as [`ingest`](super::ingest) does, which gives the same dataset for these rows as for
/// the table where that has its ids as texts.
///
/// # Errors
/// As [`ingest`](super::ingest): the first row that cannot be read ends it. [`Error::Config`] for
/// [`OnError::Skip`], which has no place to write rejected rows to.
pub fn interactions(name: impl Into<PathBuf>, table: Stream, config: &IngestConfig) -> Result<Stream> {
    config.validate()?;
    if config.on_error == OnError::Skip {
        return Err(Error::config("on_error", "rows cannot be skipped here: use `stop` (the default)"));
    }
    let train = vec![Input::table(name, table)];
    let plan = plan(&Inputs { train, ..Inputs::default() }, config)?;
    // The one table that was given.
    let file = &plan.files[0];
    let (path, layout, schema) = (&file.table.path, &file.layout, schema(&file.layout));
    let (mut batches, mut read, mut before) = (Vec::new(), ParsedRows::default(), 0);
    let mut readings = Readings::default();
    for batch in file.table.open_batches(file.columns.as_deref(), &Arc::default())? {
        read.clear();
        read.read_batch(path, &batch?, layout, true)?;
        if let Some(Reject { line, column, reason, .. }) = read.rejects.pop().or(read.mixed.take()) {
            return Err(Error::Row { path: path.clone(), row: before + line + 1, column, reason });
        }
        if let (Some((one, _)), Some((now, line))) = (readings.one, read.readings.one)
            && one != now
            && !layout.times.are_said()
        {
            let (row, column) = (before + line + 1, layout.time.map(|i| layout.columns[i].clone()).unwrap_or_default());
            return Err(Error::Row { path: path.clone(), row, column, reason: mixed(now, one) });
        }
        readings.one = readings.one.or(read.readings.one);
        readings.not_compact |= read.readings.not_compact;
        before += read.lines;
        let mut columns = vec![texts(path, &read.users)?, texts(path, &read.items)?];
        if layout.time.is_some() {
            columns.push(Arc::new(Int64Array::from(std::mem::take(&mut read.times))));
        }
        if layout.weight.is_some() {
            columns.push(Arc::new(Float32Array::from(std::mem::take(&mut read.weights))));
        }
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        batches.push(batch.map_err(|error| Error::damaged(path, "rows", error.to_string()))?);
    }
    check_times(file, &readings)?;
    Ok(Box::new(RecordBatchIterator::new(batches.into_iter().map(Ok), schema)))
}

fn schema(layout: &Layout) -> SchemaRef {
    let column = |name: &str, kind| Field::new(name, kind, false);
    let mut fields = vec![column("user", DataType::Utf8), column("item", DataType::Utf8)];
    fields.extend(layout.time.map(|_| column("time", DataType::Int64)));
    fields.extend(layout.weight.map(|_| column("weight", DataType::Float32)));
    Arc::new(Schema::new(fields))
}

/// Ids as a column.
///
/// # Errors
/// [`Error::Input`] for more text than a string column holds.
fn texts(path: &Path, ids: &KeyList) -> Result<ArrayRef> {
    if ids.bytes() > i32::MAX as usize {
        return Err(Error::input(path, "has more than 2 GiB of ids in 16,384 rows"));
    }
    let texts = ids.iter().map(|id| std::str::from_utf8(id).unwrap_or_default());
    Ok(Arc::new(StringArray::from_iter_values(texts)))
}
