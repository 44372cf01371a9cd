//! Predictions as columns: the record batch that Arrow and Parquet files are made of.

use std::io;
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int64Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::IdKind;
use crate::data::vocabulary::RawId;

/// Rows of a record batch.
const BATCH_ROWS: usize = 1 << 16;
/// Bytes of raw ids after which a record batch ends early: far below what 32-bit offsets reach.
pub(crate) const BATCH_BYTES: usize = 1 << 26;

/// What the columns are.
pub(super) fn schema_of(users: IdKind, items: IdKind) -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("user", users.data_type(), false),
        Field::new("rank", DataType::UInt32, false),
        Field::new("item", items.data_type(), false),
        Field::new("score", DataType::Float32, false),
    ]))
}

/// The columns of the record batch that is being filled.
pub(super) struct PredictionColumns {
    schema: Arc<Schema>,
    user: IdBuilder,
    rank: UInt32Builder,
    item: IdBuilder,
    score: Float32Builder,
    pub(super) rows: usize,
}

/// A column of raw ids.
pub(crate) enum IdBuilder {
    Text(StringBuilder),
    Integer(Int64Builder),
}

impl IdBuilder {
    pub(crate) fn new(kind: IdKind) -> IdBuilder {
        match kind {
            IdKind::Text => IdBuilder::Text(StringBuilder::new()),
            IdKind::Integer => IdBuilder::Integer(Int64Builder::new()),
        }
    }

    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a text goes into a column of integers.
    pub(crate) fn push(&mut self, id: RawId<'_>) -> io::Result<()> {
        match (self, id) {
            (IdBuilder::Text(column), RawId::Text(text)) => column.append_value(text),
            (IdBuilder::Text(column), RawId::Integer(number)) => column.append_value(number.to_string()),
            (IdBuilder::Integer(column), RawId::Integer(number)) => column.append_value(number),
            (IdBuilder::Integer(_), RawId::Text(text)) => {
                let reason = format!("the id `{text}` does not go into a column of integers");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        }
        Ok(())
    }

    /// The bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            IdBuilder::Text(column) => column.values_slice().len(),
            IdBuilder::Integer(_) => 0,
        }
    }

    /// The column; the next one starts empty.
    pub(crate) fn take(&mut self) -> ArrayRef {
        match self {
            IdBuilder::Text(column) => Arc::new(column.finish()),
            IdBuilder::Integer(column) => Arc::new(column.finish()),
        }
    }
}

impl PredictionColumns {
    pub(super) fn new(schema: Arc<Schema>, users: IdKind, items: IdKind) -> PredictionColumns {
        PredictionColumns {
            schema,
            user: IdBuilder::new(users),
            rank: UInt32Builder::new(),
            item: IdBuilder::new(items),
            score: Float32Builder::new(),
            rows: 0,
        }
    }

    pub(super) fn push(&mut self, user: RawId<'_>, rank: u32, item: RawId<'_>, score: f32) -> io::Result<()> {
        self.user.push(user)?;
        self.rank.append_value(rank);
        self.item.push(item)?;
        self.score.append_value(score);
        self.rows += 1;
        Ok(())
    }

    pub(super) fn full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.user.bytes() >= BATCH_BYTES || self.item.bytes() >= BATCH_BYTES
    }

    pub(super) fn take(&mut self) -> io::Result<RecordBatch> {
        self.rows = 0;
        let columns: Vec<ArrayRef> =
            vec![self.user.take(), Arc::new(self.rank.finish()), self.item.take(), Arc::new(self.score.finish())];
        RecordBatch::try_new(self.schema.clone(), columns).map_err(from_arrow)
    }
}

/// What the operating system said, where it was the one to fail: callers tell errors apart by its kind.
pub(crate) fn from_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
