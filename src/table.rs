//! Tables: files, pipes and streams of rows with named columns, whatever their format. The one reader of them all.
//!
//! What a file is is told by how it begins: Parquet, Arrow IPC (file or stream), JSON lines, or text whose values are kept
//! apart as its first lines show; gzip and zstd are unpacked. Everything is opened once, or checked to be the same file
//! when it is opened again, so that pipes can be read and no row is lost between a header and its rows.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result};

mod batches;
mod detect;
mod dialect;
mod each;
pub(crate) mod folder;
mod foreign;
mod forms;
mod inputs;
mod json;
mod missing;
pub(crate) mod names;
mod open;
mod options;
mod read;
mod rows;
mod source;
mod text;
pub(crate) mod time;
mod times;
mod types;
mod values;

pub use inputs::{Input, Stream, TableInput};
pub use options::{Mark, ReadOptions, TimeUnit};
pub use read::{Parts, parts, read};
pub use source::check;

pub(crate) use batches::{TableBatches, guard};
pub(crate) use dialect::Dialect;
pub(crate) use each::Met;
pub(crate) use forms::closest;
pub(crate) use missing::Missing;
pub(crate) use rows::{Reject, Row, RowReader, check_width, hinted, quoted};
pub(crate) use source::{FileId, is_pipe};
pub(crate) use text::{Piece, Pieces, TextFile, bad_lines};
pub(crate) use times::{TimeReading, Times, also_compact, is_plausible};
pub(crate) use types::is_text_type;
pub(crate) use values::{Texts, floats, integers, unsigned, weights};

use source::{FileStamp, OpenedInput};

/// What separates the values of a list column in text form.
pub(crate) const LIST_SEPARATOR: &str = "\u{1f}";

/// How a table is read.
#[derive(Clone, Debug)]
pub(crate) enum TableFormat {
    /// Lines, behind so many that name the columns.
    Text {
        dialect: Dialect,
        header: u64,
    },
    /// Arrow IPC, file or stream.
    Arrow,
    Parquet,
    /// Record batches that somebody hands in.
    Table(TableInput),
}

/// What a file has to be, where somebody says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Text,
    Arrow,
    Parquet,
}

/// Whether a name is one of a column.
pub(crate) type IsHeader = Arc<dyn Fn(&str) -> bool>;

/// What can be said of a file before it is opened.
#[derive(Clone, Default)]
pub(crate) struct Hints {
    pub(crate) options: ReadOptions,
    pub(crate) wanted: Option<Wanted>,
    /// Columns that are the same in all rows: their names and values.
    pub(crate) constants: Vec<(String, String)>,
    /// The separator is taken only where the first line has it.
    pub(crate) soft_sep: bool,
    /// A file of one column may have no header: its first value is one if this says so of its name.
    pub(crate) is_header: Option<IsHeader>,
    /// What the column of such a file is called then.
    pub(crate) list_name: String,
}

/// A table whose columns are known.
#[derive(Clone, Debug)]
pub(crate) struct InputTable {
    /// Its name in messages.
    pub(crate) path: PathBuf,
    pub(crate) kind: TableFormat,
    /// The names of its columns; those that are the same in all rows come last.
    pub(crate) columns: Vec<String>,
    /// The values of those.
    pub(crate) constants: Vec<Vec<u8>>,
    /// Columns that hold lists.
    pub(crate) lists: Vec<String>,
    /// Columns that cannot be used, and what they are.
    pub(crate) unusable: Vec<(String, String)>,
    schema: Option<arrow_schema::SchemaRef>,
    pub(crate) missing: Missing,
    /// Whether it is a list of values without a header.
    pub(crate) is_list: bool,
    /// Whether it is a part of a dataset: its users and items are rows of vocabularies.
    pub(crate) is_ours: bool,
    /// Its size; 0 where that is not known.
    pub(crate) bytes: u64,
    stamp: Option<FileStamp>,
    /// Of what can be read only once: what is left to be read.
    held: Option<Arc<Mutex<Option<OpenedPipe>>>>,
}

/// An opened pipe.
enum OpenedPipe {
    Text(TextFile),
    File(std::fs::File),
}

impl std::fmt::Debug for OpenedPipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

