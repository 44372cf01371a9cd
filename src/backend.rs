//! The seam between the model and the machine: what a device must be able to do, and nothing else.
//!
//! The trait is private and the model is generic over it inside; the public API has no type parameter. Operations are
//! coarse (a whole lookup, a whole loss), so that a backend may fuse what it likes. An operation enters the trait only
//! with a CPU twin and an f64 oracle in `tests/naive`.
//!
//! Letters: B batch rows, C candidates, V table rows, D embedding width, L ids in a batch, U unique ids, N items.
//! Arguments stand in the order outputs, inputs, sizes. Buffers may be longer than an operation needs; sizes are
//! explicit. A backend checks shapes and answers [`Error::Shape`](crate::Error::Shape).

pub mod bench;
mod check;
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod rule;

use std::borrow::Cow;

pub(crate) use cpu::simd::pages::zeros as host_zeros;

use crate::Result;
use crate::config::OptimizerKind;

/// What a buffer can hold.
pub(crate) trait Elem: bytemuck::Pod + Default + Send + Sync + 'static {}
impl Elem for f32 {}
impl Elem for u32 {}
impl Elem for half::bf16 {}
impl Elem for half::f16 {}

/// A view of a row-major f32 matrix: element (r, c) stands at `buf[r * stride + col + c]`.
pub(crate) struct Mat<'a, B: Backend> {
    pub buf: &'a B::Buf<f32>,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub col: usize,
}

/// [`Mat`], to be written.
pub(crate) struct MatMut<'a, B: Backend> {
    pub buf: &'a mut B::Buf<f32>,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub col: usize,
}

impl<'a, B: Backend> Mat<'a, B> {
    /// `rows` x `cols` without gaps.
    pub(crate) fn dense(buf: &'a B::Buf<f32>, rows: usize, cols: usize) -> Self {
        Mat { buf, rows, cols, stride: cols, col: 0 }
    }
}

impl<'a, B: Backend> MatMut<'a, B> {
    /// `rows` x `cols` without gaps.
    pub(crate) fn dense(buf: &'a mut B::Buf<f32>, rows: usize, cols: usize) -> Self {
        MatMut { buf, rows, cols, stride: cols, col: 0 }
    }
}

/// The storage of an embedding table: V x D.
pub(crate) enum TableData<B: Backend> {
    F32(B::Buf<f32>),
    Bf16(B::Buf<half::bf16>),
    F16(B::Buf<half::f16>),
}

/// An embedding table and its optimizer's state. Row 0 (unknown) starts as zero and no plan names it.
pub(crate) struct Table<B: Backend> {
    pub rows: usize,
    pub dim: usize,
    pub data: TableData<B>,
    /// SGD: none. Adagrad: sums of squares, V x D. Row-wise Adagrad: V. Adam: first moments, V x D.
    pub state1: Option<B::Buf<f32>>,
    /// Adam: second moments, V x D.
    pub state2: Option<B::Buf<f32>>,
    /// Distinguishes the tables of a model in the seeds of stochastic rounding.
    pub number: u32,
}

/// The lookups of one feature for a batch. Row r pools `ids[offsets[r]..offsets[r + 1]]`; without offsets row r is
/// `ids[r]` alone. Without weights the pool is a mean (an empty bag is zero); with weights it is a weighted sum.
pub(crate) struct Bag<'a, B: Backend> {
    pub ids: &'a B::Buf<u32>,
    pub offsets: Option<&'a B::Buf<u32>>,
    pub weights: Option<&'a B::Buf<f32>>,
    pub rows: usize,
    pub lookups: usize,
}

/// Which rows of a table a batch touches, and whose gradients each sums: unique row u (ascending) sums, for p in
/// `starts[u]..starts[u + 1]`, `scales[p]` (1 without scales) x gradient row `positions[p]`. Every position has a row
/// and every row a position: starts ascend strictly from 0 to `lookups`. Gradient rows are those of the `grads` list,
/// numbered through. Sums run over fixed chunks of 32 positions of the whole list, in fp32, then over a run's partial
/// sums in order (`docs/kernels.md`): every backend adds in the same order.
pub(crate) struct Plan<'a, B: Backend> {
    pub unique: &'a B::Buf<u32>,
    pub starts: &'a B::Buf<u32>,
    pub positions: &'a B::Buf<u32>,
    pub scales: Option<&'a B::Buf<f32>>,
    pub uniques: usize,
    pub lookups: usize,
}

/// One optimizer step's constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub kind: OptimizerKind,
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// Decoupled: `w *= 1 - lr * weight_decay` (touched rows only for tables).
    pub weight_decay: f32,
    /// The number of this step, from 1 (Adam's bias correction, stochastic rounding).
    pub number: u64,
    /// The run's seed (stochastic rounding).
    pub seed: u64,
    /// Gradients are multiplied by this first (clipping).
    pub grad_scale: f32,
}

