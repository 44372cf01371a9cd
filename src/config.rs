//! What a run is made of: model, loss, optimizer, training. One TOML file, or the defaults.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Device, Error, Result};

/// Everything that `tercel train` can be told. Every field has a default; unknown fields are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The two towers.
    pub model: ModelConfig,
    /// Candidates, corrections, masks.
    pub loss: LossConfig,
    /// How parameters are stepped.
    pub optimizer: OptimizerConfig,
    /// The loop.
    pub train: TrainConfig,
}

/// The two towers and how their outputs are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Width D of the embeddings that are compared. Default 64.
    pub dim: usize,
    /// Divides the tower outputs by their L2 norm. Default true.
    pub normalize: bool,
    /// T: scores are divided by it. Default 0.2. Where it is learned, this is the start.
    pub temperature: f32,
    /// Learns the temperature. Default false.
    pub learn_temperature: bool,
    /// How tables are stored; arithmetic and optimizer state stay fp32. Default fp32.
    pub dtype: Dtype,
    /// Standard deviation of a new table's values. Default 0.1.
    pub init_std: f32,
    /// The user tower.
    pub user: TowerConfig,
    /// The item tower.
    pub item: TowerConfig,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            dim: 64,
            normalize: true,
            temperature: 0.2,
            learn_temperature: false,
            dtype: Dtype::Fp32,
            init_std: 0.1,
            user: TowerConfig::default(),
            item: TowerConfig::default(),
        }
    }
}

/// One tower: what it reads, how that is combined, what follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TowerConfig {
    /// Reads the id's own embedding. Default true.
    pub id: bool,
    /// The feature columns to read: `"all"` (default), `"none"`, or a list of names.
    pub features: FeatureSelection,
    /// User tower only: pools the last n items before the row, from the item id table. Default 0 (off).
    pub history: usize,
    /// Adds the pooled features up, or lays them side by side. Default sum.
    pub combine: Combine,
    /// Width of each feature's embedding under `concat`. Default: `model.dim`.
    pub feature_dim: Option<usize>,
    /// Widths of the hidden layers (ReLU); a last linear layer of width `model.dim` follows. Default: none. Without
    /// hidden layers `sum` needs no linear layer and has none, `concat` has the last one alone.
    pub mlp: Vec<usize>,
}

impl Default for TowerConfig {
    fn default() -> Self {
        TowerConfig {
            id: true,
            features: FeatureSelection::All,
            history: 0,
            combine: Combine::Sum,
            feature_dim: None,
            mlp: Vec::new(),
        }
    }
}

/// Which feature columns a tower reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "FeatureWords", into = "FeatureWords")]
pub enum FeatureSelection {
    /// Every column that the dataset has.
    #[default]
    All,
    /// None.
    None,
    /// These.
    Named(Vec<String>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum FeatureWords {
    Word(String),
    Names(Vec<String>),
}

impl From<FeatureWords> for FeatureSelection {
    fn from(words: FeatureWords) -> Self {
        match words {
            FeatureWords::Word(w) if w == "all" => FeatureSelection::All,
            FeatureWords::Word(w) if w == "none" => FeatureSelection::None,
            FeatureWords::Word(w) => FeatureSelection::Named(vec![w]),
            FeatureWords::Names(names) => FeatureSelection::Named(names),
        }
    }
}

impl From<FeatureSelection> for FeatureWords {
    fn from(selection: FeatureSelection) -> Self {
        match selection {
            FeatureSelection::All => FeatureWords::Word("all".into()),
            FeatureSelection::None => FeatureWords::Word("none".into()),
            FeatureSelection::Named(names) => FeatureWords::Names(names),
        }
    }
}

/// How a tower puts its pooled features together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Added up, each `dim` wide.
    #[default]
    Sum,
    /// Side by side, each `feature_dim` wide.
    Concat,
}

/// How a table is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes a value.
    #[default]
    Fp32,
    /// 2 bytes, 8 bits of precision; stochastic rounding.
    Bf16,
    /// 2 bytes, 11 bits of precision, up to 65,504; stochastic rounding.
    Fp16,
}

/// Who the candidates are, and what is taken out of the scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// `in-batch` (default), `in-batch+uniform:M`, `cross-batch:M`, `full`.
    pub negatives: Negatives,
    /// The sampling correction. Default `exact`. `full` candidates need none and get none.
    pub logq: LogQ,
    /// Masks candidates with the id of the row's own positive. Default true.
    pub mask_accidental_hits: bool,
    /// Masks candidates that the row's user is known to like (training split). Default false.
    pub mask_known_positives: bool,
}

impl Default for LossConfig {
    fn default() -> Self {
        LossConfig {
            negatives: Negatives::InBatch,
            logq: LogQ::Exact,
            mask_accidental_hits: true,
            mask_known_positives: false,
        }
    }
}

