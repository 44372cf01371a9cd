//! Linear layers: three products by the micro-kernel that the loss uses.

use super::simd::{Epilogue, Gemm, Op, PANEL, Simd, pack_panels, rows as row};
use super::{Cpu, Mat, MatMut, need, need_len, need_mat};
use crate::Result;
use crate::backend::{LinearGrads, LinearPass};
use crate::threads::ranges;

/// Rows of a task.
const ROWS: usize = 96;
/// Rows of dw of a task: one tile.
const OUTS: usize = 12;
/// Multiplications below which a task costs more than it saves.
const SMALL: usize = 1 << 18;

/// See [`Operations::linear_fwd`](crate::backend::Operations::linear_fwd).
pub(crate) fn forward(cpu: &Cpu, y: MatMut<'_, Cpu>, x: Mat<'_, Cpu>, w: &[f32], b: &[f32], relu: bool) -> Result<()> {
    const OP: &str = "linear_fwd";
    need_mat(OP, "y", y.buf.len(), (y.rows, y.cols, y.stride, y.col))?;
    need_mat(OP, "x", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
    need(OP, y.rows == x.rows, format_args!("{} rows of y", x.rows), y.rows)?;
    need_len(OP, "w", w.len(), y.cols * x.cols)?;
    need_len(OP, "b", b.len(), y.cols)?;
    let (rows, n, k) = (y.rows, y.cols, x.cols);
    if rows == 0 || n == 0 {
        return Ok(());
    }
    let mut panels = cpu.scratch.take(n.div_ceil(PANEL) * PANEL * k);
    pack_panels(&mut panels, w, n, k);
    let (stride, col) = (y.stride, y.col);
    let parts = ranges(rows, ROWS).into_iter().zip(y.buf.chunks_mut(ROWS * stride)).collect();
    cpu.threads.each(rows * n * k > SMALL, parts, |(rows, y)| {
        cpu.isa.run(Forward {
            y: &mut y[col..],
            stride,
            x: &x,
            first: rows.start,
            rows: rows.len(),
            panels: &panels,
            b: &b[..n],
            relu,
        });
    });
    Ok(())
}

struct Forward<'a> {
    y: &'a mut [f32],
    stride: usize,
    x: &'a Mat<'a, Cpu>,
    first: usize,
    rows: usize,
    panels: &'a [f32],
    b: &'a [f32],
    relu: bool,
}

impl Op for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (n, k) = (self.b.len(), self.x.cols);
        for from in (0..n).step_by(PANEL) {
            let width = PANEL.min(n - from);
            s.run(Gemm {
                c: &mut self.y[from..],
                c_row: self.stride,
                a: &self.x.buf[self.first * self.x.stride + self.x.col..],
                a_row: self.x.stride,
                a_col: 1,
                b: &self.panels[from * k..],
                b_row: PANEL,
                b_panel: None,
                m: self.rows,
                n: width,
                k,
                epilogue: Epilogue::Affine { scale: 1.0, bias: &self.b[from..], relu: self.relu },
            });
        }
    }
}

