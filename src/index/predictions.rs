//! The PREDICTIONS file: user, rank, item, score, with raw ids, one row per place; or one line per user.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::data::vocabulary::{RawId, RawIds};
use crate::files::AtomicFile;
use crate::guard::guarded;
use crate::{Error, Result};

pub(crate) mod columns;
pub(crate) mod text;

use columns::{PredictionColumns, from_arrow};
use text::{Id, PlaceLine, TextSink, UserLine};

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

    pub(crate) fn data_type(self) -> DataType {
        match self {
            IdKind::Text => DataType::Utf8,
            IdKind::Integer => DataType::Int64,
        }
    }
}

/// One place of a user's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place<'a> {
    /// The item.
    pub item: RawId<'a>,
    /// Its score.
    pub score: f32,
}

/// Writes predictions user by user, in bounded memory. The file is there when [`finish`](PredictionWriter::finish) has
/// returned; dropped before, or after an error, the writer leaves what was there untouched.
pub struct PredictionWriter {
    path: PathBuf,
    target: AtomicFile,
    sink: PredictionSink,
    rows: u64,
}

enum PredictionSink {
    Arrow(PredictionColumns, Box<arrow_ipc::writer::FileWriter<BufWriter<File>>>),
    Parquet(PredictionColumns, Box<ArrowWriter<BufWriter<File>>>),
    Csv(Box<csv::Writer<TextSink>>, String),
    JsonLines(TextSink),
    UserLines(TextSink),
}

/// Whether predictions can be written under this name: what can be known of it before the work. `by_user` as in
/// [`PredictionWriter::create`].
///
/// # Errors
/// [`Error::Config`] for an ending that names no format, or one that has no lines by user; [`Error::Input`] when `path`
/// is a folder.
pub fn check_path(path: &Path, by_user: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(path, "is a folder; name a file in it for the predictions"));
    }
    match PredictionFormat::of(path)? {
        PredictionFormat::JsonLines(_) => Ok(()),
        _ if by_user => Err(Error::config(
            "by_user",
            format!("requires .jsonl (optionally with .gz or .zst); `{}` has one row per item", path.display()),
        )),
        _ => Ok(()),
    }
}

