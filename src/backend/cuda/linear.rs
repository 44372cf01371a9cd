//! Linear layers: three products on tensor cores, of operands split to bf16 tiles (`kernels/linear/linear.cu`).

pub(super) mod arguments;
pub(super) mod plan;

use arguments::{MaskArgs, ProductArgs, SumArgs, SumOf};
use plan::CHUNKS;
pub(super) use plan::{Product, ProductKind};

use super::arguments::{In, Out, Pad};
use super::kernels::Linear;
use super::tiles::Tiles;
use super::{Buf, Cuda, Mat, MatMut, need, need_len, need_mat, output};
use crate::Result;
use crate::backend::{LinearGrads, LinearPass};
use crate::config::Precision;

/// This stem's kernels.
fn kernels(cuda: &Cuda) -> Result<&Linear> {
    cuda.kernels.linear(&cuda.context)
}

/// Whether a product is three products of halves (see `kernels/tiles/tiles.cu`).
fn precise(cuda: &Cuda) -> bool {
    cuda.precision() == Precision::Fp32
}

/// What decides the size of blocks.
fn multiprocessors(cuda: &Cuda) -> usize {
    cuda.info().multiprocessors as usize
}

/// A layer's input (rows x k) and weights (n x k) as tiles of [`plan::padded`] columns.
fn tiles(cuda: &Cuda, x: &Mat<'_, Cuda>, w: &Buf<f32>, n: usize) -> Result<[Tiles; 2]> {
    cuda.split_both([x, &Mat::dense(w, n, x.cols)], plan::padded(x.cols), precise(cuda))
}

/// Where a product goes: element (r, c) to value `r * stride + c`.
pub(super) struct ProductOutput {
    pub values: Out<f32>,
    pub stride: usize,
    /// Values from one split's result to the next one's.
    pub split: usize,
}

/// Launches `c = a b`. The operands were split from matrices as `shape.of` says, with [`plan::padded`] columns; `bias`
/// holds `shape.n` values, or is null.
pub(super) fn product(
    cuda: &Cuda,
    shape: &Product,
    c: &ProductOutput,
    a: &Tiles,
    b: &Tiles,
    bias: In<f32>,
    relu: bool,
) -> Result<()> {
    let all = kernels(cuda)?;
    let (bf16, fp32) = match shape.of {
        ProductKind::Forward => {
            ([&all.linear_fwd_bf16_64, &all.linear_fwd_bf16_128], [&all.linear_fwd_fp32_64, &all.linear_fwd_fp32_128])
        }
        ProductKind::BackwardX => (
            [&all.linear_bwd_x_bf16_64, &all.linear_bwd_x_bf16_128],
            [&all.linear_bwd_x_fp32_64, &all.linear_bwd_x_fp32_128],
        ),
        ProductKind::BackwardW => (
            [&all.linear_bwd_w_bf16_64, &all.linear_bwd_w_bf16_128],
            [&all.linear_bwd_w_fp32_64, &all.linear_bwd_w_fp32_128],
        ),
    };
    let kernels = if precise(cuda) { fp32 } else { bf16 };
    // The sum of the splits reads whole float4s: their padding is written too (b is zero there).
    let n = if c.split > 0 { plan::padded(shape.n) } else { shape.n };
    let kernel = kernels[usize::from(shape.block_rows == 128)];
    let grid = [shape.blocks() as u32, 1, shape.splits() as u32];
    let args = ProductArgs {
        c: c.values,
        bias,
        c_stride: c.stride as u64,
        c_split: c.split as u64,
        a: a.operand(),
        b: b.operand(),
        m: shape.m as u32,
        n: n as u32,
        k: shape.k as u32,
        k_split: shape.split_k() as u32,
        relu: u32::from(relu),
        unused: Pad::Zero,
    };
    // SAFETY: a and b hold the rows and padded widths that they say, which are those of `shape`, c m rows of `n` values at
    // `stride`, `splits` times, bias n values or is null (the callers checked the lengths); the kernel touches nothing
    // beyond these. The stream orders this after what made a and b.
    unsafe { cuda.launch(kernel, grid, plan::THREADS, shape.shared_bytes(), &args) }
}

/// `to = ` the sum of `count` matrices of rows x cols, whose rows are `padded(cols)` apart.
struct Sum<'a> {
    to: &'a Buf<f32>,
    parts: &'a Buf<f32>,
    count: usize,
    rows: usize,
    cols: usize,
}

