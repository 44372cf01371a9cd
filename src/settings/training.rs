//! What a training run is made of: model, loss, optimizer, loop.

use super::define::settings;
use super::limits::{
    MAX_BATCH, MAX_DIM, MAX_HIDDEN, MAX_HISTORY, MAX_THREADS, MIN_TEMPERATURE, at_least, at_most, below_one, positive,
    some, width, within,
};
use super::{
    Combine, Dtype, EarlyStopping, FeatureSelection, Instructions, LogQ, Negatives, OptimizerKind, Precision, Schedule,
};
use crate::{Device, Error, Result};

settings! {
    /// Everything that `tercel train` can be told. Every field has a default; unknown fields are refused.
    pub struct Config["Model and training"] {
        /// The two towers.
        pub model: ModelConfig, table;
        /// Candidates, corrections, masks.
        pub loss: LossConfig, table;
        /// How parameters are stepped.
        pub optimizer: OptimizerConfig, table;
        /// The loop.
        pub train: TrainConfig, table;
    }

    /// The two towers and how their outputs are compared.
    pub struct ModelConfig["Model and training"] {
        /// Width of the embeddings that are compared: a multiple of 4.
        pub dim: usize = 64 => flag("D").check(width(MAX_DIM));
        /// Divides the tower outputs by their L2 norm.
        pub normalize: bool = true;
        /// Scores are divided by it. Where it is learned, this is the start.
        pub temperature: Option<f32> = None, "by the shape of the data" => flag("T").check(at_least(MIN_TEMPERATURE));
        /// Learns the temperature.
        pub learn_temperature: bool = false;
        /// How much of an item's popularity is part of its score from the start, from 0 to 1: this times ln(N p), p its
        /// share of the training rows and N the number of items, is added to `<u, v> / T` in training and in serving
        /// (one more column of the embeddings).
        pub popularity: Option<f32> = None, "by the shape of the data; 0 where `loss.logq` is off or corrected"
            => check(within(0.0, 1.0));
        /// How tables are stored; arithmetic and optimizer state stay fp32.
        pub dtype: Dtype = Dtype::Fp32;
        /// Standard deviation of a new table's values.
        pub init_std: f32 = 0.1 => check(at_least(0.0));
        /// The user tower.
        pub user: TowerConfig, table => short("user");
        /// The item tower.
        pub item: TowerConfig, table => short("item").without_flags();
    }

    /// One tower: what it reads, how that is combined, what follows.
    pub struct TowerConfig["Model and training"] {
        /// Reads the id's own embedding.
        pub id: Option<bool> = None, "true; of users by the shape of the data" => long();
        /// The feature columns to read: `"all"`, `"none"`, or a list of names.
        pub features: FeatureSelection = FeatureSelection::All;
        /// User tower only: pools the last N items before the row, from the item id table; 0 is off.
        pub history: Option<usize> = None, "by the shape of the data" => flag("N").check(at_most(MAX_HISTORY));
        /// Adds the pooled features up, or lays them side by side.
        pub combine: Combine = Combine::Sum;
        /// Width of each feature's embedding under `concat`.
        pub feature_dim: Option<usize> = None, "`model.dim`" => check(width(MAX_DIM));
        /// Widths of the hidden layers (ReLU); a last linear layer of width `model.dim` follows. Without hidden layers
        /// `sum` needs no linear layer and has none, `concat` has the last one alone.
        pub mlp: Vec<usize> = Vec::new() => check(width(MAX_HIDDEN));
    }

    /// Who the candidates are, and what is taken out of the scores.
    pub struct LossConfig["Model and training"] {
        /// The candidates of a batch: `in-batch`, `in-batch+uniform:M`, `cross-batch:M` or `full`.
        pub negatives: Option<Negatives> = None, "by the shape of the data" => flag("SPEC");
        /// The sampling correction. `full` candidates need none and get none.
        pub logq: LogQ = LogQ::Exact;
        /// Masks candidates with the id of the row's own positive.
        pub mask_accidental_hits: bool = true;
        /// Masks candidates that the row's user is known to like (training split).
        pub mask_known_positives: bool = false;
    }

    /// How parameters are stepped.
    pub struct OptimizerConfig["Model and training"] {
        /// The optimizer.
        pub name: OptimizerKind = OptimizerKind::Adam => flag_named("optimizer", "");
        /// The peak learning rate.
        pub lr: Option<f32> = None, "by the shape of the data" => flag("X").check(positive);
        /// Adam's first decay.
        pub beta1: f32 = 0.9 => check(below_one);
        /// Adam's second decay.
        pub beta2: f32 = 0.999 => check(below_one);
        /// Added to the root.
        pub eps: f32 = 1e-8 => check(at_least(0.0));
        /// What Adagrad's sums of squares start from (0.1 as Keras; TorchRec starts from 0).
        pub initial_accumulator: f32 = 0.1 => check(at_least(0.0));
        /// Decoupled weight decay: a step takes `lr * weight_decay` of a weight; on tables only of touched rows. With
        /// normalized outputs it does not shrink scores: it keeps vectors short and so quick to turn, to the end of
        /// the run.
        pub weight_decay: Option<f32> = None, "by the shape of the data for Adam where `model.normalize` is set, else 0"
            => check(at_least(0.0));
        /// How the learning rate moves after the warm-up; `linear` and `cosine` end at zero.
        pub schedule: Schedule = Schedule::Linear;
        /// Steps over which the learning rate rises from 0.
        pub warmup_steps: u64 = 0;
        /// Scales a step's gradients down to this L2 norm (dense gradients and the gradients of looked-up rows before
        /// they are summed).
        pub clip_norm: Option<f32> = None, "no clipping" => check(positive);
    }

    /// The loop.
    pub struct TrainConfig["Model and training"] {
        /// Passes over the training split.
        pub epochs: Option<u64> = None, "by the shape of the data" => flag("E").check(some);
        /// Rows of a batch.
        pub batch_size: Option<usize> = None, "by the shape of the data" => flag("B").check(within(1, MAX_BATCH));
        /// Seed of initial values, order, negatives and rounding: the same seed gives the same bits.
        pub seed: u64 = 0 => flag("S").unsearched();
        /// Where the work runs: `auto`, `cpu` or `cuda:N`.
        pub device: Device = Device::Auto => flag("DEVICE").under("Machine").unsearched();
        /// What is multiplied; sums are fp32. A CUDA device's towers and loss follow it, and the softmax loss of an AMD
        /// CPU with AVX512-BF16. Everything else computes in fp32.
        pub precision: Precision = Precision::Bf16;
        /// The instructions that a CPU computes with: `auto`, `portable`, `avx2`, `avx512` or `avx512-bf16`. The same seed
        /// gives the same bits with the same ones: name those that every processor has that a run may go on with.
        pub instructions: Instructions = Instructions::Auto => flag("NAME").under("Machine").unsearched();
        /// Threads; 0 takes every core. The results do not depend on it.
        pub threads: usize = 0 => flag("N").under("Machine").check(at_most(MAX_THREADS)).unsearched();
        /// Batches between checkpoints, beside the one at every epoch's end; 0: none between.
        pub checkpoint_every: u64 = 0 => flag("N").unsearched();
        /// Stops when a full-catalogue validation metric has not improved for so many epochs, as in `ndcg@20,3` (or, of
        /// one view, `next.ndcg@20,3`); `off` trains every epoch and keeps the last.
        pub early_stop: Option<EarlyStopping> = None, "ndcg@20 with a patience of half the epochs where there is a validation split, else off"
            => flag("off|METRIC,PATIENCE").unsearched();
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
}
