//! The in-batch softmax, forward and backward at once: 6 B C D operations, or 8 B C D for very many candidates.
//!
//! Scores exist only as strips. A thread takes a strip of 48 to 132 rows, scores it against all columns in blocks and
//! keeps a running maximum and sum per row, and `e^(score - maximum)` in the scores' place; then it goes over the blocks
//! again, turns those into `p = dL/d<u, v>`, and adds `dU = p V` and `dV += p^T U`. Groups of rows are cut by the shape
//! alone; each group has a dV of its own, and these are summed in the groups' order.
//!
//! Where a strip would not fit [`KEEP`] (very many candidates) nothing is kept: one pass over strips finds maximum, sum
//! and dU together (rescaling dU when the maximum moves), a second over blocks of columns scores again and adds up dV.
//!
//! On a processor with AVX512-BF16 all products may take factors that are rounded to bf16, pair by pair along k (see
//! [`pack`]); scores, sums, p until it is multiplied and all results are fp32.

mod block;
mod check;
mod pack;
mod same;
mod state;
mod weights;

use block::{Area, Problem};
use pack::{COLUMNS, PackedCandidates, PackedUsers, Rounded, STRIDE};
use state::RowState;
pub(crate) use weights::top_k_weights;

use super::simd::{Op, PANEL, Simd, rows};
use super::{Cpu, scratch};
use crate::Result;
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::threads::ranges;

/// Rows of a strip: at most, and at least where the strip's scores are kept.
const ROWS: usize = 132;
const ROWS_KEPT: usize = 48;
/// Values of a strip that may be kept: 4 MiB, a core's share of the last cache.
const KEEP: usize = 1 << 20;
/// Values of all the groups' dV together: 64 MiB.
const GROUPS_KEEP: usize = 1 << 24;

/// How a problem is cut: by its shape alone.
struct Cut {
    /// Rows of a strip.
    strip: usize,
    /// Rows of a group; a multiple of the tile's.
    group: usize,
    /// Whether a strip's scores are kept.
    kept: bool,
}

impl Cut {
    fn new(b: usize, c: usize, d: usize) -> Cut {
        let fit = KEEP / (c.div_ceil(COLUMNS).max(1) * STRIDE) / 12 * 12;
        let wanted = b.div_ceil(128).clamp(1, 16);
        let groups = wanted.min((GROUPS_KEEP / (c * d).max(1)).max(1));
        if fit < ROWS_KEPT.min(b) || groups < wanted.min(8) {
            return Cut { strip: ROWS, group: ROWS, kept: false };
        }
        let group = b.div_ceil(groups).next_multiple_of(12);
        // Strips of a group as equal as can be.
        let strips = group.div_ceil(fit.min(ROWS));
        Cut { strip: group.div_ceil(strips).next_multiple_of(12), group, kept: true }
    }
}

/// See [`Operations::softmax_loss`](crate::backend::Operations::softmax_loss).
pub(crate) fn softmax(cpu: &Cpu, grads: SoftmaxGrads<'_, Cpu>, loss: &SoftmaxLoss<'_, Cpu>) -> Result<()> {
    check::check(cpu, &grads, loss)?;
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let total: f64 = loss.weights.map_or(b as f64, |w| w[..b].iter().map(|&w| f64::from(w)).sum());
    let SoftmaxGrads { users: du, candidates: dv, stats } = grads;
    let (du, dv) = (&mut du[..b * d], &mut dv[..c * d]);
    if total == 0.0 {
        du.fill(0.0);
        dv.fill(0.0);
        stats[..2].fill(0.0);
        return Ok(());
    }

    let panels_len = c.next_multiple_of(PANEL);
    let candidates = PackedCandidates::new(cpu, loss);
    let mut bias = cpu.scratch.take(panels_len);
    match loss.bias {
        Some(values) => bias[..c].copy_from_slice(&values[..c]),
        None => bias[..c].fill(0.0),
    }
    // The last panel's missing columns are masked.
    bias[c..].fill(f32::NEG_INFINITY);
    let same = loss.ids.map(|ids| same::Same::new(&ids[..c]));
    let problem = Problem {
        loss,
        scale: loss.log_scale[0].exp(),
        total,
        candidates: &candidates,
        bf16: cpu.bf16,
        bias: &bias,
        same: same.as_ref(),
    };

    let cut = Cut::new(b, c, d);
    let run = if cut.kept { kept } else { wide };
    let sums = run(cpu, &problem, &cut, du, dv);
    let (mut value, mut d_scale) = (0.0, 0.0);
    for sum in sums {
        value += sum.0;
        d_scale += sum.1;
    }
    (stats[0], stats[1]) = (value as f32, d_scale as f32);
    Ok(())
}

