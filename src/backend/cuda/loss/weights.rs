//! The weights of rows under SoftmaxLoss@K (`kernels/loss/weights.cuh`).

use super::arguments::TopKWeightsArgs;
use super::{Cuda, input, kernels};
use crate::Result;
use crate::backend::TopKWeights;
use crate::backend::cuda::Buf;
use crate::backend::cuda::check;
use crate::backend::cuda::launch::blocks;
use crate::backend::cuda::need;

/// Threads of a block, and rows: a warp each.
const THREADS: usize = 256;
const ROWS: usize = THREADS / 32;

/// See [`Operations::top_k_weights`](crate::backend::Operations::top_k_weights).
pub(crate) fn top_k_weights(cuda: &Cuda, out: &mut Buf<f32>, of: &TopKWeights<'_, Cuda>) -> Result<()> {
    const OP: &str = "top_k_weights";
    check::top_k_weights(cuda, out, of)?;
    need(OP, out.owned(), "the result in a buffer of its own", "a staged input")?;
    need(OP, u32::try_from(of.rows).is_ok(), format_args!("at most {} rows", u32::MAX), of.rows)?;
    if of.rows == 0 {
        return Ok(());
    }
    let args = TopKWeightsArgs {
        out: out.output(),
        users: of.users.input(),
        candidates: of.candidates.input(),
        log_scale: of.log_scale.input(),
        thresholds: of.thresholds.input(),
        popularity: input(of.popularity),
        weights: input(of.weights),
        positives: input(of.positives),
        rows: of.rows as u64,
        columns: of.columns as u64,
        dim: of.dim as u32,
        width: of.width,
    };
    let grid = [blocks(of.rows, ROWS), 1, 1];
    // SAFETY: every length was checked above; the kernel reads a candidate only below `columns`. One stream orders it.
    unsafe { cuda.launch(&kernels(cuda)?.loss_top_k_weights, grid, THREADS as u32, 0, &args) }
}
