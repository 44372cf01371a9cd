//! Everything that a dataset is made of.

use std::path::PathBuf;

use super::config::IngestConfig;
use crate::table::Input;

/// Everything that one dataset is made of.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The training split, or all splits.
    pub train: Vec<Input>,
    /// The validation split, where it comes by itself.
    pub valid: Vec<Input>,
    /// The test split, where it comes by itself.
    pub test: Vec<Input>,
    /// One row per user: the id, then features.
    pub user_features: Option<Input>,
    /// One row per item: the id, then features.
    pub item_features: Option<Input>,
}

impl Inputs {
    /// The same with the files that a configuration names.
    pub(super) fn with_files_of(mut self, config: &IngestConfig) -> Inputs {
        let inputs = |paths: &[PathBuf]| paths.iter().cloned().map(Input::Path).collect::<Vec<_>>();
        self.valid.extend(inputs(&config.valid));
        self.test.extend(inputs(&config.test));
        let one = |input: Option<Input>, path: &Option<PathBuf>| input.or_else(|| path.clone().map(Input::Path));
        self.user_features = one(self.user_features, &config.user_features);
        self.item_features = one(self.item_features, &config.item_features);
        self
    }
}