/// Who the candidates of a batch are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Negatives {
    /// The batch's own items.
    #[default]
    InBatch,
    /// The batch's items and this many uniform draws from the catalogue; q is the mixture's.
    InBatchUniform(usize),
    /// The batch's items and the item embeddings of the batches before, up to this many.
    CrossBatch(usize),
    /// Every item of the catalogue: the exact softmax.
    Full,
}

impl FromStr for Negatives {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let number = |n: &str| n.parse().ok().filter(|n: &usize| *n > 0 && *n <= 1 << 24);
        let found = match text {
            "in-batch" => Some(Negatives::InBatch),
            "full" => Some(Negatives::Full),
            _ => match text.split_once(':') {
                Some(("in-batch+uniform", n)) => number(n).map(Negatives::InBatchUniform),
                Some(("cross-batch", n)) => number(n).map(Negatives::CrossBatch),
                _ => None,
            },
        };
        found.ok_or_else(|| {
            Error::config(
                "loss.negatives",
                format!("`{text}` is not one of in-batch, in-batch+uniform:M, cross-batch:M, full (M from 1)"),
            )
        })
    }
}

impl TryFrom<String> for Negatives {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Negatives> for String {
    fn from(negatives: Negatives) -> String {
        match negatives {
            Negatives::InBatch => "in-batch".into(),
            Negatives::InBatchUniform(n) => format!("in-batch+uniform:{n}"),
            Negatives::CrossBatch(n) => format!("cross-batch:{n}"),
            Negatives::Full => "full".into(),
        }
    }
}

/// Where the sampling probabilities q of the logQ correction come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogQ {
    /// No correction.
    Off,
    /// Counts of the training split.
    #[default]
    Exact,
    /// Estimated from the stream of batches (Yi et al. 2019, algorithm 2).
    Streaming,
    /// Exact counts in the corrected form of arXiv 2507.09331.
    Corrected,
}

/// An optimizer. On tables each touches only the rows of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// `w -= lr g`.
    Sgd,
    /// `m += g^2; w -= lr g / (sqrt(m) + eps)`.
    Adagrad,
    /// `m += mean_d(g^2); w -= lr g / (sqrt(m) + eps)`: one number a row.
    RowwiseAdagrad,
    /// Adam on the touched rows of tables, AdamW on dense parameters.
    #[default]
    Adam,
}

impl FromStr for OptimizerKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "sgd" => Ok(OptimizerKind::Sgd),
            "adagrad" => Ok(OptimizerKind::Adagrad),
            "rowwise-adagrad" => Ok(OptimizerKind::RowwiseAdagrad),
            "adam" => Ok(OptimizerKind::Adam),
            _ => Err(Error::config(
                "optimizer.name",
                format!("`{text}` is not one of sgd, adagrad, rowwise-adagrad, adam"),
            )),
        }
    }
}

/// How parameters are stepped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// `sgd`, `adagrad`, `rowwise-adagrad` or `adam`. Default adam.
    pub name: OptimizerKind,
    /// The peak learning rate. Default 0.003.
    pub lr: f32,
    /// Adam's first decay. Default 0.9.
    pub beta1: f32,
    /// Adam's second decay. Default 0.999.
    pub beta2: f32,
    /// Added to the root. Default 1e-8.
    pub eps: f32,
    /// What Adagrad's sums of squares start from. Default 0.1 (as Keras; TorchRec starts from 0).
    pub initial_accumulator: f32,
    /// Decoupled weight decay; on tables only for touched rows. Default 0.
    pub weight_decay: f32,
    /// `constant`, `linear` (default; to zero at the last step) or `cosine`.
    pub schedule: Schedule,
    /// Steps over which the learning rate rises from 0. Default 0.
    pub warmup_steps: u64,
    /// Scales a step's gradients down to this L2 norm (dense gradients and the gradients of looked-up rows before
    /// they are summed). Default: no clipping.
    pub clip_norm: Option<f32>,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig {
            name: OptimizerKind::Adam,
            lr: 0.003,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            initial_accumulator: 0.1,
            weight_decay: 0.0,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            clip_norm: None,
        }
    }
}

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Down to zero in a line.
    #[default]
    Linear,
    /// Down to zero in half a cosine.
    Cosine,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split. Default 15.
    pub epochs: u64,
    /// Rows of a batch. Default 1024.
    pub batch_size: usize,
    /// Seed of initial values, shuffling, negatives and rounding. Default 0.
    pub seed: u64,
    /// `auto` (default), `cpu` or `cuda:N`.
    pub device: Device,
    /// Threads; 0 (default) takes every core. The results do not depend on it.
    pub threads: usize,
    /// Batches between checkpoints, beside the one at every epoch's end. Default 0: none between.
    pub checkpoint_every: u64,
    /// Stops when a full-catalogue validation metric has not improved. Default: off.
    pub early_stop: Option<EarlyStop>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        TrainConfig {
            epochs: 15,
            batch_size: 1024,
            seed: 0,
            device: Device::Auto,
            threads: 0,
            checkpoint_every: 0,
            early_stop: None,
        }
    }
}

