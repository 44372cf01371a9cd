//! From the places of lists to the pieces of a file, on any thread.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;

use super::columns::PredictionColumns;
use super::gzip::GzipPiece;
use super::text::{Id, PlaceLine, UserLine};
use super::{IdKind, Place};
use crate::data::vocabulary::RawId;
use crate::guard::guarded;

/// Rows of a Parquet row group.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 18;
/// Rows of a record batch.
const BATCH_ROWS: usize = 1 << 16;
/// Rows of a stretch of text.
const TEXT_ROWS: usize = 1 << 15;

/// How the pieces of a file are made.
pub(crate) struct Encoding {
    pub(super) form: Form,
    pub(super) users: IdKind,
    pub(super) items: IdKind,
}

pub(super) enum Form {
    Arrow(Arc<Schema>),
    Parquet(Arc<Schema>, ArrowRowGroupWriterFactory),
    Csv { gzip: bool },
    JsonLines { by_user: bool, gzip: bool },
}

impl Encoding {
    /// Rows of a piece.
    pub(crate) fn rows(&self) -> usize {
        match self.form {
            Form::Arrow(_) => BATCH_ROWS,
            Form::Parquet(..) => ROW_GROUP_ROWS,
            Form::Csv { .. } | Form::JsonLines { .. } => TEXT_ROWS,
        }
    }

    /// Where pieces end.
    pub(crate) fn cut(&self) -> PieceCut {
        let whole_users = matches!(self.form, Form::JsonLines { by_user: true, .. });
        PieceCut::new(self.rows(), whole_users)
    }

    /// An empty piece.
    pub(crate) fn piece(&self) -> io::Result<PieceEncoder> {
        let columns = |schema: &Arc<Schema>| PredictionColumns::new(Arc::clone(schema), self.users, self.items);
        let body = match &self.form {
            Form::Arrow(schema) => Body::Arrow(columns(schema), Vec::new()),
            Form::Parquet(schema, factory) => {
                // The number of the row group would matter to an encrypted file alone.
                let writers = parquet(|| factory.create_column_writers(0))?;
                Body::Parquet(columns(schema), writers)
            }
            &Form::Csv { gzip } => {
                let writer = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(Vec::new());
                Body::Csv(Box::new(writer), String::new(), gzip)
            }
            &Form::JsonLines { by_user, gzip } => Body::JsonLines { by_user, gzip, text: Vec::new() },
        };
        Ok(PieceEncoder { rows: 0, body })
    }
}

/// Where pieces end: after so many rows, within a user's list where that has rows of its own.
pub(crate) struct PieceCut {
    rows: usize,
    whole_users: bool,
    filled: usize,
}

impl PieceCut {
    pub(crate) fn new(rows: usize, whole_users: bool) -> PieceCut {
        PieceCut { rows, whole_users, filled: 0 }
    }

    /// How many of the next `places` of a user go to this piece.
    pub(crate) fn take(&mut self, places: usize) -> usize {
        let part = if self.whole_users { places } else { places.min(self.rows - self.filled) };
        self.filled += if self.whole_users { part.max(1) } else { part };
        part
    }

    /// Whether the piece ends here; what follows goes to the next.
    pub(crate) fn is_full(&mut self) -> bool {
        let full = self.filled >= self.rows;
        if full {
            self.filled = 0;
        }
        full
    }
}

/// A piece that is being made.
pub(crate) struct PieceEncoder {
    rows: u64,
    body: Body,
}

enum Body {
    Arrow(PredictionColumns, Vec<RecordBatch>),
    Parquet(PredictionColumns, Vec<ArrowColumnWriter>),
    Csv(Box<csv::Writer<Vec<u8>>>, String, bool),
    JsonLines { by_user: bool, gzip: bool, text: Vec<u8> },
}

/// A piece that can be appended.
pub(crate) struct Encoded {
    pub(super) rows: u64,
    pub(super) bytes: EncodedBytes,
}

pub(super) enum EncodedBytes {
    Batches(Vec<RecordBatch>),
    RowGroup(Vec<ArrowColumnChunk>),
    Text(Vec<u8>),
    Gzip(GzipPiece),
}

impl PieceEncoder {
    /// Adds places of a user's list, `before` of which stand before them.
    pub(crate) fn push(&mut self, user: RawId<'_>, before: usize, places: &[Place<'_>]) -> io::Result<()> {
        if let Body::JsonLines { by_user: true, text, .. } = &mut self.body {
            self.rows += 1;
            serde_json::to_writer(&mut *text, &UserLine::new(user, places))?;
            text.push(b'\n');
            return Ok(());
        }
        self.rows += places.len() as u64;
        (before as u32 + 1..).zip(places).try_for_each(|(rank, place)| self.push_place(user, rank, place))
    }

    fn push_place(&mut self, user: RawId<'_>, rank: u32, &Place { item, score }: &Place<'_>) -> io::Result<()> {
        match &mut self.body {
            Body::Arrow(columns, batches) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    batches.push(columns.take()?);
                }
            }
            Body::Parquet(columns, writers) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    write_columns(writers, &columns.take()?)?;
                }
            }
            Body::Csv(writer, text, _) => {
                let mut field = |value: &dyn std::fmt::Display| {
                    text.clear();
                    std::fmt::Write::write_fmt(text, format_args!("{value}")).map_err(io::Error::other)?;
                    writer.write_field(&*text).map_err(from_csv)
                };
                field(&user)?;
                field(&rank)?;
                field(&item)?;
                field(&score)?;
                writer.write_record(None::<&[u8]>).map_err(from_csv)?;
            }
            Body::JsonLines { text, .. } => {
                serde_json::to_writer(&mut *text, &PlaceLine { user: Id(user), rank, item: Id(item), score })?;
                text.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// The whole piece.
    pub(crate) fn finish(self) -> io::Result<Encoded> {
        let packed = |text: Vec<u8>, gzip| match gzip {
            true => GzipPiece::pack(&text).map(EncodedBytes::Gzip),
            false => Ok(EncodedBytes::Text(text)),
        };
        let bytes = match self.body {
            Body::Arrow(mut columns, mut batches) => {
                if columns.rows > 0 {
                    batches.push(columns.take()?);
                }
                EncodedBytes::Batches(batches)
            }
            Body::Parquet(mut columns, mut writers) => {
                if columns.rows > 0 {
                    write_columns(&mut writers, &columns.take()?)?;
                }
                EncodedBytes::RowGroup(parquet(|| writers.into_iter().map(ArrowColumnWriter::close).collect())?)
            }
            Body::Csv(writer, _, gzip) => packed(writer.into_inner().map_err(|e| e.into_error())?, gzip)?,
            Body::JsonLines { text, gzip, .. } => packed(text, gzip)?,
        };
        Ok(Encoded { rows: self.rows, bytes })
    }
}

fn write_columns(writers: &mut [ArrowColumnWriter], rows: &RecordBatch) -> io::Result<()> {
    parquet(|| {
        let schema = rows.schema();
        // Each column is one leaf.
        for ((field, column), writer) in schema.fields().iter().zip(rows.columns()).zip(writers) {
            for leaf in compute_leaves(field, column)? {
                writer.write(&leaf)?;
            }
        }
        Ok(())
    })
}

/// A call of parquet-rs, whose codecs panic when there is no memory for them.
pub(super) fn parquet<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
    let done = guarded(call).map_err(|panic| io::Error::new(io::ErrorKind::OutOfMemory, panic))?;
    done.map_err(from_parquet)
}

/// What the operating system said, where it was the one to fail: callers tell errors apart by its kind.
fn from_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn from_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
