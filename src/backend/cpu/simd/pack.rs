//! Rows laid side by side, as tiles read them: value k of many rows together.

/// Rows of a packed panel.
pub(crate) const PANEL: usize = 32;

/// Lays out `rows` rows of `x`, `dim` wide, in panels of [`PANEL`] rows: element (r, k) goes to
/// `panels[((r / PANEL) * dim + k) * PANEL + r % PANEL]`. Missing rows of the last panel are zero.
#[inline(always)]
pub(crate) fn pack_panels(panels: &mut [f32], x: &[f32], rows: usize, dim: usize) {
    if dim == 0 {
        return;
    }
    for (panel, x) in panels.chunks_mut(dim * PANEL).zip(x[..rows * dim].chunks(PANEL * dim)) {
        turn_over::<PANEL>(panel, x, dim);
    }
}

/// Turns up to `W` rows, `dim` wide, over: element (r, k) goes to `out[k * W + r]`. Missing rows are zero.
#[inline(always)]
pub(super) fn turn_over<const W: usize>(out: &mut [f32], rows: &[f32], dim: usize) {
    // Squares of 8 x 8 are turned over in registers.
    const SQUARE: usize = 8;
    let (have, whole) = (rows.len() / dim, dim / SQUARE * SQUARE);
    let mut r = 0;
    while r + SQUARE <= have {
        let rows: [&[f32]; SQUARE] = std::array::from_fn(|i| &rows[(r + i) * dim..(r + i + 1) * dim]);
        for k in (0..whole).step_by(SQUARE) {
            let square: [[f32; SQUARE]; SQUARE] =
                std::array::from_fn(|i| std::array::from_fn(|j| rows[i][k..k + SQUARE][j]));
            for (j, out) in out[k * W..(k + SQUARE) * W].chunks_exact_mut(W).enumerate() {
                let column: [f32; SQUARE] = std::array::from_fn(|i| square[i][j]);
                out[r..r + SQUARE].copy_from_slice(&column);
            }
        }
        for k in whole..dim {
            for (out, row) in out[k * W + r..].iter_mut().zip(rows) {
                *out = row[k];
            }
        }
        r += SQUARE;
    }
    for (k, out) in out.chunks_exact_mut(W).enumerate() {
        for (r, out) in out.iter_mut().enumerate().skip(r) {
            *out = if r < have { rows[r * dim + k] } else { 0.0 };
        }
    }
}
