//! The model on a device: tables, towers, temperature.

use crate::Result;
use crate::backend::{Backend, EmbeddingTable, TableData, host_zeros};
use crate::config::{Dtype, OptimizerConfig, OptimizerKind, Resolved};
use crate::model::popularity;
use crate::model::spec::{LayerSpec, ModelSpec, TableSpec, TowerSpec};
use crate::model::tensors::TensorElem;
use crate::model::tower::{Dense, Layer, Tower};
use crate::rng::Rng;
use crate::threads::Threads;

/// Rows of a table that are drawn together.
const TOGETHER: usize = 1 << 10;
/// Salt of the initial values' random streams.
const INIT: u64 = 0x696e_6974;

/// The parameters and their optimizer state.
pub(crate) struct Core<B: Backend> {
    pub backend: B,
    pub spec: ModelSpec,
    pub tables: Vec<EmbeddingTable<B>>,
    pub user: Tower<B>,
    pub item: Tower<B>,
    /// log(1 / T).
    pub log_scale: Dense<B>,
    pub learn_temperature: bool,
    /// What an item row's popularity adds to its scores; empty where it adds nothing. See [`popularity`](super::popularity).
    pub popularity: Vec<f32>,
}

/// Where parameters come from when a model is made.
pub(crate) trait ParameterSource {
    /// The f32 values of a dense tensor.
    fn dense(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;
    /// The values of a table, in its storage type.
    fn table<T: FromF32>(&mut self, spec: &TableSpec) -> Result<Vec<T>>;
}

/// A storage type that takes rounded f32 values.
pub(crate) trait FromF32: TensorElem {
    fn from_f32(x: f32) -> Self;
}

impl FromF32 for f32 {
    fn from_f32(x: f32) -> f32 {
        x
    }
}

impl FromF32 for half::bf16 {
    fn from_f32(x: f32) -> Self {
        half::bf16::from_f32(x)
    }
}

impl FromF32 for half::f16 {
    fn from_f32(x: f32) -> Self {
        half::f16::from_f32(x)
    }
}

/// Fresh parameters, drawn by counter: the same for any thread count.
pub(crate) struct Fresh<'a> {
    pub config: &'a Resolved,
    pub seed: u64,
    pub threads: &'a Threads,
}

impl ParameterSource for Fresh<'_> {
    fn dense(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if name == "log_scale" {
            return Ok(vec![-self.config.temperature().ln()]);
        }
        let mut values = host_zeros(shape.iter().product())?;
        if let [outputs, inputs] = shape {
            // Glorot and Bengio 2010, uniform.
            let limit = (6.0 / (inputs + outputs) as f64).sqrt();
            let mut rng = Rng::at(self.seed, &[INIT, xxhash_rust::xxh3::xxh3_64(name.as_bytes())]);
            values.iter_mut().for_each(|value| *value = rng.symmetric(limit) as f32);
        }
        Ok(values)
    }

    fn table<T: FromF32>(&mut self, spec: &TableSpec) -> Result<Vec<T>> {
        let name = xxhash_rust::xxh3::xxh3_64(spec.name.as_bytes());
        let mut values: Vec<T> = host_zeros(spec.rows * spec.dim)?;
        let parts = values.chunks_mut(TOGETHER * spec.dim).zip((0..).step_by(TOGETHER)).collect();
        self.threads.each(true, parts, |(values, first)| {
            let mut draws = vec![0.0; spec.dim];
            for (out, row) in values.chunks_mut(spec.dim).zip(first..) {
                // Row 0, the unknown one, stays zero.
                if row > 0 {
                    Rng::at(self.seed, &[INIT, name, row as u64]).fill_normal(&mut draws, self.config.model.init_std);
                    out.iter_mut().zip(&draws).for_each(|(out, draw)| *out = T::from_f32(*draw));
                }
            }
        });
        Ok(values)
    }
}

/// How many state vectors an optimizer keeps, and how long they are for a table of `rows` x `dim`.
pub(crate) fn state_lens(kind: OptimizerKind, rows: usize, dim: usize) -> (Option<usize>, Option<usize>) {
    match kind {
        OptimizerKind::Sgd => (None, None),
        OptimizerKind::Adagrad => (Some(rows * dim), None),
        OptimizerKind::RowwiseAdagrad => (Some(rows), None),
        OptimizerKind::Adam => (Some(rows * dim), Some(rows * dim)),
    }
}

