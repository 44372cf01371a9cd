//! Linear layers.

use super::{Cpu, Mat, MatMut, need, need_len, need_mat};
use crate::Result;

/// See [`Backend::linear_fwd`](crate::backend::Backend::linear_fwd).
pub(crate) fn forward(cpu: &Cpu, y: MatMut<'_, Cpu>, x: Mat<'_, Cpu>, w: &[f32], b: &[f32], relu: bool) -> Result<()> {
    const OP: &str = "linear_fwd";
    need_mat(OP, "y", y.buf.len(), (y.rows, y.cols, y.stride, y.col))?;
    need_mat(OP, "x", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
    need(OP, y.rows == x.rows, format!("{} rows of y", x.rows), y.rows.to_string())?;
    need_len(OP, "w", w.len(), y.cols * x.cols)?;
    need_len(OP, "b", b.len(), y.cols)?;
    if y.rows == 0 {
        return Ok(());
    }
    let (n, k, stride, col) = (y.cols, x.cols, y.stride, y.col);
    let parts: Vec<_> = y.buf.chunks_mut(stride).take(y.rows).enumerate().collect();
    cpu.threads.each(y.rows * n * k > 1 << 18, parts, |(r, y)| {
        let x = &x.buf[r * x.stride + x.col..][..k];
        for (o, y) in y[col..col + n].iter_mut().enumerate() {
            let v = b[o] + w[o * k..(o + 1) * k].iter().zip(x).map(|(a, b)| a * b).sum::<f32>();
            *y = if relu && v < 0.0 { 0.0 } else { v };
        }
    });
    Ok(())
}

/// See [`Backend::linear_bwd`](crate::backend::Backend::linear_bwd).
#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    _cpu: &Cpu,
    dx: Option<MatMut<'_, Cpu>>,
    dw: &mut [f32],
    db: &mut [f32],
    dy: MatMut<'_, Cpu>,
    y: Mat<'_, Cpu>,
    x: Mat<'_, Cpu>,
    w: &[f32],
    relu: bool,
) -> Result<()> {
    const OP: &str = "linear_bwd";
    need_mat(OP, "dy", dy.buf.len(), (dy.rows, dy.cols, dy.stride, dy.col))?;
    need_mat(OP, "x", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
    need(OP, dy.rows == x.rows, format!("{} rows of dy", x.rows), dy.rows.to_string())?;
    let (rows, n, k) = (dy.rows, dy.cols, x.cols);
    need_len(OP, "w", w.len(), n * k)?;
    need_len(OP, "dw", dw.len(), n * k)?;
    need_len(OP, "db", db.len(), n)?;
    if relu {
        need_mat(OP, "y", y.buf.len(), (y.rows, y.cols, y.stride, y.col))?;
        need(OP, y.rows == rows && y.cols == n, format!("y of {rows} x {n}"), format!("{} x {}", y.rows, y.cols))?;
        for r in 0..rows {
            for o in 0..n {
                if y.buf[r * y.stride + y.col + o] <= 0.0 {
                    dy.buf[r * dy.stride + dy.col + o] = 0.0;
                }
            }
        }
    }
    dw[..n * k].fill(0.0);
    db[..n].fill(0.0);
    for r in 0..rows {
        let x = &x.buf[r * x.stride + x.col..][..k];
        for o in 0..n {
            let d = dy.buf[r * dy.stride + dy.col + o];
            db[o] += d;
            dw[o * k..(o + 1) * k].iter_mut().zip(x).for_each(|(w, x)| *w += d * x);
        }
    }
    if let Some(dx) = dx {
        need_mat(OP, "dx", dx.buf.len(), (dx.rows, dx.cols, dx.stride, dx.col))?;
        need(OP, dx.rows == rows && dx.cols == k, format!("dx of {rows} x {k}"), format!("{} x {}", dx.rows, dx.cols))?;
        for r in 0..rows {
            let out = &mut dx.buf[r * dx.stride + dx.col..][..k];
            out.fill(0.0);
            for o in 0..n {
                let d = dy.buf[r * dy.stride + dy.col + o];
                out.iter_mut().zip(&w[o * k..(o + 1) * k]).for_each(|(x, w)| *x += d * w);
            }
        }
    }
    Ok(())
}
