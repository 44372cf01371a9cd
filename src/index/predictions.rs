//! The PREDICTIONS file: user, rank, item, score, with raw ids, one row per place.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int64Builder, StringBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::{Serialize, Serializer};

use crate::data::vocabulary::{RawId, RawIds};
use crate::files::AtomicFile;
use crate::{Error, Result};

/// Rows of a record batch.
const BATCH_ROWS: usize = 1 << 16;
/// Bytes of raw ids after which a record batch ends early: far below what 32-bit offsets reach.
const BATCH_BYTES: usize = 1 << 26;
/// Rows of a Parquet row group, which is held in memory until it is whole.
const ROW_GROUP_ROWS: usize = 1 << 18;

/// The type of a column of raw ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// UTF-8 text.
    Text,
    /// 64-bit integers.
    Integer,
}

impl IdKind {
    /// The type of a vocabulary's ids.
    pub fn of(ids: &RawIds) -> IdKind {
        match ids {
            RawIds::Text { .. } => IdKind::Text,
            RawIds::Integer(_) => IdKind::Integer,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            IdKind::Text => DataType::Utf8,
            IdKind::Integer => DataType::Int64,
        }
    }
}

/// Writes predictions row by row, in bounded memory. The file is there when [`finish`](PredictionWriter::finish) has
/// returned; dropped before, or after an error, the writer leaves what was there untouched.
pub struct PredictionWriter {
    path: PathBuf,
    target: AtomicFile,
    sink: Sink,
    rows: u64,
}

enum Sink {
    Arrow(Columns, Box<arrow_ipc::writer::FileWriter<BufWriter<File>>>),
    Parquet(Columns, Box<ArrowWriter<BufWriter<File>>>),
    Csv(Box<csv::Writer<TextSink>>, String),
    JsonLines(TextSink),
}

/// Whether predictions can be written under this name: what can be known of it before the work.
///
/// # Errors
/// [`Error::Config`] for an ending that names no format; [`Error::Input`] when `path` is a folder.
pub fn check_path(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(path, "is a folder; predictions go to a file in it"));
    }
    Format::of(path).map(drop)
}

impl PredictionWriter {
    /// Starts the file at `path`. Its name decides the format: `.arrow`, `.parquet`, `.csv` or `.jsonl`; `.gz` or
    /// `.zst` after the last two compresses. Arrow and Parquet columns have the types `users` and `items`.
    ///
    /// # Errors
    /// [`Error::Config`] for another ending; [`Error::Input`] when `path` is a folder or its folder does not exist;
    /// [`Error::Io`].
    pub fn create(path: &Path, users: IdKind, items: IdKind) -> Result<PredictionWriter> {
        check_path(path)?;
        let format = Format::of(path)?;
        let folder = crate::files::folder_of(path);
        if !folder.is_dir() {
            return Err(Error::input(path, format!("there is no folder {}; create it first", folder.display())));
        }
        let target = AtomicFile::create(path)?;
        let file = target.file().try_clone().map_err(|e| Error::io(path, e))?;
        let sink = Sink::start(format, BufWriter::with_capacity(1 << 20, file), users, items)
            .map_err(|e| Error::io(path, e))?;
        Ok(PredictionWriter { path: path.to_owned(), target, sink, rows: 0 })
    }

    /// Adds a row; `rank` counts from 1.
    ///
    /// # Errors
    /// [`Error::Input`] when a text id goes to an integer column, [`Error::Io`].
    pub fn push(&mut self, user: RawId<'_>, rank: u32, item: RawId<'_>, score: f32) -> Result<()> {
        self.rows += 1;
        self.sink.push(user, rank, item, score).map_err(|e| self.failed(e))
    }

    /// Ends the file and puts it in its place.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<u64> {
        let PredictionWriter { path, target, sink, rows } = self;
        sink.finish().map_err(|e| Error::io(&path, e))?;
        target.commit()?;
        Ok(rows)
    }

    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::InvalidInput => Error::input(&self.path, error.to_string()),
            _ => Error::io(&self.path, error),
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Arrow,
    Parquet,
    Csv(Packing),
    JsonLines(Packing),
}

#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Format {
    fn of(path: &Path) -> Result<Format> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, "gz")) => (stem, Packing::Gzip),
            Some((stem, "zst")) => (stem, Packing::Zstd),
            _ => (name.as_str(), Packing::None),
        };
        match (stem.rsplit_once('.').map(|(_, ending)| ending), packing) {
            (Some("arrow"), Packing::None) => Ok(Format::Arrow),
            (Some("parquet"), Packing::None) => Ok(Format::Parquet),
            (Some("csv"), _) => Ok(Format::Csv(packing)),
            (Some("jsonl"), _) => Ok(Format::JsonLines(packing)),
            _ => Err(Error::config(
                "out",
                format!(
                    "`{}` does not end in .arrow, .parquet, .csv or .jsonl (.gz or .zst may follow the last two)",
                    path.display()
                ),
            )),
        }
    }
}

impl Sink {
    fn start(format: Format, out: BufWriter<File>, users: IdKind, items: IdKind) -> io::Result<Sink> {
        let columns = || Columns::new(users, items);
        Ok(match format {
            Format::Arrow => {
                let columns = columns();
                let writer = arrow_ipc::writer::FileWriter::try_new(out, &columns.schema).map_err(from_arrow)?;
                Sink::Arrow(columns, Box::new(writer))
            }
            Format::Parquet => {
                let columns = columns();
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer =
                    ArrowWriter::try_new(out, columns.schema.clone(), Some(properties)).map_err(from_parquet)?;
                Sink::Parquet(columns, Box::new(writer))
            }
            Format::Csv(packing) => {
                let mut writer = csv::Writer::from_writer(TextSink::start(packing, out)?);
                writer.write_record(["user", "rank", "item", "score"]).map_err(from_csv)?;
                Sink::Csv(Box::new(writer), String::new())
            }
            Format::JsonLines(packing) => Sink::JsonLines(TextSink::start(packing, out)?),
        })
    }

