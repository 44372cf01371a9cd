//! Forward and backward of one tower: pooled lookups, linear layers, L2 norm.

use crate::Result;
use crate::backend::{Backend, Bag, EmbeddingTable, LinearGrads, LinearPass, Mat, MatMut, OptimizerStep};
use crate::model::inputs::HostBag;
use crate::model::spec::TowerSpec;

/// Dense parameters with their gradient and optimizer state.
pub(crate) struct Dense<B: Backend> {
    pub name: String,
    pub shape: Vec<usize>,
    pub len: usize,
    pub value: B::Buf<f32>,
    pub grad: B::Buf<f32>,
    pub state1: Option<B::Buf<f32>>,
    pub state2: Option<B::Buf<f32>>,
}

impl<B: Backend> Dense<B> {
    pub(crate) fn step(&mut self, backend: &B, step: &OptimizerStep) -> Result<()> {
        backend.dense_step(&mut self.value, self.state1.as_mut(), self.state2.as_mut(), &self.grad, self.len, step)
    }
}

/// A linear layer.
pub(crate) struct Layer<B: Backend> {
    pub w: Dense<B>,
    pub b: Dense<B>,
}

/// The lookups of one input on the device.
struct DeviceBag<B: Backend> {
    ids: B::Buf<u32>,
    offsets: B::Buf<u32>,
}

/// A tower's layers and the activations of its last batch.
pub(crate) struct Tower<B: Backend> {
    pub spec: TowerSpec,
    pub layers: Vec<Layer<B>>,
    bags: Vec<DeviceBag<B>>,
    /// `acts[0]` is the pooled input, `acts[l + 1]` the output of layer l: rows x width each.
    acts: Vec<B::Buf<f32>>,
    /// Gradients of `acts[0]` .. `acts[last - 1]`.
    grads: Vec<B::Buf<f32>>,
    /// The L2-normalised output, where the tower normalises.
    normed: B::Buf<f32>,
    inverse_norms: B::Buf<f32>,
    capacity: usize,
    rows: usize,
}

impl<B: Backend> Tower<B> {
    pub(crate) fn new(backend: &B, spec: TowerSpec, layers: Vec<Layer<B>>) -> Result<Self> {
        let none = || backend.zeros::<f32>(0);
        let bags = spec
            .inputs
            .iter()
            .map(|_| Ok(DeviceBag { ids: backend.zeros(0)?, offsets: backend.zeros(0)? }))
            .collect::<Result<_>>()?;
        let acts = (0..=layers.len()).map(|_| none()).collect::<Result<_>>()?;
        let grads = (0..layers.len()).map(|_| none()).collect::<Result<_>>()?;
        Ok(Tower { spec, layers, bags, acts, grads, normed: none()?, inverse_norms: none()?, capacity: 0, rows: 0 })
    }

    fn width(&self, act: usize) -> usize {
        if act == 0 { self.spec.width } else { self.spec.layers[act - 1].outputs }
    }

    fn reserve(&mut self, backend: &B, rows: usize) -> Result<()> {
        self.rows = rows;
        if rows <= self.capacity {
            return Ok(());
        }
        for act in 0..self.acts.len() {
            self.acts[act] = backend.zeros(rows * self.width(act))?;
        }
        for layer in 0..self.grads.len() {
            self.grads[layer] = backend.zeros(rows * self.width(layer))?;
        }
        if self.spec.normalize {
            self.normed = backend.zeros(rows * self.spec.dim)?;
            self.inverse_norms = backend.zeros(rows)?;
        }
        self.capacity = rows;
        Ok(())
    }

