//! Optimizer steps of dense parameters, and norms.

use super::launch::{Arg, args, blocks};
use super::{Buf, Cuda, need, need_len};
use crate::Result;
use crate::backend::OptimizerStep;
use crate::backend::rule::StepConstants;
use crate::config::OptimizerKind;

/// Threads of a block.
const THREADS: usize = 256;
/// Values of a piece of `squared_norm_pieces`.
const PIECE: usize = 1 << 14;

/// A rule's constants as the kernels' parameters.
pub(super) fn rule_args(rule: &StepConstants) -> [Arg; 7] {
    args![rule.grad_scale, rule.keep, rule.rate, rule.beta1, rule.beta2, rule.root, rule.eps]
}

/// The number that `kernels/optim/rule.cuh` has for an optimizer.
pub(super) fn kind_code(kind: OptimizerKind) -> u32 {
    match kind {
        OptimizerKind::Sgd => 0,
        OptimizerKind::Adagrad => 1,
        OptimizerKind::Adam => 2,
        OptimizerKind::RowwiseAdagrad => 3,
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
    let of = |state: &Option<&mut Buf<f32>>| state.as_ref().map_or((0, 0), |x| (x.ptr(), x.len()));
    let ((ptr1, found1), (ptr2, found2)) = (of(&state1), of(&state2));
    need_len(OP, "state 1", found1, len1)?;
    need_len(OP, "state 2", found2, len2)?;
    let kernels = cuda.kernels.optim(&cuda.context)?;
    let kernel = match step.kind {
        OptimizerKind::Sgd => &kernels.dense_step_sgd,
        OptimizerKind::Adagrad | OptimizerKind::RowwiseAdagrad => &kernels.dense_step_adagrad,
        OptimizerKind::Adam => &kernels.dense_step_adam,
    };
    let mut list = args![w.ptr(), ptr1, ptr2, dw.ptr(), len as u64].to_vec();
    list.extend(rule_args(&StepConstants::new(step)));
    // SAFETY: dense_step(w, m, v, dw, len, a rule's constants). Each buffer that the kind uses holds `len` values
    // (checked above) from an allocation's start on, so that accesses of 16 bytes are aligned. One stream orders this
    // with all other uses.
    unsafe { cuda.launch(kernel, [blocks(len.div_ceil(4), THREADS), 1, 1], THREADS as u32, 0, &list) }
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
    let args = args![sums.ptr(), x.ptr(), len as u64];
    // SAFETY: squared_norm_pieces(sums, x, len). `x` holds `len` values (checked above) from an allocation's start on,
    // `sums` one for each piece of 16,384, of which each block makes one. One stream orders this with all other uses.
    unsafe { cuda.launch(&kernels.squared_norm_pieces, [blocks(len, PIECE), 1, 1], THREADS as u32, 0, &args) }?;
    let args = args![total.ptr(), sums.ptr(), pieces as u64];
    // SAFETY: squared_norm_total(total, sums, count). `sums` holds `count` values, written by the launch before.
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
