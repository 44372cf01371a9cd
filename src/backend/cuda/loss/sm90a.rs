//! The in-batch softmax by kernels for sm_90a: warpgroups that multiply what bulk copies bring, in the same steps as `loss`.
//!
//! A fixed reference stands in for each row's largest score wherever the lengths of the embeddings, the scale and the biases
//! bound the scores enough; the device finds that out for each call, and takes the running maximum where it does not hold.

pub(in crate::backend::cuda) mod arguments;
pub(crate) mod shape;

use arguments::{CallParts, ColumnIds, HopperBackwardArgs, HopperForwardArgs, Panels, PrepareHopperArgs};
use shape::{COLUMNS, MAX_DIM, PAD, PANEL, WarpgroupTiling};

use super::THREADS;
use super::arguments::{LossCall, MaskedLists};
use super::shape::ColumnSplit;
use crate::Result;
use crate::backend::cuda::architecture::Architecture;
use crate::backend::cuda::arguments::Pad;
use crate::backend::cuda::kernels::{Kernel, LossSm90a as Kernels};
use crate::backend::cuda::launch::blocks;
use crate::backend::cuda::{Buf, Cuda, input, output};
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::config::Precision;

/// Rows that a block of `loss_prepare_sm90a` converts at a time, and blocks for an operand at most: every block of the forward
/// product reads what each of them found.
const PART_ROWS: usize = 32;
const MAX_PARTS: usize = 128;
/// Rows of a warp of the products: they have a ticket of their own.
const WARP_ROWS: usize = 16;

/// Whether these kernels do a call. What they leave to the kernels for sm_80, which give the same within the same tolerances:
/// products of operands split in two (`Precision::Fp32`), and embeddings wider than two panels: there are no kernels for them.
/// Nor do they take a call without candidates, whose products have no tile.
pub(super) fn serves(cuda: &Cuda, loss: &SoftmaxLoss<'_, Cuda>) -> bool {
    cuda.architecture() == Architecture::Sm90a
        && cuda.precision() == Precision::Bf16
        && loss.dim <= MAX_DIM
        && loss.columns > 0
}

/// An operand in panels.
struct PanelOperand {
    values: Buf<u16>,
    rows: usize,
    padded: usize,
}

impl PanelOperand {
    fn room(cuda: &Cuda, rows: usize, width: usize) -> Result<PanelOperand> {
        let padded = rows.next_multiple_of(PAD);
        Ok(PanelOperand { values: cuda.scratch(padded * width)?, rows, padded })
    }

    /// As kernels take it. Rows fit 32 bits, as `softmax` checks.
    fn panels(&self) -> Panels {
        Panels { values: self.values.input(), rows: self.rows as u32, padded: self.padded as u32 }
    }

    /// Blocks that convert it.
    fn parts(&self) -> usize {
        (self.padded / PART_ROWS).min(MAX_PARTS)
    }
}

/// Ids by row and column, in the orders that the kernels take.
struct PreparedIds {
    candidates: Buf<u32>,
    users: Buf<u32>,
    candidate_fragments: Buf<u32>,
    user_fragments: Buf<u32>,
    candidate_ranges: Buf<[u32; 2]>,
    user_ranges: Buf<[u32; 2]>,
}

/// What `loss_prepare_sm90a` makes, and of `offset` and `gap` the ends: the forward product writes the others.
struct Prepared {
    extremes: Buf<[f32; 4]>,
    weight_sums: Option<Buf<f64>>,
    bias2: Buf<f32>,
    positives: Buf<u32>,
    fragment_positives: Buf<u32>,
    ids: Option<PreparedIds>,
    spans: Option<Buf<[u32; 2]>>,
    users: PanelOperand,
    candidates: PanelOperand,
    offset: Buf<f32>,
    gap: Buf<f32>,
    user_tickets: Buf<u32>,
    candidate_tickets: Buf<u32>,
}

/// What the forward product finds, beside dU.
struct UserSums {
    /// One.
    call: Buf<LossCall>,
    /// Loss and slope of each [`WARP_ROWS`] rows.
    terms: Buf<[f64; 2]>,
}

impl Prepared {
    /// The lists of masked columns.
    fn masked(&self, loss: &SoftmaxLoss<'_, Cuda>) -> MaskedLists {
        MaskedLists { spans: input(self.spans.as_ref()), columns: input(loss.masked.as_ref().map(|m| m.columns)) }
    }
}

/// See [`softmax`](super::softmax), which has checked what it is given. At least one row. Three launches: what stands before
/// the products, the users' product with all that follows from it by row, the candidates' with what sums up.
pub(super) fn softmax(cuda: &Cuda, grads: &SoftmaxGrads<'_, Cuda>, loss: &SoftmaxLoss<'_, Cuda>) -> Result<()> {
    let prepared = prepare(cuda, loss)?;
    let sums = users(cuda, grads, loss, &prepared)?;
    candidates(cuda, grads, loss, &prepared, &sums)
}

fn kernels(cuda: &Cuda) -> Result<&Kernels> {
    cuda.kernels.loss_sm90a(&cuda.context)
}

