//! Matrix products by one micro-kernel: a tile of the result stays in registers while k runs.
//!
//! A tile's element is one chain of fused multiply-adds (of two products for pairs of bf16 values) in the order of k,
//! whatever the tile's shape: results do not depend on how a matrix is cut into tiles.

use super::{Op, Simd};

/// Products are cut along k into pieces of this length, whose sums are added in order: in panels, a piece of B of a tile's
/// width stays in the first cache.
const K_BLOCK: usize = 192;

/// What becomes of a sum `x` on its way into `c`.
#[derive(Clone, Copy)]
pub(crate) enum Epilogue<'a> {
    /// `c = x`.
    Write,
    /// `c += x`.
    Add,
    /// `c = x * scale + bias[column]`, then `max(c, 0)` when asked.
    Affine { scale: f32, bias: &'a [f32], relu: bool },
}

/// `C (m x n) = A (m x k) B (k x n)`. A's element (r, k) is `a[r * a_row + k * a_col]`, B's (k, j) is
/// `b[k * b_row + j]`, C's (r, j) is `c[r * c_row + j]`.
pub(crate) struct Gemm<'a> {
    pub c: &'a mut [f32],
    pub c_row: usize,
    pub a: &'a [f32],
    pub a_row: usize,
    pub a_col: usize,
    pub b: &'a [f32],
    pub b_row: usize,
    /// Where B comes in panels as wide as a tile, one after the other: from one to the next.
    pub b_panel: Option<usize>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub epilogue: Epilogue<'a>,
}

/// The same of pairs of bf16 values (see [`Simd::pairs`]) along k: A's, B's and k's elements are pairs.
pub(crate) struct PairGemm<'a>(pub Gemm<'a>);

impl Op for Gemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.multiply::<S, false>(s);
    }
}

impl Op for PairGemm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.multiply::<S, true>(s);
    }
}

impl Gemm<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const PAIRS: bool>(self, s: S) {
        let Gemm { c, c_row, a, a_row, a_col, b, b_row, b_panel, m, n, k, epilogue } = self;
        if m == 0 || n == 0 {
            return;
        }
        let wide = S::TILE_VECTORS * S::LANES;
        let (b_step, before_last) = (b_panel.unwrap_or(wide), (n - 1) / wide);
        // Everything that the raw pointers below rely on.
        assert!((m - 1) * c_row + n <= c.len());
        assert!(k == 0 || (m - 1) * a_row + (k - 1) * a_col < a.len());
        assert!(k == 0 || before_last * b_step + (k - 1) * b_row + (n - before_last * wide) <= b.len());
        if let Epilogue::Affine { bias, .. } = epilogue {
            assert!(n <= bias.len());
        }
        let (c, a, b) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
        let mut from = 0;
        loop {
            let to = (from + K_BLOCK).min(k);
            let mut block = Block::<PAIRS> {
                c,
                c_row,
                a: a.wrapping_add(from * a_col),
                a_row,
                a_col,
                b: b.wrapping_add(from * b_row),
                b_row,
                k: to - from,
                first: from == 0 && !matches!(epilogue, Epilogue::Add),
                affine: match epilogue {
                    Epilogue::Affine { scale, bias, relu } if to == k => Some((scale, bias.as_ptr(), relu)),
                    _ => None,
                },
            };
            let mut j = 0;
            // SAFETY: by the assertions above, rows 0..m and columns 0..n of every matrix lie in its slice, and the
            // tiles cover exactly those.
            unsafe {
                while j + wide <= n {
                    match S::TILE_VECTORS {
                        2 => block.columns::<S, 2>(s, m, S::LANES),
                        _ => block.columns::<S, 1>(s, m, S::LANES),
                    }
                    block.step(wide, b_step);
                    j += wide;
                }
                while j < n {
                    let lanes = (n - j).min(S::LANES);
                    block.columns::<S, 1>(s, m, lanes);
                    block.step(lanes, lanes);
                    j += lanes;
                }
            }
            from = to;
            if from >= k {
                break;
            }
        }
    }
}

/// One piece of k of a product, at a column.
struct Block<const PAIRS: bool> {
    c: *mut f32,
    c_row: usize,
    a: *const f32,
    a_row: usize,
    a_col: usize,
    b: *const f32,
    b_row: usize,
    k: usize,
    first: bool,
    affine: Option<(f32, *const f32, bool)>,
}

impl<const PAIRS: bool> Block<PAIRS> {
    /// Moves `columns` to the right: in B by `b_step`.
    #[inline(always)]
    fn step(&mut self, columns: usize, b_step: usize) {
        self.c = self.c.wrapping_add(columns);
        self.b = self.b.wrapping_add(b_step);
        if let Some((_, bias, _)) = &mut self.affine {
            *bias = bias.wrapping_add(columns);
        }
    }

