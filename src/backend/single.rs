//! One table, one matrix, one parameter: what tests and benchmarks ask of the operations that a step does for all at once.

use super::{
    Backend, Bag, DenseParam, EmbeddingTable, GradientPlans, Mat, MatMut, NormGrads, NormPass, OptimizerStep, PlanPart,
    PoolInput, Pools, StepRules,
};
use crate::Result;

/// Pools one bag into `out`.
pub(crate) fn pool<B: Backend>(b: &B, out: MatMut<'_, B>, table: &EmbeddingTable<B>, bag: Bag<'_, B>) -> Result<()> {
    let MatMut { buf: out, rows, stride, col, .. } = out;
    b.embedding_pools(&mut [Pools { out, rows, stride, inputs: vec![PoolInput { table, bag, col }] }])
}

/// The gradient plan of one table, and a step's constants.
pub(crate) struct TableStep<B: Backend> {
    parts: [PlanPart; 1],
    staged_parts: B::Buf<u32>,
    pub unique: B::Buf<u32>,
    starts: B::Buf<u32>,
    positions: B::Buf<u32>,
    scales: B::Buf<f32>,
}

impl<B: Backend> TableStep<B> {
    /// `scales` empty: ones.
    pub(crate) fn new(b: &B, unique: &[u32], starts: &[u32], positions: &[u32], scales: &[f32]) -> Result<Self> {
        let scaled = if scales.is_empty() { u32::MAX } else { 0 };
        let (uniques, lookups) = (unique.len() as u32, positions.len() as u32);
        let part = PlanPart { unique: 0, uniques, position: 0, lookups, scales: scaled };
        Ok(TableStep {
            parts: [part],
            staged_parts: b.upload(bytemuck::cast_slice(&[part]).to_vec())?,
            unique: b.upload(unique.to_vec())?,
            starts: b.upload(starts.to_vec())?,
            positions: b.upload(positions.to_vec())?,
            scales: b.upload(scales.to_vec())?,
        })
    }

    /// Steps the table's rows by the gradients that stand in `grads`.
    pub(crate) fn step(
        &self,
        b: &B,
        table: &mut EmbeddingTable<B>,
        grads: Vec<Mat<'_, B>>,
        rules: &Rules<B>,
    ) -> Result<()> {
        let TableStep { parts, staged_parts, unique, starts, positions, scales } = self;
        let plans = GradientPlans { parts, staged_parts, unique, starts, positions, scales };
        b.embedding_step(std::slice::from_mut(table), &plans, &[grads], &rules.view())
    }
}

/// A step's constants, staged.
pub(crate) struct Rules<B: Backend> {
    step: OptimizerStep,
    staged: B::Buf<u32>,
}

impl<B: Backend> Rules<B> {
    pub(crate) fn new(b: &B, step: &OptimizerStep) -> Result<Rules<B>> {
        let mut rules = Rules { step: *step, staged: b.zeros(0)? };
        rules.stage(b, step)?;
        Ok(rules)
    }

    pub(crate) fn stage(&mut self, b: &B, step: &OptimizerStep) -> Result<()> {
        self.step = *step;
        b.stage_rules(&mut self.staged, step)
    }

    pub(crate) fn view(&self) -> StepRules<'_, B> {
        StepRules { step: self.step, staged: &self.staged, grad_scale: None }
    }
}

/// Norms of one matrix.
pub(crate) fn norm<B: Backend>(
    b: &B,
    y: &mut B::Buf<f32>,
    inverse_norms: &mut B::Buf<f32>,
    x: &B::Buf<f32>,
    (rows, dim): (usize, usize),
) -> Result<()> {
    b.l2_norm_fwd(&mut [NormPass { y, inverse_norms, x, rows }], dim)
}

/// The gradient of [`norm`].
pub(crate) fn norm_grads<B: Backend>(
    b: &B,
    dy: &mut B::Buf<f32>,
    y: &B::Buf<f32>,
    inverse_norms: &B::Buf<f32>,
    (rows, dim): (usize, usize),
) -> Result<()> {
    b.l2_norm_bwd(&mut [NormGrads { dy, y, inverse_norms, rows }], dim)
}

/// The step of one dense parameter.
pub(crate) fn dense_step<B: Backend>(
    b: &B,
    w: &mut B::Buf<f32>,
    states: [Option<&mut B::Buf<f32>>; 2],
    dw: &B::Buf<f32>,
    len: usize,
    rules: &Rules<B>,
) -> Result<()> {
    let [state1, state2] = states;
    b.dense_steps(&mut [DenseParam { w, state1, state2, dw, len, decays: true }], &rules.view())
}
