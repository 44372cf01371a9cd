//! L2 norms of rows.

use super::simd::{Op, Simd, rows as row};
use super::{Cpu, need_len};
use crate::Result;
use crate::threads::ranges;

/// Rows of a task.
const ROWS: usize = 256;
/// Values below which a task costs more than it saves.
const SMALL: usize = 1 << 16;
/// Shorter rows count as this long.
const SHORTEST: f32 = 1e-12;

/// See [`Operations::l2_norm_fwd`](crate::backend::Operations::l2_norm_fwd).
pub(crate) fn forward(cpu: &Cpu, y: &mut [f32], inverse: &mut [f32], x: &[f32], rows: usize, dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_fwd";
    need_len(OP, "x", x.len(), rows * dim)?;
    need_len(OP, "y", y.len(), rows * dim)?;
    need_len(OP, "inverse norms", inverse.len(), rows)?;
    if dim == 0 {
        return Ok(());
    }
    let parts = ranges(rows, ROWS)
        .into_iter()
        .zip(y[..rows * dim].chunks_mut(ROWS * dim))
        .zip(inverse[..rows].chunks_mut(ROWS))
        .map(|((r, y), inverse)| Forward { y, inverse, x: &x[r.start * dim..r.end * dim], dim })
        .collect();
    cpu.threads.each(rows * dim > SMALL, parts, |part| cpu.isa.run(part));
    Ok(())
}

struct Forward<'a> {
    y: &'a mut [f32],
    inverse: &'a mut [f32],
    x: &'a [f32],
    dim: usize,
}

impl Op for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.x.chunks_exact(self.dim).zip(self.y.chunks_exact_mut(self.dim)).zip(self.inverse);
        for ((x, y), inverse) in rows {
            let mut norm = row::dot(s, x, x).sqrt();
            if norm == f32::INFINITY {
                // Squares beyond f32.
                norm = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt() as f32;
            }
            // NaN stays NaN.
            *inverse = 1.0 / if norm < SHORTEST { SHORTEST } else { norm };
            let factor = s.splat(*inverse);
            for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
                s.put(y, s.mul(s.get(x), factor));
            }
        }
    }
}

/// See [`Operations::l2_norm_bwd`](crate::backend::Operations::l2_norm_bwd).
pub(crate) fn backward(cpu: &Cpu, dy: &mut [f32], y: &[f32], inverse: &[f32], rows: usize, dim: usize) -> Result<()> {
    const OP: &str = "l2_norm_bwd";
    need_len(OP, "dy", dy.len(), rows * dim)?;
    need_len(OP, "y", y.len(), rows * dim)?;
    need_len(OP, "inverse norms", inverse.len(), rows)?;
    if dim == 0 {
        return Ok(());
    }
    let parts = ranges(rows, ROWS)
        .into_iter()
        .zip(dy[..rows * dim].chunks_mut(ROWS * dim))
        .map(|(r, dy)| Backward { dy, y: &y[r.start * dim..r.end * dim], inverse: &inverse[r], dim })
        .collect();
    cpu.threads.each(rows * dim > SMALL, parts, |part| cpu.isa.run(part));
    Ok(())
}

struct Backward<'a> {
    dy: &'a mut [f32],
    y: &'a [f32],
    inverse: &'a [f32],
    dim: usize,
}

impl Op for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.dy.chunks_exact_mut(self.dim).zip(self.y.chunks_exact(self.dim)).zip(self.inverse);
        for ((dy, y), &inverse) in rows {
            if y.iter().all(|&v| v == 0.0) {
                dy.fill(0.0);
                continue;
            }
            row::add_scaled(s, dy, y, -row::dot(s, y, dy));
            row::scale(s, dy, inverse);
        }
    }
}
