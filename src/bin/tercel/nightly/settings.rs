//! The one TOML file of a nightly run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tercel::Config;
use tercel::config::{LossConfig, ModelConfig, OptimizerConfig, TrainConfig};
use tercel::data::ingest::IngestConfig;

use crate::args::read_toml;
use crate::evaluate::EvaluateSettings;
use crate::recommend::RecommendSettings;
use tercel::Result;

/// Everything that a nightly run can be told. Every field but the input has a default; unknown fields are refused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Files or folders with the interactions; relative paths start from the TOML file's folder.
    pub input: Vec<PathBuf>,
    /// The folder of the run.
    pub out: Option<PathBuf>,
    /// As `tercel ingest`.
    pub ingest: IngestConfig,
    /// As `tercel train --config`.
    pub model: ModelConfig,
    /// As `tercel train --config`.
    pub loss: LossConfig,
    /// As `tercel train --config`.
    pub optimizer: OptimizerConfig,
    /// As `tercel train --config`.
    pub train: TrainConfig,
    /// As `tercel evaluate`.
    pub evaluate: EvaluateSettings,
    /// As `tercel recommend`.
    pub recommend: RecommendSettings,
}

impl Settings {
    /// Reads the file; its relative paths become relative to its folder.
    pub fn read(path: &Path) -> Result<Settings> {
        let mut settings: Settings = read_toml(path)?;
        settings.relative_to(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    /// Makes relative paths start from `folder`. The predictions' name stays: it is a file in the run's folder.
    pub fn relative_to(&mut self, folder: &Path) {
        let ingest = &mut self.ingest;
        let one = [&mut self.out, &mut ingest.user_features, &mut ingest.item_features];
        let lists = [&mut self.recommend.users, &mut self.recommend.items];
        for path in one.into_iter().chain(lists).flatten() {
            *path = folder.join(&path);
        }
        for path in self.input.iter_mut().chain(&mut ingest.valid).chain(&mut ingest.test) {
            *path = folder.join(&path);
        }
    }

    /// What `tercel train` needs of it.
    pub fn config(&self) -> Config {
        Config {
            model: self.model.clone(),
            loss: self.loss.clone(),
            optimizer: self.optimizer.clone(),
            train: self.train.clone(),
        }
    }

    pub fn set_config(&mut self, config: Config) {
        (self.model, self.loss, self.optimizer, self.train) =
            (config.model, config.loss, config.optimizer, config.train);
    }
}
