//! What holds for a run: the settings with nothing left open.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Config, LogQ, OptimizerKind};

/// Rows that a run sees, all epochs together, where no number of epochs is set.
const ROWS: u64 = 60_000_000;

/// The settings of a run with nothing left open: what a trainer, a model and its file take.
///
/// It comes from [`Config::for_rows`] alone, or from a model's file. What could be left open is a plain value here;
/// everything else is read as from the [`Config`] that it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    config: Config,
    epochs: u64,
    weight_decay: f32,
    popularity: f32,
}

impl Resolved {
    /// `train.epochs`.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// `optimizer.weight_decay`.
    #[must_use]
    pub fn weight_decay(&self) -> f32 {
        self.weight_decay
    }

    /// `model.popularity`.
    #[must_use]
    pub fn popularity(&self) -> f32 {
        self.popularity
    }

    /// The settings as a file has them, every open one filled in.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn new(mut config: Config, epochs: u64, weight_decay: f32, popularity: f32) -> Resolved {
        config.train.epochs = Some(epochs);
        config.optimizer.weight_decay = Some(weight_decay);
        config.model.popularity = Some(popularity);
        Resolved { config, epochs, weight_decay, popularity }
    }
}

impl Config {
    /// These settings for a training split of `rows` rows, with what was left open filled in. Nothing that is set
    /// changes.
    ///
    /// `train.epochs` becomes 60 million rows' worth of passes, at least 5 and at most 30: a small dataset needs the
    /// steps, a large one has them in a few passes. `optimizer.weight_decay` becomes 2 or 0, `model.popularity`
    /// 0.5 or 0.
    #[must_use]
    pub fn for_rows(&self, rows: u64) -> Resolved {
        let turns = self.optimizer.name == OptimizerKind::Adam && self.model.normalize;
        let counted = matches!(self.loss.logq, LogQ::Exact | LogQ::Streaming);
        Resolved::new(
            self.clone(),
            self.train.epochs.unwrap_or((ROWS / rows.max(1)).clamp(5, 30)),
            self.optimizer.weight_decay.unwrap_or(if turns { 2.0 } else { 0.0 }),
            self.model.popularity.unwrap_or(if counted { 0.5 } else { 0.0 }),
        )
    }
}

impl Deref for Resolved {
    type Target = Config;
    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Serialize for Resolved {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.config.serialize(to)
    }
}

/// From a model's file. A file of a version that did not know a setting was trained without it.
impl<'de> Deserialize<'de> for Resolved {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let config = Config::deserialize(from)?;
        let epochs = config.train.epochs.unwrap_or_default();
        let decay = config.optimizer.weight_decay.unwrap_or_default();
        let popularity = config.model.popularity.unwrap_or_default();
        Ok(Resolved::new(config, epochs, decay, popularity))
    }
}