    /// All rows of `NV` vectors of columns, of the last of which `lanes` count.
    ///
    /// # Safety
    /// `m` rows, k, and those columns lie inside all three matrices.
    #[inline(always)]
    unsafe fn columns<S: Simd, const NV: usize>(&self, s: S, m: usize, lanes: usize) {
        let mut r = 0;
        // SAFETY: the rows r.. of each call lie below m.
        unsafe {
            if S::TILE_ROWS >= 12 {
                while r + 12 <= m {
                    self.tile::<S, 12, NV>(s, r, lanes);
                    r += 12;
                }
            }
            if S::TILE_ROWS == 6 {
                while r + 6 <= m {
                    self.tile::<S, 6, NV>(s, r, lanes);
                    r += 6;
                }
            }
            while r + 4 <= m {
                self.tile::<S, 4, NV>(s, r, lanes);
                r += 4;
            }
            while r < m {
                self.tile::<S, 1, NV>(s, r, lanes);
                r += 1;
            }
        }
    }

    /// # Safety
    /// As for `columns`, for the rows `row..row + MR`.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(&self, s: S, row: usize, lanes: usize) {
        let a = Left { at: self.a.wrapping_add(row * self.a_row), row: self.a_row, col: self.a_col };
        let b = Right { at: self.b, row: self.b_row };
        // By the time that the sums are there, so are the lines that they go to.
        for r in 0..MR {
            for at in (0..NV * S::LANES).step_by(16) {
                s.touch(self.c.wrapping_add((row + r) * self.c_row + at));
            }
        }
        // SAFETY: the caller vouches for the rows, k and the columns.
        let sums = unsafe {
            if lanes == S::LANES {
                tile::<S, MR, NV, false, PAIRS>(s, [s.splat(0.0); NV], a, b, self.k, lanes)
            } else {
                tile::<S, MR, NV, true, PAIRS>(s, [s.splat(0.0); NV], a, b, self.k, lanes)
            }
        };
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, mut x) in sums.into_iter().enumerate() {
                let c = self.c.wrapping_add((row + r) * self.c_row + v * S::LANES);
                if !self.first {
                    // SAFETY: as above; `lanes` values can be read.
                    x = s.add(unsafe { read(s, c, lanes) }, x);
                }
                if let Some((scale, bias, relu)) = self.affine {
                    // SAFETY: as above; the bias has a value for every column.
                    let bias = unsafe { read(s, bias.wrapping_add(v * S::LANES), lanes) };
                    x = s.fma(x, s.splat(scale), bias);
                    if relu {
                        // NaN stays: the second operand.
                        x = s.max(s.splat(0.0), x);
                    }
                }
                // SAFETY: as above; `lanes` values can be written.
                unsafe { if lanes == S::LANES { s.store(c, x) } else { s.store_part(c, x, lanes) } }
            }
        }
    }
}

/// # Safety
/// `lanes` values can be read.
#[inline(always)]
unsafe fn read<S: Simd>(s: S, from: *const f32, lanes: usize) -> S::F {
    // SAFETY: the caller vouches for `lanes` values.
    unsafe { if lanes == S::LANES { s.load(from) } else { s.load_part(from, lanes) } }
}

/// Where A begins: its rows and columns are so many values apart.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub at: *const f32,
    pub row: usize,
    pub col: usize,
}

/// Where B begins: its rows are so many values apart, its columns stand side by side.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub at: *const f32,
    pub row: usize,
}

/// The sums of `MR` rows by `NV` vectors, each row's chains from `start` on.
///
/// # Safety
/// `MR` rows of k values of A and k rows of `NV` vectors of B can be read; with `PART`, only `lanes` of the vector.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const PART: bool, const PAIRS: bool>(
    s: S,
    start: [S::F; NV],
    a: Left,
    b: Right,
    k: usize,
    lanes: usize,
) -> [[S::F; NV]; MR] {
    let (Left { at: mut a, row: a_row, col: a_col }, Right { at: mut b, row: b_row }) = (a, b);
    let mut sums = [start; MR];
    for _ in 0..k {
        let mut row = [s.splat(0.0); NV];
        for (v, x) in row.iter_mut().enumerate() {
            // SAFETY: the caller vouches for this row of B.
            *x = unsafe { if PART { s.load_part(b, lanes) } else { s.load(b.add(v * S::LANES)) } };
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller vouches for this column of A.
            let x = s.splat(unsafe { *a.add(r * a_row) });
            for (sum, &row) in sums.iter_mut().zip(&row) {
                *sum = if PAIRS { s.dot2(x, row, *sum) } else { s.fma(x, row, *sum) };
            }
        }
        a = a.wrapping_add(a_col);
        b = b.wrapping_add(b_row);
    }
    sums
}
