//! Text as record batches of strings, while it is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::table::{InputTable, quoted};
use crate::{Error, Result};

/// The key of a schema's metadata that says that a table is written as text, and its columns have no types.
const WRITTEN: &str = "tercel.written";

/// Rows of a batch.
const ROWS: usize = 16 << 10;

/// Bytes behind which a batch ends: offsets of strings have 31 bits.
const BYTES: usize = 64 << 20;

/// Batches that wait to be taken.
const WAITING: usize = 4;

/// The rows of a text file; none is the end.
type Message = Option<std::result::Result<RecordBatch, ArrowError>>;

/// A stream of a thread that reads ahead. The thread ends with the file, or when nobody takes its batches.
pub(super) struct Texts {
    schema: SchemaRef,
    batches: Option<Receiver<Message>>,
}

impl Texts {
    /// # Errors
    /// [`Error::Io`] where the system gives no thread.
    pub(super) fn of(table: InputTable) -> Result<Texts> {
        let fields = table.columns.iter().map(|name| Field::new(name, DataType::Utf8, true));
        let written = HashMap::from([(WRITTEN.to_owned(), "text".to_owned())]);
        let schema: SchemaRef = Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), written));
        let (give, batches) = sync_channel(WAITING);
        let (of, path) = (Arc::clone(&schema), table.path.clone());
        let reading = move || {
            let mut send = |batch| match give.send(Some(Ok(batch))) {
                Ok(()) => Ok(()),
                Err(_) => Err(Error::Interrupted { what: "reading a table".into() }),
            };
            // Where nobody listens any more, nobody wants to know.
            let _ = match read(&table, &of, &mut send) {
                Ok(()) => give.send(None),
                Err(error) => give.send(Some(Err(ArrowError::ExternalError(Box::new(error))))),
            };
        };
        std::thread::Builder::new().spawn(reading).map_err(|error| Error::io(&path, error))?;
        Ok(Texts { schema, batches: Some(batches) })
    }
}

impl Iterator for Texts {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = match self.batches.as_ref()?.recv() {
            Ok(item) => item,
            // The thread is gone without an end: rows are missing.
            Err(_) => Some(Err(ArrowError::ComputeError("reading stopped before the end".into()))),
        };
        if !matches!(item, Some(Ok(_))) {
            self.batches = None;
        }
        item
    }
}

impl RecordBatchReader for Texts {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// Sends every row.
fn read(table: &InputTable, schema: &SchemaRef, send: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    let mut builders: Vec<StringBuilder> = table.columns.iter().map(|_| StringBuilder::new()).collect();
    let (mut rows, mut bytes) = (0, 0);
    table.for_each(None, &[], &mut |row, values| {
        let at = |column: &str, reason: String| Error::Row {
            path: table.path.clone(),
            row,
            column: column.to_owned(),
            reason,
        };
        let values = values.map_err(|reject| at(&reject.column, reject.reason))?;
        let width: usize = values.iter().map(|value| value.len()).sum();
        if rows == ROWS || (rows > 0 && bytes + width > BYTES) {
            send(close(table, schema, &mut builders)?)?;
            (rows, bytes) = (0, 0);
        }
        for ((builder, value), name) in builders.iter_mut().zip(values).zip(&table.columns) {
            match std::str::from_utf8(value) {
                _ if table.missing.is_value(value) => builder.append_null(),
                Ok(_) if value.len() > i32::MAX as usize => return Err(at(name, "is longer than 2 GiB".into())),
                Ok(text) => builder.append_value(text),
                Err(_) => return Err(at(name, format!("{} is not UTF-8", quoted(value)))),
            }
        }
        rows += 1;
        bytes += width;
        Ok(())
    })?;
    if rows > 0 { send(close(table, schema, &mut builders)?) } else { Ok(()) }
}

fn close(table: &InputTable, schema: &SchemaRef, builders: &mut [StringBuilder]) -> Result<RecordBatch> {
    let columns = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
    let batch = RecordBatch::try_new(Arc::clone(schema), columns);
    batch.map_err(|error| Error::damaged(&table.path, "rows", error.to_string()))
}
