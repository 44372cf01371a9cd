//! What a training run is made of: model, loss, optimizer, loop.

use super::define::settings;
use super::limits::{
    MAX_BATCH, MAX_DIM, MAX_HIDDEN, MAX_HISTORY, MAX_K, MAX_THREADS, MIN_TEMPERATURE, at_least, at_most, below_one,
    positive, some, width, within,
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
        /// Dimension of the tower outputs: a multiple of 4.
        pub dim: usize = 64 => flag("D").check(width(MAX_DIM));
        /// Divides the tower outputs by their L2 norm.
        pub normalize: bool = true;
        /// Temperature: scores are divided by it. If it is learned, this is its initial value.
        pub temperature: Option<f32> = None, "derived from the data" => flag("T").check(at_least(MIN_TEMPERATURE));
        /// Learns the temperature.
        pub learn_temperature: bool = false;
        /// Weight of popularity in an item's score, from 0 to 1: this times ln(N p), with p the item's share of the
        /// training rows and N the number of items, is added to `<u, v> / T` in training and in serving (one more column
        /// of the embeddings).
        pub popularity: Option<f32> = None, "derived from the data; 0 if `loss.logq` is off or corrected"
            => check(within(0.0, 1.0));
        /// Storage format of embedding tables; arithmetic and optimizer state stay fp32.
        pub dtype: Dtype = Dtype::Fp32;
        /// Standard deviation of the initial values of embedding tables.
        pub init_std: f32 = 0.1 => check(at_least(0.0));
        /// The user tower.
        pub user: TowerConfig, table => short("user");
        /// The item tower.
        pub item: TowerConfig, table => short("item").without_flags();
    }

    /// One tower: what it reads, how that is combined, what follows.
    pub struct TowerConfig["Model and training"] {
        /// Uses the id's own embedding.
        pub id: Option<bool> = None, "true for items; derived from the data for users" => long();
        /// Feature columns to read: `"all"`, `"none"`, or a list of names.
        pub features: FeatureSelection = FeatureSelection::All;
        /// User tower only: pools the item id embeddings of the last N items before the row; 0 disables it.
        pub history: Option<usize> = None, "derived from the data" => flag("N").check(at_most(MAX_HISTORY));
        /// How pooled features are combined: summed or concatenated.
        pub combine: Combine = Combine::Sum;
        /// Embedding dimension of each feature under `concat`.
        pub feature_dim: Option<usize> = None, "`model.dim`" => check(width(MAX_DIM));
        /// Widths of the hidden layers (ReLU), which are followed by a linear output layer of width `model.dim`. Without
        /// hidden layers, `sum` needs no output layer and has none; `concat` has the output layer only.
        pub mlp: Vec<usize> = Vec::new() => check(width(MAX_HIDDEN));
    }

    /// Who the candidates are, and what is taken out of the scores.
    pub struct LossConfig["Model and training"] {
        /// Source of negatives: `in-batch`, `in-batch+uniform:M`, `cross-batch:M` or `full`.
        pub negatives: Option<Negatives> = None, "derived from the data" => flag("SPEC");
        /// Correction for sampling bias (logQ); `full` candidates need none and get none.
        pub logq: LogQ = LogQ::Exact;
        /// Masks candidates with the same id as the row's positive.
        pub mask_accidental_hits: bool = true;
        /// Masks candidates that are positives of the row's user in the training split.
        pub mask_known_positives: bool = false;
        /// K of SoftmaxLoss@K: weighs a row by the sigmoid of its score minus the score of its user's K-th best item; 0
        /// weighs all rows alike. The K-th best scores are taken over all items after each sixth of the epochs; until then
        /// the rows weigh alike.
        pub top_k: Option<usize> = None, "derived from the data" => check(at_most(MAX_K));
        /// What that difference of scores is divided by: where it is small, only rows that score above their user's K-th
        /// best item count.
        pub top_k_width: f32 = 0.3 => check(positive);
    }

    /// How parameters are stepped.
    pub struct OptimizerConfig["Model and training"] {
        /// Optimization algorithm.
        pub name: OptimizerKind = OptimizerKind::Adam => flag_named("optimizer", "");
        /// Peak learning rate.
        pub lr: Option<f32> = None, "derived from the data" => flag("X").check(positive);
        /// Adam: decay rate of the first moment.
        pub beta1: f32 = 0.9 => check(below_one);
        /// Adam: decay rate of the second moment.
        pub beta2: f32 = 0.999 => check(below_one);
        /// Added to the square root in the denominator.
        pub eps: f32 = 1e-8 => check(at_least(0.0));
        /// Adagrad: initial value of the sums of squared gradients (0.1 as in Keras; TorchRec starts from 0).
        pub initial_accumulator: f32 = 0.1 => check(at_least(0.0));
        /// Decoupled weight decay: a step subtracts `lr * weight_decay` times each weight; in tables, only in the rows it
        /// touches. With normalized outputs it does not shrink scores: it keeps vectors short, so that their directions
        /// can change quickly until the end of the run.
        pub weight_decay: Option<f32> = None, "derived from the data for Adam with `model.normalize`, else 0"
            => check(at_least(0.0));
        /// Learning rate schedule after the warm-up; `linear` and `cosine` decay to zero.
        pub schedule: Schedule = Schedule::Linear;
        /// Number of warm-up steps, over which the learning rate rises from 0.
        pub warmup_steps: u64 = 0;
        /// Clips a step's gradients to this L2 norm (dense gradients, and the gradients of looked-up rows before they are
        /// summed).
        pub clip_norm: Option<f32> = None, "no clipping" => check(positive);
    }

    /// The loop.
    pub struct TrainConfig["Model and training"] {
        /// Passes over the training split.
        pub epochs: Option<u64> = None, "derived from the data" => flag("E").check(some);
        /// Rows per batch.
        pub batch_size: Option<usize> = None, "derived from the data" => flag("B").check(within(1, MAX_BATCH));
        /// Seed for initial values, row order, negatives and rounding; the same seed gives bit-identical results.
        pub seed: u64 = 0 => flag("S").unsearched();
        /// Device to run on: `auto`, `cpu` or `cuda:N`.
        pub device: Device = Device::Auto => flag("DEVICE").under("Machine").unsearched();
        /// Input format of matrix products; sums are fp32. Applies to the towers and the loss on a CUDA device, and to
        /// the softmax loss on an AMD CPU with AVX512-BF16. Everything else computes in fp32.
        pub precision: Precision = Precision::Bf16;
        /// CPU instruction set: `auto`, `portable`, `avx2`, `avx512` or `avx512-bf16`. Results are bit-identical only
        /// within one set. To resume a run on other processors, choose a set that all of them support.
        pub instructions: Instructions = Instructions::Auto => flag("NAME").under("Machine").unsearched();
        /// Number of threads; 0 uses every core. Does not affect the results.
        pub threads: usize = 0 => flag("N").under("Machine").check(at_most(MAX_THREADS)).unsearched();
        /// Batches between checkpoints, in addition to one at the end of each epoch; 0 writes no others.
        pub checkpoint_every: u64 = 0 => flag("N").unsearched();
        /// Stops training when a full-catalogue validation metric has not improved for PATIENCE epochs, and keeps the
        /// best epoch, as in `ndcg@20,3` (or `next.ndcg@20,3` for one view); `off` trains all epochs and keeps the last.
        pub early_stop: Option<EarlyStopping> = None,
            "ndcg@20 with a patience of half the epochs if there is a validation split, else off"
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
