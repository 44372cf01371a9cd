//! The weights of rows under SoftmaxLoss@K (`kernels/loss/weights.cuh`).

use super::{Cuda, kernels, ptr};
use crate::Result;
use crate::backend::TopKWeights;
use crate::backend::cuda::Buf;
use crate::backend::cuda::check;
use crate::backend::cuda::launch::{args, blocks};
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
    let arguments = args![
        out.ptr(),
        of.users.ptr(),
        of.candidates.ptr(),
        of.log_scale.ptr(),
        of.thresholds.ptr(),
        ptr(of.popularity),
        ptr(of.weights),
        ptr(of.positives),
        of.rows as u64,
        of.columns as u64,
        of.dim as u32,
        of.width,
    ];
    // loss_top_k_weights(out, users, candidates, log_scale, thresholds, popularity, weights, positives, rows, columns,
    // dim, width).
    // SAFETY: every length was checked above; the kernel reads a candidate only below `columns`. One stream orders it.
    unsafe {
        cuda.launch(&kernels(cuda)?.loss_top_k_weights, [blocks(of.rows, ROWS), 1, 1], THREADS as u32, 0, &arguments)
    }
}