fn forward<'a>(kernels: &'a Kernels, tiling: &WarpgroupTiling) -> &'a Kernel<HopperForwardArgs> {
    match (tiling.width, tiling.groups) {
        (PANEL, 3) => &kernels.loss_fwd_sm90a_64,
        (PANEL, _) => &kernels.loss_fwd_sm90a_64_few,
        _ => &kernels.loss_fwd_sm90a_128,
    }
}

fn backward<'a>(kernels: &'a Kernels, tiling: &WarpgroupTiling) -> &'a Kernel<HopperBackwardArgs> {
    match (tiling.width, tiling.groups) {
        (PANEL, 3) => &kernels.loss_bwd_sm90a_64,
        (PANEL, _) => &kernels.loss_bwd_sm90a_64_few,
        _ => &kernels.loss_bwd_sm90a_128,
    }
}

fn prepare(cuda: &Cuda, loss: &SoftmaxLoss<'_, Cuda>) -> Result<Prepared> {
    let (b, c) = (loss.rows, loss.columns);
    let width = WarpgroupTiling::new(loss.dim, b, loss.masked.is_some()).width;
    let users = PanelOperand::room(cuda, b, width)?;
    let candidates = PanelOperand::room(cuda, c, width)?;
    let (rows, columns) = (users.padded, candidates.padded);
    let ids = || -> Result<PreparedIds> {
        Ok(PreparedIds {
            candidates: cuda.scratch(columns)?,
            users: cuda.scratch(rows)?,
            candidate_fragments: cuda.scratch(columns)?,
            user_fragments: cuda.scratch(rows)?,
            candidate_ranges: cuda.scratch(columns / 32)?,
            user_ranges: cuda.scratch(rows / 32)?,
        })
    };
    let (user_parts, candidate_parts) = (users.parts(), candidates.parts());
    let prepared = Prepared {
        extremes: cuda.scratch(user_parts + candidate_parts)?,
        weight_sums: loss.weights.map(|_| cuda.scratch(b.div_ceil(THREADS))).transpose()?,
        bias2: cuda.scratch(columns)?,
        positives: cuda.scratch(rows)?,
        fragment_positives: cuda.scratch(rows)?,
        ids: loss.ids.is_some().then(ids).transpose()?,
        spans: loss.masked.is_some().then(|| cuda.scratch(b)).transpose()?,
        users,
        candidates,
        offset: cuda.scratch(rows)?,
        gap: cuda.scratch(rows)?,
        user_tickets: cuda.scratch(rows / WARP_ROWS)?,
        candidate_tickets: cuda.scratch(columns / WARP_ROWS)?,
    };
    let value_blocks = blocks(rows.max(columns), THREADS);
    let (ids, masked) = (prepared.ids.as_ref(), loss.masked.as_ref());
    let args = PrepareHopperArgs {
        user_panels: prepared.users.values.output(),
        candidate_panels: prepared.candidates.values.output(),
        extremes: prepared.extremes.output(),
        weight_sums: output(prepared.weight_sums.as_ref()),
        bias2: prepared.bias2.output(),
        candidate_ids: output(ids.map(|ids| &ids.candidates)),
        column_ids: output(ids.map(|ids| &ids.candidate_fragments)),
        column_ranges: output(ids.map(|ids| &ids.candidate_ranges)),
        positives: prepared.positives.output(),
        user_ids: output(ids.map(|ids| &ids.users)),
        fragment_positives: prepared.fragment_positives.output(),
        fragment_ids: output(ids.map(|ids| &ids.user_fragments)),
        user_ranges: output(ids.map(|ids| &ids.user_ranges)),
        offset: prepared.offset.output(),
        gap: prepared.gap.output(),
        user_tickets: prepared.user_tickets.output(),
        candidate_tickets: prepared.candidate_tickets.output(),
        spans: output(prepared.spans.as_ref()),
        status: cuda.status().loss(),
        users: loss.users.input(),
        candidates: loss.candidates.input(),
        weights: input(loss.weights),
        bias: input(loss.bias),
        ids: input(loss.ids),
        given_positives: input(loss.positives),
        offsets: input(masked.map(|m| m.offsets)),
        masked: input(masked.map(|m| m.columns)),
        masked_len: masked.map_or(0, |m| m.columns.len()) as u64,
        rows: b as u32,
        columns: c as u32,
        padded_rows: rows as u32,
        padded_columns: columns as u32,
        user_parts: user_parts as u32,
        candidate_parts: candidate_parts as u32,
        value_blocks,
        dim: loss.dim as u32,
        panels: (width / PANEL) as u32,
        unused: Pad::Zero,
    };
    let grid = [value_blocks + (user_parts + candidate_parts) as u32, 1, 1];
    // SAFETY: the results were made for these sizes above (panels hold the padded rows x width, extremes one value a part),
    // the inputs' lengths were checked: no row or column beyond them is read, a list only inside `masked_len`, an id only
    // below `columns`.
    unsafe { cuda.launch(&kernels(cuda)?.loss_prepare_sm90a, grid, THREADS as u32, 0, &args) }?;
    Ok(prepared)
}

