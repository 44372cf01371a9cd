//! The one TOML file of a nightly run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tercel::data::ingest::IngestConfig;
use tercel::settings::{
    EvaluateSettings, IndexSettings, LossConfig, ModelConfig, NightlyTuneSettings, OptimizerConfig, RecommendSettings,
    Table, TrainConfig, said,
};
use tercel::table::ReadOptions;
use tercel::tune::{Space, Tune};
use tercel::{Config, Error, Result};

use crate::args::read_toml;
use crate::tune::read_space;

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
    /// As `tercel tune`, and every how many nights; without it settings are not searched for.
    pub tune: Option<NightlyTuneSettings>,
    /// As `tercel index`, for the index that `evaluate` and `recommend` search where they are told `approx`. It keeps the
    /// largest recall of the three.
    pub index: IndexSettings,
    /// As `tercel evaluate`.
    pub evaluate: EvaluateSettings,
    /// As `tercel recommend`.
    pub recommend: RecommendSettings,
    /// The settings of training that the file or a flag gives, by key.
    #[serde(skip)]
    pub said: BTreeSet<String>,
}

impl Settings {
    /// All that the index is told which evaluation and recommendations search; none where both search all items.
    pub fn searched(&self) -> Option<IndexSettings> {
        let asked = [self.evaluate.search.kept(), self.recommend.search.kept()];
        let recall = asked.into_iter().flatten().reduce(f32::max)?;
        let IndexSettings { recall: own, k, seed } = self.index;
        let recall = own.map_or(recall, |own| own.max(recall));
        Some(IndexSettings { recall: Some(recall), k: Some(k.unwrap_or(self.recommend.k)), seed })
    }

    /// Checks what the index is told, before any work.
    pub fn check_index(&self) -> Result<()> {
        self.index.check_in("index")?;
        let default = IndexSettings::default();
        let given = [
            ("index.recall", self.index.recall != default.recall),
            ("index.k", self.index.k != default.k),
            ("index.seed", self.index.seed != default.seed),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((setting, _)) if self.searched().is_none() => Err(Error::config(*setting, "requires --index approx")),
            _ => Ok(()),
        }
    }

    /// Checks what a search is told, before any work; the space that it searches, where the file names one.
    pub fn check_tune(&self) -> Result<Option<Space>> {
        let Some(tune) = &self.tune else { return Ok(None) };
        tune.check_in("tune")?;
        let space = tune.search.space.as_deref().map(read_space).transpose()?;
        Tune { config: self.config(), space: space.clone(), ..Tune::default() }.check()?;
        Ok(space)
    }

    /// What the recommendations are told. How the tables of users and items are written is as in `[ingest]`, where it is
    /// left open; their columns are their own.
    pub fn recommending(&self) -> RecommendSettings {
        let mut settings = self.recommend.clone();
        let ReadOptions { sep, quote, escape, null, columns: _, time_unit, time_format } = self.ingest.read.clone();
        let read = &mut settings.read;
        if read.time_unit.is_none() && read.time_format.is_none() {
            (read.time_unit, read.time_format) = (time_unit, time_format);
        }
        read.sep = read.sep.take().or(sep);
        read.quote = read.quote.or(quote);
        read.escape = read.escape.or(escape);
        read.null = read.null.take().or(null);
        settings
    }

    /// Reads the file; its relative paths become relative to its folder.
    pub fn read(path: &Path) -> Result<Settings> {
        let mut settings: Settings = read_toml(path)?;
        settings.said = said::<Config>(&read_toml(path)?);
        settings.relative_to(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    /// Makes relative paths start from `folder`. The predictions' name stays: it is a file in the run's folder; so does
    /// `-`, standard input.
    pub fn relative_to(&mut self, folder: &Path) {
        let ingest = &mut self.ingest;
        let one = [&mut self.out, &mut ingest.user_features, &mut ingest.item_features];
        let space = self.tune.as_mut().map(|tune| &mut tune.search.space);
        let lists = [&mut self.recommend.users, &mut self.recommend.items].into_iter().chain(space);
        let many = self.input.iter_mut().chain(&mut ingest.valid).chain(&mut ingest.test);
        for path in one.into_iter().chain(lists).flatten().chain(many).filter(|path| path.as_os_str() != "-") {
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
