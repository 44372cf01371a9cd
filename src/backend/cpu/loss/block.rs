//! One strip of rows against one block of columns.

use std::ops::Range;

use super::pack::{COLUMNS, PackedCandidates, PackedUsers, Rounded, STRIDE, width};
use super::same::Same;
use super::state::{Masks, RowState};
use crate::backend::SoftmaxLoss;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{Epilogue, Gemm, PANEL, PairGemm, Simd, rows as row};

/// A loss with what all its strips share.
pub(crate) struct Problem<'a> {
    pub loss: &'a SoftmaxLoss<'a, Cpu>,
    pub scale: f32,
    /// The sum of the weights.
    pub total: f64,
    pub candidates: &'a PackedCandidates<'a>,
    /// Whether factors are rounded to bf16.
    pub bf16: bool,
    /// The bias of every column of the panels; -inf where there is no column.
    pub bias: &'a [f32],
    pub same: Option<&'a Same>,
}

/// Rows against columns: scores, or what becomes of them.
#[derive(Clone, Copy)]
pub(crate) struct Area<'a> {
    pub rows: &'a Range<usize>,
    pub columns: &'a Range<usize>,
}

impl Problem<'_> {
    fn positive(&self, i: usize) -> usize {
        self.loss.positives.map_or(i, |p| p[i] as usize)
    }

    fn same_of(&self, i: usize) -> &[u32] {
        self.same.map_or(&[], |s| s.columns_of(self.positive(i)))
    }

    fn masked_of(&self, i: usize) -> &[u32] {
        match &self.loss.masked {
            Some(m) => &m.columns[m.offsets[i] as usize..m.offsets[i + 1] as usize],
            None => &[],
        }
    }

    /// The positive's score without bias.
    fn plain_positive(&self, i: usize) -> f32 {
        let d = self.loss.dim;
        let u = &self.loss.users[i * d..(i + 1) * d];
        let v = &self.loss.candidates[self.positive(i) * d..][..d];
        self.scale * u.iter().zip(v).map(|(a, b)| a * b).sum::<f32>()
    }

    /// Makes the state of these rows that of before the first block.
    pub(crate) fn start(&self, state: &mut RowState, rows: &Range<usize>) {
        state.shift.fill(f32::NEG_INFINITY);
        state.sum.fill(0.0);
        for (r, i) in rows.clone().enumerate() {
            state.masks.same[r] = 0;
            state.masks.masked[r] = 0;
            state.masks.excluded[r] = 0;
            // Without a correction the score is read where it is made: see `look_row`.
            state.positive[r] = if self.loss.corrected.is_some() { self.plain_positive(i) } else { 0.0 };
        }
    }

    /// Masks for a block that starts at `column`.
    pub(crate) fn masks_at(&self, rows: &Range<usize>, column: usize) -> Masks {
        let at = |list: &[u32]| list.partition_point(|&c| (c as usize) < column);
        Masks {
            same: rows.clone().map(|i| at(self.same_of(i))).collect(),
            masked: rows.clone().map(|i| at(self.masked_of(i))).collect(),
            excluded: vec![0; rows.len()],
        }
    }

    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, product: Gemm<'_>) {
        if self.bf16 { s.run(PairGemm(product)) } else { s.run(product) }
    }

    /// The users of some rows.
    pub(crate) fn users(&self, rows: &Range<usize>) -> &[f32] {
        let d = self.loss.dim;
        &self.loss.users[rows.start * d..rows.end * d]
    }

    /// `<u, v> * scale + bias` of the block, -inf where masked. Rows are [`STRIDE`] apart and end at a whole panel.
    #[inline(always)]
    pub(crate) fn scores<S: Simd>(
        &self,
        s: S,
        out: &mut [f32],
        users: &PackedUsers<'_>,
        area: Area<'_>,
        masks: &mut impl AsMut<Masks>,
    ) {
        let Area { rows, columns } = area;
        let (a, k) = (users.along(self.users(rows)), width(self.loss.dim, self.bf16));
        for start in columns.clone().step_by(PANEL) {
            let product = Gemm {
                c: &mut out[start - columns.start..],
                c_row: STRIDE,
                a,
                a_row: k,
                a_col: 1,
                b: &self.candidates.panels[start * k..(start + PANEL) * k],
                b_row: PANEL,
                b_panel: None,
                m: rows.len(),
                n: PANEL,
                k,
                epilogue: Epilogue::Affine { scale: self.scale, bias: &self.bias[start..start + PANEL], relu: false },
            };
            self.multiply(s, product);
        }
        let masks = masks.as_mut();
        let corrected = self.loss.corrected.is_some();
        if self.same.is_none() && self.loss.masked.is_none() && !corrected {
            return;
        }
        for (r, i) in rows.clone().enumerate() {
            let out = &mut out[r * STRIDE..][..columns.len()];
            let positive = self.positive(i);
            let lists = [(self.same_of(i), &mut masks.same[r]), (self.masked_of(i), &mut masks.masked[r])];
            for (list, at) in lists {
                while let Some(&c) = list.get(*at).filter(|&&c| (c as usize) < columns.end) {
                    *at += 1;
                    // A column may stand in both lists.
                    if c as usize != positive && out[c as usize - columns.start] != f32::NEG_INFINITY {
                        out[c as usize - columns.start] = f32::NEG_INFINITY;
                        masks.excluded[r] += 1;
                    }
                }
            }
            if corrected && columns.contains(&positive) {
                out[positive - columns.start] = f32::NEG_INFINITY;
            }
        }
    }

    /// The block's part of the rows' maxima and sums; where the rows' shift moves, answers by how much in `moved`.
    #[inline(always)]
    fn look_row<S: Simd>(
        &self,
        s: S,
        scores: &[f32],
        r: usize,
        i: usize,
        columns: &Range<usize>,
        state: &mut RowState,
    ) -> (f32, f64) {
        let positive = self.positive(i);
        if columns.contains(&positive) && self.loss.corrected.is_none() {
            state.positive[r] = scores[positive - columns.start];
        }
        let (old, best) = (state.shift[r], row::max(s, scores));
        let new = if best > old { best } else { old };
        state.shift[r] = new;
        // Nothing but masked columns so far: any shift does.
        let shift = if new == f32::NEG_INFINITY { 0.0 } else { new };
        let moved = if old == f32::NEG_INFINITY { 0.0 } else { f64::from(old - new).exp() };
        (shift, moved)
    }

    /// The block's part of the rows' maxima and sums; turns the scores into `e^(score - shift)`, each row with its
    /// shift of now.
    #[inline(always)]
    pub(crate) fn raise<S: Simd>(&self, s: S, scores: &mut [f32], area: Area<'_>, state: &mut RowState) {
        let Area { rows, columns } = area;
        let width = columns.len().next_multiple_of(PANEL);
        let block = columns.start / COLUMNS * state.shift.len();
        for (r, i) in rows.clone().enumerate() {
            let scores = &mut scores[r * STRIDE..][..width];
            let (shift, moved) = self.look_row(s, scores, r, i, columns, state);
            state.sum[r] = state.sum[r] * moved + f64::from(row::raise(s, scores, shift));
            state.shifts[block + r] = state.shift[r];
        }
    }

    /// As [`raise`](Problem::raise), for p that is used at once; where the shift moved, dU follows.
    #[inline(always)]
    pub(crate) fn raise_with_du<S: Simd>(
        &self,
        s: S,
        du: &mut [f32],
        p: &mut [f32],
        rounded: &mut Rounded<'_>,
        area: Area<'_>,
        state: &mut RowState,
    ) {
        let Area { rows, columns } = area;
        let (d, width) = (self.loss.dim, columns.len().next_multiple_of(PANEL));
        for (r, i) in rows.clone().enumerate() {
            let values = &mut p[r * STRIDE..][..width];
            let (shift, moved) = self.look_row(s, values, r, i, columns, state);
            state.sum[r] = state.sum[r] * moved + f64::from(row::raise(s, values, shift));
            if moved != 1.0 && columns.start > 0 {
                row::scale(s, &mut du[r * d..(r + 1) * d], moved as f32);
            }
            rounded.round_along(s, p, r, width);
        }
    }

    /// After the last block: the rows' loss, and what turns a score into p.
    pub(crate) fn finish(&self, rows: &Range<usize>, state: &mut RowState) -> f64 {
        let mut value = 0.0;
        for (r, i) in rows.clone().enumerate() {
            if state.shift[r] == f32::NEG_INFINITY {
                state.shift[r] = 0.0;
            }
            let (shift, sum) = (f64::from(state.shift[r]), state.sum[r]);
            let positive = f64::from(state.positive[r]);
            let mut weight = self.loss.weights.map_or(1.0, |w| f64::from(w[i])) / self.total;
            let mut log_sum = shift + sum.ln();
            if let Some(log1m_q) = self.loss.corrected {
                let negatives = self.loss.columns - 1 - state.masks.excluded[r];
                if negatives == 0 {
                    // Nothing to tell the positive from.
                    (state.factor[r], state.target_weight[r]) = (0.0, 0.0);
                    continue;
                }
                // The correction is the same for all the row's columns: it moves the sum alone.
                log_sum += f64::from(log1m_q[i]);
                // 1 - p = 1 / (1 + e^(positive - log mean e^score)).
                weight /= 1.0 + (positive - (log_sum - (negatives as f64).ln())).exp();
            }
            value += weight * (log_sum - positive);
            let target = weight * f64::from(self.scale);
            state.factor[r] = (target / sum) as f32;
            state.target_weight[r] = target as f32;
        }
        value
    }

    /// `p = e^(score - shift) * factor`, less `target_weight` at the positive, of what [`raise`](Problem::raise) left
    /// and over it.
    #[inline(always)]
    pub(crate) fn probabilities<S: Simd>(
        &self,
        s: S,
        p: &mut [f32],
        rounded: &mut Rounded<'_>,
        area: Area<'_>,
        state: &RowState,
    ) {
        let Area { rows, columns } = area;
        let width = columns.len().next_multiple_of(PANEL);
        let block = columns.start / COLUMNS * state.shift.len();
        for (r, i) in rows.clone().enumerate() {
            let (then, now, mut factor) = (state.shifts[block + r], state.shift[r], state.factor[r]);
            if then != now {
                factor = (f64::from(factor) * f64::from(then - now).exp()) as f32;
            }
            // Rows that are kept come from a farther cache.
            s.prefetch(p.get((r + 2) * STRIDE..(r + 2) * STRIDE + width).unwrap_or_default());
            let values = &mut p[r * STRIDE..][..width];
            row::scale(s, values, factor);
            self.subtract_positive(values, r, i, columns, state);
            rounded.round_along(s, p, r, width);
            rounded.round_across(s, p, r, rows.len(), width);
        }
    }

    /// The same of scores.
    #[inline(always)]
    pub(crate) fn probabilities_of_scores<S: Simd>(
        &self,
        s: S,
        p: &mut [f32],
        rounded: &mut Rounded<'_>,
        area: Area<'_>,
        state: &RowState,
    ) {
        let Area { rows, columns } = area;
        let width = columns.len().next_multiple_of(PANEL);
        for (r, i) in rows.clone().enumerate() {
            let values = &mut p[r * STRIDE..][..width];
            row::exp_in_place(s, values, state.shift[r], state.factor[r]);
            self.subtract_positive(values, r, i, columns, state);
            rounded.round_across(s, p, r, rows.len(), width);
        }
    }

    #[inline(always)]
    fn subtract_positive(&self, p: &mut [f32], r: usize, i: usize, columns: &Range<usize>, state: &RowState) {
        let positive = self.positive(i);
        if columns.contains(&positive) {
            p[positive - columns.start] -= state.target_weight[r];
        }
    }

    /// `dU = p V`, added from the second block on.
    #[inline(always)]
    pub(crate) fn add_du<S: Simd>(&self, s: S, du: &mut [f32], (p, rounded): (&[f32], &Rounded<'_>), area: Area<'_>) {
        let Area { rows, columns } = area;
        let (a, a_row) = rounded.along(p);
        let (b, k) = self.candidates.rows(columns);
        let epilogue = if columns.start == 0 { Epilogue::Write } else { Epilogue::Add };
        self.multiply(s, self.product(s, du, (a, a_row, 1), (b, k), rows.len(), epilogue));
    }

    /// `dV = p^T U`, added where `add`.
    #[inline(always)]
    pub(crate) fn add_dv<S: Simd>(
        &self,
        s: S,
        dv: &mut [f32],
        (p, rounded): (&[f32], &Rounded<'_>),
        users: &PackedUsers<'_>,
        columns: &Range<usize>,
        add: bool,
    ) {
        let epilogue = if add { Epilogue::Add } else { Epilogue::Write };
        let a = (rounded.across(p), 1, STRIDE);
        self.multiply(s, self.product(s, dv, a, users.rows(), columns.len(), epilogue));
    }

    /// A product with a packed B of as many columns as users and candidates have.
    fn product<'b, S: Simd>(
        &self,
        _: S,
        c: &'b mut [f32],
        (a, a_row, a_col): (&'b [f32], usize, usize),
        (b, k): (&'b [f32], usize),
        m: usize,
        epilogue: Epilogue<'b>,
    ) -> Gemm<'b> {
        let (d, b_row) = (self.loss.dim, S::TILE_VECTORS * S::LANES);
        Gemm { c, c_row: d, a, a_row, a_col, b, b_row, b_panel: Some(k * b_row), m, n: d, k, epilogue }
    }

    /// Turns the sum of `e^(score - shift) v` into dU.
    #[inline(always)]
    pub(crate) fn finish_du<S: Simd>(&self, s: S, du: &mut [f32], rows: &Range<usize>, state: &RowState) {
        let d = self.loss.dim;
        for ((r, i), du) in rows.clone().enumerate().zip(du.chunks_exact_mut(d.max(1))) {
            row::scale(s, du, state.factor[r]);
            let (positive, target_weight) = (self.positive(i), state.target_weight[r]);
            let v = &self.loss.candidates[positive * d..][..d];
            if self.bf16 {
                // The very values that the sum took: what is left where p is near 1 is no rounding error.
                for (du, &v) in du.iter_mut().zip(v) {
                    *du -= target_weight * half::bf16::from_f32(v).to_f32();
                }
            } else {
                row::add_scaled(s, du, v, -target_weight);
            }
        }
    }

    /// The derivative by `log_scale`: `sum_ij dL/ds_ij (s_ij - bias_j) = sum_i <u_i, dU_i>`.
    #[inline(always)]
    pub(crate) fn d_scale<S: Simd>(&self, s: S, du: &[f32], rows: &Range<usize>) -> f64 {
        let d = self.loss.dim;
        let users = &self.loss.users[rows.start * d..rows.end * d];
        let mut sum = 0.0;
        for (u, du) in users.chunks_exact(d.max(1)).zip(du.chunks_exact(d.max(1))) {
            sum += f64::from(row::dot(s, u, du));
        }
        sum
    }
}
