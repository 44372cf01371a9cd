//! The native half of the Python package `tercel`: thin, the words that people use are in `python/tercel`.
//!
//! Settings and reports cross as JSON, rows as Arrow streams, vectors as NumPy arrays. Long calls let go of the
//! interpreter, and look several times a second whether somebody pressed Ctrl-C.

mod dataset;
mod errors;
mod index;
mod model;
mod signals;
mod stream;
mod tables;
mod train;
mod tune;

use pyo3::prelude::*;

/// What `tercel.*` is made of; not an interface.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::dataset::{check_dataset, ingest, interactions};
    #[pymodule_export]
    use super::index::ItemIndex;
    #[pymodule_export]
    use super::model::TwoTower;
    #[pymodule_export]
    use super::tables::{RowStream, data_files, read_table};
    #[pymodule_export]
    use super::train::{complete_config, forget, settings, shape, train};
    #[pymodule_export]
    use super::tune::{forget_search, tune};
    #[pymodule_export]
    use super::{device_for, read_json, version};
    use pyo3::prelude::*;

    /// Once, when the module is imported.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        tercel::guard::hush_guarded_panics();
        crate::errors::raised(tercel::mapped::exit_on_cut_files())
    }
}

/// The version of the core.
#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A JSON text that Tercel wrote, after a look at its checksum.
#[pyfunction]
fn read_json(path: std::path::PathBuf) -> PyResult<String> {
    let text: serde_json::Map<String, serde_json::Value> = errors::raised(tercel::files::read_json(&path))?;
    serde_json::to_string(&text).map_err(dataset::invalid)
}

/// The device that a word (`auto`, `cpu`, `cuda:N`) stands for on this host, and why.
#[pyfunction]
fn device_for(device: &str) -> PyResult<(String, String)> {
    let choice = errors::raised(device.parse::<tercel::Device>().and_then(tercel::Device::choose))?;
    Ok((choice.device.to_string(), choice.reason))
}