/// The columns that a row must not count as negatives, beside its accidental hits: row r masks
/// `columns[offsets[r]..offsets[r + 1]]` (ascending; never the row's positive).
pub(crate) struct Masked<'a, B: Backend> {
    pub offsets: &'a B::Buf<u32>,
    pub columns: &'a B::Buf<u32>,
}

/// In-batch softmax: B rows of users against C candidates.
///
/// `s_ij = scale <u_i, v_j> + bias_j`, `bias_j = -log q_j` on every column, the positive's included;
/// `loss = sum_i w_i (logsumexp_j s_ij - s_i,pos(i)) / sum_i w_i` (Yi et al. 2019). Masked columns are -inf.
pub(crate) struct SoftmaxLoss<'a, B: Backend> {
    /// B x D.
    pub users: &'a B::Buf<f32>,
    /// C x D.
    pub candidates: &'a B::Buf<f32>,
    /// One value, the logarithm of the scale 1 / T.
    pub log_scale: &'a B::Buf<f32>,
    /// C values.
    pub bias: Option<&'a B::Buf<f32>>,
    /// C item rows; given, columns with the id of the row's positive (but the positive itself) are masked.
    pub ids: Option<&'a B::Buf<u32>>,
    /// B columns; absent, row i's positive is column i.
    pub positives: Option<&'a B::Buf<u32>>,
    pub masked: Option<Masked<'a, B>>,
    /// B values >= 0; absent, all 1. The mean divides by their sum (a zero sum gives loss 0 and gradients 0).
    pub weights: Option<&'a B::Buf<f32>>,
    /// B values log(1 - q_pos(i)); given, the loss is the corrected logQ of arXiv 2507.09331: the positive is left
    /// out of the sum and of the correction, `s_ij = scale <u_i, v_j> + bias_j + log1m_q_i`, and the row is weighted
    /// with the constant 1 - p_i, `p_i = exp(s_pos) / (exp(s_pos) + sum_neg exp(s_ij - log n_i))`.
    pub corrected: Option<&'a B::Buf<f32>>,
    pub rows: usize,
    pub columns: usize,
    pub dim: usize,
}

/// What a loss writes.
pub(crate) struct SoftmaxGrads<'a, B: Backend> {
    /// B x D, overwritten.
    pub users: &'a mut B::Buf<f32>,
    /// C x D, overwritten.
    pub candidates: &'a mut B::Buf<f32>,
    /// Two values, overwritten: the loss and its derivative by `log_scale`.
    pub stats: &'a mut B::Buf<f32>,
}

/// Items that a query must not return: query q skips `items[offsets[q]..offsets[q + 1]]`, ascending rows.
#[derive(Clone, Copy)]
pub(crate) struct Skip<'a> {
    pub offsets: &'a [usize],
    pub items: &'a [u32],
}

