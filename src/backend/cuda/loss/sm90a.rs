//! The in-batch softmax by kernels for sm_90a: warpgroups that multiply what bulk copies bring, in the same steps as `loss`.
//!
//! A fixed reference stands in for each row's largest score wherever the lengths of the embeddings, the scale and the biases
//! bound the scores enough; the device finds that out for each call, and takes the running maximum where it does not hold.

pub(in crate::backend::cuda) mod arguments;
pub(crate) mod shape;

use arguments::{ColumnIds, HopperBackwardArgs, HopperForwardArgs, Panels, PanelsArgs, PrepareHopperArgs};
use shape::{COLUMNS, MAX_DIM, PAD, PANEL, WarpgroupTiling};

use super::arguments::{LossCall, LossFinishArgs, MaskedLists};
use super::shape::ColumnSplit;
use super::{RowTerms, THREADS, add_parts};
use crate::Result;
use crate::backend::cuda::architecture::Architecture;
use crate::backend::cuda::arguments::Pad;
use crate::backend::cuda::kernels::{Kernel, LossSm90a as Kernels};
use crate::backend::cuda::launch::blocks;
use crate::backend::cuda::{Buf, Cuda, input, output};
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::config::Precision;

/// Rows that a block of `loss_panels_sm90a` converts at a time, and blocks for an operand at most: every block of
/// `loss_prepare_sm90a` reads what each of them found.
const PART_ROWS: usize = 32;
const MAX_PARTS: usize = 1024;

