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

/// The exception for something that is no table, or cannot be read as one.
pub(crate) fn table_error(py: Python<'_>, name: &str, reason: &str) -> PyErr {
    let place = Place { path: Some(Path::new(name)), ..Place::default() };
    made(py, "DataError", format!("{name}: {reason}"), &place).unwrap_or_else(|failed| failed)
}

/// The exception for arrays that do not fit.
pub(crate) fn shape_error(reason: String) -> PyErr {
    Python::attach(|py| made(py, "ShapeError", reason, &Place::default()).unwrap_or_else(|failed| failed))
}

fn made(py: Python<'_>, class: &str, words: String, place: &Place<'_>) -> PyResult<PyErr> {
    let known = PyDict::new(py);
    known.set_item("path", place.path.map(|path| path.to_string_lossy()))?;
    known.set_item("row", place.row)?;
    known.set_item("column", place.column)?;
    known.set_item("field", place.field)?;
    let class = py.import("tercel.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((words,), Some(&known))?))
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
        Error::Memory { .. } | Error::OutOfMemory { .. } | Error::DeviceMemory { .. } => ("OutOfMemoryError", nowhere),
        Error::CudaUnavailable { .. } | Error::Cuda { .. } | Error::KernelCompile { .. } => ("DeviceError", nowhere),
        _ => ("TercelError", nowhere),
    };
    made(py, class, error.to_string(), &place)
}
