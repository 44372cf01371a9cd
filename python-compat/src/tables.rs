//! Tables for Python: the core's reader, batch by batch.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tercel::table::{ReadOptions, Stream};

use crate::dataset::invalid;
use crate::errors::{exception, raised, table_error};
use crate::stream::{Given, capsule};

/// Opens a table (a path, or a name and an object with `__arrow_c_stream__`). `options` are the settings of reading as
/// JSON: `sep`, `quote`, `escape`, `null`, `columns`, `time_unit`, `time_format`.
#[pyfunction]
pub(crate) fn read_table(py: Python<'_>, source: Given<'_>, options: &str) -> PyResult<RowStream> {
    let options: ReadOptions = serde_json::from_str(options).map_err(invalid)?;
    raised(options.validate())?;
    let input = source.input()?;
    let stream = raised(py.detach(|| tercel::table::read(&input, &options)))?;
    Ok(RowStream { stream: Mutex::new(Some(stream)), failed: Arc::default() })
}

/// A file, and the columns that its folders add to it: their names and values.
type Part = (PathBuf, Vec<(String, String)>);

/// Files that are read, and those that are not with the reason.
type Listed = (Vec<Part>, Vec<(PathBuf, String)>);

/// The data files that a path stands for; and those that are not read, each with the reason.
#[pyfunction]
pub(crate) fn data_files(py: Python<'_>, path: PathBuf) -> PyResult<Listed> {
    let parts = raised(py.detach(|| tercel::table::parts(&path)))?;
    Ok((parts.files, parts.passed))
}

/// The rows of a table, to be read once.
#[pyclass(frozen, name = "Rows")]
pub(crate) struct RowStream {
    stream: Mutex<Option<Stream>>,
    failed: Arc<Mutex<Option<PyErr>>>,
}

#[pymethods]
impl RowStream {
    /// The stream, once.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let inner = stream.ok_or_else(|| table_error(py, "table", "the rows have been read already"))?;
        capsule(py, Box::new(Watched { inner, failed: Arc::clone(&self.failed) }))
    }

    /// Raises what ended the stream, if anything did: an Arrow stream itself carries words alone.
    fn check(&self) -> PyResult<()> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// A stream that keeps the error that ends it.
struct Watched {
    inner: Stream,
    failed: Arc<Mutex<Option<PyErr>>>,
}

impl Iterator for Watched {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.inner.next()?;
        if let Err(ArrowError::ExternalError(error)) = &item
            && let Some(error) = error.downcast_ref::<tercel::Error>()
        {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(exception(error));
        }
        Some(item)
    }
}

impl RecordBatchReader for Watched {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