/// The results of splits, where there are several.
fn parts(cuda: &Cuda, splits: usize, len: usize) -> Result<Option<Buf<f32>>> {
    (splits > 1).then(|| cuda.scratch(splits * len)).transpose()
}

/// dU, and what is known of the users after it.
fn users(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    prepared: &Prepared,
) -> Result<UserSums> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let tiling = WarpgroupTiling::new(d, b, loss.masked.is_some());
    let ColumnSplit { blocks: row_blocks, splits, tiles } = tiling.split(b, c);
    let row_sums = cuda.scratch::<[f32; 2]>(splits * b)?;
    // Negatives are counted where their number matters.
    let counted = loss.corrected.is_some() && (loss.ids.is_some() || loss.masked.is_some());
    let dead = counted.then(|| cuda.scratch::<u32>(splits * b)).transpose()?;
    let dots = cuda.scratch::<f32>(b)?;
    let parts = parts(cuda, splits, b * tiling.width)?;
    let sums = UserSums { call: cuda.scratch(1)?, terms: cuda.scratch(b.div_ceil(WARP_ROWS))? };
    let ids = prepared.ids.as_ref();
    let args = HopperForwardArgs {
        parts: output(parts.as_ref()),
        sums: row_sums.output(),
        dead: output(dead.as_ref()),
        dots: dots.output(),
        tickets: prepared.user_tickets.output(),
        stuck: cuda.status().stuck(),
        call: sums.call.output(),
        du: grads.users.output(),
        terms: sums.terms.output(),
        offset: prepared.offset.output(),
        gap: prepared.gap.output(),
        users: prepared.users.panels(),
        candidates: prepared.candidates.panels(),
        bias2: prepared.bias2.input(),
        column_ids: ColumnIds {
            ids: input(ids.map(|ids| &ids.candidate_fragments)),
            ranges: input(ids.map(|ids| &ids.candidate_ranges)),
        },
        positives: prepared.positives.input(),
        user_ids: input(ids.map(|ids| &ids.users)),
        masked: prepared.masked(loss),
        call_parts: CallParts {
            extremes: prepared.extremes.input(),
            weight_sums: input(prepared.weight_sums.as_ref()),
            log_scale: loss.log_scale.input(),
            user_parts: prepared.users.parts() as u32,
            candidate_parts: prepared.candidates.parts() as u32,
        },
        user_rows: loss.users.input(),
        candidate_rows: loss.candidates.input(),
        weights: input(loss.weights),
        corrected: input(loss.corrected),
        dim: d as u32,
        tiles: c.div_ceil(COLUMNS) as u32,
        split_tiles: tiles as u32,
        splits: splits as u32,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    // Block and shared memory are `tiling`'s.
    // SAFETY: results were made for `splits` x rows (x width), dU was checked; panels and arrays by row and column are padded to
    // whole tiles, and hold a block's rows (PAD), tickets one of each WARP_ROWS of them; positives are columns or NO_COLUMN and
    // spans lie inside the list (loss_prepare_sm90a). The kernel touches nothing beyond these.
    unsafe { cuda.launch(forward(kernels(cuda)?, &tiling), grid, tiling.threads(), tiling.shared(), &args) }?;
    Ok(sums)
}

/// dV, loss and derivative by log_scale.
fn candidates(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    prepared: &Prepared,
    sums: &UserSums,
) -> Result<()> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let tiling = WarpgroupTiling::new(d, c, loss.masked.is_some());
    let ColumnSplit { blocks: row_blocks, splits, tiles } = tiling.split(c, b);
    let parts = parts(cuda, splits, c * tiling.width)?;
    let ids = prepared.ids.as_ref();
    let args = HopperBackwardArgs {
        dv: grads.candidates.output(),
        parts: output(parts.as_ref()),
        tickets: prepared.candidate_tickets.output(),
        stats: grads.stats.output(),
        stuck: cuda.status().stuck(),
        candidates: prepared.candidates.panels(),
        users: prepared.users.panels(),
        offset: prepared.offset.input(),
        gap: prepared.gap.input(),
        terms: sums.terms.input(),
        positives: prepared.fragment_positives.input(),
        user_ids: ColumnIds {
            ids: input(ids.map(|ids| &ids.user_fragments)),
            ranges: input(ids.map(|ids| &ids.user_ranges)),
        },
        bias2: prepared.bias2.input(),
        candidate_ids: input(ids.map(|ids| &ids.candidates)),
        masked: prepared.masked(loss),
        call: sums.call.input(),
        dim: d as u32,
        tiles: b.div_ceil(COLUMNS) as u32,
        split_tiles: tiles as u32,
        splits: splits as u32,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    // Block and shared memory are `tiling`'s.
    // SAFETY: `parts` was made for `splits` x columns x width, dV and stats were checked; panels and arrays by user and column
    // are padded to whole tiles, and hold a block's rows (PAD), tickets one of each WARP_ROWS of them; spans lie inside the
    // list. The kernel touches nothing beyond these.
    unsafe { cuda.launch(backward(kernels(cuda)?, &tiling), grid, tiling.threads(), tiling.shared(), &args) }
}
