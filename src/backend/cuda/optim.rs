//! Optimizer steps of dense parameters, and norms.

pub(super) mod arguments;

pub(super) use arguments::Rule;
use arguments::{ClipArgs, DenseParam, DenseStepsArgs, NormPart, SquaredNormsArgs, StepRules};

use super::arguments::{In, Pad};
use super::described::Described;
use super::{Buf, Cuda, input, need, need_len, output};
use crate::Result;
use crate::backend::rule::{StepConstants, run_key};
use crate::backend::{OptimizerStep, Queue};
use crate::config::OptimizerKind;

/// Threads of a block.
const THREADS: usize = 256;
/// Values of a piece of `squared_norms`.
const PIECE: usize = 1 << 14;

impl Rule {
    pub(super) fn new(step: &OptimizerStep) -> Rule {
        // The numbers of `enum Kind` in `kernels/optim/rule.cuh`.
        let kind = match step.kind {
            OptimizerKind::Sgd => 0,
            OptimizerKind::Adagrad => 1,
            OptimizerKind::Adam => 2,
            OptimizerKind::RowwiseAdagrad => 3,
        };
        let StepConstants { grad_scale, keep, rate, beta1, beta2, root, eps, .. } = StepConstants::new(step);
        Rule { kind, grad_scale, keep, rate, beta1, beta2, root, eps }
    }
}

/// See [`Operations::stage_rules`](crate::backend::Operations::stage_rules).
pub(crate) fn stage_rules(cuda: &Cuda, to: &mut Buf<u32>, step: &OptimizerStep) -> Result<()> {
    let rules = StepRules {
        run_key: run_key(step),
        decayed: Rule::new(step),
        plain: Rule::new(&OptimizerStep { weight_decay: 0.0, ..*step }),
    };
    let mut described = Described::default();
    described.push(&[rules]);
    cuda.stage(to, &described.words())
}

impl Cuda {
    /// The constants that [`stage_rules`] staged.
    pub(super) fn rules(&self, rules: &crate::backend::StepRules<'_, Cuda>) -> In<StepRules> {
        debug_assert!(rules.staged.len() * 4 >= size_of::<StepRules>());
        In::new(rules.staged.ptr())
    }
}

/// See [`Operations::dense_steps`](crate::backend::Operations::dense_steps). Row-wise Adagrad is Adagrad here: there are no rows.
pub(crate) fn dense_steps(
    cuda: &Cuda,
    params: &mut [crate::backend::DenseParam<'_, Cuda>],
    rules: &crate::backend::StepRules<'_, Cuda>,
) -> Result<()> {
    const OP: &str = "dense_steps";
    let step = &rules.step;
    need(OP, step.number > 0, "a step number from 1", "0")?;
    let mut described_params = Vec::new();
    let mut first_block = 0;
    for param in params {
        let len = param.len;
        need_len(OP, "w", param.w.len(), len)?;
        need_len(OP, "dw", param.dw.len(), len)?;
        let len1 = if step.kind == OptimizerKind::Sgd { 0 } else { len };
        let len2 = if step.kind == OptimizerKind::Adam { len } else { 0 };
        let (state1, state2) = (param.state1.as_deref(), param.state2.as_deref());
        need_len(OP, "state 1", state1.map_or(0, Buf::len), len1)?;
        need_len(OP, "state 2", state2.map_or(0, Buf::len), len2)?;
        if len == 0 {
            continue;
        }
        described_params.push(DenseParam {
            w: param.w.output(),
            m: output(state1),
            v: output(state2),
            dw: param.dw.input(),
            len: len as u64,
            first_block: first_block as u32,
            decays: u32::from(param.decays),
        });
        first_block += len.div_ceil(4 * THREADS);
    }
    need(OP, first_block <= i32::MAX as usize, "parameters that fit a grid", first_block)?;
    if described_params.is_empty() {
        return Ok(());
    }
    let mut described = Described::default();
    described.push(&described_params);
    let kernels = cuda.kernels.optim(&cuda.context)?;
    let kernel = match step.kind {
        OptimizerKind::Sgd => &kernels.dense_steps_sgd,
        OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => &kernels.dense_steps_adagrad,
        OptimizerKind::Adam => &kernels.dense_steps_adam,
    };
    let args = DenseStepsArgs {
        params: In::new(cuda.describe(&described)?),
        rules: cuda.rules(rules),
        grad_scale: input(rules.grad_scale),
        count: described_params.len() as u32,
        unused: Pad::Zero,
    };
    // SAFETY: each buffer that the kind uses holds `len` values (checked above) from an allocation's start on, so that
    // accesses of 16 bytes are aligned. One stream orders this with all other uses.
    unsafe { cuda.launch(kernel, [first_block as u32, 1, 1], THREADS as u32, 0, &args) }
}

/// See [`Operations::clip_scale`](crate::backend::Operations::clip_scale).
pub(crate) fn clip_scale(
    cuda: &Cuda,
    grad_scale: &mut Buf<f32>,
    grads: &[(&Buf<f32>, usize)],
    limit: f32,
) -> Result<()> {
    const OP: &str = "clip_scale";
    need_len(OP, "grad_scale", grad_scale.len(), 1)?;
    let mut parts = Vec::new();
    let mut pieces = 0;
    for &(x, len) in grads {
        need_len(OP, "a gradient", x.len(), len)?;
        if len > 0 {
            let of = len.div_ceil(PIECE);
            parts.push(NormPart { x: x.input(), len: len as u64, first_piece: pieces as u32, pieces: of as u32 });
            pieces += of;
        }
    }
    need(OP, pieces <= i32::MAX as usize, "gradients that fit a grid", pieces)?;
    let mut described = Described::default();
    described.push(&parts);
    let parts_at = if parts.is_empty() { 0 } else { cuda.describe(&described)? };
    let sums = cuda.scratch::<f64>(pieces)?;
    let kernels = cuda.kernels.optim(&cuda.context)?;
    let count = parts.len() as u32;
    let args = SquaredNormsArgs { sums: sums.output(), parts: In::new(parts_at), count, unused: Pad::Zero };
    // SAFETY: each gradient holds its length (checked above) from an allocation's start on, `sums` one for each piece of
    // 16,384, of which each block makes one. One stream orders this with all other uses.
    unsafe { cuda.launch(&kernels.squared_norms, [pieces as u32, 1, 1], THREADS as u32, 0, &args) }?;
    let (grad_scale, sums) = (grad_scale.output(), sums.input());
    let args = ClipArgs { grad_scale, sums, parts: In::new(parts_at), count, limit };
    // SAFETY: `sums` holds the pieces of all parts, written by the launch before; grad_scale one value (checked).
    unsafe { cuda.launch(&kernels.clip_scale, [1, 1, 1], THREADS as u32, 0, &args) }
}

/// Bytes that a dense step must move: gradients, parameters and states.
#[cfg(test)]
pub(crate) fn floor_bytes(len: usize, kind: OptimizerKind) -> u64 {
    let states = match kind {
        OptimizerKind::Sgd => 0,
        OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => 1,
        OptimizerKind::Adam => 2,
    };
    (len * 4 * (3 + 2 * states)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_steps_move_parameters_and_states() {
        let floor = |kind| floor_bytes(10, kind);
        assert_eq!(
            [OptimizerKind::Sgd, OptimizerKind::RowwiseAdagrad, OptimizerKind::Adam].map(floor),
            [120, 200, 280]
        );
    }
}