    fn push(&mut self, user: RawId<'_>, rank: u32, item: RawId<'_>, score: f32) -> io::Result<()> {
        match self {
            Sink::Arrow(columns, writer) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    writer.write(&columns.take()?).map_err(from_arrow)?;
                }
            }
            Sink::Parquet(columns, writer) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    writer.write(&columns.take()?).map_err(from_parquet)?;
                }
            }
            Sink::Csv(writer, text) => {
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
            Sink::JsonLines(out) => {
                serde_json::to_writer(&mut *out, &Line { user: Id(user), rank, item: Id(item), score })?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is left, to the operating system.
    fn finish(self) -> io::Result<()> {
        match self {
            Sink::Arrow(mut columns, mut writer) => {
                if columns.rows > 0 {
                    writer.write(&columns.take()?).map_err(from_arrow)?;
                }
                writer.finish().map_err(from_arrow)?;
                writer.get_mut().flush()
            }
            Sink::Parquet(mut columns, mut writer) => {
                if columns.rows > 0 {
                    writer.write(&columns.take()?).map_err(from_parquet)?;
                }
                writer.finish().map_err(from_parquet)?;
                writer.inner_mut().flush()
            }
            Sink::Csv(writer, _) => writer.into_inner().map_err(|e| e.into_error())?.finish(),
            Sink::JsonLines(out) => out.finish(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    user: Id<'a>,
    rank: u32,
    item: Id<'a>,
    score: f32,
}

struct Id<'a>(RawId<'a>);

impl Serialize for Id<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RawId::Text(text) => serializer.serialize_str(text),
            RawId::Integer(number) => serializer.serialize_i64(number),
        }
    }
}

/// The columns of the record batch that is being filled.
struct Columns {
    schema: Arc<Schema>,
    user: IdBuilder,
    rank: UInt32Builder,
    item: IdBuilder,
    score: Float32Builder,
    rows: usize,
}

enum IdBuilder {
    Text(StringBuilder),
    Integer(Int64Builder),
}

impl IdBuilder {
    fn new(kind: IdKind) -> IdBuilder {
        match kind {
            IdKind::Text => IdBuilder::Text(StringBuilder::new()),
            IdKind::Integer => IdBuilder::Integer(Int64Builder::new()),
        }
    }

    fn push(&mut self, id: RawId<'_>) -> io::Result<()> {
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

    fn bytes(&self) -> usize {
        match self {
            IdBuilder::Text(column) => column.values_slice().len(),
            IdBuilder::Integer(_) => 0,
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            IdBuilder::Text(column) => Arc::new(column.finish()),
            IdBuilder::Integer(column) => Arc::new(column.finish()),
        }
    }
}

impl Columns {
    fn new(users: IdKind, items: IdKind) -> Columns {
        let schema = Schema::new(vec![
            Field::new("user", users.data_type(), false),
            Field::new("rank", DataType::UInt32, false),
            Field::new("item", items.data_type(), false),
            Field::new("score", DataType::Float32, false),
        ]);
        Columns {
            schema: Arc::new(schema),
            user: IdBuilder::new(users),
            rank: UInt32Builder::new(),
            item: IdBuilder::new(items),
            score: Float32Builder::new(),
            rows: 0,
        }
    }

    fn push(&mut self, user: RawId<'_>, rank: u32, item: RawId<'_>, score: f32) -> io::Result<()> {
        self.user.push(user)?;
        self.rank.append_value(rank);
        self.item.push(item)?;
        self.score.append_value(score);
        self.rows += 1;
        Ok(())
    }

    fn full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.user.bytes() >= BATCH_BYTES || self.item.bytes() >= BATCH_BYTES
    }

    fn take(&mut self) -> io::Result<RecordBatch> {
        self.rows = 0;
        let columns: Vec<ArrayRef> =
            vec![self.user.take(), Arc::new(self.rank.finish()), self.item.take(), Arc::new(self.score.finish())];
        RecordBatch::try_new(self.schema.clone(), columns).map_err(from_arrow)
    }
}

/// Where text goes: plain or packed.
enum TextSink {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl TextSink {
    fn start(packing: Packing, out: BufWriter<File>) -> io::Result<TextSink> {
        Ok(match packing {
            Packing::None => TextSink::Plain(out),
            Packing::Gzip => TextSink::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            Packing::Zstd => TextSink::Zstd(zstd::Encoder::new(out, 0)?),
        })
    }

    fn finish(self) -> io::Result<()> {
        match self {
            TextSink::Plain(out) => out,
            TextSink::Gzip(out) => out.finish()?,
            TextSink::Zstd(out) => out.finish()?,
        }
        .flush()
    }
}

impl Write for TextSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            TextSink::Plain(out) => out.write(bytes),
            TextSink::Gzip(out) => out.write(bytes),
            TextSink::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            TextSink::Plain(out) => out.flush(),
            TextSink::Gzip(out) => out.flush(),
            TextSink::Zstd(out) => out.flush(),
        }
    }
}

/// What the operating system said, where it was the one to fail: callers tell errors apart by its kind.
fn from_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn from_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
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
