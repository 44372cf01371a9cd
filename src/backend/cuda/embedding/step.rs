//! Sums of the touched rows' gradients and the rows' step, of all tables.

use super::arguments::{GradientRows, PlanPart, StepArgs, StepTable};
use super::{THREADS, TableValues, log_lanes};
use crate::Result;
use crate::backend::cuda::arguments::{In, Pad};
use crate::backend::cuda::described::Described;
use crate::backend::cuda::kernels::{Embedding, Kernel};
use crate::backend::cuda::{Cuda, Mat, input, need, need_len, need_mat, output};
use crate::backend::{EmbeddingTable, GradientPlans, StepRules};
use crate::config::OptimizerKind;

/// Positions of a partial sum (see [`GradientPlans`]).
const CHUNK: usize = 32;
/// The widest row: one block's threads.
const WIDEST: usize = 1024;
// Every width that a model can have.
const _: () = assert!(crate::settings::limits::MAX_DIM <= WIDEST);
const OP: &str = "embedding_step";

/// The kernel for chunks of tables whose rows are aligned.
fn aligned_chunks(kernels: &Embedding, kind: OptimizerKind) -> &Kernel<StepArgs> {
    match kind {
        OptimizerKind::Sgd => &kernels.embedding_step_sgd,
        OptimizerKind::Adagrad => &kernels.embedding_step_adagrad,
        OptimizerKind::Adam => &kernels.embedding_step_adam,
        OptimizerKind::RowwiseAdagrad => &kernels.embedding_step_rowwise,
    }
}