/// The loss and its derivative by `log_scale`, of some rows.
type Sums = (f64, f64);

/// Runs the groups, each with its strips' scores kept.
fn kept(cpu: &Cpu, problem: &Problem<'_>, cut: &Cut, du: &mut [f32], dv: &mut [f32]) -> Vec<Sums> {
    let (b, d) = (problem.loss.rows, problem.loss.dim);
    let groups = ranges(b, cut.group);
    let mut sums = vec![(0.0, 0.0); groups.len()];
    let parallel = b * problem.loss.columns * d > 1 << 16;
    // The first group's dV is the result itself: the others are added to it in order.
    let mut others = cpu.scratch.take((groups.len() - 1) * dv.len());
    let dvs = std::iter::once(&mut *dv).chain(others.chunks_mut(problem.loss.columns * d));
    let parts = groups.iter().cloned().zip(du.chunks_mut(cut.group * d)).zip(dvs).zip(&mut sums);
    let parts = parts.map(|(((rows, du), dv), sums)| (rows, du, dv, sums)).collect();
    cpu.threads.each(parallel, parts, |(rows, du, dv, sums)| {
        let blocks = problem.loss.columns.div_ceil(COLUMNS);
        let scores = cpu.scratch.take(blocks * cut.strip * STRIDE);
        let (users, rounded) = (PackedUsers::new(cpu, cut.strip, d), Rounded::new(cpu, cut.strip));
        *sums = cpu.isa.run(StripGroup { problem, rows, strip: cut.strip, users, scores, rounded, du, dv });
    });
    if groups.len() > 1 {
        let len = dv.len();
        let parts = ranges(len, 1 << 14).into_iter().zip(dv.chunks_mut(1 << 14)).collect();
        cpu.threads
            .each(parallel, parts, |(at, dv)| cpu.isa.run(AddAll { to: dv, from: &others, start: at.start, len }));
    }
    sums
}

/// `to += from[start..], from[len + start..], ...`, in order.
struct AddAll<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    start: usize,
    len: usize,
}

impl Op for AddAll<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // A piece at a time stays in the first cache while the groups go over it.
        for (i, to) in self.to.chunks_mut(2048).enumerate() {
            let start = self.start + i * 2048;
            for from in self.from.chunks_exact(self.len) {
                rows::add(s, to, &from[start..start + to.len()]);
            }
        }
    }
}

/// The strips of one group of rows.
struct StripGroup<'a> {
    problem: &'a Problem<'a>,
    rows: std::ops::Range<usize>,
    strip: usize,
    users: PackedUsers<'a>,
    /// Block by block, rows of [`STRIDE`].
    scores: scratch::Scratch<'a>,
    rounded: Rounded<'a>,
    du: &'a mut [f32],
    dv: &'a mut [f32],
}

impl Op for StripGroup<'_> {
    type Output = Sums;
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) -> Sums {
        let (problem, d) = (self.problem, self.problem.loss.dim);
        let blocks = ranges(problem.loss.columns, COLUMNS);
        let mut sums = (0.0, 0.0);
        let mut state = RowState::new(self.strip, blocks.len());
        for (n, rows) in ranges(self.rows.len(), self.strip).into_iter().enumerate() {
            let du = &mut self.du[rows.start * d..rows.end * d];
            let rows = self.rows.start + rows.start..self.rows.start + rows.end;
            problem.start(&mut state, &rows);
            self.users.pack(s, problem.users(&rows), d);
            for (columns, scores) in blocks.iter().zip(self.scores.chunks_exact_mut(self.strip * STRIDE)) {
                let area = Area { rows: &rows, columns };
                problem.scores(s, scores, &self.users, area, &mut state);
                problem.raise(s, scores, area, &mut state);
            }
            sums.0 += problem.finish(&rows, &mut state);
            for (columns, p) in blocks.iter().zip(self.scores.chunks_exact_mut(self.strip * STRIDE)) {
                let area = Area { rows: &rows, columns };
                problem.probabilities(s, p, &mut self.rounded, area, &state);
                let dv = &mut self.dv[columns.start * d..columns.end * d];
                problem.add_du(s, du, (p, &self.rounded), area);
                problem.add_dv(s, dv, (p, &self.rounded), &self.users, columns, n > 0);
            }
            sums.1 += problem.d_scale(s, du, &rows);
        }
        sums
    }
}

