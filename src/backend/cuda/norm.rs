//! L2 norms of rows (`kernels/norm/norm.cu`).

pub(super) mod arguments;

use arguments::{NormBackwardArgs, NormBackwardRows, NormForwardArgs, NormForwardRows};

use super::arguments::{In, Out};
use super::kernels::Kernel;
use super::{Cuda, need, need_len};
use crate::Result;
use crate::backend::{NormGrads, NormPass};

/// Threads of a block.
const THREADS: usize = 256;
/// Longer rows, and rows that are not whole float4s, are read value by value.
const LONGEST: usize = 1024;

/// How rows of `dim` values go to threads: which kernel (up to 128, 256, 512, 1,024 values in float4s; any), and the
/// lanes that share a row.
fn plan(dim: usize) -> (usize, usize) {
    if !dim.is_multiple_of(4) || dim > LONGEST {
        return (4, dim.next_power_of_two().min(32));
    }
    let kernel = (dim.div_ceil(128).next_power_of_two().trailing_zeros()) as usize;
    (kernel, (dim / 4).next_power_of_two().min(32))
}

/// The grid for `rows` rows of `lanes` threads each.
fn grid(op: &'static str, rows: usize, lanes: usize) -> Result<[u32; 3]> {
    let blocks = rows.div_ceil(THREADS / lanes);
    need(op, blocks <= i32::MAX as usize, "rows that fit a grid", rows)?;
    Ok([blocks as u32, 1, 1])
}

/// Matrices of a launch.
const TOGETHER: usize = 2;

/// Launches for up to two matrices: `rows` of each, and the grid.
fn grids(op: &'static str, rows: impl Iterator<Item = usize>, lanes: usize) -> Result<[u32; 3]> {
    let (mut most, mut matrices) = (0, 0usize);
    for rows in rows {
        (most, matrices) = (most.max(rows), matrices + 1);
    }
    need(op, matrices <= TOGETHER, format_args!("at most {TOGETHER} matrices"), matrices)?;
    let [blocks, ..] = grid(op, most, lanes)?;
    Ok([blocks, matrices as u32, 1])
}

/// See [`Operations::l2_norm_fwd`](crate::backend::Operations::l2_norm_fwd).
pub(crate) fn forward(cuda: &Cuda, norms: &mut [NormPass<'_, Cuda>], dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_fwd";
    for NormPass { y, inverse_norms, x, rows } in norms.iter() {
        need_len(OP, "x", x.len(), rows * dim)?;
        need_len(OP, "y", y.len(), rows * dim)?;
        need_len(OP, "inverse norms", inverse_norms.len(), *rows)?;
    }
    let (kernel, lanes) = plan(dim.max(1));
    let grid = grids(OP, norms.iter().map(|norm| norm.rows), lanes)?;
    if dim == 0 {
        return Ok(());
    }
    let k = cuda.kernels.norm(&cuda.context)?;
    let kernels: [&Kernel<NormForwardArgs>; 5] = [
        &k.l2_norm_fwd_f32_128,
        &k.l2_norm_fwd_f32_256,
        &k.l2_norm_fwd_f32_512,
        &k.l2_norm_fwd_f32_1024,
        &k.l2_norm_fwd_f32_any,
    ];
    let mut of = [NormForwardRows { y: Out::NULL, inverse: Out::NULL, x: In::NULL, rows: 0 }; TOGETHER];
    for (of, norm) in of.iter_mut().zip(norms) {
        let (y, inverse) = (norm.y.output(), norm.inverse_norms.output());
        *of = NormForwardRows { y, inverse, x: norm.x.input(), rows: norm.rows as u64 };
    }
    let args = NormForwardArgs { of, dim: dim as u32, lanes: lanes as u32 };
    // SAFETY: x and y hold rows * dim values and inverse rows, checked above; the kernel guards rows and columns, and
    // buffers begin on 16 bytes. One stream orders it.
    unsafe { cuda.launch(kernels[kernel], grid, THREADS as u32, 0, &args) }
}

/// See [`Operations::l2_norm_bwd`](crate::backend::Operations::l2_norm_bwd).
pub(crate) fn backward(cuda: &Cuda, norms: &mut [NormGrads<'_, Cuda>], dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_bwd";
    for NormGrads { dy, y, inverse_norms, rows } in norms.iter() {
        need_len(OP, "dy", dy.len(), rows * dim)?;
        need_len(OP, "y", y.len(), rows * dim)?;
        need_len(OP, "inverse norms", inverse_norms.len(), *rows)?;
    }
    let (kernel, lanes) = plan(dim.max(1));
    let grid = grids(OP, norms.iter().map(|norm| norm.rows), lanes)?;
    if dim == 0 {
        return Ok(());
    }
    let k = cuda.kernels.norm(&cuda.context)?;
    let kernels: [&Kernel<NormBackwardArgs>; 5] = [
        &k.l2_norm_bwd_f32_128,
        &k.l2_norm_bwd_f32_256,
        &k.l2_norm_bwd_f32_512,
        &k.l2_norm_bwd_f32_1024,
        &k.l2_norm_bwd_f32_any,
    ];
    let mut of = [NormBackwardRows { dy: Out::NULL, y: In::NULL, inverse: In::NULL, rows: 0 }; TOGETHER];
    for (of, norm) in of.iter_mut().zip(norms) {
        let (y, inverse) = (norm.y.input(), norm.inverse_norms.input());
        *of = NormBackwardRows { dy: norm.dy.output(), y, inverse, rows: norm.rows as u64 };
    }
    let args = NormBackwardArgs { of, dim: dim as u32, lanes: lanes as u32 };
    // SAFETY: dy and y hold rows * dim values and inverse rows, checked above; the kernel guards rows and columns, and
    // buffers begin on 16 bytes. One stream orders it.
    unsafe { cuda.launch(kernels[kernel], grid, THREADS as u32, 0, &args) }
}

/// Bytes that the forward must move: x and y once, an inverse norm a row.
#[cfg(test)]
pub(crate) fn floor_bytes_forward(rows: usize, dim: usize) -> u64 {
    (rows * (2 * dim + 1) * 4) as u64
}

/// Bytes that the backward must move: dy twice, y and the inverse norms once.
#[cfg(test)]
pub(crate) fn floor_bytes_backward(rows: usize, dim: usize) -> u64 {
    (rows * (3 * dim + 1) * 4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dim_has_a_kernel_that_holds_it() {
        for dim in 1..=1100 {
            let (kernel, lanes) = plan(dim);
            assert!(lanes.is_power_of_two() && lanes <= 32, "{dim}");
            if dim.is_multiple_of(4) && dim <= LONGEST {
                assert!(kernel < 4 && dim <= (4 * lanes) << kernel, "{dim}: kernel {kernel}, {lanes} lanes");
            } else {
                assert_eq!(kernel, 4, "{dim}");
            }
        }
    }
}
