//! Rows from Python: anything with `__arrow_c_stream__` (pyarrow, Polars, pandas, DuckDB), through the Arrow C stream
//! interface. Columns stay where they are.

use std::ffi::CStr;
use std::path::PathBuf;
use std::ptr::NonNull;

use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tercel::data::ingest::{Input, Stream};

use crate::errors::table_error;

/// What the PyCapsule protocol of Arrow calls the capsule of a stream.
const NAME: &CStr = c"arrow_array_stream";

/// An input as Python gives it: a path, or a table by name.
#[derive(FromPyObject)]
pub(crate) enum Given<'py> {
    #[pyo3(transparent)]
    Path(PathBuf),
    #[pyo3(transparent)]
    Table((String, Bound<'py, PyAny>)),
}

impl Given<'_> {
    pub(crate) fn input(self) -> PyResult<Input> {
        match self {
            Given::Path(path) => Ok(Input::Path(path)),
            Given::Table((name, object)) => {
                let stream = reader(&name, &object)?;
                Ok(Input::table(name, Box::new(stream)))
            }
        }
    }
}

/// Record batches for Python: a capsule that holds an Arrow stream.
pub(crate) fn capsule(py: Python<'_>, stream: Stream) -> PyResult<Bound<'_, PyCapsule>> {
    PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(stream), NAME)
}

/// Takes the stream of an object; `name` is what errors call it.
#[allow(unsafe_code)]
pub(crate) fn reader(name: &str, object: &Bound<'_, PyAny>) -> PyResult<RecordBatchStreamReader> {
    let py = object.py();
    let unread = |error: PyErr| match error.is_instance_of::<PyException>(py) {
        true => table_error(py, name, &format!("gives no rows: {error}")),
        false => error,
    };
    let capsule = object.call_method0("__arrow_c_stream__").map_err(unread)?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|error| unread(error.into()))?;
    let stream: NonNull<FFI_ArrowArrayStream> = capsule.pointer_checked(Some(NAME)).map_err(unread)?.cast();
    // SAFETY: a capsule of this name holds a live `ArrowArrayStream` (the PyCapsule protocol of Arrow), and the
    // interpreter, which we hold, lets nobody else at it meanwhile; it is moved out, which leaves a released one behind.
    let reader = unsafe { RecordBatchStreamReader::from_raw(stream.as_ptr()) };
    reader.map_err(|error| table_error(py, name, &format!("its Arrow stream cannot be read: {error}")))
}
