//! Sums of the touched rows' gradients and the rows' step, in one pass.

use super::stored::{Stored, round_row};
use super::{AHEAD, SMALL, check_ids};
use crate::Result;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::simd::{Op, Simd, rows as row};
use crate::backend::cpu::{Cpu, Mat, need, need_len, need_mat};
use crate::backend::rule::{StepConstants, run_key};
use crate::backend::{EmbeddingTable, GradientPlans, OptimizerStep, StepRules, TableData};
use crate::config::OptimizerKind;

/// Positions of a partial sum (see [`GradientPlans`]).
const CHUNK: usize = 32;
/// Positions of a task, at least.
const POSITIONS: usize = 256;
/// How many unique rows ahead the table is fetched.
const ROWS_AHEAD: usize = 8;

/// A table's part of [`GradientPlans`].
pub(crate) struct GradientPlan<'a> {
    pub(crate) unique: &'a [u32],
    pub(crate) starts: &'a [u32],
    pub(crate) positions: &'a [u32],
    pub(crate) scales: Option<&'a [f32]>,
}

/// The part of a list, where it has one.
fn part<'a, T>(what: &'static str, list: &'a [T], from: usize, len: usize) -> Result<&'a [T]> {
    need_len("embedding_step", what, list.len(), from + len)?;
    Ok(&list[from..from + len])
}

/// See [`Operations::embedding_step`](crate::backend::Operations::embedding_step).
pub(crate) fn step_tables(
    cpu: &Cpu,
    tables: &mut [EmbeddingTable<Cpu>],
    plans: &GradientPlans<'_, Cpu>,
    grads: &[Vec<Mat<'_, Cpu>>],
    rules: &StepRules<'_, Cpu>,
) -> Result<()> {
    let same = tables.len() == plans.parts.len() && tables.len() == grads.len();
    need("embedding_step", same, "a plan and gradients for each table", "others")?;
    let step = rules.on_host(true)?;
    for (n, ((table, at), grads)) in tables.iter_mut().zip(plans.parts).zip(grads).enumerate() {
        if at.lookups == 0 {
            continue;
        }
        let (unique, uniques, lookups) = (at.unique as usize, at.uniques as usize, at.lookups as usize);
        let scaled = at.scales != u32::MAX;
        let plan = GradientPlan {
            unique: part("unique", plans.unique, unique, uniques)?,
            starts: part("starts", plans.starts, unique + n, uniques + 1)?,
            positions: part("positions", plans.positions, at.position as usize, lookups)?,
            scales: scaled.then(|| part("scales", plans.scales, at.scales as usize, lookups)).transpose()?,
        };
        backward_step(cpu, table, &plan, grads, &step)?;
    }
    Ok(())
}

/// One table's step.
///
/// A gradient that is not finite is not hidden: it goes through the rule into the row and its state, where the trainer's
/// check finds it.
pub(crate) fn backward_step(
    cpu: &Cpu,
    table: &mut EmbeddingTable<Cpu>,
    plan: &GradientPlan<'_>,
    grads: &[Mat<'_, Cpu>],
    step: &OptimizerStep,
) -> Result<()> {
    const OP: &str = "embedding_step";
    let EmbeddingTable { rows, dim, data, state1, state2, number } = table;
    let (rows, dim) = (*rows, *dim);
    let (unique, starts) = (plan.unique, plan.starts);
    let (uniques, lookups) = (unique.len(), plan.positions.len());
    need(OP, starts.len() == uniques + 1, format_args!("{} starts", uniques + 1), starts.len())?;
    if let Some(scales) = plan.scales {
        need_len(OP, "scales", scales.len(), lookups)?;
    }
    need(OP, step.number > 0, "a step number from 1", "0")?;
    check_ids(OP, unique, rows)?;
    need(OP, unique.windows(2).all(|w| w[0] < w[1]), "ascending unique rows", "others")?;
    let ok = starts.windows(2).all(|w| w[0] < w[1]) && starts[0] == 0 && starts[uniques] as usize == lookups;
    need(OP, ok, format_args!("ascending starts from 0 to {lookups} lookups"), "others")?;
    let mut total = 0;
    for g in grads {
        need_mat(OP, "a gradient", g.buf.len(), (g.rows, g.cols, g.stride, g.col))?;
        need(OP, g.cols == dim, format_args!("gradients of width {dim}"), g.cols)?;
        total += g.rows;
    }
    check_ids(OP, plan.positions, total)?;
    let (width1, width2) = match step.kind {
        OptimizerKind::Sgd => (0, 0),
        OptimizerKind::Adagrad => (dim, 0),
        OptimizerKind::RowwiseAdagrad => (1, 0),
        OptimizerKind::Adam => (dim, dim),
    };
    let (mut none1, mut none2) = (Vec::new(), Vec::new());
    let state1 = state1.as_mut().unwrap_or(&mut none1);
    let state2 = state2.as_mut().unwrap_or(&mut none2);
    need_len(OP, "state 1", state1.len(), rows * width1)?;
    need_len(OP, "state 2", state2.len(), rows * width2)?;
    if dim == 0 {
        return Ok(());
    }
    let work = StepWork {
        plan,
        grads,
        rule: StepConstants::new(step),
        kind: step.kind,
        key: run_key(step),
        dim,
        table: *number,
    };
    let states = States { state1, state2, width1, width2 };
    match data {
        TableData::F32(data) => run(cpu, &work, data, rows, states),
        TableData::Bf16(data) => run(cpu, &work, data, rows, states),
        TableData::F16(data) => run(cpu, &work, data, rows, states),
    }
}

/// What all tasks share.
struct StepWork<'a> {
    plan: &'a GradientPlan<'a>,
    grads: &'a [Mat<'a, Cpu>],
    rule: StepConstants,
    kind: OptimizerKind,
    key: u64,
    dim: usize,
    table: u32,
}

