//! How much memory training takes on a device that has its own.

use serde::Serialize;

use crate::Result;
use crate::config::{Config, Dtype, Negatives, OptimizerKind, Precision, Resolved};
use crate::data::dataset::Dataset;
use crate::data::shape::Shape;
use crate::device::CudaInfo;
use crate::model::core::state_lens;
use crate::model::spec::{InputSource, ModelSpec, TowerSpec};

/// Bytes of device memory, by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Embedding tables.
    pub table_bytes: u64,
    /// The optimizer's state of the tables.
    pub state_bytes: u64,
    /// Layers: weights, gradients and optimizer state.
    pub layer_bytes: u64,
    /// Activations and their gradients, a batch's inputs, and the operands of the loss.
    pub batch_bytes: u64,
    /// The catalogue, laid out for validation.
    pub catalogue_bytes: u64,
}

impl Budget {
    /// What training `config` on `dataset` takes, by the kernels that `device` gets; absent: those that any device runs.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when the configuration does not fit the dataset; as [`Shape::of`].
    pub fn of(dataset: &Dataset, config: &Config, device: Option<&CudaInfo>) -> Result<Budget> {
        let manifest = dataset.manifest();
        let config = config.for_shape(&Shape::of(dataset)?);
        let spec = ModelSpec::new(&config, &manifest.users, &manifest.items)?;
        let kernels_for = device.map_or("sm_80", |device| device.kernels_for);
        Ok(Budget::new(&spec, &config, manifest.items.rows as u64, kernels_for))
    }

    /// `items`: rows of the item vocabulary; `kernels_for`: [`CudaInfo::kernels_for`].
    pub(crate) fn new(spec: &ModelSpec, config: &Resolved, items: u64, kernels_for: &str) -> Budget {
        let value = if config.model.dtype == Dtype::Fp32 { 4 } else { 2 };
        let mut budget = Budget::default();
        for table in &spec.tables {
            let (first, second) = state_lens(config.optimizer.name, table.rows, table.dim);
            budget.table_bytes += (table.rows * table.dim) as u64 * value;
            budget.state_bytes += (first.unwrap_or(0) + second.unwrap_or(0)) as u64 * 4;
        }
        // Value, gradient and the states of a dense parameter.
        let copies = match config.optimizer.name {
            OptimizerKind::Sgd => 2,
            OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => 3,
            OptimizerKind::Adam => 4,
        };
        for layer in spec.user.layers.iter().chain(&spec.item.layers) {
            budget.layer_bytes += ((layer.inputs + 1) * layer.outputs) as u64 * copies * 4;
        }
        let rows = config.batch_size() as u64;
        let (fresh, queued) = match config.negatives() {
            Negatives::InBatch => (rows, 0),
            Negatives::InBatchUniform(drawn) => (rows + drawn as u64, 0),
            Negatives::CrossBatch(capacity) => (rows, capacity as u64),
            Negatives::Full => (items.saturating_sub(1), 0),
        };
        let dim = config.model.dim as u64;
        let columns = fresh + queued;
        let halves = if config.train.precision == Precision::Fp32 { 2 } else { 1 };
        // Operands in bf16, gradients in fp32, the partial sums of one of them, the queue's embeddings.
        let padded = dim.next_multiple_of(64);
        let parts = partial_rows(rows, columns).max(partial_rows(columns, rows));
        let loss = (rows + columns) * (padded * 2 * halves + dim * 4) + (parts + queued) * dim * 4;
        budget.batch_bytes = tower_bytes(&spec.user, rows) + tower_bytes(&spec.item, fresh) + loss;
        budget.catalogue_bytes = catalogue_bytes(items, dim, kernels_for);
        budget
    }

    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.table_bytes + self.state_bytes + self.layer_bytes + self.batch_bytes + self.catalogue_bytes
    }
}

/// A catalogue with biases, laid out for the scans of a device.
pub(crate) fn catalogue_bytes(items: u64, dim: u64, kernels_for: &str) -> u64 {
    // Rows in fp32 and bf16, a bias, and the row's number.
    let rows = items * (dim.next_multiple_of(8) * 4 + dim.next_multiple_of(16) * 2 + 4 + 8);
    // Once more in panels of bf16 (`PanelPlan` in src/backend/cuda/topk/sm90a/plan.rs), with the item and the bias of each row.
    let panels = if kernels_for == "sm_90a" && dim <= 128 {
        items.next_multiple_of(128) * (dim.next_multiple_of(64) * 2 + 4 + 4)
    } else {
        0
    };
    rows + panels
}

