//! [`Operations`] on the host, each in its stem.

use super::{Cpu, embedding, linear, loss, norm, optim};
use crate::Result;
use crate::backend::{
    Bag, EmbeddingTable, GradientPlan, LinearGrads, LinearPass, Mat, MatMut, Operations, OptimizerStep, SoftmaxGrads,
    SoftmaxLoss, TopKWeights,
};

impl Operations for Cpu {
    fn embedding_bag_fwd(
        &self,
        out: MatMut<'_, Self>,
        table: &EmbeddingTable<Self>,
        bag: &Bag<'_, Self>,
        add: bool,
    ) -> Result<()> {
        embedding::forward(self, out, table, bag, add)
    }

    fn embedding_bag_bwd_step(
        &self,
        table: &mut EmbeddingTable<Self>,
        plan: &GradientPlan<'_, Self>,
        grads: &[Mat<'_, Self>],
        step: &OptimizerStep,
    ) -> Result<()> {
        embedding::backward_step(self, table, plan, grads, step)
    }

    fn linear_fwd(&self, y: MatMut<'_, Self>, x: Mat<'_, Self>, w: &Vec<f32>, b: &Vec<f32>, relu: bool) -> Result<()> {
        linear::forward(self, y, x, w, b, relu)
    }

    fn linear_bwd(&self, grads: LinearGrads<'_, Self>, pass: LinearPass<'_, Self>) -> Result<()> {
        linear::backward(self, grads, pass)
    }

    fn l2_norm_fwd(
        &self,
        y: &mut Vec<f32>,
        inverse_norms: &mut Vec<f32>,
        x: &Vec<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        norm::forward(self, y, inverse_norms, x, rows, dim)
    }

    fn l2_norm_bwd(
        &self,
        dy: &mut Vec<f32>,
        y: &Vec<f32>,
        inverse_norms: &Vec<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        norm::backward(self, dy, y, inverse_norms, rows, dim)
    }

    fn softmax_loss(&self, grads: SoftmaxGrads<'_, Self>, loss: &SoftmaxLoss<'_, Self>) -> Result<()> {
        loss::softmax(self, grads, loss)
    }

    fn top_k_weights(&self, out: &mut Vec<f32>, rows: &TopKWeights<'_, Self>) -> Result<()> {
        loss::top_k_weights(self, out, rows)
    }

    fn dense_step(
        &self,
        w: &mut Vec<f32>,
        state1: Option<&mut Vec<f32>>,
        state2: Option<&mut Vec<f32>>,
        dw: &Vec<f32>,
        len: usize,
        step: &OptimizerStep,
    ) -> Result<()> {
        optim::dense_step(self, w, state1, state2, dw, len, step)
    }

    fn squared_norm(&self, x: &Vec<f32>, len: usize) -> Result<f64> {
        optim::squared_norm(self, x, len)
    }
}