/// Keeps no scores: strips of rows for dU, then blocks of columns for dV.
fn wide(cpu: &Cpu, problem: &Problem<'_>, cut: &Cut, du: &mut [f32], dv: &mut [f32]) -> Vec<Sums> {
    let (b, c, d) = (problem.loss.rows, problem.loss.columns, problem.loss.dim);
    let strips = ranges(b, cut.strip);
    let mut sums = vec![(0.0, 0.0); strips.len()];
    let mut states: Vec<RowState> = strips.iter().map(|_| RowState::new(cut.strip, 0)).collect();
    let parallel = b * c * d > 1 << 16;
    let parts = strips.iter().cloned().zip(du.chunks_mut(cut.strip * d)).zip(&mut states).zip(&mut sums).collect();
    cpu.threads.each(parallel, parts, |(((rows, du), state), sums)| {
        let work = StripWork::new(cpu, cut.strip, d);
        *sums = cpu.isa.run(WideRows { problem, rows, work, du, state });
    });
    let parts = ranges(c, COLUMNS).into_iter().zip(dv.chunks_mut(COLUMNS * d)).collect();
    cpu.threads.each(parallel, parts, |(columns, dv)| {
        let work = StripWork::new(cpu, cut.strip, d);
        cpu.isa.run(WideColumns { problem, strips: &strips, states: &states, columns, work, dv });
    });
    sums
}

/// What one strip and one block take.
struct StripWork<'a> {
    users: PackedUsers<'a>,
    p: scratch::Scratch<'a>,
    rounded: Rounded<'a>,
}

impl<'a> StripWork<'a> {
    fn new(cpu: &'a Cpu, strip: usize, d: usize) -> StripWork<'a> {
        let (users, rounded) = (PackedUsers::new(cpu, strip, d), Rounded::new(cpu, strip));
        StripWork { users, p: cpu.scratch.take(strip * STRIDE), rounded }
    }
}

/// One strip: its rows' sums and dU in one pass.
struct WideRows<'a> {
    problem: &'a Problem<'a>,
    rows: std::ops::Range<usize>,
    work: StripWork<'a>,
    du: &'a mut [f32],
    state: &'a mut RowState,
}

impl Op for WideRows<'_> {
    type Output = Sums;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Sums {
        let (problem, rows, StripWork { mut users, mut p, mut rounded }) = (self.problem, self.rows, self.work);
        problem.start(self.state, &rows);
        users.pack(s, problem.users(&rows), problem.loss.dim);
        for columns in ranges(problem.loss.columns, COLUMNS) {
            let area = Area { rows: &rows, columns: &columns };
            problem.scores(s, &mut p, &users, area, self.state);
            problem.raise_with_du(s, self.du, &mut p, &mut rounded, area, self.state);
            problem.add_du(s, self.du, (&p, &rounded), area);
        }
        let value = problem.finish(&rows, self.state);
        problem.finish_du(s, self.du, &rows, self.state);
        (value, problem.d_scale(s, self.du, &rows))
    }
}

/// One block of columns: its dV over all strips in order.
struct WideColumns<'a> {
    problem: &'a Problem<'a>,
    strips: &'a [std::ops::Range<usize>],
    states: &'a [RowState],
    columns: std::ops::Range<usize>,
    work: StripWork<'a>,
    dv: &'a mut [f32],
}

impl Op for WideColumns<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (problem, columns, StripWork { mut users, mut p, mut rounded }) = (self.problem, &self.columns, self.work);
        for (n, (rows, state)) in self.strips.iter().zip(self.states).enumerate() {
            let mut masks = problem.masks_at(rows, columns.start);
            users.pack(s, problem.users(rows), problem.loss.dim);
            let area = Area { rows, columns };
            problem.scores(s, &mut p, &users, area, &mut masks);
            problem.probabilities_of_scores(s, &mut p, &mut rounded, area, state);
            problem.add_dv(s, self.dv, (&p, &rounded), &users, columns, n > 0);
        }
    }
}
