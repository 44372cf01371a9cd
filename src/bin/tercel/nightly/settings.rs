//! The one TOML file of a nightly run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tercel::config::{LossConfig, ModelConfig, OptimizerConfig, TrainConfig};
use tercel::data::ingest::IngestConfig;
use tercel::{Config, Error, Result};

use crate::args::read_toml;
use crate::evaluate::EvaluateSettings;
use tercel::Search;

use crate::index::{Index, IndexSettings};
use crate::recommend::RecommendSettings;

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
    /// As `tercel index`, for the index that `evaluate` and `recommend` search where they are told `approx`.
    pub index: NightlyIndex,
    /// As `tercel evaluate`.
    pub evaluate: EvaluateSettings,
    /// As `tercel recommend`.
    pub recommend: RecommendSettings,
}

/// The table `[index]`. The recall stands in `[evaluate]` and `[recommend]`: the index keeps the larger one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NightlyIndex {
    /// The list length that the recall is meant for. Default: that of the predictions.
    pub k: Option<usize>,
    /// The same seed gives the same index. Default 0.
    pub seed: Option<u64>,
}

impl NightlyIndex {
    /// Checks what can be checked before any work; `searches` is the recall of the index, where one is searched.
    pub fn check(&self, searches: Option<f32>) -> Result<()> {
        match self.k {
            Some(_) if searches.is_none() => Err(Error::config("index.k", "goes with --index approx")),
            Some(k) if !(1..=1024).contains(&k) => {
                Err(Error::config("index.k", format!("{k} is not a list length from 1 to 1024")))
            }
            _ if self.seed.is_some() && searches.is_none() => {
                Err(Error::config("index.seed", "goes with --index approx"))
            }
            _ => Ok(()),
        }
    }

    /// All of an index's settings.
    pub fn with(&self, recall: f32, k: usize) -> IndexSettings {
        IndexSettings { recall, k: self.k.unwrap_or(k), seed: self.seed.unwrap_or(0) }
    }
}

impl Settings {
    /// The recall of the index that evaluation and recommendations search; none where both search all items.
    pub fn searches(&self) -> Option<f32> {
        let (evaluate, recommend) = (&self.evaluate, &self.recommend);
        [(evaluate.index, evaluate.recall), (recommend.index, recommend.recall)]
            .into_iter()
            .filter(|(index, _)| *index == Index::Approx)
            .map(|(_, recall)| recall.unwrap_or(Search::RECALL))
            .reduce(f32::max)
    }

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
