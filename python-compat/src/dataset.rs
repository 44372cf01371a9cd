//! Datasets.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tercel::data::dataset::Dataset;
use tercel::data::ingest::{IngestConfig, IngestProgress, Inputs, ingest_inputs};

use crate::errors::raised;
use crate::signals::Watch;
use crate::stream::{Given, capsule, reader};

/// Reads inputs into the dataset folder `out`; the summary as JSON.
///
/// `config` is an ingest configuration as JSON. Every input is a path or a pair (name, object with
/// `__arrow_c_stream__`). `observer` is called with JSON of `{stage, rows, bytes, total_bytes}`.
#[pyfunction]
#[pyo3(signature = (inputs, out, config, valid, test, user_features, item_features, observer))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn ingest(
    py: Python<'_>,
    inputs: Vec<Given<'_>>,
    out: PathBuf,
    config: &str,
    valid: Vec<Given<'_>>,
    test: Vec<Given<'_>>,
    user_features: Option<Given<'_>>,
    item_features: Option<Given<'_>>,
    observer: Option<Py<PyAny>>,
) -> PyResult<String> {
    let config: IngestConfig = serde_json::from_str(config).map_err(invalid)?;
    let all = |given: Vec<Given<'_>>| given.into_iter().map(Given::input).collect::<PyResult<Vec<_>>>();
    let inputs = Inputs {
        train: all(inputs)?,
        valid: all(valid)?,
        test: all(test)?,
        user_features: user_features.map(Given::input).transpose()?,
        item_features: item_features.map(Given::input).transpose()?,
    };
    let watch = Mutex::new(Watch::new(observer));
    let report = |at: IngestProgress| {
        let words = || {
            let at = serde_json::json!({
                "stage": at.stage.name(), "rows": at.rows, "bytes": at.bytes, "total_bytes": at.total_bytes,
            });
            at.to_string()
        };
        match watch.lock() {
            Ok(mut watch) => watch.tell_now_and_then(words),
            Err(_) => Ok(()),
        }
    };
    let result = py.detach(|| ingest_inputs(inputs, &out, &config, &report));
    let watch = watch.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let summary = watch.end(result)?;
    let filtered = summary.filtered.unwrap_or_default();
    Ok(serde_json::json!({
        "rows": summary.rows,
        "train_rows": summary.train_rows,
        "valid_rows": summary.valid_rows,
        "test_rows": summary.test_rows,
        "train_repeats": summary.train_repeats,
        "valid_repeats": summary.valid_repeats,
        "test_repeats": summary.test_repeats,
        "users": summary.users,
        "items": summary.items,
        "unseen_users": summary.unseen_users,
        "unseen_items": summary.unseen_items,
        "rejected": summary.rejected,
        "filtered": filtered.train_rows,
        "filtered_users": filtered.users,
        "filtered_items": filtered.items,
        "filtered_valid_rows": filtered.valid_rows,
        "filtered_test_rows": filtered.test_rows,
        "notes": summary.notes,
        "seconds": summary.seconds,
    })
    .to_string())
}

/// The rows of a table (a name, and an object with `__arrow_c_stream__`) as ingest reads them: a capsule with an Arrow
/// stream. `config` is an ingest configuration as JSON.
#[pyfunction]
pub(crate) fn interactions<'py>(
    py: Python<'py>,
    table: (String, Bound<'py, PyAny>),
    config: &str,
) -> PyResult<Bound<'py, PyCapsule>> {
    let config: IngestConfig = serde_json::from_str(config).map_err(invalid)?;
    let stream = Box::new(reader(&table.0, &table.1)?);
    let name = table.0;
    let read = raised(py.detach(|| tercel::data::ingest::interactions(name, stream, &config)))?;
    capsule(py, read)
}

/// Opens a dataset folder and gives its `dataset.json`.
#[pyfunction]
pub(crate) fn check_dataset(path: PathBuf) -> PyResult<String> {
    let dataset = open(&path)?;
    serde_json::to_string(dataset.manifest()).map_err(invalid)
}

pub(crate) fn open(path: &Path) -> PyResult<Dataset> {
    raised(Dataset::open(path))
}

/// A setting that JSON cannot carry: a mistake of the caller's, named.
pub(crate) fn invalid(error: serde_json::Error) -> PyErr {
    crate::errors::exception(&tercel::Error::config("configuration", error.to_string()))
}
