//! Sums of the touched rows' gradients and the rows' step.

use super::arguments::{Gradients, StepChunksArgs, StepStraddlingArgs, Target};
use super::{THREADS, TableValues, log_lanes};
use crate::Result;
use crate::backend::cuda::arguments::{In, Pad};
use crate::backend::cuda::kernels::{Embedding, Kernel};
use crate::backend::cuda::optim::Rule;
use crate::backend::cuda::{Cuda, Mat, input, need, need_len, need_mat, output};
use crate::backend::rule::run_key;
use crate::backend::{EmbeddingTable, GradientPlan, OptimizerStep, TableData};
use crate::config::OptimizerKind;

/// Positions of a partial sum (see [`GradientPlan`]).
const CHUNK: usize = 32;
/// Gradient matrices that a kernel takes.
const GRADIENTS: usize = 8;
/// The widest row: one block's threads.
const WIDEST: usize = 1024;
// Every width that a model can have.
const _: () = assert!(crate::settings::limits::MAX_DIM <= WIDEST);

/// The kernels for chunks and for straddling runs. `aligned`: lanes hold four values.
fn kernels_for<'a>(
    kernels: &'a Embedding,
    data: &TableData<Cuda>,
    kind: OptimizerKind,
    aligned: bool,
) -> (&'a Kernel<StepChunksArgs>, &'a Kernel<StepStraddlingArgs>) {
    macro_rules! of_type {
        ($sgd:ident, $adagrad:ident, $adam:ident, $rowwise:ident, $straddling:ident, $any:ident, $any_straddling:ident) => {
            match kind {
                _ if !aligned => (&kernels.$any, &kernels.$any_straddling),
                OptimizerKind::Sgd => (&kernels.$sgd, &kernels.$straddling),
                OptimizerKind::Adagrad => (&kernels.$adagrad, &kernels.$straddling),
                OptimizerKind::Adam => (&kernels.$adam, &kernels.$straddling),
                OptimizerKind::RowwiseAdagrad => (&kernels.$rowwise, &kernels.$straddling),
            }
        };
    }
    match data {
        TableData::F32(_) => of_type!(
            embedding_bag_bwd_step_sgd_f32,
            embedding_bag_bwd_step_adagrad_f32,
            embedding_bag_bwd_step_adam_f32,
            embedding_bag_bwd_step_rowwise_f32,
            embedding_bag_bwd_straddling_f32,
            embedding_bag_bwd_step_f32_v1,
            embedding_bag_bwd_straddling_f32_v1
        ),
        TableData::Bf16(_) => of_type!(
            embedding_bag_bwd_step_sgd_bf16,
            embedding_bag_bwd_step_adagrad_bf16,
            embedding_bag_bwd_step_adam_bf16,
            embedding_bag_bwd_step_rowwise_bf16,
            embedding_bag_bwd_straddling_bf16,
            embedding_bag_bwd_step_bf16_v1,
            embedding_bag_bwd_straddling_bf16_v1
        ),
        TableData::F16(_) => of_type!(
            embedding_bag_bwd_step_sgd_f16,
            embedding_bag_bwd_step_adagrad_f16,
            embedding_bag_bwd_step_adam_f16,
            embedding_bag_bwd_step_rowwise_f16,
            embedding_bag_bwd_straddling_f16,
            embedding_bag_bwd_step_f16_v1,
            embedding_bag_bwd_straddling_f16_v1
        ),
    }
}

