//! One strip of rows against one block of columns.

use std::ops::Range;

use super::pairs::{Packed, Probabilities, Round};
use super::same::Same;
use super::{COLUMNS, STRIDE};
use crate::backend::SoftmaxLoss;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{Epilogue, Gemm, PANEL, PairGemm, Simd, rows as row};

/// A loss with what all its strips share.
pub(crate) struct Problem<'a> {
    pub loss: &'a SoftmaxLoss<'a, Cpu>,
    pub scale: f32,
    /// The sum of the weights.
    pub total: f64,
    /// What is multiplied.
    pub factors: Factors<'a>,
    /// The bias of every column of the panels; -inf where there is no column.
    pub bias: &'a [f32],
    pub same: Option<&'a Same>,
}

/// What is multiplied.
pub(crate) enum Factors<'a> {
    /// fp32 values: the candidates in panels, all else as it comes.
    Fp32(&'a [f32]),
    /// Pairs of bf16 values.
    Bf16(&'a Packed<'a>),
}

/// What is known of the rows of a strip.
pub(crate) struct RowState {
    /// The largest score so far: scores are taken relative to it.
    shift: Vec<f32>,
    /// The shift at the time of each block, block by block, where scores are kept.
    shifts: Vec<f32>,
    /// The sum of `e^(score - shift)` so far.
    sum: Vec<f64>,
    /// The positive's score.
    positive: Vec<f32>,
    /// p = `e^(score - shift) * factor`, less `hot` for the positive.
    factor: Vec<f32>,
    hot: Vec<f32>,
    masks: Masks,
}

/// How far the masks of each row have been applied, and how many columns they took.
pub(crate) struct Masks {
    same: Vec<usize>,
    masked: Vec<usize>,
    taken: Vec<usize>,
}

impl AsMut<Masks> for Masks {
    fn as_mut(&mut self) -> &mut Masks {
        self
    }
}

impl AsMut<Masks> for RowState {
    fn as_mut(&mut self) -> &mut Masks {
        &mut self.masks
    }
}

impl RowState {
    /// For strips of `rows` rows, with so many blocks of kept scores.
    pub(crate) fn new(rows: usize, blocks: usize) -> RowState {
        RowState {
            shift: vec![0.0; rows],
            shifts: vec![0.0; rows * blocks],
            sum: vec![0.0; rows],
            positive: vec![0.0; rows],
            factor: vec![0.0; rows],
            hot: vec![0.0; rows],
            masks: Masks { same: vec![0; rows], masked: vec![0; rows], taken: vec![0; rows] },
        }
    }

    /// Before the first block.
    pub(crate) fn start(&mut self, problem: &Problem<'_>, rows: &Range<usize>) {
        self.shift.fill(f32::NEG_INFINITY);
        self.sum.fill(0.0);
        for (r, i) in rows.clone().enumerate() {
            self.masks.same[r] = 0;
            self.masks.masked[r] = 0;
            self.masks.taken[r] = 0;
            // Without a correction the score is read where it is made: see `look`.
            self.positive[r] = if problem.loss.corrected.is_some() { problem.plain_positive(i) } else { 0.0 };
        }
    }

    /// Masks for a block that starts at `column`.
    pub(crate) fn masks_at(&self, problem: &Problem<'_>, rows: &Range<usize>, column: usize) -> Masks {
        let at = |list: &[u32]| list.partition_point(|&c| (c as usize) < column);
        Masks {
            same: rows.clone().map(|i| at(problem.same_of(i))).collect(),
            masked: rows.clone().map(|i| at(problem.masked_of(i))).collect(),
            taken: vec![0; rows.len()],
        }
    }
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

    #[inline(always)]
    fn multiply<S: Simd>(&self, s: S, product: Gemm<'_>) {
        match self.factors {
            Factors::Fp32(_) => s.run(product),
            Factors::Bf16(_) => s.run(PairGemm(product)),
        }
    }

