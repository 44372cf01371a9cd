//! Factors in bf16: users, candidates and p as pairs, each product's along its own k.

use std::ops::Range;

use super::{COLUMNS, ROWS, STRIDE};
use crate::backend::SoftmaxLoss;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::simd::{Op, PANEL, Simd, pack_panels, rows as row};

/// Columns j and j + HALF of a panel are a pair.
const HALF: usize = PANEL / 2;

/// Users and candidates, packed once per call.
pub(crate) struct Packed<'a> {
    /// `<u, v>`: a user's values k and k + (half a row), by rows.
    pub users: Scratch<'a>,
    /// `<u, v>`: the same of the candidates, in panels.
    pub panels: Scratch<'a>,
    /// `p^T U`: rows 2 i and 2 i + 1.
    pub user_rows: Scratch<'a>,
    /// `p V`: rows j and j + HALF of each panel.
    pub candidate_rows: Scratch<'a>,
}

impl<'a> Packed<'a> {
    pub(crate) fn new(cpu: &'a Cpu, loss: &SoftmaxLoss<'_, Cpu>) -> Packed<'a> {
        let (b, c, d) = (loss.rows, loss.columns, loss.dim);
        let (half, columns) = (d.div_ceil(2), c.next_multiple_of(PANEL));
        let mut packed = Packed {
            users: cpu.scratch.take(b * half),
            panels: cpu.scratch.take(columns * half),
            user_rows: cpu.scratch.take(b.div_ceil(2) * d),
            candidate_rows: cpu.scratch.take(columns / 2 * d),
        };
        if d == 0 {
            return packed;
        }
        let parallel = (b + c) * d > 1 << 15;
        let users = packed.users.chunks_mut(ROWS * half).zip(packed.user_rows.chunks_mut(ROWS / 2 * d));
        let users = users.zip(loss.users[..b * d].chunks(ROWS * d));
        let users = users.map(|((users, rows), from)| PackUsers { users, rows, from, d }).collect();
        cpu.threads.each(parallel, users, |part| cpu.isa.run(part));
        let panels = packed.panels.chunks_mut(COLUMNS * half).zip(packed.candidate_rows.chunks_mut(COLUMNS / 2 * d));
        let panels = panels.zip(loss.candidates[..c * d].chunks(COLUMNS * d)).collect();
        cpu.threads.each(parallel, panels, |((panels, rows), from)| {
            cpu.isa.run(PackCandidates { panels, rows, from, d, panel: cpu.scratch.take(PANEL * d) });
        });
        packed
    }

    /// Subtracts `hot` times the rounded candidate.
    pub(crate) fn subtract_candidate(&self, from: &mut [f32], candidate: usize, hot: f32) {
        let (panel, j) = (candidate / PANEL, candidate % PANEL);
        let pairs = &self.candidate_rows[(panel * HALF + j % HALF) * from.len()..];
        for (x, pair) in from.iter_mut().zip(pairs) {
            let bits = if j < HALF { pair.to_bits() << 16 } else { pair.to_bits() & 0xffff_0000 };
            *x -= hot * f32::from_bits(bits);
        }
    }
}

/// [`ROWS`] users.
struct PackUsers<'a> {
    users: &'a mut [f32],
    rows: &'a mut [f32],
    from: &'a [f32],
    d: usize,
}

impl Op for PackUsers<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (d, half) = (self.d, self.d.div_ceil(2));
        for (to, user) in self.users.chunks_exact_mut(half).zip(self.from.chunks_exact(d)) {
            row::pairs(s, to, &user[..half], &user[half..]);
        }
        for (to, two) in self.rows.chunks_exact_mut(d).zip(self.from.chunks(2 * d)) {
            row::pairs(s, to, &two[..d], &two[d..]);
        }
    }
}

/// [`COLUMNS`] candidates.
struct PackCandidates<'a> {
    panels: &'a mut [f32],
    rows: &'a mut [f32],
    from: &'a [f32],
    d: usize,
    panel: Scratch<'a>,
}

impl Op for PackCandidates<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (d, half) = (self.d, self.d.div_ceil(2));
        let parts = self.panels.chunks_exact_mut(PANEL * half).zip(self.rows.chunks_exact_mut(HALF * d));
        for ((panel, rows), from) in parts.zip(self.from.chunks(PANEL * d)) {
            pack_panels(&mut self.panel, from, from.len() / d, d);
            for (k, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                let second = self.panel.get((k + half) * PANEL..).unwrap_or_default();
                let second = &second[..second.len().min(PANEL)];
                row::pairs(s, to, &self.panel[k * PANEL..(k + 1) * PANEL], second);
            }
            for (j, to) in rows.chunks_exact_mut(d).enumerate() {
                let candidate = |j: usize| from.get(j * d..(j + 1) * d).unwrap_or_default();
                row::pairs(s, to, candidate(j), candidate(j + HALF));
            }
        }
    }
}

/// The p of one strip and one block of columns.
pub(crate) struct Probabilities<'a> {
    /// Rows of [`STRIDE`] values.
    pub values: Scratch<'a>,
    /// The same in bf16, for `p V` (columns j and j + HALF of each panel, rows of STRIDE / 2 pairs) and for `p^T U`
    /// (rows 2 r and 2 r + 1, rows of STRIDE pairs).
    pairs: Option<[Scratch<'a>; 2]>,
}

impl<'a> Probabilities<'a> {
    pub(crate) fn new(cpu: &'a Cpu, strip: usize) -> Probabilities<'a> {
        let pairs =
            cpu.bf16.then(|| [cpu.scratch.take(strip * STRIDE / 2), cpu.scratch.take(strip.div_ceil(2) * STRIDE)]);
        Probabilities { values: cpu.scratch.take(strip * STRIDE), pairs }
    }

    /// For `p V`: a's elements, from row to row, and k.
    pub(crate) fn by_rows(&self, columns: usize) -> (&[f32], usize, usize) {
        match &self.pairs {
            None => (&self.values, STRIDE, columns),
            Some([along, _]) => (along, STRIDE / 2, columns.next_multiple_of(PANEL) / 2),
        }
    }

    /// For `p^T U`: a's elements, and k.
    pub(crate) fn by_columns(&self, rows: usize) -> (&[f32], usize) {
        match &self.pairs {
            None => (&self.values, rows),
            Some([_, across]) => (across, rows.div_ceil(2)),
        }
    }

    /// Rounds the values of `rows`, of which the first is even and only the last may be alone, `width` wide.
    #[inline(always)]
    pub(crate) fn round<S: Simd>(&mut self, s: S, rows: Range<usize>, width: usize, which: Round) {
        let Some([along, across]) = &mut self.pairs else { return };
        if which != Round::Columns {
            for r in rows.clone() {
                let p = &self.values[r * STRIDE..][..width];
                for (to, p) in along[r * STRIDE / 2..].chunks_exact_mut(HALF).zip(p.chunks_exact(PANEL)) {
                    row::pairs(s, to, &p[..HALF], &p[HALF..]);
                }
            }
        }
        if which != Round::Rows {
            for r in rows.clone().step_by(2) {
                let second = if r + 1 < rows.end { &self.values[(r + 1) * STRIDE..][..width] } else { &[] };
                row::pairs(s, &mut across[r / 2 * STRIDE..][..width], &self.values[r * STRIDE..][..width], second);
            }
        }
    }
}

/// Which products rounded values are for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Round {
    /// `p V`.
    Rows,
    /// `p^T U`.
    Columns,
    /// Both.
    Both,
}
