//! What a step consists of.
//!
//! Operations are coarse (a whole lookup, a whole loss), so that a backend may fuse what it likes.

use super::memory::Memory;
use super::operands::{
    DenseParam, EmbeddingTable, GradientPlans, LinearGrads, LinearPass, Mat, MatMut, NormGrads, NormPass,
    OptimizerStep, Pools, SoftmaxGrads, SoftmaxLoss, StepRules, TopKWeights,
};
use crate::Result;

/// A device that trains.
pub(crate) trait Operations: Memory {
    /// All lookups of a batch.
    fn embedding_pools(&self, pools: &mut [Pools<'_, Self>]) -> Result<()>;
    /// Sums the gradients of each table's unique rows and steps the rows: one pass over the touched rows.
    fn embedding_step(
        &self,
        tables: &mut [EmbeddingTable<Self>],
        plans: &GradientPlans<'_, Self>,
        grads: &[Vec<Mat<'_, Self>>],
        rules: &StepRules<'_, Self>,
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
    /// Gradients of [`linear_fwd`](Operations::linear_fwd): overwrites dw and db, and dx where given. With `relu`, dy
    /// counts only where y > 0 (dy is changed in place).
    fn linear_bwd(&self, grads: LinearGrads<'_, Self>, pass: LinearPass<'_, Self>) -> Result<()>;

    /// `y_r = x_r / max(|x_r|, 1e-12)` and `inverse_norms[r] = 1 / max(|x_r|, 1e-12)`, of at most two matrices whose rows
    /// have `dim` values; a zero row stays zero.
    fn l2_norm_fwd(&self, norms: &mut [NormPass<'_, Self>], dim: usize) -> Result<()>;
    /// `dx_r = (dy_r - y_r <y_r, dy_r>) * inverse_norms[r]`, in place in `dy`; zero for a zero row (its y is zero).
    fn l2_norm_bwd(&self, norms: &mut [NormGrads<'_, Self>], dim: usize) -> Result<()>;

    /// The loss and its exact gradients; B x C is never stored.
    fn softmax_loss(&self, grads: SoftmaxGrads<'_, Self>, loss: &SoftmaxLoss<'_, Self>) -> Result<()>;

    /// The weights of a loss's rows under SoftmaxLoss@K: B values.
    fn top_k_weights(&self, out: &mut Self::Buf<f32>, rows: &TopKWeights<'_, Self>) -> Result<()>;

    /// Makes `to` hold a step's constants, as the steps below read them: an input of the current batch.
    fn stage_rules(&self, to: &mut Self::Buf<u32>, step: &OptimizerStep) -> Result<()>;
    /// Steps dense parameters (Adam is AdamW).
    fn dense_steps(&self, params: &mut [DenseParam<'_, Self>], rules: &StepRules<'_, Self>) -> Result<()>;
    /// `grad_scale[0]`: what scales gradients so that their norm is at most `limit`. `grads` are all of them, and how many
    /// values of each count. Squares are added in a fixed order in f64.
    fn clip_scale(&self, grad_scale: &mut Self::Buf<f32>, grads: &[(&Self::Buf<f32>, usize)], limit: f32)
    -> Result<()>;
}
