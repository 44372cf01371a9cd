//! What holds for a run: the settings with nothing left open.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Config, EarlyStop, EarlyStopping, Negatives};

/// The settings of a run with nothing left open: what a trainer, a model and its file take.
///
/// It comes from [`Config::for_shape`] alone, or from a model's file. What could be left open is a plain value here;
/// everything else is read as from the [`Config`] that it holds.
#[derive(Clone, Debug)]
pub struct Resolved {
    config: Config,
    open: OpenSettings,
    decisions: Vec<Decision>,
}

/// A setting that was left open, what it became, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Where it stands in a configuration file, `model.temperature`.
    pub key: &'static str,
    /// The value, as a flag takes it.
    pub value: String,
    /// What of the data, or of the other settings, it follows from.
    pub why: String,
}

impl Decision {
    /// The key without its first table: what people are shown.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// Every setting that can be left open, with the value that it has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OpenSettings {
    pub history: usize,
    pub user_id: bool,
    pub negatives: Negatives,
    pub top_k: usize,
    pub popularity: f32,
    pub temperature: f32,
    pub lr: f32,
    pub weight_decay: f32,
    pub batch_size: usize,
    pub epochs: u64,
    pub early_stop: EarlyStopping,
}

impl Resolved {
    /// `model.temperature`.
    #[must_use]
    pub fn temperature(&self) -> f32 {
        self.open.temperature
    }

    /// `model.popularity`.
    #[must_use]
    pub fn popularity(&self) -> f32 {
        self.open.popularity
    }

    /// `model.user.history`: the items of a user's history that the user tower reads.
    #[must_use]
    pub fn history(&self) -> usize {
        self.open.history
    }

    /// `model.user.id`: whether the user tower reads the user's own embedding.
    #[must_use]
    pub fn user_id(&self) -> bool {
        self.open.user_id
    }

    /// `loss.negatives`.
    #[must_use]
    pub fn negatives(&self) -> Negatives {
        self.open.negatives
    }

    /// `loss.top_k`; 0 where all rows weigh alike.
    #[must_use]
    pub fn top_k(&self) -> usize {
        self.open.top_k
    }

    /// `optimizer.lr`.
    #[must_use]
    pub fn lr(&self) -> f32 {
        self.open.lr
    }

    /// `optimizer.weight_decay`.
    #[must_use]
    pub fn weight_decay(&self) -> f32 {
        self.open.weight_decay
    }

    /// `train.batch_size`.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.open.batch_size
    }

    /// `train.epochs`.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.open.epochs
    }

    /// `train.early_stop`: what is watched; nothing where it is off.
    #[must_use]
    pub fn early_stop(&self) -> Option<&EarlyStop> {
        self.open.early_stop.on()
    }

    /// The settings as a file has them, every open one filled in.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every setting that was left open, and why it became what it is; none of a model's file.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// `open` takes the place of what is left open in `config`; what the item tower leaves open has one meaning.
    pub(super) fn new(mut config: Config, open: OpenSettings, decisions: Vec<Decision>) -> Resolved {
        let (user, item) = (&mut config.model.user, &mut config.model.item);
        (user.history, user.id) = (Some(open.history), Some(open.user_id));
        item.id.get_or_insert(true);
        item.history.get_or_insert(0);
        config.model.temperature = Some(open.temperature);
        config.model.popularity = Some(open.popularity);
        config.loss.negatives = Some(open.negatives);
        config.loss.top_k = Some(open.top_k);
        config.optimizer.lr = Some(open.lr);
        config.optimizer.weight_decay = Some(open.weight_decay);
        config.train.batch_size = Some(open.batch_size);
        config.train.epochs = Some(open.epochs);
        config.train.early_stop = Some(open.early_stop.clone());
        Resolved { config, open, decisions }
    }
}

/// The same settings, however they came about.
impl PartialEq for Resolved {
    fn eq(&self, other: &Resolved) -> bool {
        self.config == other.config
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

/// From a model's file. A file of a version that did not know a setting was trained without it, and one that was open
/// later had the one default of its time.
impl<'de> Deserialize<'de> for Resolved {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let config = Config::deserialize(from)?;
        let open = OpenSettings {
            history: config.model.user.history.unwrap_or(0),
            user_id: config.model.user.id.unwrap_or(true),
            negatives: config.loss.negatives.unwrap_or_default(),
            top_k: config.loss.top_k.unwrap_or(0),
            popularity: config.model.popularity.unwrap_or(0.0),
            temperature: config.model.temperature.unwrap_or(0.2),
            lr: config.optimizer.lr.unwrap_or(0.01),
            weight_decay: config.optimizer.weight_decay.unwrap_or(0.0),
            batch_size: config.train.batch_size.unwrap_or(512),
            epochs: config.train.epochs.unwrap_or(0),
            early_stop: config.train.early_stop.clone().unwrap_or(EarlyStopping::Off),
        };
        Ok(Resolved::new(config, open, Vec::new()))
    }
}