impl<B: Backend> Core<B> {
    /// A model with values from `source`; with `optimizer` also its fresh state. `item_counts`: training rows by item row.
    pub(crate) fn new(
        backend: B,
        spec: ModelSpec,
        config: &Resolved,
        source: &mut impl ParameterSource,
        optimizer: Option<&OptimizerConfig>,
        item_counts: &[u64],
    ) -> Result<Core<B>> {
        let state = |len: Option<usize>| -> Result<Option<B::Buf<f32>>> {
            let (Some(len), Some(optimizer)) = (len, optimizer) else { return Ok(None) };
            let adagrad = matches!(optimizer.name, OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad);
            if adagrad && optimizer.initial_accumulator != 0.0 {
                let mut values = host_zeros(len)?;
                values.fill(optimizer.initial_accumulator);
                backend.upload(values).map(Some)
            } else {
                backend.zeros(len).map(Some)
            }
        };
        let lens = |rows, dim| optimizer.map_or((None, None), |o| state_lens(o.name, rows, dim));
        let mut tables = Vec::new();
        for (number, table) in spec.tables.iter().enumerate() {
            let number = number as u32;
            let data = match config.model.dtype {
                Dtype::Fp32 => TableData::F32(backend.upload(source.table(table)?)?),
                Dtype::Bf16 => TableData::Bf16(backend.upload(source.table(table)?)?),
                Dtype::Fp16 => TableData::F16(backend.upload(source.table(table)?)?),
            };
            let (first, second) = lens(table.rows, table.dim);
            let (state1, state2) = (state(first)?, state(second)?);
            tables.push(EmbeddingTable { rows: table.rows, dim: table.dim, data, state1, state2, number });
        }
        let mut dense = |name: String, shape: Vec<usize>| -> Result<Dense<B>> {
            let len = shape.iter().product();
            // Row-wise Adagrad keeps one number per row of a table; dense parameters get the full Adagrad.
            let (first, second) = match optimizer.map(|o| o.name) {
                Some(OptimizerKind::RowwiseAdagrad) => (Some(len), None),
                _ => lens(1, len),
            };
            let value = backend.upload(source.dense(&name, &shape)?)?;
            let (state1, state2) = (state(first)?, state(second)?);
            Ok(Dense { name, len, shape, value, grad: backend.zeros(len)?, state1, state2 })
        };
        let mut layers = |tower: &TowerSpec| -> Result<Vec<Layer<B>>> {
            let layer = |(n, layer): (usize, &LayerSpec)| {
                let name = |what| format!("{}.mlp.{n}.{what}", tower.name);
                Ok(Layer {
                    w: dense(name("weight"), vec![layer.outputs, layer.inputs])?,
                    b: dense(name("bias"), vec![layer.outputs])?,
                })
            };
            tower.layers.iter().enumerate().map(layer).collect()
        };
        let (user_layers, item_layers) = (layers(&spec.user)?, layers(&spec.item)?);
        let log_scale = dense("log_scale".into(), vec![1])?;
        Ok(Core {
            user: Tower::new(&backend, spec.user.clone(), user_layers)?,
            item: Tower::new(&backend, spec.item.clone(), item_layers)?,
            learn_temperature: config.model.learn_temperature,
            popularity: popularity::terms(config.popularity(), item_counts),
            backend,
            spec,
            tables,
            log_scale,
        })
    }

    /// Replaces every parameter with `source`'s; the optimizer's state stays.
    pub(crate) fn load(&mut self, source: &mut impl ParameterSource) -> Result<()> {
        for (spec, table) in self.spec.tables.iter().zip(&mut self.tables) {
            match &mut table.data {
                TableData::F32(data) => *data = self.backend.upload(source.table(spec)?)?,
                TableData::Bf16(data) => *data = self.backend.upload(source.table(spec)?)?,
                TableData::F16(data) => *data = self.backend.upload(source.table(spec)?)?,
            }
        }
        let Core { backend, user, item, log_scale, .. } = self;
        for dense in user.dense_mut().chain(item.dense_mut()).chain([log_scale]) {
            dense.value = backend.upload(source.dense(&dense.name, &dense.shape)?)?;
        }
        Ok(())
    }

    /// Every dense parameter, in a fixed order.
    pub(crate) fn dense(&self) -> impl Iterator<Item = &Dense<B>> {
        self.user.dense().chain(self.item.dense()).chain([&self.log_scale])
    }
}