/// Checks the lengths of a table, its states and its gradients, and describes them.
fn describe(
    table: &EmbeddingTable<Cuda>,
    grads: &[Mat<'_, Cuda>],
    kind: OptimizerKind,
    gradients: &mut Vec<GradientRows>,
) -> Result<StepTable> {
    let EmbeddingTable { rows, dim, ref data, ref state1, ref state2, number } = *table;
    need(OP, rows <= u32::MAX as usize, "a table of less than 2^32 rows", rows)?;
    need(OP, dim <= WIDEST, format_args!("rows of at most {WIDEST} values"), dim)?;
    let first_gradient = gradients.len();
    let values = TableValues::of(data);
    let mut aligned = dim.is_multiple_of(4) && values.aligned();
    let mut total = 0;
    for g in grads {
        need_mat(OP, "a gradient", g.buf.len(), (g.rows, g.cols, g.stride, g.col))?;
        need(OP, g.cols == dim, format_args!("gradients of width {dim}"), g.cols)?;
        need(OP, g.stride <= u32::MAX as usize, "a stride of less than 2^32", g.stride)?;
        aligned &= g.buf.ptr_at(g.col).is_multiple_of(16) && g.stride.is_multiple_of(4);
        gradients.push(GradientRows { data: g.buf.input_at(g.col), stride: g.stride as u32, first: total as u32 });
        total += g.rows;
        need(OP, total < u32::MAX as usize, "less than 2^32 - 1 gradient rows", total)?;
    }
    let (width1, width2) = match kind {
        OptimizerKind::Sgd => (0, 0),
        OptimizerKind::Adagrad => (dim, 0),
        OptimizerKind::RowwiseAdagrad => (1, 0),
        OptimizerKind::Adam => (dim, dim),
    };
    need_len(OP, "state 1", state1.as_ref().map_or(0, |x| x.len()), rows * width1)?;
    need_len(OP, "state 2", state2.as_ref().map_or(0, |x| x.len()), rows * width2)?;
    need_len(OP, "the table", values.len, rows * dim)?;
    let vector = if aligned { 4 } else { 1 };
    Ok(StepTable {
        table: values.values,
        state1: output(state1.as_ref()),
        state2: output(state2.as_ref()),
        number,
        rows: rows as u32,
        dim: dim as u32,
        log_lanes: log_lanes(dim, vector, WIDEST),
        vector: vector as u32,
        stored: values.stored,
        first_gradient: first_gradient as u32,
        gradients: grads.len() as u32,
        gradient_rows: total as u32,
        unused: Pad::Zero,
    })
}

/// Checks that a table's part lies inside the lists.
fn check_part(plans: &GradientPlans<'_, Cuda>, n: usize) -> Result<()> {
    let at = plans.parts[n];
    let (uniques, lookups) = (at.uniques as usize, at.lookups as usize);
    need_len(OP, "unique", plans.unique.len(), at.unique as usize + uniques)?;
    need_len(OP, "starts", plans.starts.len(), at.unique as usize + n + uniques + 1)?;
    need_len(OP, "positions", plans.positions.len(), at.position as usize + lookups)?;
    if at.scales != u32::MAX {
        need_len(OP, "scales", plans.scales.len(), at.scales as usize + lookups)?;
    }
    let chunked = (at.position as usize).is_multiple_of(CHUNK);
    need(OP, chunked, format_args!("lists that begin at multiples of {CHUNK}"), at.position)?;
    need(OP, uniques <= lookups, "a position for each unique row", format_args!("{uniques} rows"))?;
    need(OP, uniques > 0 || lookups == 0, "a unique row for each position", "none")
}

/// A launch for the tables with this `vector` (0: all).
struct Launch {
    vector: usize,
    threads: usize,
    /// At least as many as any batch takes for which the lists have room.
    blocks: usize,
}

impl Launch {
    fn new(tables: &[StepTable], vector: usize, threads: usize, room: usize) -> Launch {
        let mine = || tables.iter().filter(|table| vector == 0 || table.vector as usize == vector);
        let groups = mine().map(|table| threads >> table.log_lanes).min().unwrap_or(1);
        // Each table rounds its blocks up.
        let blocks = if mine().next().is_none() { 0 } else { room.div_ceil(CHUNK).div_ceil(groups) + mine().count() };
        Launch { vector, threads, blocks }
    }
}

/// See [`Operations::embedding_step`](crate::backend::Operations::embedding_step). The plans' rows, starts and positions are
/// checked by the kernel: what does not fit is left out, and is an error at the next read.
pub(crate) fn step_tables(
    cuda: &Cuda,
    tables: &mut [EmbeddingTable<Cuda>],
    plans: &GradientPlans<'_, Cuda>,
    grads: &[Vec<Mat<'_, Cuda>>],
    rules: &StepRules<'_, Cuda>,
) -> Result<()> {
    let step = &rules.step;
    let same = tables.len() == plans.parts.len() && tables.len() == grads.len();
    need(OP, same, "a plan and gradients for each table", "others")?;
    need(OP, step.number > 0, "a step number from 1", "0")?;
    let room = plans.positions.len();
    need(OP, room < 1 << 31, "less than 2^31 positions", room)?;
    let words = size_of::<PlanPart>() / 4;
    need_len(OP, "parts", plans.staged_parts.len(), tables.len() * words)?;
    let (mut described_tables, mut gradients) = (Vec::new(), Vec::new());
    for (n, (table, grads)) in tables.iter().zip(grads).enumerate() {
        check_part(plans, n)?;
        described_tables.push(describe(table, grads, step.kind, &mut gradients)?);
    }
    let Some(width) = tables.iter().map(|table| table.dim).max() else { return Ok(()) };
    if width == 0 || room == 0 {
        return Ok(());
    }
    let mut described = Described::default();
    let (at_tables, at_gradients) = (described.push(&described_tables), described.push(&gradients));
    let base = cuda.describe(&described)?;
    let chunks = room.div_ceil(CHUNK);
    let partials = cuda.scratch::<f32>(chunks * 2 * width)?;
    let straddling = cuda.scratch::<u32>(chunks)?;
    let kernels = cuda.kernels.embedding(&cuda.context)?;
    let args = |vector: usize| StepArgs {
        tables: In::new(base + at_tables),
        gradients: In::new(base + at_gradients),
        parts: In::new(plans.staged_parts.ptr()),
        rules: cuda.rules(rules),
        grad_scale: input(rules.grad_scale),
        unique: plans.unique.input(),
        starts: plans.starts.input(),
        positions: plans.positions.input(),
        scales: plans.scales.input(),
        partials: partials.output(),
        straddling: straddling.output(),
        status: cuda.status().plan(),
        count: described_tables.len() as u32,
        width: width as u32,
        vector: vector as u32,
        unused: Pad::Zero,
    };
    let launch = |kernel, of: Launch| {
        // Partials and straddling hold two rows and a word a chunk; the kernel touches no row that is not below `rows`, no
        // gradient row that is not below `gradient_rows`; runs are cut off at `lookups`; one stream orders it. Parts that a
        // replay stages lie inside the same room: they come from one maker of plans.
        // SAFETY: the tables and the states that the kind keeps hold `rows` rows, the plans' lists what their parts say, every
        // gradient lies inside its buffer, accesses of four values are aligned where `vector` says so (all checked above).
        unsafe { cuda.launch(kernel, [of.blocks as u32, 1, 1], of.threads as u32, 0, &args(of.vector)) }
    };
    // A row that is wider than a block's usual threads takes a wider block.
    let rare = described_tables.iter().filter(|table| table.vector == 1);
    let widest = rare.map(|table| 1usize << table.log_lanes).max();
    launch(aligned_chunks(kernels, step.kind), Launch::new(&described_tables, 4, THREADS, room))?;
    match widest {
        None => launch(&kernels.embedding_straddling, Launch::new(&described_tables, 0, THREADS, room)),
        Some(lanes) => {
            let threads = lanes.max(THREADS);
            launch(&kernels.embedding_step_unaligned, Launch::new(&described_tables, 1, threads, room))?;
            launch(&kernels.embedding_straddling_any, Launch::new(&described_tables, 0, threads, room))
        }
    }
}

/// Partial sums that runs leave which straddle chunks: one for each of their chunks.
#[cfg(test)]
pub(crate) fn straddling_parts(starts: &[u32]) -> usize {
    let chunk = |position: u32| position as usize / CHUNK;
    let parts = starts.windows(2).map(|run| chunk(run[1] - 1) - chunk(run[0]) + 1);
    parts.filter(|&parts| parts > 1).sum()
}

/// Bytes that a step must move: for each lookup its gradient, position and scale, for each unique row its id, its start,
/// the row (`size` bytes a value) and the optimizer's state, read and written, and `parts` partial sums, written and
/// read.
#[cfg(test)]
pub(crate) fn floor_bytes(
    (lookups, uniques, parts): (usize, usize, usize),
    dim: usize,
    size: usize,
    kind: OptimizerKind,
    scaled: bool,
) -> u64 {
    let state = match kind {
        OptimizerKind::Sgd => 0,
        OptimizerKind::Adagrad => 2 * 4 * dim,
        // One value a row, and rows apart: a sector each way.
        OptimizerKind::RowwiseAdagrad => 2 * 32,
        OptimizerKind::Adam => 4 * 4 * dim,
    };
    let lookup = dim * 4 + 4 + if scaled { 4 } else { 0 };
    (lookups * lookup + uniques * (2 * dim * size + state + 8) + parts * 2 * 4 * dim) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_straddle_chunks_leave_partial_sums() {
        assert_eq!(straddling_parts(&[0, 32, 64]), 0);
        assert_eq!(straddling_parts(&[0, 31, 33, 34, 130]), 2 + 4);
    }

    #[test]
    fn steps_move_gradients_rows_and_states() {
        // Two rows of four fp32 from three lookups: gradients 48 bytes, positions 12, rows 64, ids and starts 16.
        let floor = |kind| floor_bytes((3, 2, 0), 4, 4, kind, false);
        assert_eq!(floor(OptimizerKind::Sgd), 140);
        assert_eq!(floor(OptimizerKind::Adagrad), 140 + 64);
        assert_eq!(floor(OptimizerKind::RowwiseAdagrad), 140 + 128);
        assert_eq!(floor(OptimizerKind::Adam), 140 + 128);
        assert_eq!(floor_bytes((3, 2, 5), 4, 2, OptimizerKind::Sgd, true), 140 - 32 + 12 + 160);
    }
}
