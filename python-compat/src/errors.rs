//! The crate's errors as the exceptions of `tercel.errors`.

use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tercel::Error;

/// A result whose error Python can raise.
pub(crate) fn raised<T>(result: tercel::Result<T>) -> PyResult<T> {
    result.map_err(|error| exception(&error))
}

/// The exception that says what `error` says.
pub(crate) fn exception(error: &Error) -> PyErr {
    Python::attach(|py| build(py, error).unwrap_or_else(|failed| failed))
}

/// Where it happened, as far as the error knows.
#[derive(Default)]
struct Place<'a> {
    path: Option<&'a Path>,
    row: Option<u64>,
    column: Option<&'a str>,
    field: Option<&'a str>,
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let nowhere = Place::default();
    let (class, place) = match error {
        Error::Io { path, .. } => ("FileError", Place { path: Some(path), ..nowhere }),
        Error::Config { field, .. } => ("ConfigError", Place { field: Some(field), ..nowhere }),
        Error::Row { path, row, column, .. } => {
            ("RowError", Place { path: Some(path), row: Some(*row), column: Some(column), ..nowhere })
        }
        Error::IdOutOfRange { path, row, column, .. } => {
            ("DamagedError", Place { path: Some(path), row: Some(*row), column: Some(column), ..nowhere })
        }
        Error::Schema { path, column, .. } => {
            ("SchemaError", Place { path: Some(path), column: Some(column), ..nowhere })
        }
        Error::Input { path, .. } => ("DataError", Place { path: Some(path), ..nowhere }),
        Error::Damaged { path, .. } => ("DamagedError", Place { path: Some(path), ..nowhere }),
        Error::Checkpoint { path, .. } => ("CheckpointError", Place { path: Some(path), ..nowhere }),
        Error::Shape { .. } => ("ShapeError", nowhere),
        Error::NonFinite { .. } => ("NonFiniteError", nowhere),
        Error::Memory { .. } | Error::DeviceMemory { .. } => ("OutOfMemoryError", nowhere),
        Error::CudaUnavailable { .. } | Error::Cuda { .. } | Error::KernelCompile { .. } => ("DeviceError", nowhere),
        _ => ("TercelError", nowhere),
    };
    let known = PyDict::new(py);
    known.set_item("path", place.path.map(|path| path.to_string_lossy()))?;
    known.set_item("row", place.row)?;
    known.set_item("column", place.column)?;
    known.set_item("field", place.field)?;
    let class = py.import("tercel.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((error.to_string(),), Some(&known))?))
}
