//! Tables for Python: the core's reader, batch by batch.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tercel::data::ingest::Stream;

use crate::errors::{exception, raised, table_error};
use crate::stream::{Given, capsule, reader};

mod open;

/// Opens a table (a path, or a name and an object with `__arrow_c_stream__`). `options` are the settings of reading as
/// JSON: `sep`, `quote`, `escape`, `null`, `columns`, `time_unit`, `time_format`.
#[pyfunction]
pub(crate) fn read_table(py: Python<'_>, source: Given<'_>, options: &str) -> PyResult<Rows> {
    let stream = match source {
        Given::Path(path) => raised(py.detach(|| open::open(&path, options)))?,
        Given::Table((name, object)) => Box::new(reader(&name, &object)?),
    };
    Ok(Rows { stream: Mutex::new(Some(stream)), failed: Arc::default() })
}

/// The rows of a table, to be read once.
#[pyclass(frozen)]
pub(crate) struct Rows {
    stream: Mutex<Option<Stream>>,
    failed: Arc<Mutex<Option<PyErr>>>,
}

#[pymethods]
impl Rows {
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