/// Rows of the partial sums that the loss makes of a gradient with `rows` rows, at most: up to 32 splits of at least 512
/// columns, as many as 264 blocks of 128 rows allow (`LossTiling::split` in `src/backend/cuda/loss/shape.rs`).
fn partial_rows(rows: u64, columns: u64) -> u64 {
    let splits = (264 * 128 / rows.max(1)).min(columns / 512).clamp(1, 32);
    // A single part is the gradient itself.
    if splits == 1 { 0 } else { rows * splits }
}

/// Activations, their gradients, and twice the inputs: two batches are on the device at a time.
fn tower_bytes(spec: &TowerSpec, rows: u64) -> u64 {
    let lookups: u64 = spec
        .inputs
        .iter()
        .map(|input| match input.source {
            InputSource::History(n) => n as u64,
            InputSource::Id | InputSource::Column(_) => 1,
        })
        .sum();
    let widths = spec.width + spec.layers.iter().map(|layer| layer.outputs).sum::<usize>() + spec.dim;
    // An id, its offset, and in the plan: a unique row, where it starts, a position and a scale. For every 32 of them two
    // partial sums of the rows' step.
    rows * (widths as u64 * 2 * 4 + lookups * 6 * 4 * 2 + lookups * spec.dim as u64 * 2 * 4 / 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::{EntityInfo, FileInfo};

    #[test]
    fn the_tables_and_states_are_what_training_allocates() {
        let file = || FileInfo { name: "users.arrow".into(), rows: 0, bytes: 0, xxh3: None, footer: None };
        let entity = |rows| EntityInfo {
            rows,
            unseen: 0,
            unseen_valid: 0,
            file: file(),
            unseen_file: None,
            features: Vec::new(),
        };
        let mut config = Config::default();
        let budget = |config: &Config| {
            let config = config.for_shape(&Shape::default());
            let spec = ModelSpec::new(&config, &entity(1001), &entity(501)).expect("fits");
            Budget::new(&spec, &config, 501, "sm_80")
        };
        let found = budget(&config);
        assert_eq!(found.table_bytes, (1001 + 501) * 64 * 4);
        assert_eq!(found.state_bytes, 2 * found.table_bytes, "Adam keeps two moments");
        config.model.dtype = Dtype::Bf16;
        config.optimizer.name = OptimizerKind::RowwiseAdagrad;
        let found = budget(&config);
        assert_eq!(found.table_bytes, (1001 + 501) * 64 * 2);
        assert_eq!(found.state_bytes, (1001 + 501) * 4, "one number a row");
        config.train.batch_size = Some(512);
        let small = budget(&config).batch_bytes;
        config.loss.negatives = Some(Negatives::Full);
        config.train.batch_size = Some(4);
        let full = budget(&config).batch_bytes;
        assert!(full < small && full > 501 * 64 * 4, "{full} beside {small}");
    }

    #[test]
    fn panels_count_where_their_kernels_run() {
        for (dim, columns) in [(7, 64), (64, 64), (65, 128), (128, 128)] {
            let more = catalogue_bytes(1000, dim, "sm_90a") - catalogue_bytes(1000, dim, "sm_80");
            assert_eq!(more, 1024 * (columns * 2 + 8), "{dim} wide");
        }
        assert_eq!(catalogue_bytes(1000, 129, "sm_90a"), catalogue_bytes(1000, 129, "sm_80"));
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn partial_sums_are_counted_as_the_loss_makes_them() {
        use crate::backend::cuda::loss::shape::LossTiling;
        for (rows, columns) in [(512, 512), (512, 100_000), (4096, 4096), (8192, 65_536), (100_000, 512), (1, 1 << 20)]
        {
            for precision in [Precision::Bf16, Precision::Fp32] {
                for dim in [32, 128, 512] {
                    let splits = LossTiling::new(dim, precision).split(rows, columns).splits;
                    let made = if splits == 1 { 0 } else { rows * splits };
                    let counted = partial_rows(rows as u64, columns as u64);
                    assert!(made as u64 <= counted, "{rows} x {columns}, {dim} wide: {made} rows, {counted} counted");
                }
            }
        }
    }
}
