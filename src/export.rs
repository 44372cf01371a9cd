//! Ways out: embeddings in files that other programs read and search.
//!
//! A file is N rows of `dim` fp32 values, and the raw id of every row. The inner products of user rows with item rows
//! rank exactly as [`recommend`](crate::index::recommend) does when it leaves nothing out: where popularity is part of
//! the score, the rows are one column wider than `model.dim` and carry it
//! ([`Model::embed_items`](crate::Model::embed_items)). Scores are those of the predictions, up to the
//! rounding of a sum.
//!
//! | ending | what is in it | the ids |
//! |---|---|---|
//! | `.npy` | NumPy array N x dim, `<f4`, row-major | beside it |
//! | `.arrow` | `id` (string or int64), `vector` (fixed-size list of float32) | in it |
//! | `.safetensors` | `vectors` F32 N x dim | in it: `ids` I64, or texts as `id_bytes` U8 and `id_offsets` I64 |
//! | `.faiss` | an `IndexFlatIP` | beside it |
//! | `.usearch` | vectors and an HNSW graph, metric `ip`, `f32` | beside it |
//!
//! Ids beside a file lie in one of its name and `.ids.jsonl` ([`ids_path`]): a line `{"row":0,"id":…}` for every row,
//! in order. What a search in a `.faiss` or `.usearch` file returns is such a row. When both files are whole the old ids
//! are removed, then the vectors take their place, then the ids: a reader finds two files that belong together, or no ids.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::data::vocabulary::RawId;
use crate::files::{AtomicFile, folder_of, real_place, remove_file, sync_folder};
use crate::index::Progress;
use crate::index::predictions::IdKind;
use crate::{Error, Result};

mod arrow;
mod faiss;
mod npy;
mod row_ids;
mod safetensors;
mod usearch;

pub use row_ids::ids_path;

use row_ids::RowIds;

/// What a file of vectors is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorFormat {
    /// A NumPy array.
    Npy,
    /// An Arrow IPC file.
    Arrow,
    /// A safetensors file.
    Safetensors,
    /// A faiss index.
    Faiss,
    /// A usearch index.
    Usearch,
}

impl VectorFormat {
    /// The format that a file's ending names.
    ///
    /// # Errors
    /// [`Error::Config`] for another ending.
    pub fn of(path: &Path) -> Result<VectorFormat> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "npy" => Ok(VectorFormat::Npy),
            "arrow" => Ok(VectorFormat::Arrow),
            "safetensors" => Ok(VectorFormat::Safetensors),
            "faiss" => Ok(VectorFormat::Faiss),
            "usearch" => Ok(VectorFormat::Usearch),
            _ => Err(Error::config(
                "out",
                format!("`{}` does not end in .npy, .arrow, .safetensors, .faiss or .usearch", path.display()),
            )),
        }
    }

    /// Whether the ids are in the file itself; they lie beside it where they are not.
    pub fn holds_ids(self) -> bool {
        matches!(self, VectorFormat::Arrow | VectorFormat::Safetensors)
    }
}

/// Whether vectors can be written under this name: what can be known of it before the work.
///
/// # Errors
/// [`Error::Config`] for an ending that names no format; [`Error::Input`] when `path` is a folder or its folder does
/// not exist, or when ids would lie apart from their vectors, of which one is a symbolic link.
pub fn check_path(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::input(path, "is a folder; name a file in it for the vectors"));
    }
    let format = VectorFormat::of(path)?;
    let folder = crate::files::folder_of(path);
    if !folder.is_dir() {
        return Err(Error::input(path, format!("the folder {} does not exist; create it first", folder.display())));
    }
    let place = real_place(path)?;
    if !format.holds_ids() && real_place(&ids_path(path))? != real_place(&ids_path(&place))? {
        let reason = "is a symbolic link, so its ids would be stored elsewhere; name the file that it points to";
        return Err(Error::input(path, reason));
    }
    Ok(())
}

/// How many rows and columns a file has, and what its ids are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorShape {
    /// Rows.
    pub rows: u64,
    /// Columns of a vector, at least 1.
    pub dim: usize,
    /// The type of the raw ids.
    pub ids: IdKind,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// The file of its ids, where they lie beside it.
    pub ids_file: Option<PathBuf>,
    /// Rows.
    pub rows: u64,
    /// Columns of a vector.
    pub dim: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Wall time from the writer's start to the file in its place.
    pub seconds: f64,
}

