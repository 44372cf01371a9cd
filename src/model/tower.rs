//! Forward and backward of one tower: pooled lookups, linear layers, L2 norm.

use crate::Result;
use crate::backend::{
    Backend, Bag, DenseParam, EmbeddingTable, LinearGrads, LinearPass, Mat, MatMut, NormGrads, NormPass, PoolInput,
    Pools,
};
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
    /// As a step takes it.
    pub(crate) fn param(&mut self, decays: bool) -> DenseParam<'_, B> {
        let (state1, state2) = (self.state1.as_mut(), self.state2.as_mut());
        DenseParam { w: &mut self.value, state1, state2, dw: &self.grad, len: self.len, decays }
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
    pooled: bool,
    /// Ids that a batch in training has had room for.
    room: usize,
}

/// Room for a list whose length changes from batch to batch: it grows ahead of what is needed, so that it soon stays. Short
/// lists vary more than long ones, and cost less.
pub(crate) fn room_for(room: &mut usize, len: usize) -> usize {
    const SHORT: usize = 1 << 13;
    if len > *room {
        *room = if len <= SHORT { (len + len / 2).next_power_of_two() } else { (len + len / 8).next_multiple_of(1024) };
    }
    *room
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
            .map(|_| Ok(DeviceBag { ids: backend.zeros(0)?, offsets: backend.zeros(0)?, pooled: false, room: 0 }))
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

    /// Stages one bag an input for the forward of `rows` rows. `replayed`: by operations that a later batch replays.
    pub(crate) fn stage(&mut self, backend: &B, bags: &[HostBag], rows: usize, replayed: bool) -> Result<()> {
        self.reserve(backend, rows)?;
        for (bag, host) in self.bags.iter_mut().zip(bags) {
            bag.pooled = host.pooled();
            match (bag.pooled, replayed) {
                (false, _) => backend.stage(&mut bag.ids, &host.ids)?,
                (true, false) => backend.stage_in(&mut bag.ids, &host.ids, host.ids.len())?,
                (true, true) => backend.stage_in(&mut bag.ids, &host.ids, room_for(&mut bag.room, host.ids.len()))?,
            }
            if bag.pooled {
                backend.stage(&mut bag.offsets, &host.offsets)?;
            }
        }
        Ok(())
    }

    /// Its lookups.
    fn pools<'a>(&'a mut self, backend: &B, tables: &'a [EmbeddingTable<B>]) -> Pools<'a, B> {
        let inputs = self.spec.inputs.iter().zip(&self.bags).map(|(input, bag)| PoolInput {
            table: &tables[input.table],
            bag: Bag {
                ids: &bag.ids,
                offsets: bag.pooled.then_some(&bag.offsets),
                weights: None,
                rows: self.rows,
                lookups: if bag.pooled { backend.len(&bag.ids) } else { self.rows },
            },
            col: input.col,
        });
        Pools { inputs: inputs.collect(), out: &mut self.acts[0], rows: self.rows, stride: self.spec.width }
    }

    fn layers_forward(&mut self, backend: &B) -> Result<()> {
        let rows = self.rows;
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
        Ok(())
    }

    fn norm(&mut self) -> NormPass<'_, B> {
        let x = &self.acts[self.acts.len() - 1];
        NormPass { y: &mut self.normed, inverse_norms: &mut self.inverse_norms, x, rows: self.rows }
    }

    /// The outputs of the last forward, rows x `model.dim`.
    pub(crate) fn output(&self) -> &B::Buf<f32> {
        if self.spec.normalize { &self.normed } else { &self.acts[self.acts.len() - 1] }
    }

    fn layers_backward(&mut self, backend: &B, d_output: &mut B::Buf<f32>) -> Result<()> {
        let rows = self.rows;
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

    /// After [`backward`]: the gradient of the tower's input, rows x `spec.width`. Without layers it
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

/// Computes the outputs of what each tower has staged; read them with [`output`](Tower::output). The towers' lookups and norms
/// are one operation each.
pub(crate) fn forward<B: Backend>(
    backend: &B,
    tables: &[EmbeddingTable<B>],
    towers: &mut [&mut Tower<B>],
) -> Result<()> {
    let mut pools: Vec<_> = towers.iter_mut().map(|tower| tower.pools(backend, tables)).collect();
    backend.embedding_pools(&mut pools)?;
    for tower in &mut *towers {
        tower.layers_forward(backend)?;
    }
    let Some(dim) = towers.first().map(|tower| tower.spec.dim) else { return Ok(()) };
    let normed = towers.iter_mut().filter(|tower| tower.spec.normalize);
    let mut norms: Vec<_> = normed.map(|tower| tower.norm()).collect();
    if norms.is_empty() { Ok(()) } else { backend.l2_norm_fwd(&mut norms, dim) }
}

/// Takes the gradients of the towers' outputs back to their inputs; they serve as scratch.
pub(crate) fn backward<B: Backend>(backend: &B, towers: &mut [(&mut Tower<B>, &mut B::Buf<f32>)]) -> Result<()> {
    let Some(dim) = towers.first().map(|(tower, _)| tower.spec.dim) else { return Ok(()) };
    let mut norms: Vec<_> = towers
        .iter_mut()
        .filter(|(tower, _)| tower.spec.normalize)
        .map(|(tower, dy)| NormGrads {
            dy: &mut **dy,
            y: &tower.normed,
            inverse_norms: &tower.inverse_norms,
            rows: tower.rows,
        })
        .collect();
    if !norms.is_empty() {
        backend.l2_norm_bwd(&mut norms, dim)?;
    }
    towers.iter_mut().try_for_each(|(tower, d_output)| tower.layers_backward(backend, d_output))
}