/// See [`Operations::linear_bwd`](crate::backend::Operations::linear_bwd).
pub(crate) fn backward(cpu: &Cpu, grads: LinearGrads<'_, Cpu>, pass: LinearPass<'_, Cpu>) -> Result<()> {
    let LinearGrads { dx, dw, db, dy } = grads;
    let LinearPass { y, x, w, relu } = pass;
    const OP: &str = "linear_bwd";
    need_mat(OP, "dy", dy.buf.len(), (dy.rows, dy.cols, dy.stride, dy.col))?;
    need_mat(OP, "x", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
    need(OP, dy.rows == x.rows, format_args!("{} rows of dy", x.rows), dy.rows)?;
    let (rows, n, k) = (dy.rows, dy.cols, x.cols);
    need_len(OP, "w", w.len(), n * k)?;
    need_len(OP, "dw", dw.len(), n * k)?;
    need_len(OP, "db", db.len(), n)?;
    if relu {
        need_mat(OP, "y", y.buf.len(), (y.rows, y.cols, y.stride, y.col))?;
        need(
            OP,
            y.rows == rows && y.cols == n,
            format_args!("y of {rows} x {n}"),
            format_args!("{} x {}", y.rows, y.cols),
        )?;
    }
    if let Some(dx) = &dx {
        need_mat(OP, "dx", dx.buf.len(), (dx.rows, dx.cols, dx.stride, dx.col))?;
        let (found_rows, found_cols) = (dx.rows, dx.cols);
        let ok = found_rows == rows && found_cols == k;
        need(OP, ok, format_args!("dx of {rows} x {k}"), format_args!("{found_rows} x {found_cols}"))?;
    }
    let (dw, db) = (&mut dw[..n * k], &mut db[..n]);
    db.fill(0.0);
    if rows == 0 || n == 0 {
        dw.fill(0.0);
        return Ok(());
    }
    let parallel = rows * n * k > SMALL;

    // dy where y > 0, and its sums over each task's rows.
    let tasks = ranges(rows, ROWS);
    let mut sums = cpu.scratch.take(tasks.len() * n);
    let (stride, col) = (dy.stride, dy.col);
    let y = relu.then_some(&y);
    let parts = tasks.iter().cloned().zip(dy.buf.chunks_mut(ROWS * stride)).zip(sums.chunks_mut(n)).collect();
    cpu.threads.each(parallel, parts, |((rows, dy), sum)| cpu.isa.run(Mask { dy, stride, col, y, rows, sum }));
    cpu.isa.run(Total { to: db, from: &sums });

    let dy = &dy.buf[col..];
    if k > 0 {
        let parts = ranges(n, OUTS).into_iter().zip(dw.chunks_mut(OUTS * k)).collect();
        cpu.threads.each(parallel, parts, |(outs, dw)| {
            cpu.isa.run(Gemm {
                c: dw,
                c_row: k,
                a: &dy[outs.start..],
                a_row: 1,
                a_col: stride,
                b: &x.buf[x.col..],
                b_row: x.stride,
                b_panel: None,
                m: outs.len(),
                n: k,
                k: rows,
                epilogue: Epilogue::Write,
            });
        });
    }
    if let Some(dx) = dx {
        let (dx_stride, dx_col) = (dx.stride, dx.col);
        let parts = tasks.into_iter().zip(dx.buf.chunks_mut(ROWS * dx_stride.max(1))).collect();
        cpu.threads.each(parallel, parts, |(rows, dx)| {
            cpu.isa.run(Gemm {
                c: &mut dx[dx_col..],
                c_row: dx_stride,
                a: &dy[rows.start * stride..],
                a_row: stride,
                a_col: 1,
                b: &w[..n * k],
                b_row: k,
                b_panel: None,
                m: rows.len(),
                n: k,
                k: n,
                epilogue: Epilogue::Write,
            });
        });
    }
    Ok(())
}

/// ReLU's part of the gradient, in place, and the sum of the rows.
struct Mask<'a> {
    dy: &'a mut [f32],
    stride: usize,
    col: usize,
    y: Option<&'a Mat<'a, Cpu>>,
    rows: std::ops::Range<usize>,
    sum: &'a mut [f32],
}

impl Op for Mask<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.sum.len();
        self.sum.fill(0.0);
        for (dy, r) in self.dy.chunks_mut(self.stride).zip(self.rows) {
            let dy = &mut dy[self.col..self.col + n];
            if let Some(y) = self.y {
                let y = &y.buf[r * y.stride + y.col..][..n];
                for (dy, y) in dy.iter_mut().zip(y) {
                    *dy = if *y <= 0.0 { 0.0 } else { *dy };
                }
            }
            row::add(s, self.sum, dy);
        }
    }
}

/// `to += ` every row of `from`, in order.
struct Total<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
}

impl Op for Total<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for from in self.from.chunks_exact(self.to.len()) {
            row::add(s, self.to, from);
        }
    }
}
