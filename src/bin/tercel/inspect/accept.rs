//! `tercel inspect --accept`: what was edited by hand, taken as it is.

use std::path::Path;

use serde_json::{Map, Value};
use tercel::data::dataset::Dataset;
use tercel::files::accept_json;
use tercel::model::checkpoint;
use tercel::{Error, Result};

/// A dataset, a model, the folder of a nightly run or a JSON text of one of them.
pub fn accept(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if name == "dataset.json" {
        return Dataset::accept(folder);
    }
    if name == "config.json" {
        return checkpoint::accept(folder);
    }
    if path.is_file() && path.extension().is_some_and(|ending| ending == "json") {
        return accept_json(path, |_: &mut Map<String, Value>| Ok(()));
    }
    let mut found = false;
    for folder in [path, &path.join("dataset"), &path.join("model")] {
        if folder.join("dataset.json").is_file() {
            Dataset::accept(folder)?;
            found = true;
        }
        if folder.join("config.json").is_file() {
            checkpoint::accept(folder)?;
            found = true;
        }
    }
    let record = path.join("nightly.json");
    if record.is_file() {
        accept_json(&record, |_: &mut Map<String, Value>| Ok(()))?;
        found = true;
    }
    match found {
        true => Ok(()),
        false => Err(Error::input(path, "is not a dataset, model or JSON file that can be accepted")),
    }
}
