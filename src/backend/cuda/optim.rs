//! Optimizer steps of dense parameters, and norms.

pub(super) mod arguments;

pub(super) use arguments::Rule;
use arguments::{DenseStepArgs, SquaredNormPiecesArgs, SquaredNormTotalArgs};

use super::launch::blocks;
use super::{Buf, Cuda, need, need_len, output};
use crate::Result;
use crate::backend::OptimizerStep;
use crate::backend::rule::StepConstants;
use crate::config::OptimizerKind;

/// Threads of a block.
const THREADS: usize = 256;
/// Values of a piece of `squared_norm_pieces`.
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

/// See [`Operations::dense_step`](crate::backend::Operations::dense_step). Row-wise Adagrad is Adagrad here: there are no rows.
pub(crate) fn dense_step(
    cuda: &Cuda,
    w: &mut Buf<f32>,
    state1: Option<&mut Buf<f32>>,
    state2: Option<&mut Buf<f32>>,
    dw: &Buf<f32>,
    len: usize,
    step: &OptimizerStep,
) -> Result<()> {
    const OP: &str = "dense_step";
    need_len(OP, "w", w.len(), len)?;
    need_len(OP, "dw", dw.len(), len)?;
    need(OP, step.number > 0, "a step number from 1", "0")?;
    let len1 = if step.kind == OptimizerKind::Sgd { 0 } else { len };
    let len2 = if step.kind == OptimizerKind::Adam { len } else { 0 };
    let (state1, state2) = (state1.as_deref(), state2.as_deref());
    need_len(OP, "state 1", state1.map_or(0, Buf::len), len1)?;
    need_len(OP, "state 2", state2.map_or(0, Buf::len), len2)?;
    let kernels = cuda.kernels.optim(&cuda.context)?;
    let kernel = match step.kind {
        OptimizerKind::Sgd => &kernels.dense_step_sgd,
        OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => &kernels.dense_step_adagrad,
        OptimizerKind::Adam => &kernels.dense_step_adam,
    };
    let args = DenseStepArgs {
        w: w.output(),
        m: output(state1),
        v: output(state2),
        dw: dw.input(),
        len: len as u64,
        rule: Rule::new(step),
    };
    // SAFETY: each buffer that the kind uses holds `len` values (checked above) from an allocation's start on, so that
    // accesses of 16 bytes are aligned. One stream orders this with all other uses.
    unsafe { cuda.launch(kernel, [blocks(len.div_ceil(4), THREADS), 1, 1], THREADS as u32, 0, &args) }
}

/// See [`Operations::squared_norm`](crate::backend::Operations::squared_norm).
pub(crate) fn squared_norm(cuda: &Cuda, x: &Buf<f32>, len: usize) -> Result<f64> {
    need_len("squared_norm", "x", x.len(), len)?;
    if len == 0 {
        return Ok(0.0);
    }
    let kernels = cuda.kernels.optim(&cuda.context)?;
    let pieces = len.div_ceil(PIECE);
    let (sums, total) = (cuda.scratch::<f64>(pieces)?, cuda.scratch::<f64>(1)?);
    let args = SquaredNormPiecesArgs { sums: sums.output(), x: x.input(), len: len as u64 };
    // SAFETY: `x` holds `len` values (checked above) from an allocation's start on,
    // `sums` one for each piece of 16,384, of which each block makes one. One stream orders this with all other uses.
    unsafe { cuda.launch(&kernels.squared_norm_pieces, [blocks(len, PIECE), 1, 1], THREADS as u32, 0, &args) }?;
    let args = SquaredNormTotalArgs { total: total.output(), sums: sums.input(), count: pieces as u64 };
    // SAFETY: `sums` holds `count` values, written by the launch before.
    unsafe { cuda.launch(&kernels.squared_norm_total, [1, 1, 1], THREADS as u32, 0, &args) }?;
    let mut found = [0.0];
    cuda.download(&mut found, &total, 0)?;
    Ok(found[0])
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