/// What a format does with rows. A writer counts and measures them before they come here.
trait VectorSink {
    /// Adds a row.
    fn push(&mut self, id: RawId<'_>, vector: &[f32]) -> io::Result<()>;

    /// Writes what is left, to the operating system.
    fn finish(self: Box<Self>, progress: &mut dyn FnMut(Progress)) -> io::Result<()>;
}

/// Writes vectors row by row, in bounded memory but for `.usearch`: its graph needs all vectors, so that they are held
/// (4 bytes a value, and some 150 a row for the links).
///
/// The file is there when [`finish`](VectorWriter::finish) has returned; dropped before, or after an error, the writer
/// leaves what was there untouched.
pub struct VectorWriter {
    path: PathBuf,
    shape: VectorShape,
    target: AtomicFile,
    sink: Box<dyn VectorSink + Send>,
    beside: Option<RowIds>,
    rows: u64,
    started: Instant,
}

impl VectorWriter {
    /// Starts the file at `path`, whose ending decides the format ([`VectorFormat`]). `threads` build a `.usearch`
    /// file's graph, which does not depend on their number; 0 takes every core.
    ///
    /// # Errors
    /// [`Error::Config`] for another ending; [`Error::Input`] when `path` is a folder, its folder does not exist or the
    /// format cannot hold so many rows or columns; [`Error::Shape`] when there are no columns; [`Error::Io`].
    pub fn create(path: &Path, shape: VectorShape, threads: usize) -> Result<VectorWriter> {
        check_path(path)?;
        if shape.dim == 0 {
            return Err(Error::Shape { op: "export", expected: "at least 1 column".into(), found: "none".into() });
        }
        let (started, format) = (Instant::now(), VectorFormat::of(path)?);
        let beside = (!format.holds_ids()).then(|| RowIds::create(&ids_path(path))).transpose()?;
        let target = AtomicFile::create(path)?;
        let file = target.file().try_clone().map_err(|e| Error::io(path, e))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        let sink: io::Result<Box<dyn VectorSink + Send>> = match format {
            VectorFormat::Npy => npy::start(out, shape).map(boxed),
            VectorFormat::Arrow => arrow::start(out, shape).map(boxed),
            VectorFormat::Safetensors => safetensors::start(out, shape).map(boxed),
            VectorFormat::Faiss => faiss::start(out, shape).map(boxed),
            VectorFormat::Usearch => usearch::start(out, shape, threads).map(boxed),
        };
        let sink = sink.map_err(|e| failed(path, e))?;
        Ok(VectorWriter { path: path.to_owned(), shape, target, sink, beside, rows: 0, started })
    }

    /// Adds a row: its raw id and its `dim` values.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of values or more rows than were promised, [`Error::Input`] when a text id
    /// goes to a file of integers, [`Error::Io`].
    pub fn push(&mut self, id: RawId<'_>, vector: &[f32]) -> Result<()> {
        if vector.len() != self.shape.dim || self.rows == self.shape.rows {
            return Err(self.other_shape(self.rows + 1, vector.len()));
        }
        if let Some(beside) = &mut self.beside {
            beside.push(self.rows, id)?;
        }
        self.rows += 1;
        self.sink.push(id, vector).map_err(|e| failed(&self.path, e))
    }

    /// Ends the file and puts it in its place. `progress` is called while a graph is built; an error that it answers
    /// keeps the file from its place.
    ///
    /// # Errors
    /// [`Error::Shape`] when rows are missing, [`Error::Io`], what `progress` answers.
    pub fn finish(self, progress: &mut dyn FnMut(Progress) -> Result<()>) -> Result<Exported> {
        if self.rows != self.shape.rows {
            return Err(self.other_shape(self.rows, self.shape.dim));
        }
        let VectorWriter { path, shape, target, sink, beside, rows, started } = self;
        let mut stopped = Ok(());
        let mut report = |at| {
            if stopped.is_ok() {
                stopped = progress(at);
            }
        };
        sink.finish(&mut report).map_err(|e| failed(&path, e))?;
        stopped?;
        let bytes = target.file().metadata().map_err(|e| Error::io(&path, e))?.len();
        let beside = beside.map(RowIds::finish).transpose()?;
        if let Some(ids) = &beside {
            remove_file(ids.path())?;
            sync_folder(folder_of(ids.path()))?;
        }
        target.commit()?;
        let ids_file = beside.as_ref().map(|_| ids_path(&path));
        beside.map(AtomicFile::commit).transpose()?;
        Ok(Exported { file: path, ids_file, rows, dim: shape.dim, bytes, seconds: started.elapsed().as_secs_f64() })
    }

    fn other_shape(&self, rows: u64, columns: usize) -> Error {
        Error::Shape {
            op: "export",
            expected: format!("{} rows of {} values", self.shape.rows, self.shape.dim),
            found: format!("{rows} rows, the last of {columns} values"),
        }
    }
}

impl fmt::Debug for VectorWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VectorWriter")
            .field("path", &self.path)
            .field("shape", &self.shape)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn boxed<S: VectorSink + Send + 'static>(sink: S) -> Box<dyn VectorSink + Send> {
    Box::new(sink)
}

/// What a format cannot hold is the input's fault, all else the system's.
fn failed(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::input(path, error.to_string()),
        _ => Error::io(path, error),
    }
}

/// What [`failed`] tells from trouble of the system.
fn unfit(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason.into())
}

/// Values after a header, and nothing else: what three of the formats are.
struct Plain(BufWriter<File>);

impl VectorSink for Plain {
    fn push(&mut self, _: RawId<'_>, vector: &[f32]) -> io::Result<()> {
        self.0.write_all(bytemuck::cast_slice(vector))
    }

    fn finish(mut self: Box<Self>, _: &mut dyn FnMut(Progress)) -> io::Result<()> {
        self.0.flush()
    }
}