impl InputTable {
    /// Opens a file, a pipe or (`-`) standard input, and reads the names of its columns.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Input`] and [`Error::Damaged`] for what cannot be read, [`Error::Config`] for options that
    /// cannot be used.
    pub(crate) fn open(path: &Path, hints: &Hints) -> Result<InputTable> {
        let source = OpenedInput::open(path)?;
        let kind = match source.start[..] {
            [b'P', b'A', b'R', b'1', ..] => Wanted::Parquet,
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xff, 0xff, 0xff, 0xff, ..] | [b'F', b'E', b'A', b'1', ..] => {
                Wanted::Arrow
            }
            _ => Wanted::Text,
        };
        let said = hints.wanted.or_else(|| wanted_by_name(path));
        match (said, kind) {
            (Some(Wanted::Parquet), Wanted::Arrow | Wanted::Text) => {
                Err(Error::input(&source.path, "is not a Parquet file"))
            }
            (Some(Wanted::Arrow), Wanted::Parquet | Wanted::Text) => {
                Err(Error::input(&source.path, "is not an Arrow IPC file"))
            }
            (Some(Wanted::Text), Wanted::Arrow) => Err(Error::input(&source.path, "is an Arrow IPC file, not text")),
            (Some(Wanted::Text), Wanted::Parquet) => Err(Error::input(&source.path, "is a Parquet file, not text")),
            (_, Wanted::Text) => InputTable::text(source, hints),
            (_, Wanted::Arrow) => InputTable::columnar(source, TableFormat::Arrow, hints),
            (_, Wanted::Parquet) => InputTable::columnar(source, TableFormat::Parquet, hints),
        }
    }

    fn columnar(source: OpenedInput, kind: TableFormat, hints: &Hints) -> Result<InputTable> {
        let (path, bytes, stamp) = (source.path.clone(), source.bytes, source.stamp.clone());
        let file = source.seekable()?;
        let second = file.try_clone().map_err(|e| Error::io(&path, e))?;
        let (schema, is_ours) = TableBatches::schema(&path, &kind, file)?;
        let held = stamp.is_none().then(|| Arc::new(Mutex::new(Some(OpenedPipe::File(second)))));
        Ok(InputTable { is_ours, bytes, stamp, held, ..InputTable::typed(path, kind, &schema, hints)? })
    }

    /// Record batches; how many bytes they have is not known.
    pub(crate) fn batches(input: &TableInput, hints: &Hints) -> Result<InputTable> {
        let kind = TableFormat::Table(input.clone());
        InputTable::typed(input.name.clone(), kind, &input.schema, hints)
    }

    /// A file, or record batches.
    pub(crate) fn of(input: &Input, hints: &Hints) -> Result<InputTable> {
        match input {
            Input::Path(path) => InputTable::open(path, hints),
            Input::Table(table) => InputTable::batches(table, hints),
        }
    }

    fn typed(path: PathBuf, kind: TableFormat, schema: &arrow_schema::SchemaRef, hints: &Hints) -> Result<InputTable> {
        let columns: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        names::check_unique(&path, &columns)?;
        let (lists, unusable) = types::kinds(schema);
        let missing = Missing::new(&hints.options);
        let mut table = InputTable {
            path,
            kind,
            columns,
            constants: Vec::new(),
            lists,
            unusable,
            schema: Some(Arc::clone(schema)),
            missing,
            is_list: false,
            is_ours: false,
            bytes: 0,
            stamp: None,
            held: None,
        };
        table.add_constants(hints);
        Ok(table)
    }

    /// A column of the file itself stands before one of its folder's.
    fn add_constants(&mut self, hints: &Hints) {
        for (name, value) in &hints.constants {
            if !self.columns.contains(name) {
                self.columns.push(name.clone());
                self.constants.push(value.clone().into_bytes());
            }
        }
    }

    /// The file's name without its folders.
    pub(crate) fn short_name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The types of its columns, where it has any.
    pub(crate) fn schema(&self) -> Option<&arrow_schema::SchemaRef> {
        self.schema.as_ref()
    }

    /// Refuses a column that cannot be used.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub(crate) fn check_usable(&self, column: &str) -> Result<()> {
        match self.unusable.iter().find(|(name, _)| name == column) {
            None => Ok(()),
            Some((_, what)) => Err(Error::Schema {
                path: self.path.clone(),
                column: column.to_owned(),
                expected: "a column of single values".into(),
                found: what.clone(),
            }),
        }
    }

    /// How many columns the file itself has.
    pub(crate) fn file_columns(&self) -> usize {
        self.columns.len() - self.constants.len()
    }

    /// Where the column is.
    ///
    /// # Errors
    /// [`Error::Schema`] that lists the columns.
    pub(crate) fn index(&self, column: &str) -> Result<usize> {
        self.columns.iter().position(|c| c == column).ok_or_else(|| Error::Schema {
            path: self.path.clone(),
            column: column.to_owned(),
            expected: "a column of this name".into(),
            found: format!("the columns {}", names::listed(&self.columns)),
        })
    }

    /// The text behind the header; `bytes` counts what is read.
    ///
    /// # Errors
    /// [`Error::Input`] where it has been read already, or is another file now.
    pub(crate) fn open_text(&self, header: u64, bytes: &Arc<AtomicU64>) -> Result<TextFile> {
        let mut text = match (self.take_held()?, &self.stamp) {
            (Some(OpenedPipe::Text(text)), _) => text,
            (_, Some(stamp)) => TextFile::new(&self.path, source::reopen(&self.path, stamp)?, Vec::new(), bytes)?,
            _ => return Err(self.read_already()),
        };
        text.skip_lines(header)?;
        Ok(text)
    }

    /// The record batches of those columns at these ascending places, or of all.
    ///
    /// # Errors
    /// As [`open_text`](InputTable::open_text).
    pub(crate) fn open_batches(&self, columns: Option<&[usize]>, bytes: &Arc<AtomicU64>) -> Result<TableBatches> {
        if let TableFormat::Table(input) = &self.kind {
            let stream = input.take().ok_or_else(|| self.read_already())?;
            return Ok(TableBatches::stream(self, stream, columns, bytes));
        }
        let file = match (self.take_held()?, &self.stamp) {
            (Some(OpenedPipe::File(file)), _) => file,
            (_, Some(stamp)) => source::reopen(&self.path, stamp)?,
            _ => return Err(self.read_already()),
        };
        TableBatches::file(self, file, columns, bytes)
    }

    fn take_held(&self) -> Result<Option<OpenedPipe>> {
        let Some(held) = &self.held else { return Ok(None) };
        let pipe = held.lock().unwrap_or_else(PoisonError::into_inner).take();
        pipe.map(Some).ok_or_else(|| self.read_already())
    }

    fn read_already(&self) -> Error {
        Error::input(&self.path, "its rows have been read already; a pipe or stream can only be read once")
    }
}

/// What a file's name says that it is.
fn wanted_by_name(path: &Path) -> Option<Wanted> {
    match folder::kind_of_name(path)? {
        folder::NameKind::Parquet => Some(Wanted::Parquet),
        folder::NameKind::Arrow => Some(Wanted::Arrow),
        folder::NameKind::Text => None,
    }
}