    /// `<u, v> * scale + bias` of the block, -inf where masked. Rows are `stride` apart and end at a whole panel.
    #[inline(always)]
    pub(crate) fn scores<S: Simd>(
        &self,
        s: S,
        out: &mut [f32],
        stride: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
        masks: &mut impl AsMut<Masks>,
    ) {
        let d = self.loss.dim;
        let (users, panels, k) = match self.factors {
            Factors::Fp32(panels) => (&self.loss.users[..], panels, d),
            Factors::Bf16(packed) => (&packed.users[..], &packed.panels[..], d.div_ceil(2)),
        };
        for start in columns.clone().step_by(PANEL) {
            let product = Gemm {
                c: &mut out[start - columns.start..],
                c_row: stride,
                a: &users[rows.start * k..rows.end * k],
                a_row: k,
                a_col: 1,
                b: &panels[start * k..(start + PANEL) * k],
                b_row: PANEL,
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
            let out = &mut out[r * stride..][..columns.len()];
            let positive = self.positive(i);
            let lists = [(self.same_of(i), &mut masks.same[r]), (self.masked_of(i), &mut masks.masked[r])];
            for (list, at) in lists {
                while let Some(&c) = list.get(*at).filter(|&&c| (c as usize) < columns.end) {
                    *at += 1;
                    // A column may stand in both lists.
                    if c as usize != positive && out[c as usize - columns.start] != f32::NEG_INFINITY {
                        out[c as usize - columns.start] = f32::NEG_INFINITY;
                        masks.taken[r] += 1;
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
    pub(crate) fn raise<S: Simd>(
        &self,
        s: S,
        scores: &mut [f32],
        stride: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
        state: &mut RowState,
    ) {
        let width = columns.len().next_multiple_of(PANEL);
        let block = columns.start / COLUMNS * state.shift.len();
        for (r, i) in rows.clone().enumerate() {
            let scores = &mut scores[r * stride..][..width];
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
        p: &mut Probabilities<'_>,
        rows: &Range<usize>,
        columns: &Range<usize>,
        state: &mut RowState,
    ) {
        let (d, width) = (self.loss.dim, columns.len().next_multiple_of(PANEL));
        for (r, i) in rows.clone().enumerate() {
            let values = &mut p.values[r * STRIDE..][..width];
            let (shift, moved) = self.look_row(s, values, r, i, columns, state);
            state.sum[r] = state.sum[r] * moved + f64::from(row::raise(s, values, shift));
            if moved != 1.0 && columns.start > 0 {
                row::scale(s, &mut du[r * d..(r + 1) * d], moved as f32);
            }
        }
        p.round(s, 0..rows.len(), width, Round::Rows);
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
                let negatives = self.loss.columns - 1 - state.masks.taken[r];
                if negatives == 0 {
                    // Nothing to tell the positive from.
                    (state.factor[r], state.hot[r]) = (0.0, 0.0);
                    continue;
                }
                // The correction is the same for all the row's columns: it moves the sum alone.
                log_sum += f64::from(log1m_q[i]);
                // 1 - p = 1 / (1 + e^(positive - log mean e^score)).
                weight /= 1.0 + (positive - (log_sum - (negatives as f64).ln())).exp();
            }
            value += weight * (log_sum - positive);
            let hot = weight * f64::from(self.scale);
            state.factor[r] = (hot / sum) as f32;
            state.hot[r] = hot as f32;
        }
        value
    }

    /// `p = e^(score - shift) * factor`, less `hot` at the positive, of what [`raise`](Problem::raise) left.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn probabilities<S: Simd>(
        &self,
        s: S,
        p: &mut Probabilities<'_>,
        raised: &[f32],
        stride: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
        state: &RowState,
    ) {
        let width = columns.len().next_multiple_of(PANEL);
        let block = columns.start / COLUMNS * state.shift.len();
        for (r, i) in rows.clone().enumerate() {
            let (then, now, mut factor) = (state.shifts[block + r], state.shift[r], state.factor[r]);
            if then != now {
                factor = (f64::from(factor) * f64::from(then - now).exp()) as f32;
            }
            let values = &mut p.values[r * STRIDE..][..width];
            row::scaled(s, values, &raised[r * stride..][..width], factor);
            self.subtract_positive(values, r, i, columns, state);
            // Two rows at a time, while they are in the first cache.
            if r % 2 == 1 || r + 1 == rows.len() {
                p.round(s, r / 2 * 2..r + 1, width, Round::Both);
            }
        }
    }

    /// As [`probabilities`](Problem::probabilities), of scores and over them.
    #[inline(always)]
    pub(crate) fn probabilities_in_place<S: Simd>(
        &self,
        s: S,
        p: &mut Probabilities<'_>,
        rows: &Range<usize>,
        columns: &Range<usize>,
        state: &RowState,
    ) {
        let width = columns.len().next_multiple_of(PANEL);
        for (r, i) in rows.clone().enumerate() {
            let values = &mut p.values[r * STRIDE..][..width];
            row::exp_in_place(s, values, state.shift[r], state.factor[r]);
            self.subtract_positive(values, r, i, columns, state);
        }
        p.round(s, 0..rows.len(), width, Round::Columns);
    }

    #[inline(always)]
    fn subtract_positive(&self, p: &mut [f32], r: usize, i: usize, columns: &Range<usize>, state: &RowState) {
        let positive = self.positive(i);
        if columns.contains(&positive) {
            p[positive - columns.start] -= state.hot[r];
        }
    }

    /// `dU = p V`, added from the second block on.
    #[inline(always)]
    pub(crate) fn add_du<S: Simd>(
        &self,
        s: S,
        du: &mut [f32],
        p: &Probabilities<'_>,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) {
        let d = self.loss.dim;
        let (a, a_row, k) = p.by_rows(columns.len());
        let b = match self.factors {
            Factors::Fp32(_) => &self.loss.candidates[columns.start * d..],
            Factors::Bf16(packed) => &packed.candidate_rows[columns.start / 2 * d..],
        };
        let epilogue = if columns.start == 0 { Epilogue::Write } else { Epilogue::Add };
        self.multiply(s, Gemm { c: du, c_row: d, a, a_row, a_col: 1, b, b_row: d, m: rows.len(), n: d, k, epilogue });
    }

    /// `dV = p^T U`, added where `add`.
    #[inline(always)]
    pub(crate) fn add_dv<S: Simd>(
        &self,
        s: S,
        dv: &mut [f32],
        p: &Probabilities<'_>,
        rows: &Range<usize>,
        columns: &Range<usize>,
        add: bool,
    ) {
        let d = self.loss.dim;
        let (a, k) = p.by_columns(rows.len());
        let b = match self.factors {
            Factors::Fp32(_) => &self.loss.users[rows.start * d..],
            // Strips start at even rows.
            Factors::Bf16(packed) => &packed.user_rows[rows.start / 2 * d..],
        };
        let (m, epilogue) = (columns.len(), if add { Epilogue::Add } else { Epilogue::Write });
        self.multiply(s, Gemm { c: dv, c_row: d, a, a_row: 1, a_col: STRIDE, b, b_row: d, m, n: d, k, epilogue });
    }

    /// Turns the sum of `e^(score - shift) v` into dU.
    #[inline(always)]
    pub(crate) fn finish_du<S: Simd>(&self, s: S, du: &mut [f32], rows: &Range<usize>, state: &RowState) {
        let d = self.loss.dim;
        for ((r, i), du) in rows.clone().enumerate().zip(du.chunks_exact_mut(d.max(1))) {
            row::scale(s, du, state.factor[r]);
            let (positive, hot) = (self.positive(i), state.hot[r]);
            match self.factors {
                Factors::Fp32(_) => row::add_scaled(s, du, &self.loss.candidates[positive * d..][..d], -hot),
                // The very values that the sum took: what is left where p is near 1 is no rounding error.
                Factors::Bf16(packed) => packed.subtract_candidate(du, positive, hot),
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
