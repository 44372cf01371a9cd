//! What operations work on: views of matrices, tables, lookups, plans, losses.

use super::memory::Memory;
use crate::config::OptimizerKind;

/// A view of a row-major f32 matrix: element (r, c) stands at `buf[r * stride + col + c]`.
pub(crate) struct Mat<'a, B: Memory> {
    pub buf: &'a B::Buf<f32>,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub col: usize,
}

/// [`Mat`], to be written.
pub(crate) struct MatMut<'a, B: Memory> {
    pub buf: &'a mut B::Buf<f32>,
    pub rows: usize,
    pub cols: usize,
    pub stride: usize,
    pub col: usize,
}

impl<'a, B: Memory> Mat<'a, B> {
    /// `rows` x `cols` without gaps.
    pub(crate) fn dense(buf: &'a B::Buf<f32>, rows: usize, cols: usize) -> Self {
        Mat { buf, rows, cols, stride: cols, col: 0 }
    }
}

impl<'a, B: Memory> MatMut<'a, B> {
    /// `rows` x `cols` without gaps.
    pub(crate) fn dense(buf: &'a mut B::Buf<f32>, rows: usize, cols: usize) -> Self {
        MatMut { buf, rows, cols, stride: cols, col: 0 }
    }
}

/// The storage of an embedding table: V x D.
pub(crate) enum TableData<B: Memory> {
    F32(B::Buf<f32>),
    Bf16(B::Buf<half::bf16>),
    F16(B::Buf<half::f16>),
}

/// An embedding table and its optimizer's state. Row 0 (unknown) starts as zero and no plan names it.
pub(crate) struct EmbeddingTable<B: Memory> {
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
pub(crate) struct Bag<'a, B: Memory> {
    pub ids: &'a B::Buf<u32>,
    pub offsets: Option<&'a B::Buf<u32>>,
    pub weights: Option<&'a B::Buf<f32>>,
    pub rows: usize,
    pub lookups: usize,
}

/// One input of a tower: what it looks up, and the first of the columns that it fills.
pub(crate) struct PoolInput<'a, B: Memory> {
    pub table: &'a EmbeddingTable<B>,
    pub bag: Bag<'a, B>,
    pub col: usize,
}

/// A tower's inputs: rows x `stride` values of `out`. An input that has the same `col` as the one before is added to it.
pub(crate) struct Pools<'a, B: Memory> {
    pub out: &'a mut B::Buf<f32>,
    pub rows: usize,
    pub stride: usize,
    pub inputs: Vec<PoolInput<'a, B>>,
}

/// Where the plan of one table stands in [`GradientPlans`]: the first of its unique rows (its starts begin at that number
/// plus the number of tables before it), of its positions (a multiple of 32), and of its scales (`u32::MAX`: all are 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct PlanPart {
    pub unique: u32,
    pub uniques: u32,
    pub position: u32,
    pub lookups: u32,
    pub scales: u32,
}

/// Which rows of each table a batch touches, and whose gradients each sums; the tables' lists stand one behind the other.
/// Unique row u (ascending) sums, for p in `starts[u]..starts[u + 1]`, `scales[p]` x gradient row `positions[p]`. Every
/// position has a row and every row a position: a table's starts ascend strictly from 0 to its lookups. Gradient rows are
/// those of the table's `grads`, numbered through. Sums run over fixed chunks of 32 positions of the table's list, in fp32,
/// then over a run's partial sums in order (`docs/kernels.md`): every backend adds in the same order.
pub(crate) struct GradientPlans<'a, B: Memory> {
    pub parts: &'a [PlanPart],
    /// The words of `parts`, where the device reads them.
    pub staged_parts: &'a B::Buf<u32>,
    pub unique: &'a B::Buf<u32>,
    pub starts: &'a B::Buf<u32>,
    pub positions: &'a B::Buf<u32>,
    pub scales: &'a B::Buf<f32>,
}

/// One L2 norm of rows: `y_r = x_r inverse_norms[r]`.
pub(crate) struct NormPass<'a, B: Memory> {
    /// Rows x D, overwritten.
    pub y: &'a mut B::Buf<f32>,
    /// Rows, overwritten.
    pub inverse_norms: &'a mut B::Buf<f32>,
    /// Rows x D.
    pub x: &'a B::Buf<f32>,
    pub rows: usize,
}