/// The gradients as the kernels take them, at most [`GRADIENTS`].
fn gradients(grads: &[Mat<'_, Cuda>]) -> Gradients {
    let mut all = Gradients { data: [In::NULL; GRADIENTS], stride: [0; GRADIENTS], first: [u32::MAX; GRADIENTS] };
    let mut first = 0;
    for (i, g) in grads.iter().enumerate() {
        (all.data[i], all.stride[i], all.first[i]) = (g.buf.input_at(g.col), g.stride as u32, first as u32);
        first += g.rows;
    }
    all
}

/// See [`Operations::embedding_bag_bwd_step`](crate::backend::Operations::embedding_bag_bwd_step). The plan's rows, starts and
/// positions are checked by the kernel: what does not fit is left out, and is an error at the next read.
pub(crate) fn backward_step(
    cuda: &Cuda,
    table: &mut EmbeddingTable<Cuda>,
    plan: &GradientPlan<'_, Cuda>,
    grads: &[Mat<'_, Cuda>],
    step: &OptimizerStep,
) -> Result<()> {
    const OP: &str = "embedding_bag_bwd_step";
    let EmbeddingTable { rows, dim, ref data, ref state1, ref state2, number } = *table;
    let GradientPlan { uniques, lookups, .. } = *plan;
    need_len(OP, "unique", plan.unique.len(), uniques)?;
    need_len(OP, "starts", plan.starts.len(), uniques + 1)?;
    need_len(OP, "positions", plan.positions.len(), lookups)?;
    if let Some(scales) = plan.scales {
        need_len(OP, "scales", scales.len(), lookups)?;
    }
    need(OP, step.number > 0, "a step number from 1", "0")?;
    need(OP, lookups < 1 << 31, "less than 2^31 positions", lookups)?;
    need(OP, uniques <= lookups, "a position for each unique row", format_args!("{uniques} rows"))?;
    need(OP, uniques > 0 || lookups == 0, "a unique row for each position", "none")?;
    need(OP, rows <= u32::MAX as usize, "a table of less than 2^32 rows", rows)?;
    need(OP, dim <= WIDEST, format_args!("rows of at most {WIDEST} values"), dim)?;
    need(OP, grads.len() <= GRADIENTS, format_args!("at most {GRADIENTS} gradients"), grads.len())?;
    let mut total = 0;
    for g in grads {
        need_mat(OP, "a gradient", g.buf.len(), (g.rows, g.cols, g.stride, g.col))?;
        need(OP, g.cols == dim, format_args!("gradients of width {dim}"), g.cols)?;
        need(OP, g.stride <= u32::MAX as usize, "a stride of less than 2^32", g.stride)?;
        total += g.rows;
    }
    need(OP, total < u32::MAX as usize, "less than 2^32 - 1 gradient rows", total)?;
    let (width1, width2) = match step.kind {
        OptimizerKind::Sgd => (0, 0),
        OptimizerKind::Adagrad => (dim, 0),
        OptimizerKind::RowwiseAdagrad => (1, 0),
        OptimizerKind::Adam => (dim, dim),
    };
    need_len(OP, "state 1", state1.as_ref().map_or(0, |x| x.len()), rows * width1)?;
    need_len(OP, "state 2", state2.as_ref().map_or(0, |x| x.len()), rows * width2)?;
    let values = TableValues::of(data);
    need_len(OP, "the table", values.len, rows * dim)?;
    if dim == 0 || lookups == 0 {
        return Ok(());
    }
    let mut aligned = dim.is_multiple_of(4) && values.aligned();
    for g in grads {
        aligned &= g.buf.ptr_at(g.col).is_multiple_of(16) && g.stride.is_multiple_of(4);
    }
    let (chunks, straddling) = kernels_for(cuda.kernels.embedding(&cuda.context)?, data, step.kind, aligned);
    let log_lanes = log_lanes(dim, if aligned { 4 } else { 1 }, WIDEST);
    // A row wider than a warp takes a block.
    let threads = if log_lanes > 5 { 1 << log_lanes } else { THREADS };
    let count = lookups.div_ceil(CHUNK);
    let grid = [count.div_ceil(threads >> log_lanes) as u32, 1, 1];
    let partials = cuda.scratch::<f32>(count * 2 * dim)?;
    let straddles = cuda.scratch::<u32>(count)?;
    let target = Target {
        table: values.values,
        state1: output(state1.as_ref()),
        state2: output(state2.as_ref()),
        run_key: run_key(step),
        number,
        rows: rows as u32,
        dim: dim as u32,
        log_lanes,
    };
    let args = StepChunksArgs {
        target,
        gradients: gradients(grads),
        rule: Rule::new(step),
        unique: plan.unique.input(),
        starts: plan.starts.input(),
        positions: plan.positions.input(),
        scales: input(plan.scales),
        partials: partials.output(),
        straddling: straddles.output(),
        status: cuda.status().plan(),
        gradient_rows: total as u32,
        uniques: uniques as u32,
        lookups: lookups as u32,
        unused: Pad::Zero,
    };
    // Partials and straddling hold two rows and a word a chunk; the kernel touches no row that is not below `rows`, no
    // gradient row that is not below `total`; one stream orders it.
    // SAFETY: the table and the states that the kind keeps hold `rows` rows, the plan's lists their lengths, every
    // gradient lies inside its buffer (all checked above), and accesses of four values are aligned (`aligned`).
    unsafe { cuda.launch(chunks, grid, threads as u32, 0, &args) }?;
    if count == 1 {
        return Ok(());
    }
    let args = StepStraddlingArgs {
        target,
        rule: args.rule,
        unique: args.unique,
        starts: args.starts,
        partials: partials.input(),
        straddling: straddles.input(),
        lookups: args.lookups,
        unused: Pad::Zero,
    };
    // SAFETY: as above; the launch before wrote a word of `straddling` for each chunk, below `uniques` where it names a
    // run, and the partial sums of every such run; runs are cut off at `lookups`.
    unsafe { cuda.launch(straddling, grid, threads as u32, 0, &args) }
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
