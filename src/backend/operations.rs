//! What a step consists of.
//!
//! Operations are coarse (a whole lookup, a whole loss), so that a backend may fuse what it likes.

use super::memory::Memory;
use super::operands::{
    Bag, EmbeddingTable, GradientPlan, LinearGrads, LinearPass, Mat, MatMut, OptimizerStep, SoftmaxGrads, SoftmaxLoss,
    TopKWeights,
};
use crate::Result;

/// A device that trains.
pub(crate) trait Operations: Memory {
    /// Pools table rows into `out` (rows x D), or adds the pools to it.
    fn embedding_bag_fwd(
        &self,
        out: MatMut<'_, Self>,
        table: &EmbeddingTable<Self>,
        bag: &Bag<'_, Self>,
        add: bool,
    ) -> Result<()>;
    /// Sums the gradients of each unique row and steps the row: one pass over the touched rows.
    fn embedding_bag_bwd_step(
        &self,
        table: &mut EmbeddingTable<Self>,
        plan: &GradientPlan<'_, Self>,
        grads: &[Mat<'_, Self>],
        step: &OptimizerStep,
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

    /// The weights of a loss's rows under SoftmaxLoss@K: B values.
    fn top_k_weights(&self, out: &mut Self::Buf<f32>, rows: &TopKWeights<'_, Self>) -> Result<()>;

    /// Steps dense parameters (Adam is AdamW). The states are as long as `w` where the optimizer keeps them.
    fn dense_step(
        &self,
        w: &mut Self::Buf<f32>,
        state1: Option<&mut Self::Buf<f32>>,
        state2: Option<&mut Self::Buf<f32>>,
        dw: &Self::Buf<f32>,
        len: usize,
        step: &OptimizerStep,
    ) -> Result<()>;
    /// The sum of the squares of the first `len` values, added in a fixed order in f64.
    fn squared_norm(&self, x: &Self::Buf<f32>, len: usize) -> Result<f64>;
}
