//! A whole table as texts, for those who make something else of it.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Hints, Input, Kind, ReadOptions, Stream, Table};
use crate::{Error, Result};

/// Rows of a batch.
const ROWS: usize = 16 << 10;

/// Reads a table: record batches whose columns are those of the file, in its order. A text file's are strings, exactly as
/// they are written, and null where a missing word stands; Arrow and Parquet columns keep their types. Columns that cannot
/// be used (structs, maps) are left out of text files alone.
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
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut builders: Vec<StringBuilder> = table.columns.iter().map(|_| StringBuilder::new()).collect();
    let (mut batches, mut rows) = (Vec::new(), 0);
    let mut close = |builders: &mut Vec<StringBuilder>| -> Result<()> {
        let columns = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        batches.push(batch.map_err(|error| Error::damaged(&table.path, "rows", error.to_string()))?);
        Ok(())
    };
    table.for_each(None, &[], &mut |row, values| {
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