    /// Computes the outputs of `rows` rows from one bag per input; read them with [`output`](Tower::output).
    pub(crate) fn forward(
        &mut self,
        backend: &B,
        tables: &[EmbeddingTable<B>],
        bags: &[HostBag],
        rows: usize,
    ) -> Result<()> {
        self.reserve(backend, rows)?;
        for (n, (input, host)) in self.spec.inputs.iter().zip(bags).enumerate() {
            let bag = &mut self.bags[n];
            backend.stage(&mut bag.ids, &host.ids)?;
            if host.pooled() {
                backend.stage(&mut bag.offsets, &host.offsets)?;
            }
            let table = &tables[input.table];
            let view = Bag {
                ids: &bag.ids,
                offsets: host.pooled().then_some(&bag.offsets),
                weights: None,
                rows,
                lookups: host.ids.len(),
            };
            let out = MatMut { buf: &mut self.acts[0], rows, cols: table.dim, stride: self.spec.width, col: input.col };
            backend.embedding_bag_fwd(out, table, &view, self.spec.sum && n > 0)?;
        }
        for (l, layer) in self.layers.iter().enumerate() {
            let (inputs, width) = (self.width(l), self.width(l + 1));
            let (before, after) = self.acts.split_at_mut(l + 1);
            backend.linear_fwd(
                MatMut::dense(&mut after[0], rows, width),
                Mat::dense(&before[l], rows, inputs),
                &layer.w.value,
                &layer.b.value,
                self.spec.layers[l].relu,
            )?;
        }
        if self.spec.normalize {
            let last = &self.acts[self.acts.len() - 1];
            backend.l2_norm_fwd(&mut self.normed, &mut self.inverse_norms, last, rows, self.spec.dim)?;
        }
        Ok(())
    }

    /// The outputs of the last forward, rows x `model.dim`.
    pub(crate) fn output(&self) -> &B::Buf<f32> {
        if self.spec.normalize { &self.normed } else { &self.acts[self.acts.len() - 1] }
    }

    /// Takes the gradient of the first `rows` outputs back to the tower's input; `d_output` serves as scratch.
    pub(crate) fn backward(&mut self, backend: &B, d_output: &mut B::Buf<f32>) -> Result<()> {
        let rows = self.rows;
        if self.spec.normalize {
            backend.l2_norm_bwd(d_output, &self.normed, &self.inverse_norms, rows, self.spec.dim)?;
        }
        for l in (0..self.layers.len()).rev() {
            let (inputs, width) = (self.width(l), self.width(l + 1));
            let (before, after) = self.grads.split_at_mut(l + 1);
            let dy = if after.is_empty() { &mut *d_output } else { &mut after[0] };
            let layer = &mut self.layers[l];
            let grads = LinearGrads {
                dx: Some(MatMut::dense(&mut before[l], rows, inputs)),
                dw: &mut layer.w.grad,
                db: &mut layer.b.grad,
                dy: MatMut::dense(dy, rows, width),
            };
            let pass = LinearPass {
                y: Mat::dense(&self.acts[l + 1], rows, width),
                x: Mat::dense(&self.acts[l], rows, inputs),
                w: &layer.w.value,
                relu: self.spec.layers[l].relu,
            };
            backend.linear_bwd(grads, pass)?;
        }
        Ok(())
    }

    /// After [`backward`](Tower::backward): the gradient of the tower's input, rows x `spec.width`. Without layers it
    /// is what `backward` left in `d_output`.
    pub(crate) fn d_input<'a>(&'a self, d_output: &'a B::Buf<f32>) -> &'a B::Buf<f32> {
        self.grads.first().unwrap_or(d_output)
    }

    /// The gradient of the columns that input `n` filled.
    pub(crate) fn d_lookup<'a>(&'a self, d_output: &'a B::Buf<f32>, n: usize, dim: usize) -> Mat<'a, B> {
        let buf = self.d_input(d_output);
        Mat { buf, rows: self.rows, cols: dim, stride: self.spec.width, col: self.spec.inputs[n].col }
    }

    pub(crate) fn dense(&self) -> impl Iterator<Item = &Dense<B>> {
        self.layers.iter().flat_map(|layer| [&layer.w, &layer.b])
    }

    pub(crate) fn dense_mut(&mut self) -> impl Iterator<Item = &mut Dense<B>> {
        self.layers.iter_mut().flat_map(|layer| [&mut layer.w, &mut layer.b])
    }
}
