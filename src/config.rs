//! What a run is made of: model, loss, optimizer, training. One TOML file, or the defaults.

mod choices;
mod validate;

pub use choices::{Combine, Dtype, EarlyStop, FeatureSelection, LogQ, Negatives, OptimizerKind, Precision, Schedule};

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
    /// How much of an item's popularity is part of its score from the start, from 0 to 1: this times ln(N p), p its share
    /// of the training rows and N the number of items, is added to `<u, v> / T` in training and in serving (one more
    /// column of the embeddings). Default: 0.5 ([`Config::for_rows`]); 0 where `loss.logq` is off or corrected.
    pub popularity: Option<f32>,
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
            popularity: None,
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

/// How parameters are stepped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// `sgd`, `adagrad`, `rowwise-adagrad` or `adam`. Default adam.
    pub name: OptimizerKind,
    /// The peak learning rate. Default 0.01.
    pub lr: f32,
    /// Adam's first decay. Default 0.9.
    pub beta1: f32,
    /// Adam's second decay. Default 0.999.
    pub beta2: f32,
    /// Added to the root. Default 1e-8.
    pub eps: f32,
    /// What Adagrad's sums of squares start from. Default 0.1 (as Keras; TorchRec starts from 0).
    pub initial_accumulator: f32,
    /// Decoupled weight decay: a step takes `lr * weight_decay` of a weight; on tables only of touched rows. Default: 2
    /// for Adam where `model.normalize` is set ([`Config::for_rows`]), else 0. It does not shrink scores there: it keeps
    /// vectors short and so quick to turn, to the end of the run.
    pub weight_decay: Option<f32>,
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
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            initial_accumulator: 0.1,
            weight_decay: None,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            clip_norm: None,
        }
    }
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split. Default: as many as make 60 million rows, from 5 to 30 ([`Config::for_rows`]).
    pub epochs: Option<u64>,
    /// Rows of a batch. Default 512.
    pub batch_size: usize,
    /// Seed of initial values, shuffling, negatives and rounding. Default 0.
    pub seed: u64,
    /// `auto` (default), `cpu` or `cuda:N`.
    pub device: Device,
    /// What is multiplied: `bf16` (default) or `fp32`; sums are fp32. A CUDA device's towers and loss follow it, and the
    /// softmax loss of an AMD CPU with AVX512-BF16. Everything else computes in fp32.
    pub precision: Precision,
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
            epochs: None,
            batch_size: 512,
            seed: 0,
            device: Device::Auto,
            precision: Precision::Bf16,
            threads: 0,
            checkpoint_every: 0,
            early_stop: None,
        }
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
    pub fn for_rows(&self, rows: u64) -> Config {
        let mut config = self.clone();
        config.train.epochs.get_or_insert((60_000_000 / rows.max(1)).clamp(5, 30));
        let turns = config.optimizer.name == OptimizerKind::Adam && config.model.normalize;
        config.optimizer.weight_decay.get_or_insert(if turns { 2.0 } else { 0.0 });
        let counted = matches!(config.loss.logq, LogQ::Exact | LogQ::Streaming);
        config.model.popularity.get_or_insert(if counted { 0.5 } else { 0.0 });
        config
    }

    /// Reads a TOML text.
    ///
    /// # Errors
    /// [`Error::Config`] naming the line and the field.
    pub fn from_toml(text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text).map_err(|e| Error::config("configuration", e.to_string()))?;
        config.validate()?;
        Ok(config)
    }
}
