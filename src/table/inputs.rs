//! What is read: files, or tables that are in memory or come as a stream.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatchReader;
use arrow_schema::SchemaRef;

/// A stream of record batches.
pub type Stream = Box<dyn RecordBatchReader + Send>;

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, or a folder of files.
    Path(PathBuf),
    /// Record batches under a name.
    Table(TableInput),
}

/// Record batches under a name, which errors give in the place of a path. They are read once, batch by batch, and no
/// column of theirs is copied as a whole.
#[derive(Clone)]
pub struct TableInput {
    pub(super) name: PathBuf,
    pub(super) schema: SchemaRef,
    stream: Arc<Mutex<Option<Stream>>>,
}

impl TableInput {
    /// What it is called.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The batches, once.
    pub(super) fn take(&self) -> Option<Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TableInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableInput").field("name", &self.name).field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartialEq for TableInput {
    fn eq(&self, other: &TableInput) -> bool {
        Arc::ptr_eq(&self.stream, &other.stream)
    }
}

impl Eq for TableInput {}

impl Input {
    /// A table, or a stream that is longer than memory. Columns may have every type that a Parquet file's may.
    pub fn table(name: impl Into<PathBuf>, stream: Stream) -> Input {
        let (name, schema) = (name.into(), stream.schema());
        Input::Table(TableInput { name, schema, stream: Arc::new(Mutex::new(Some(stream))) })
    }
}

impl Input {
    /// The path of a file or folder.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Input::Path(path) => Some(path),
            Input::Table(_) => None,
        }
    }
}

impl From<&std::path::Path> for Input {
    fn from(path: &std::path::Path) -> Input {
        Input::Path(path.to_owned())
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Input {
        Input::Path(path)
    }
}

impl From<&PathBuf> for Input {
    fn from(path: &PathBuf) -> Input {
        Input::Path(path.clone())
    }
}
