//! Training.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use tercel::Config;
use tercel::data::ingest::IngestConfig;
use tercel::data::shape::Shape;
use tercel::settings::{EvaluateSettings, IndexSettings, RecommendSettings, Table, TuneSettings};
use tercel::train::train_until;

use crate::dataset::{invalid, open};
use crate::signals::Watch;

/// Trains on the dataset at `data` into the folder `out`; the summary as JSON.
///
/// `observer` is called with each event as JSON, in the words of `tercel train --json`. What it raises, and Ctrl-C, ends
/// the run at a checkpoint, from which `resume` goes on.
#[pyfunction]
pub(crate) fn train(
    py: Python<'_>,
    data: PathBuf,
    out: PathBuf,
    config: &str,
    resume: bool,
    observer: Option<Py<PyAny>>,
) -> PyResult<String> {
    let dataset = open(&data)?;
    let config: Config = serde_json::from_str(config).map_err(invalid)?;
    let (result, watch) = py.detach(|| {
        let stop = AtomicBool::new(false);
        let watch = RefCell::new(Watch::new(observer));
        let result = train_until(&dataset, &out, &config, resume, &stop, &mut |event| {
            let mut watch = watch.borrow_mut();
            watch.tell(|| serde_json::to_string(&event).unwrap_or_default());
            if watch.look().is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        });
        (result, watch.into_inner())
    });
    let summary = watch.end(result)?;
    serde_json::to_string(&summary).map_err(invalid)
}

/// Removes the unfinished run beside the model folder `out`, where there is one.
#[pyfunction]
pub(crate) fn forget(out: PathBuf) -> PyResult<()> {
    crate::errors::raised(tercel::train::forget(&out))
}

/// A configuration (JSON) with every default filled in, for data of a shape (JSON, as in `dataset.json`; what it leaves
/// out is 0).
#[pyfunction]
pub(crate) fn complete_config(config: &str, shape: &str) -> PyResult<String> {
    let config: Config = serde_json::from_str(config).map_err(invalid)?;
    let shape: Shape = serde_json::from_str(shape).map_err(invalid)?;
    crate::errors::raised(config.validate())?;
    serde_json::to_string(&config.for_shape(&shape)).map_err(invalid)
}

/// The shape of the dataset at `data`, as JSON.
#[pyfunction]
pub(crate) fn shape(py: Python<'_>, data: PathBuf) -> PyResult<String> {
    let dataset = open(&data)?;
    let found = py.detach(|| Shape::of(&dataset));
    serde_json::to_string(&crate::errors::raised(found)?).map_err(invalid)
}

/// The settings of each command, as JSON: key, flag, short name, values, default and documentation.
#[pyfunction]
pub(crate) fn settings() -> PyResult<String> {
    let tables = serde_json::json!({
        "train": Config::describe(),
        "tune": TuneSettings::describe(),
        "ingest": IngestConfig::describe(),
        "evaluate": EvaluateSettings::describe(),
        "recommend": RecommendSettings::describe(),
        "index": IndexSettings::describe(),
    });
    serde_json::to_string(&tables).map_err(invalid)
}