/// What a device can do.
pub(crate) trait Backend: Send + Sync + Sized + 'static {
    /// Memory of the device.
    type Buf<T: Elem>: Send + Sync;
    /// Item embeddings in the layout that `topk` scans.
    type Items: Send + Sync;

    /// What decides the bits of its results, beside the seed: a run goes on only where it is the same.
    fn path(&self) -> String;
    /// The name of a device with memory of its own, and how many bytes of it are free.
    fn free_memory(&self) -> Result<Option<(String, u64)>>;
    /// `len` zeros.
    fn zeros<T: Elem>(&self, len: usize) -> Result<Self::Buf<T>>;
    /// A buffer with these values; on the CPU they are moved, not copied.
    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Self::Buf<T>>;
    /// The first `len` values on the host; on the CPU they are borrowed, not copied.
    fn host<'a, T: Elem>(&self, from: &'a Self::Buf<T>, len: usize) -> Result<Cow<'a, [T]>>;
    /// How many values a buffer holds.
    fn len<T: Elem>(&self, buf: &Self::Buf<T>) -> usize;
    /// Copies `host` to the front of `to`, which grows when it is too short (its other values are then lost).
    fn write<T: Elem>(&self, to: &mut Self::Buf<T>, host: &[T]) -> Result<()>;
    /// Another batch begins: what was staged two batches ago may be overwritten.
    fn begin_batch(&self) -> Result<()>;
    /// Makes `to` hold `host`, an input of the current batch: it is read by operations alone, and gone two batches
    /// later. A device takes all of a batch's inputs over together, while it computes the batch before.
    fn stage<T: Elem>(&self, to: &mut Self::Buf<T>, host: &[T]) -> Result<()>;
    /// Asks for the first value of `from` as it is when everything queued so far is done, without waiting for it.
    fn read_later(&self, from: &Self::Buf<f32>) -> Result<()>;
    /// Takes the values of [`read_later`](Backend::read_later) that have come, in the order they were asked for; with
    /// `all`, waits for those that are still under way.
    fn arrived(&self, all: bool, values: &mut Vec<f32>) -> Result<()>;
    /// Copies the front of `from`, `host.len()` values from element `start` on.
    fn read<T: Elem>(&self, host: &mut [T], from: &Self::Buf<T>, start: usize) -> Result<()>;
    /// Copies rows: `to[to_row + i] = from[from_row + i]` for i < `rows`, each `dim` wide.
    fn copy_rows(
        &self,
        to: &mut Self::Buf<f32>,
        to_row: usize,
        from: &Self::Buf<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()>;

    /// Pools table rows into `out` (rows x D), or adds the pools to it.
    fn embedding_bag_fwd(
        &self,
        out: MatMut<'_, Self>,
        table: &Table<Self>,
        bag: &Bag<'_, Self>,
        add: bool,
    ) -> Result<()>;
    /// Sums the gradients of each unique row and steps the row: one pass over the touched rows.
    fn embedding_bag_bwd_step(
        &self,
        table: &mut Table<Self>,
        plan: &Plan<'_, Self>,
        grads: &[Mat<'_, Self>],
        step: &Step,
    ) -> Result<()>;

    /// `y = x w^T + b` (x: rows x in, w: out x in, b: out), then ReLU when asked.
    fn linear_fwd(
        &self,
        y: MatMut<'_, Self>,
        x: Mat<'_, Self>,
        w: &Self::Buf<f32>,
        b: &Self::Buf<f32>,
        relu: bool,
    ) -> Result<()>;
    /// Gradients of [`linear_fwd`](Backend::linear_fwd): overwrites dw and db, and dx where given. `y` is the forward's
    /// output: with `relu`, dy counts only where y > 0 (dy is changed in place).
    #[allow(clippy::too_many_arguments)]
    fn linear_bwd(
        &self,
        dx: Option<MatMut<'_, Self>>,
        dw: &mut Self::Buf<f32>,
        db: &mut Self::Buf<f32>,
        dy: MatMut<'_, Self>,
        y: Mat<'_, Self>,
        x: Mat<'_, Self>,
        w: &Self::Buf<f32>,
        relu: bool,
    ) -> Result<()>;

    /// `y_r = x_r / max(|x_r|, 1e-12)` and `inverse_norms[r] = 1 / max(|x_r|, 1e-12)`; a zero row stays zero.
    fn l2_norm_fwd(
        &self,
        y: &mut Self::Buf<f32>,
        inverse_norms: &mut Self::Buf<f32>,
        x: &Self::Buf<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()>;
    /// `dx_r = (dy_r - y_r <y_r, dy_r>) * inverse_norms[r]`, in place in `dy`; zero for a zero row (its y is zero).
    fn l2_norm_bwd(
        &self,
        dy: &mut Self::Buf<f32>,
        y: &Self::Buf<f32>,
        inverse_norms: &Self::Buf<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()>;

    /// The loss and its exact gradients; B x C is never stored.
    fn softmax_loss(&self, grads: SoftmaxGrads<'_, Self>, loss: &SoftmaxLoss<'_, Self>) -> Result<()>;

    /// Steps dense parameters (Adam is AdamW). The states are as long as `w` where the optimizer keeps them.
    fn dense_step(
        &self,
        w: &mut Self::Buf<f32>,
        state1: Option<&mut Self::Buf<f32>>,
        state2: Option<&mut Self::Buf<f32>>,
        dw: &Self::Buf<f32>,
        len: usize,
        step: &Step,
    ) -> Result<()>;
    /// The sum of the squares of the first `len` values, added in a fixed order in f64.
    fn squared_norm(&self, x: &Self::Buf<f32>, len: usize) -> Result<f64>;

    /// Room for `rows` items, `dim` wide, as `topk` scans them.
    fn items(&self, rows: usize, dim: usize) -> Result<Self::Items>;
    /// Lays out items `first .. first + rows` from their embeddings (rows x D). Pieces come in any order; each but the
    /// last is a multiple of 64 items.
    fn pack_items(&self, to: &mut Self::Items, first: usize, embeddings: &Self::Buf<f32>, rows: usize) -> Result<()>;
    /// The k best items of each query by inner product: score descending, then item row ascending; NaN is never
    /// returned. `ids` and `scores` are queries x k; places without an item hold `u32::MAX` and -inf.
    #[allow(clippy::too_many_arguments)]
    fn topk(
        &self,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &Self::Buf<f32>,
        items: &Self::Items,
        skip: Option<Skip<'_>>,
        rows: usize,
        k: usize,
    ) -> Result<()>;
}

/// Whether CUDA device `ordinal` can be used: probes for the driver library before any call into it.
pub(crate) fn cuda_probe(ordinal: usize) -> Result<()> {
    #[cfg(not(feature = "cuda"))]
    return Err(no_cuda_feature(ordinal));
    #[cfg(feature = "cuda")]
    cuda::probe(ordinal).map_err(|reason| crate::Error::CudaUnavailable { reason })
}

/// What a build without CUDA says.
#[cfg(not(feature = "cuda"))]
pub(crate) fn no_cuda_feature(ordinal: usize) -> crate::Error {
    crate::Error::CudaUnavailable { reason: format!("this build has no `cuda` feature (cuda:{ordinal} was requested)") }
}