/// Whether these kernels do a call. What they leave to the kernels for sm_80, which give the same within the same tolerances:
/// products of operands split in two (`Precision::Fp32`), and embeddings wider than two panels. There are no kernels for them.
pub(super) fn serves(cuda: &Cuda, loss: &SoftmaxLoss<'_, Cuda>) -> bool {
    cuda.architecture() == Architecture::Sm90a
        && cuda.precision() == Precision::Bf16
        && loss.dim <= MAX_DIM
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

/// What `loss_panels_sm90a` and `loss_prepare_sm90a` make.
struct Prepared {
    call: Buf<LossCall>,
    bias2: Buf<f32>,
    column_bias: Buf<f32>,
    positives: Buf<u32>,
    fragment_positives: Buf<u32>,
    ids: Option<PreparedIds>,
    spans: Option<Buf<[u32; 2]>>,
    users: PanelOperand,
    candidates: PanelOperand,
}

impl Prepared {
    /// The lists of masked columns.
    fn masked(&self, loss: &SoftmaxLoss<'_, Cuda>) -> MaskedLists {
        MaskedLists { spans: input(self.spans.as_ref()), columns: input(loss.masked.as_ref().map(|m| m.columns)) }
    }
}

/// See [`softmax`](super::softmax), which has checked what it is given. At least one row.
pub(super) fn softmax(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
) -> Result<Buf<[f64; 2]>> {
    let prepared = prepare(cuda, loss)?;
    let rows = users(cuda, grads, loss, &prepared)?;
    candidates(cuda, grads, loss, &prepared, &rows)?;
    Ok(rows.terms)
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
    let prepared = Prepared {
        call: cuda.scratch(1)?,
        bias2: cuda.scratch(columns)?,
        column_bias: cuda.scratch(columns)?,
        positives: cuda.scratch(rows)?,
        fragment_positives: cuda.scratch(rows)?,
        ids: loss.ids.is_some().then(ids).transpose()?,
        spans: loss.masked.is_some().then(|| cuda.scratch(b)).transpose()?,
        users,
        candidates,
    };
    let (user_parts, candidate_parts) = (prepared.users.parts(), prepared.candidates.parts());
    let extremes = cuda.scratch::<[f32; 4]>(user_parts + candidate_parts)?;
    let args = PanelsArgs {
        user_panels: prepared.users.values.output(),
        candidate_panels: prepared.candidates.values.output(),
        extremes: extremes.output(),
        users: loss.users.input(),
        candidates: loss.candidates.input(),
        bias: input(loss.bias),
        rows: b as u32,
        columns: c as u32,
        padded_rows: rows as u32,
        padded_columns: columns as u32,
        user_parts: user_parts as u32,
        candidate_parts: candidate_parts as u32,
        dim: loss.dim as u32,
        panels: (width / PANEL) as u32,
    };
    let grid = [(user_parts + candidate_parts) as u32, 1, 1];
    let kernels = kernels(cuda)?;
    // SAFETY: panels hold the padded rows x width; the inputs' lengths were checked: the kernel reads no row or column
    // beyond them; one value of extremes for each block.
    unsafe { cuda.launch(&kernels.loss_panels_sm90a, grid, THREADS as u32, 0, &args) }?;
    let (ids, masked) = (prepared.ids.as_ref(), loss.masked.as_ref());
    let args = PrepareHopperArgs {
        call: prepared.call.output(),
        bias2: prepared.bias2.output(),
        column_bias: prepared.column_bias.output(),
        candidate_ids: output(ids.map(|ids| &ids.candidates)),
        column_ids: output(ids.map(|ids| &ids.candidate_fragments)),
        column_ranges: output(ids.map(|ids| &ids.candidate_ranges)),
        positives: prepared.positives.output(),
        user_ids: output(ids.map(|ids| &ids.users)),
        fragment_positives: prepared.fragment_positives.output(),
        fragment_ids: output(ids.map(|ids| &ids.user_fragments)),
        user_ranges: output(ids.map(|ids| &ids.user_ranges)),
        spans: output(prepared.spans.as_ref()),
        status: cuda.status().loss(),
        extremes: extremes.input(),
        log_scale: loss.log_scale.input(),
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
    };
    let grid = [blocks(rows.max(columns), THREADS), 1, 1];
    // SAFETY: the results were made for these sizes above, the inputs' lengths were checked; a list is read only inside
    // `masked_len`, an id only below `columns`, and extremes are those of the launch before.
    unsafe { cuda.launch(&kernels.loss_prepare_sm90a, grid, THREADS as u32, 0, &args) }?;
    Ok(prepared)
}

/// dU, and what is known of the users after it.
fn users(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    prepared: &Prepared,
) -> Result<RowTerms> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let tiling = WarpgroupTiling::new(d, b, loss.masked.is_some());
    let ColumnSplit { blocks: row_blocks, splits, tiles } = tiling.split(b, c);
    let sums = cuda.scratch::<[f32; 2]>(splits * b)?;
    // Negatives are counted where their number matters.
    let counted = loss.corrected.is_some() && (loss.ids.is_some() || loss.masked.is_some());
    let dead = counted.then(|| cuda.scratch::<u32>(splits * b)).transpose()?;
    let dots = cuda.scratch::<f32>(b)?;
    // A single part is finished where it stands.
    let parts = (splits > 1).then(|| cuda.scratch::<f32>(splits * b * d)).transpose()?;
    let parts = parts.as_ref().unwrap_or(grads.users);
    let ids = prepared.ids.as_ref();
    let args = HopperForwardArgs {
        out: parts.output(),
        sums: sums.output(),
        dead: output(dead.as_ref()),
        dots: dots.output(),
        stuck: cuda.status().stuck(),
        users: prepared.users.panels(),
        candidates: prepared.candidates.panels(),
        column_bias: prepared.column_bias.input(),
        column_ids: ColumnIds {
            ids: input(ids.map(|ids| &ids.candidate_fragments)),
            ranges: input(ids.map(|ids| &ids.candidate_ranges)),
        },
        positives: prepared.positives.input(),
        user_ids: input(ids.map(|ids| &ids.users)),
        masked: prepared.masked(loss),
        call: prepared.call.input(),
        dim: d as u32,
        tiles: c.div_ceil(COLUMNS) as u32,
        split_tiles: tiles as u32,
        unused: Pad::Zero,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    let kernels = kernels(cuda)?;
    // Block and shared memory are `tiling`'s.
    // SAFETY: results were made for `splits` x rows (x dim); panels and arrays by column are padded to whole tiles, and hold
    // a block's rows (PAD); spans lie inside the list (loss_prepare_sm90a). The kernel touches nothing beyond these.
    unsafe { cuda.launch(forward(kernels, &tiling), grid, tiling.threads(), tiling.shared(), &args) }?;

    let padded = prepared.users.padded;
    let rows = RowTerms { offset: cuda.scratch(padded)?, gap: cuda.scratch(padded)?, terms: cuda.scratch(b)? };
    let args = LossFinishArgs {
        du: grads.users.output(),
        terms: rows.terms.output(),
        offset: rows.offset.output(),
        gap: rows.gap.output(),
        parts: parts.input(),
        sums: sums.input(),
        dead: input(dead.as_ref()),
        dots: dots.input(),
        call: prepared.call.input(),
        users: loss.users.input(),
        candidates: loss.candidates.input(),
        weights: input(loss.weights),
        corrected: input(loss.corrected),
        bias2: prepared.bias2.input(),
        positives: prepared.positives.input(),
        rows: b as u64,
        columns: c as u64,
        padded_rows: padded as u64,
        dim: d as u32,
        splits: splits as u32,
    };
    let grid = [blocks(padded, THREADS / 4), 1, 1];
    // `parts` may be `du`: a thread reads a place, then writes it.
    // SAFETY: the inputs' lengths were checked, the rest was made for these sizes; positives are columns or NO_COLUMN
    // (loss_prepare_sm90a); the order of fragments moves a row within 16, which divide `padded`.
    unsafe { cuda.launch(&kernels.loss_finish_sm90a, grid, THREADS as u32, 0, &args) }?;
    Ok(rows)
}

/// dV.
fn candidates(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    prepared: &Prepared,
    rows: &RowTerms,
) -> Result<()> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let tiling = WarpgroupTiling::new(d, c, loss.masked.is_some());
    let ColumnSplit { blocks: row_blocks, splits, tiles } = tiling.split(c, b);
    let parts = (splits > 1).then(|| cuda.scratch::<f32>(splits * c * d)).transpose()?;
    let ids = prepared.ids.as_ref();
    let args = HopperBackwardArgs {
        out: parts.as_ref().unwrap_or(grads.candidates).output(),
        stuck: cuda.status().stuck(),
        candidates: prepared.candidates.panels(),
        users: prepared.users.panels(),
        offset: rows.offset.input(),
        gap: rows.gap.input(),
        positives: prepared.fragment_positives.input(),
        user_ids: ColumnIds {
            ids: input(ids.map(|ids| &ids.user_fragments)),
            ranges: input(ids.map(|ids| &ids.user_ranges)),
        },
        bias2: prepared.bias2.input(),
        candidate_ids: input(ids.map(|ids| &ids.candidates)),
        masked: prepared.masked(loss),
        call: prepared.call.input(),
        dim: d as u32,
        tiles: b.div_ceil(COLUMNS) as u32,
        split_tiles: tiles as u32,
        unused: Pad::Zero,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    // Block and shared memory are `tiling`'s.
    // SAFETY: `out` was made for `splits` x columns x dim, or is dV (checked); panels and arrays by user are padded to whole
    // tiles, and hold a block's rows (PAD); spans lie inside the list. The kernel touches nothing beyond these.
    unsafe { cuda.launch(backward(kernels(cuda)?, &tiling), grid, tiling.threads(), tiling.shared(), &args) }?;
    match parts {
        Some(parts) => add_parts(cuda, grads.candidates, &parts, c * d, splits),
        None => Ok(()),
    }
}
