//! [`Operations`] on a CUDA device, each in its stem.

use super::{Buf, Cuda, embedding, linear, loss, norm, optim};
use crate::Result;
use crate::backend::{
    DenseParam, EmbeddingTable, GradientPlans, LinearGrads, LinearPass, Mat, MatMut, NormGrads, NormPass, Operations,
    OptimizerStep, Pools, SoftmaxGrads, SoftmaxLoss, StepRules, TopKWeights,
};

impl Operations for Cuda {
    fn embedding_pools(&self, pools: &mut [Pools<'_, Self>]) -> Result<()> {
        embedding::pools(self, pools)
    }

    fn embedding_step(
        &self,
        tables: &mut [EmbeddingTable<Self>],
        plans: &GradientPlans<'_, Self>,
        grads: &[Vec<Mat<'_, Self>>],
        rules: &StepRules<'_, Self>,
    ) -> Result<()> {
        embedding::step_tables(self, tables, plans, grads, rules)
    }

    fn linear_fwd(&self, y: MatMut<'_, Self>, x: Mat<'_, Self>, w: &Buf<f32>, b: &Buf<f32>, relu: bool) -> Result<()> {
        linear::forward(self, y, x, w, b, relu)
    }

    fn linear_bwd(&self, grads: LinearGrads<'_, Self>, pass: LinearPass<'_, Self>) -> Result<()> {
        linear::backward(self, grads, pass)
    }

    fn l2_norm_fwd(&self, norms: &mut [NormPass<'_, Self>], dim: usize) -> Result<()> {
        norm::forward(self, norms, dim)
    }

    fn l2_norm_bwd(&self, norms: &mut [NormGrads<'_, Self>], dim: usize) -> Result<()> {
        norm::backward(self, norms, dim)
    }

    fn softmax_loss(&self, grads: SoftmaxGrads<'_, Self>, loss: &SoftmaxLoss<'_, Self>) -> Result<()> {
        loss::softmax(self, grads, loss)
    }

    fn top_k_weights(&self, out: &mut Buf<f32>, rows: &TopKWeights<'_, Self>) -> Result<()> {
        loss::top_k_weights(self, out, rows)
    }

    fn stage_rules(&self, to: &mut Buf<u32>, step: &OptimizerStep) -> Result<()> {
        optim::stage_rules(self, to, step)
    }

    fn dense_steps(&self, params: &mut [DenseParam<'_, Self>], rules: &StepRules<'_, Self>) -> Result<()> {
        optim::dense_steps(self, params, rules)
    }

    fn clip_scale(&self, grad_scale: &mut Buf<f32>, grads: &[(&Buf<f32>, usize)], limit: f32) -> Result<()> {
        optim::clip_scale(self, grad_scale, grads, limit)
    }
}
