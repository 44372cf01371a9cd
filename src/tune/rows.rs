//! The rows that a search learns from and judges by.

use std::path::Path;

use crate::Result;
use crate::data::dataset::{Dataset, Split};

/// A dataset with validation rows, and where these come from, in words.
pub(super) struct SearchData {
    pub(super) dataset: Dataset,
    pub(super) validation: String,
}

/// The dataset itself where it has validation rows; else one in `dir` that holds out a part of its training rows.
pub(super) fn validated(dataset: &Dataset, dir: &Path, seed: u64) -> Result<SearchData> {
    let rows = dataset.split(Split::Valid).rows;
    if rows > 0 {
        return Ok(SearchData {
            dataset: dataset.clone(),
            validation: format!("the {rows} rows of the validation split"),
        });
    }
    let held = match dir.exists() {
        true => Dataset::open(dir)?,
        // The training rows alone are read.
        false => dataset.hold_out(dir, seed)?,
    };
    let validation = held.holdout().map_or("held-out rows".into(), ToString::to_string);
    Ok(SearchData { dataset: held, validation })
}

/// Training and validation rows together, as the training split of a dataset in `dir`; the dataset itself where it has no
/// validation rows. What a killed search left there is made anew: it is links to the dataset's shards, which may have moved.
pub(super) fn whole(dataset: &Dataset, dir: &Path) -> Result<Dataset> {
    match dataset.split(Split::Valid).rows {
        0 => Ok(dataset.clone()),
        _ => dataset.refit(dir),
    }
}
