//! L2 norms of rows.

use super::threads::ranges;
use super::{Cpu, need_len};
use crate::Result;

/// Rows of a task.
const ROWS: usize = 256;

/// See [`Backend::l2_norm_fwd`](crate::backend::Backend::l2_norm_fwd).
pub(crate) fn forward(cpu: &Cpu, y: &mut [f32], inverse: &mut [f32], x: &[f32], rows: usize, dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_fwd";
    need_len(OP, "x", x.len(), rows * dim)?;
    need_len(OP, "y", y.len(), rows * dim)?;
    need_len(OP, "inverse norms", inverse.len(), rows)?;
    if dim == 0 {
        return Ok(());
    }
    let parts: Vec<_> = ranges(rows, ROWS)
        .into_iter()
        .zip(y[..rows * dim].chunks_mut(ROWS * dim))
        .zip(inverse[..rows].chunks_mut(ROWS))
        .map(|((r, y), inverse)| (&x[r.start * dim..r.end * dim], y, inverse))
        .collect();
    cpu.threads.each(rows * dim > 1 << 15, parts, |(x, y, inverse)| {
        for ((x, y), inverse) in x.chunks(dim).zip(y.chunks_mut(dim)).zip(inverse) {
            let sum: f32 = x.iter().map(|v| v * v).sum();
            let norm = sum.sqrt();
            *inverse = 1.0 / if norm < 1e-12 { 1e-12 } else { norm };
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x * *inverse);
        }
    });
    Ok(())
}

/// See [`Backend::l2_norm_bwd`](crate::backend::Backend::l2_norm_bwd).
pub(crate) fn backward(cpu: &Cpu, dy: &mut [f32], y: &[f32], inverse: &[f32], rows: usize, dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_bwd";
    need_len(OP, "dy", dy.len(), rows * dim)?;
    need_len(OP, "y", y.len(), rows * dim)?;
    need_len(OP, "inverse norms", inverse.len(), rows)?;
    if dim == 0 {
        return Ok(());
    }
    let parts: Vec<_> = ranges(rows, ROWS)
        .into_iter()
        .zip(dy[..rows * dim].chunks_mut(ROWS * dim))
        .map(|(r, dy)| (dy, &y[r.start * dim..r.end * dim], &inverse[r]))
        .collect();
    cpu.threads.each(rows * dim > 1 << 15, parts, |(dy, y, inverse)| {
        for ((dy, y), &inverse) in dy.chunks_mut(dim).zip(y.chunks(dim)).zip(inverse) {
            let dot: f32 = dy.iter().zip(y).map(|(a, b)| a * b).sum();
            let zero = y.iter().all(|&v| v == 0.0);
            dy.iter_mut().zip(y).for_each(|(d, y)| *d = if zero { 0.0 } else { (*d - y * dot) * inverse });
        }
    });
    Ok(())
}