impl fmt::Debug for PredictionWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictionWriter").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl PredictionWriter {
    /// Starts the file at `path`. Its name decides the format: `.arrow`, `.parquet`, `.csv` or `.jsonl`; `.gz` or
    /// `.zst` after the last two compresses. Arrow and Parquet columns have the types `users` and `items`.
    ///
    /// A file has a row for every place of every user: user, rank (from 1), item, score. With `by_user`, JSON lines
    /// have a line for every user, for a store of keys and values: `{"user":…,"items":[…],"scores":[…]}`, best first.
    ///
    /// # Errors
    /// [`Error::Config`] for another ending, or one that `by_user` does not go with; [`Error::Input`] when `path` is a
    /// folder or its folder does not exist; [`Error::Io`].
    pub fn create(path: &Path, users: IdKind, items: IdKind, by_user: bool) -> Result<PredictionWriter> {
        check_path(path, by_user)?;
        let format = PredictionFormat::of(path)?;
        let folder = crate::files::folder_of(path);
        if !folder.is_dir() {
            return Err(Error::input(path, format!("the folder {} does not exist; create it first", folder.display())));
        }
        let target = AtomicFile::create(path)?;
        let file = target.file().try_clone().map_err(|e| Error::io(path, e))?;
        let sink = PredictionSink::start(format, BufWriter::with_capacity(1 << 20, file), users, items, by_user)
            .map_err(|e| Error::io(path, e))?;
        Ok(PredictionWriter { path: path.to_owned(), target, sink, rows: 0 })
    }

    /// Adds a user and its list, best first.
    ///
    /// # Errors
    /// [`Error::Input`] when a text id goes to an integer column, [`Error::Io`].
    pub fn push(&mut self, user: RawId<'_>, places: &[Place<'_>]) -> Result<()> {
        self.rows += if matches!(self.sink, PredictionSink::UserLines(_)) { 1 } else { places.len() as u64 };
        self.sink.push(user, places).map_err(|e| self.failed(e))
    }

    /// Ends the file and puts it in its place. Returns its rows: places, or users where it is by user.
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
enum PredictionFormat {
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

impl PredictionFormat {
    fn of(path: &Path) -> Result<PredictionFormat> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, "gz")) => (stem, Packing::Gzip),
            Some((stem, "zst")) => (stem, Packing::Zstd),
            _ => (name.as_str(), Packing::None),
        };
        match (stem.rsplit_once('.').map(|(_, ending)| ending), packing) {
            (Some("arrow"), Packing::None) => Ok(PredictionFormat::Arrow),
            (Some("parquet"), Packing::None) => Ok(PredictionFormat::Parquet),
            (Some("csv"), _) => Ok(PredictionFormat::Csv(packing)),
            (Some("jsonl"), _) => Ok(PredictionFormat::JsonLines(packing)),
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

impl PredictionSink {
    fn start(
        format: PredictionFormat,
        out: BufWriter<File>,
        users: IdKind,
        items: IdKind,
        by_user: bool,
    ) -> io::Result<PredictionSink> {
        let columns = || PredictionColumns::new(users, items);
        Ok(match format {
            PredictionFormat::Arrow => {
                let columns = columns();
                let writer = arrow_ipc::writer::FileWriter::try_new(out, &columns.schema).map_err(from_arrow)?;
                PredictionSink::Arrow(columns, Box::new(writer))
            }
            PredictionFormat::Parquet => {
                let columns = columns();
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let writer =
                    ArrowWriter::try_new(out, columns.schema.clone(), Some(properties)).map_err(from_parquet)?;
                PredictionSink::Parquet(columns, Box::new(writer))
            }
            PredictionFormat::Csv(packing) => {
                let mut writer = csv::Writer::from_writer(TextSink::start(packing, out)?);
                writer.write_record(["user", "rank", "item", "score"]).map_err(from_csv)?;
                PredictionSink::Csv(Box::new(writer), String::new())
            }
            PredictionFormat::JsonLines(packing) if by_user => {
                PredictionSink::UserLines(TextSink::start(packing, out)?)
            }
            PredictionFormat::JsonLines(packing) => PredictionSink::JsonLines(TextSink::start(packing, out)?),
        })
    }

    fn push(&mut self, user: RawId<'_>, places: &[Place<'_>]) -> io::Result<()> {
        if let PredictionSink::UserLines(out) = self {
            serde_json::to_writer(&mut *out, &UserLine::new(user, places))?;
            return out.write_all(b"\n");
        }
        (1..).zip(places).try_for_each(|(rank, place)| self.push_place(user, rank, place))
    }

    fn push_place(&mut self, user: RawId<'_>, rank: u32, &Place { item, score }: &Place<'_>) -> io::Result<()> {
        match self {
            PredictionSink::Arrow(columns, writer) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    writer.write(&columns.take()?).map_err(from_arrow)?;
                }
            }
            PredictionSink::Parquet(columns, writer) => {
                columns.push(user, rank, item, score)?;
                if columns.full() {
                    let rows = columns.take()?;
                    parquet(|| writer.write(&rows))?;
                }
            }
            PredictionSink::Csv(writer, text) => {
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
            PredictionSink::JsonLines(out) | PredictionSink::UserLines(out) => {
                serde_json::to_writer(&mut *out, &PlaceLine { user: Id(user), rank, item: Id(item), score })?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is left, to the operating system.
    fn finish(self) -> io::Result<()> {
        match self {
            PredictionSink::Arrow(mut columns, mut writer) => {
                if columns.rows > 0 {
                    writer.write(&columns.take()?).map_err(from_arrow)?;
                }
                writer.finish().map_err(from_arrow)?;
                writer.get_mut().flush()
            }
            PredictionSink::Parquet(mut columns, mut writer) => {
                if columns.rows > 0 {
                    let rows = columns.take()?;
                    parquet(|| writer.write(&rows))?;
                }
                parquet(|| writer.finish())?;
                writer.inner_mut().flush()
            }
            PredictionSink::Csv(writer, _) => writer.into_inner().map_err(|e| e.into_error())?.finish(),
            PredictionSink::JsonLines(out) | PredictionSink::UserLines(out) => out.finish(),
        }
    }
}

/// A call of parquet-rs, whose codecs panic when there is no memory for them.
fn parquet<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
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