/// The gradient of a [`NormPass`].
pub(crate) struct NormGrads<'a, B: Memory> {
    /// Rows x D: the gradient of y, which becomes that of x.
    pub dy: &'a mut B::Buf<f32>,
    pub y: &'a B::Buf<f32>,
    pub inverse_norms: &'a B::Buf<f32>,
    pub rows: usize,
}

/// Dense parameters to step. The states are as long as `w` where the optimizer keeps them.
pub(crate) struct DenseParam<'a, B: Memory> {
    pub w: &'a mut B::Buf<f32>,
    pub state1: Option<&'a mut B::Buf<f32>>,
    pub state2: Option<&'a mut B::Buf<f32>>,
    pub dw: &'a B::Buf<f32>,
    pub len: usize,
    /// Whether weight decay is for it.
    pub decays: bool,
}

/// One optimizer step's constants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptimizerStep {
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

/// An optimizer step's constants for the operations of one step, where the host and the device read them.
pub(crate) struct StepRules<'a, B: Memory> {
    pub step: OptimizerStep,
    /// What [`stage_rules`](super::Operations::stage_rules) staged.
    pub staged: &'a B::Buf<u32>,
    /// One value that takes the place of `step.grad_scale`: see [`clip_scale`](super::Operations::clip_scale).
    pub grad_scale: Option<&'a B::Buf<f32>>,
}

/// A linear layer as its forward left it: what its gradients depend on.
pub(crate) struct LinearPass<'a, B: Memory> {
    /// What the forward gave, rows x out: read with `relu` alone.
    pub y: Mat<'a, B>,
    /// What the forward read, rows x in.
    pub x: Mat<'a, B>,
    /// out x in.
    pub w: &'a B::Buf<f32>,
    pub relu: bool,
}

/// What the backward of a linear layer writes.
pub(crate) struct LinearGrads<'a, B: Memory> {
    /// Rows x in, overwritten; absent where nothing needs it.
    pub dx: Option<MatMut<'a, B>>,
    /// out x in, overwritten.
    pub dw: &'a mut B::Buf<f32>,
    /// out values, overwritten.
    pub db: &'a mut B::Buf<f32>,
    /// Rows x out: the gradient that comes in, changed in place.
    pub dy: MatMut<'a, B>,
}

/// The columns that a row must not count as negatives, beside its accidental hits: row r masks
/// `columns[offsets[r]..offsets[r + 1]]` (ascending; never the row's positive).
pub(crate) struct Masked<'a, B: Memory> {
    pub offsets: &'a B::Buf<u32>,
    pub columns: &'a B::Buf<u32>,
}

/// In-batch softmax: B rows of users against C candidates.
///
/// `s_ij = scale <u_i, v_j> + bias_j`, `bias_j = -log q_j` on every column, the positive's included;
/// `loss = sum_i w_i (logsumexp_j s_ij - s_i,pos(i)) / sum_i w_i` (Yi et al. 2019). Masked columns are -inf.
pub(crate) struct SoftmaxLoss<'a, B: Memory> {
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
pub(crate) struct SoftmaxGrads<'a, B: Memory> {
    /// B x D, overwritten.
    pub users: &'a mut B::Buf<f32>,
    /// C x D, overwritten.
    pub candidates: &'a mut B::Buf<f32>,
    /// Two values, overwritten: the loss and its derivative by `log_scale`.
    pub stats: &'a mut B::Buf<f32>,
}

/// What SoftmaxLoss@K weighs rows by (Yang et al., KDD 2025): row r with positive p weighs
/// `w_r sigmoid((<u_r, v_p> + popularity_r / scale - threshold_r) / width)`. A threshold is the score of the user's K-th best
/// item, -inf where there is no such item (the row keeps its weight). No gradient goes through the weight.
pub(crate) struct TopKWeights<'a, B: Memory> {
    /// B x D.
    pub users: &'a B::Buf<f32>,
    /// C x D.
    pub candidates: &'a B::Buf<f32>,
    /// B columns; absent, row i's positive is column i.
    pub positives: Option<&'a B::Buf<u32>>,
    /// One value, the logarithm of the scale 1 / T.
    pub log_scale: &'a B::Buf<f32>,
    /// B values: what popularity adds to a row's scaled score; absent, nothing.
    pub popularity: Option<&'a B::Buf<f32>>,
    /// B values.
    pub thresholds: &'a B::Buf<f32>,
    /// B values w; absent, all 1.
    pub weights: Option<&'a B::Buf<f32>>,
    /// Above 0.
    pub width: f32,
    pub rows: usize,
    pub columns: usize,
    pub dim: usize,
}