/// Early stopping, written `METRIC,PATIENCE` (`ndcg@20,3`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EarlyStop {
    /// A metric of the evaluation, such as `recall@20`.
    pub metric: String,
    /// Epochs without an improvement after which training stops.
    pub patience: u64,
}

impl FromStr for EarlyStop {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(',').and_then(|(metric, patience)| {
            let (name, k) = metric.trim().split_once('@')?;
            let known = ["recall", "ndcg", "map", "mrr", "hit_rate", "precision"].contains(&name);
            let k_ok = k.parse::<usize>().is_ok_and(|k| (1..=1024).contains(&k));
            let patience = patience.trim().parse().ok().filter(|p| *p > 0)?;
            (known && k_ok).then(|| EarlyStop { metric: metric.trim().into(), patience })
        });
        parsed.ok_or_else(|| {
            Error::config(
                "train.early_stop",
                format!(
                    "`{text}` is not METRIC,PATIENCE; a metric is recall, ndcg, map, mrr, hit_rate or precision with @k, as in ndcg@20,3"
                ),
            )
        })
    }
}

impl TryFrom<String> for EarlyStop {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<EarlyStop> for String {
    fn from(stop: EarlyStop) -> String {
        format!("{},{}", stop.metric, stop.patience)
    }
}

impl Config {
    /// Reads a TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] naming the line and the field.
    pub fn from_toml(text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text).map_err(|e| Error::config("configuration", e.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Checks every field, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field that cannot be used.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, reason: String| Err(Error::config(field, reason));
        let (m, o, t) = (&self.model, &self.optimizer, &self.train);
        if m.dim == 0 || m.dim > 1024 || m.dim % 4 != 0 {
            return bad("model.dim", format!("{} is not a multiple of 4 from 4 to 1024", m.dim));
        }
        if !(m.temperature.is_finite() && m.temperature >= 1e-4) {
            return bad("model.temperature", format!("{} is not a number from 0.0001 up", m.temperature));
        }
        if !(m.init_std.is_finite() && m.init_std >= 0.0) {
            return bad("model.init_std", format!("{} is not a number from 0 up", m.init_std));
        }
        for (name, tower) in [("user", &m.user), ("item", &m.item)] {
            if name == "item" && tower.history > 0 {
                return bad("model.item.history", "only the user tower has a history".into());
            }
            if tower.history > 1024 {
                return bad("model.user.history", format!("{} is more than 1024 items", tower.history));
            }
            let nothing = matches!(&tower.features, FeatureSelection::None)
                || matches!(&tower.features, FeatureSelection::Named(names) if names.is_empty());
            if !tower.id && tower.history == 0 && nothing {
                return bad(&format!("model.{name}"), "the tower reads nothing: set id, features or history".into());
            }
            if let Some(dim) = tower.feature_dim {
                if dim == 0 || dim > 1024 || dim % 4 != 0 {
                    return bad(
                        &format!("model.{name}.feature_dim"),
                        format!("{dim} is not a multiple of 4 from 4 to 1024"),
                    );
                }
                if tower.combine == Combine::Sum {
                    return bad(&format!("model.{name}.feature_dim"), "goes with combine = \"concat\"".into());
                }
            }
            if tower.mlp.iter().any(|&h| h == 0 || h > 8192 || h % 4 != 0) {
                return bad(&format!("model.{name}.mlp"), "widths are multiples of 4 from 4 to 8192".into());
            }
        }
        if m.user.history > 0 && !m.item.id {
            return bad("model.user.history", "pools the item id table: set model.item.id".into());
        }
        if !(o.lr.is_finite() && o.lr > 0.0) {
            return bad("optimizer.lr", format!("{} is not a number above 0", o.lr));
        }
        for (name, beta) in [("beta1", o.beta1), ("beta2", o.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return bad(&format!("optimizer.{name}"), format!("{beta} is not in [0, 1)"));
            }
        }
        for (name, value) in
            [("eps", o.eps), ("initial_accumulator", o.initial_accumulator), ("weight_decay", o.weight_decay)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return bad(&format!("optimizer.{name}"), format!("{value} is not a number from 0 up"));
            }
        }
        if o.clip_norm.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return bad("optimizer.clip_norm", "is not a number above 0".into());
        }
        if t.epochs == 0 {
            return bad("train.epochs", "at least 1".into());
        }
        if t.batch_size == 0 || t.batch_size > 1 << 20 {
            return bad("train.batch_size", format!("{} is not in 1 to 1048576", t.batch_size));
        }
        if t.threads > 4096 {
            return bad("train.threads", format!("{} is more than 4096", t.threads));
        }
        Ok(())
    }
}