/// The states of some rows of a table.
struct States<'a> {
    state1: &'a mut [f32],
    state2: &'a mut [f32],
    width1: usize,
    width2: usize,
}

/// Cuts the unique rows by their positions, and with them the table: each task owns a range of rows.
fn run<T: Stored>(cpu: &Cpu, work: &StepWork<'_>, data: &mut [T], rows: usize, states: States<'_>) -> Result<()> {
    let (plan, dim) = (work.plan, work.dim);
    need_len("embedding_step", "the table", data.len(), rows * dim)?;
    let States { mut state1, mut state2, width1, width2 } = states;
    let mut data = data;
    let mut tasks = Vec::new();
    let target = POSITIONS.max(plan.positions.len() / (4 * cpu.threads.count()));
    let (mut from, mut first) = (0, 0);
    for u in 0..plan.unique.len() {
        let last = u + 1 == plan.unique.len();
        if !last && ((plan.starts[u + 1] - plan.starts[from]) as usize) < target {
            continue;
        }
        // Everything up to this row goes to the task. (Any cut gives the same bits: a row is summed by one task.)
        let end = plan.unique[u] as usize + 1;
        let (head, tail) = data.split_at_mut((end - first) * dim);
        let (head1, tail1) = state1.split_at_mut((end - first) * width1);
        let (head2, tail2) = state2.split_at_mut((end - first) * width2);
        (data, state1, state2) = (tail, tail1, tail2);
        let states = States { state1: head1, state2: head2, width1, width2 };
        let scratch = cpu.scratch.take(3 * dim);
        tasks.push(RowRange { work, data: head, states, first, unique: from..u + 1, scratch });
        (from, first) = (u + 1, end);
    }
    cpu.threads.each(plan.positions.len() * dim > SMALL, tasks, |task| cpu.isa.run(task));
    Ok(())
}

/// A range of unique rows with their part of the table, which starts at row `first`.
struct RowRange<'a, T> {
    work: &'a StepWork<'a>,
    data: &'a mut [T],
    states: States<'a>,
    first: usize,
    unique: std::ops::Range<usize>,
    scratch: Scratch<'a>,
}

impl<T: Stored> Op for RowRange<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let StepWork { plan, rule, dim, .. } = *self.work;
        let States { state1, state2, width1, width2 } = self.states;
        let (sum, rest) = self.scratch.split_at_mut(dim);
        let (part, wide) = rest.split_at_mut(dim);
        for u in self.unique.clone() {
            if u + ROWS_AHEAD < self.unique.end {
                let r = plan.unique[u + ROWS_AHEAD] as usize - self.first;
                s.prefetch(&self.data[r * dim..(r + 1) * dim]);
                s.prefetch(&state1[r * width1..(r + 1) * width1]);
                s.prefetch(&state2[r * width2..(r + 1) * width2]);
            }
            self.work.sum(s, sum, part, plan.starts[u] as usize..plan.starts[u + 1] as usize);
            let id = plan.unique[u];
            let r = id as usize - self.first;
            let stored = &mut self.data[r * dim..(r + 1) * dim];
            let state1 = &mut state1[r * width1..(r + 1) * width1];
            let state2 = &mut state2[r * width2..(r + 1) * width2];
            if let Some(w) = T::plain(stored) {
                apply(s, &rule, self.work.kind, w, sum, state1, state2);
                continue;
            }
            for (w, stored) in wide.chunks_mut(S::LANES).zip(stored.chunks(S::LANES)) {
                s.put(w, T::get(s, stored));
            }
            apply(s, &rule, self.work.kind, wide, sum, state1, state2);
            round_row(stored, wide, self.work.key, self.work.table, id);
        }
    }
}

#[inline(always)]
fn apply<S: Simd>(
    s: S,
    rule: &StepConstants,
    kind: OptimizerKind,
    w: &mut [f32],
    sum: &[f32],
    state1: &mut [f32],
    state2: &mut [f32],
) {
    match (kind, &mut *state1) {
        (OptimizerKind::RowwiseAdagrad, [state, ..]) => rule.apply_rowwise(s, w, sum, state),
        _ => rule.apply(s, w, sum, state1, state2),
    }
}

impl StepWork<'_> {
    /// The gradient row at `position`, counted through all gradients.
    #[inline(always)]
    fn gradient(&self, position: u32) -> &[f32] {
        let mut at = position as usize;
        for g in self.grads {
            if at < g.rows {
                return &g.buf[at * g.stride + g.col..][..self.dim];
            }
            at -= g.rows;
        }
        // Positions were checked.
        &[]
    }

    /// Sums the gradients of one run of positions: partial sums within chunks of the whole list, then those in order.
    #[inline(always)]
    fn sum<S: Simd>(&self, s: S, sum: &mut [f32], part: &mut [f32], run: std::ops::Range<usize>) {
        let positions = self.plan.positions;
        let mut from = run.start;
        let mut into = &mut *sum;
        into.fill(0.0);
        while from < run.end {
            let end = ((from / CHUNK + 1) * CHUNK).min(run.end);
            for l in from..end {
                if let Some(&ahead) = positions.get(l + AHEAD) {
                    s.prefetch(self.gradient(ahead));
                }
                let scale = self.plan.scales.map_or(1.0, |x| x[l]);
                row::add_scaled(s, into, self.gradient(positions[l]), scale);
            }
            if from > run.start {
                row::add(s, sum, part);
            }
            // Partial sums after the first are made beside it.
            part.fill(0.0);
            into = &mut *part;
            from = end;
        }
    }
}