/// Up to two sums, in one launch.
fn sums<const N: usize>(cuda: &Cuda, all: [Sum<'_>; N]) -> Result<()> {
    const { assert!(N <= 2) };
    let none = SumOf { to: Out::NULL, parts: In::NULL, count: 0, rows: 0, cols: 0, width: 0 };
    let mut args = SumArgs { of: [none; 2] };
    let mut groups = 0;
    for (of, sum) in args.of.iter_mut().zip(&all) {
        debug_assert!(sum.parts.len() >= sum.count * sum.rows * plan::padded(sum.cols));
        groups = groups.max(sum.rows * sum.cols.div_ceil(4));
        *of = SumOf {
            to: sum.to.output(),
            parts: sum.parts.input(),
            count: sum.count as u32,
            rows: sum.rows as u32,
            cols: sum.cols as u32,
            width: plan::padded(sum.cols) as u32,
        };
    }
    let kernel = &kernels(cuda)?.linear_sum;
    // SAFETY: each `parts` was made with count * rows * padded(cols) values and each `to` was checked to hold rows * cols;
    // the kernel leaves alone what lies outside. One stream orders it after the launches that wrote the parts.
    unsafe { cuda.launch(kernel, [groups.div_ceil(32) as u32, N as u32, 1], 256, 0, &args) }
}

/// Kernels count rows and columns in 32 bits.
fn need_small(op: &'static str, sizes: [usize; 3]) -> Result<()> {
    let largest = sizes.into_iter().max().unwrap_or(0);
    need(op, largest <= plan::LARGEST, format_args!("at most {} rows and columns", plan::LARGEST), largest)
}

/// See [`Operations::linear_fwd`](crate::backend::Operations::linear_fwd).
pub(crate) fn forward(
    cuda: &Cuda,
    y: MatMut<'_, Cuda>,
    x: Mat<'_, Cuda>,
    w: &Buf<f32>,
    b: &Buf<f32>,
    relu: bool,
) -> Result<()> {
    const OP: &str = "linear_fwd";
    need_mat(OP, "y", y.buf.len(), (y.rows, y.cols, y.stride, y.col))?;
    need_mat(OP, "x", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
    need(OP, y.rows == x.rows, format_args!("{} rows of y", x.rows), y.rows)?;
    need_len(OP, "w", w.len(), y.cols * x.cols)?;
    need_len(OP, "b", b.len(), y.cols)?;
    let (rows, n, k) = (y.rows, y.cols, x.cols);
    need_small(OP, [rows, n, k])?;
    if rows == 0 || n == 0 {
        return Ok(());
    }
    let [x, w] = tiles(cuda, &x, w, n)?;
    let to = ProductOutput { values: y.buf.output_at(y.col), stride: y.stride, split: 0 };
    let shape = Product::new(ProductKind::Forward, rows, n, k, multiprocessors(cuda));
    product(cuda, &shape, &to, &x, &w, b.input(), relu)
}

/// See [`Operations::linear_bwd`](crate::backend::Operations::linear_bwd).
pub(crate) fn backward(cuda: &Cuda, grads: LinearGrads<'_, Cuda>, pass: LinearPass<'_, Cuda>) -> Result<()> {
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
    need_small(OP, [rows, n, k])?;
    if rows == 0 || n == 0 {
        cuda.fill_zero(db, 0, n)?;
        return cuda.fill_zero(dw, 0, n * k);
    }
    let (dy, chunks) = mask(cuda, dy, relu.then_some(y))?;
    let db = Sum { to: db, parts: &chunks, count: rows.div_ceil(plan::chunk_rows(rows)), rows: 1, cols: n };
    if k == 0 {
        return sums(cuda, [db]);
    }
    let [x, w] = tiles(cuda, &x, w, n)?;
    let shape = Product::new(ProductKind::BackwardW, n, k, rows, multiprocessors(cuda));
    if shape.splits() == 1 {
        product(cuda, &shape, &ProductOutput { values: dw.output(), stride: k, split: 0 }, &dy, &x, In::NULL, false)?;
        sums(cuda, [db])?;
    } else {
        let (stride, split) = (plan::padded(k), n * plan::padded(k));
        let parts = cuda.scratch::<f32>(shape.splits() * split)?;
        product(cuda, &shape, &ProductOutput { values: parts.output(), stride, split }, &dy, &x, In::NULL, false)?;
        sums(cuda, [db, Sum { to: dw, parts: &parts, count: shape.splits(), rows: n, cols: k }])?;
    }
    if let Some(dx) = dx {
        let to = ProductOutput { values: dx.buf.output_at(dx.col), stride: dx.stride, split: 0 };
        let shape = Product::new(ProductKind::BackwardX, rows, k, n, multiprocessors(cuda));
        product(cuda, &shape, &to, &dy, &w, In::NULL, false)?;
    }
    Ok(())
}

/// dy where y > 0, in place and as tiles, and its columns summed over each chunk of rows, chunks x padded columns. dy
/// has rows and columns.
fn mask(cuda: &Cuda, dy: MatMut<'_, Cuda>, y: Option<Mat<'_, Cuda>>) -> Result<(Tiles, Buf<f32>)> {
    let (rows, n, width) = (dy.rows, dy.cols, plan::padded(dy.cols));
    let tiles = Tiles::room(cuda, rows, width, precise(cuda))?;
    let chunk = plan::chunk_rows(rows);
    let chunks = rows.div_ceil(chunk);
    debug_assert!(chunks <= CHUNKS);
    let parts = cuda.scratch::<f32>(chunks * width)?;
    let lanes = (width / 4).next_power_of_two().min(32);
    let (y, y_stride) = y.map_or((In::NULL, 0), |y| (y.buf.input_at(y.col), y.stride));
    let grid = [chunks as u32, width.div_ceil(4 * lanes) as u32, 1];
    let args = MaskArgs {
        hi: tiles.hi.output(),
        lo: output(tiles.lo.as_ref()),
        parts: parts.output(),
        dy: dy.buf.output_at(dy.col),
        y,
        dy_stride: dy.stride as u64,
        y_stride: y_stride as u64,
        rows: rows as u32,
        cols: n as u32,
        width: width as u32,
        chunk: chunk as u32,
        lanes: lanes as u32,
        unused: Pad::Zero,
    };
    // SAFETY: dy and y were checked to hold rows x n at their strides, the tiles and parts were made above with the
    // sizes that the kernel is told; it guards rows and columns. `lanes` is a power of two from 4 to 32. One stream
    // orders it.
    unsafe { cuda.launch(&kernels(cuda)?.linear_bwd_mask, grid, 256, 0, &args) }?;
    Ok((tiles, parts))
}
