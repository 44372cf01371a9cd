//! The in-batch softmax: 8 B C D operations on tensor cores, no score in memory, nothing read back.
//!
//! 1. `loss_operands` makes bf16 operands of users and candidates, and notes their extremes: they say whether one reference
//!    serves all scores. `loss_prepare` makes the scalars and the arrays by row and column.
//! 2. Forward, rows = users: for each user the sums of e^score and of e^score v over the negatives, in one pass.
//! 3. `loss_finish` joins the splits and the positive: losses, dU, and what the last product needs of each row.
//! 4. Backward, rows = candidates: dV.
//! 5. `loss_stats` sums losses and slopes of all rows in f64.
//!
//! Products have two precisions ([`Precision`](crate::config::Precision)): bf16, or operands and probabilities split
//! in two, which leaves errors of about 2^-16. Every sum has one order, whatever the device.

pub(super) mod arguments;
pub(crate) mod shape;
pub(super) mod sm90a;
mod weights;

use arguments::{
    LossAddArgs, LossBackwardArgs, LossCall, LossFinishArgs, LossForwardArgs, LossOperand, LossOperandsArgs,
    LossPrepareArgs, LossStatsArgs, MaskedLists, UserTerms,
};

use super::arguments::{In, Operand, Pad};
use super::kernels::{Kernel, Loss as Kernels};
use super::launch::blocks;
use super::tiles::Tiles;
use super::{Buf, Cuda, check, input, need, output};
use crate::Result;
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::config::Precision;
use shape::{ColumnSplit, LossTiling, MAX_DIM};
pub(crate) use weights::top_k_weights;

/// Rows and columns of operands and prepared arrays are padded to this: the rows of every narrow block and the columns of every
/// tile divide it.
const PAD: usize = 128;
/// Threads of a block, of the kernels beside the products.
const THREADS: usize = 256;
/// Rows that a block of `loss_operands` makes, where it need not make more, and blocks for an operand at most: every block of
/// `loss_prepare` reads what each of them found.
const PART_ROWS: usize = 32;
const MAX_PARTS: usize = 1024;

/// Ids by row or column, in the order of fragments, and the least and greatest of each 32.
struct PreparedIds {
    ids: Buf<u32>,
    ranges: Buf<[u32; 2]>,
}

/// What `loss_operands` and `loss_prepare` make: see [`LossPrepareArgs`].
struct PreparedLoss {
    /// One.
    call: Buf<LossCall>,
    bias2: Buf<f32>,
    column_bias: Buf<f32>,
    positives: Buf<u32>,
    fragment_positives: Buf<u32>,
    /// Of users, and of candidates.
    ids: Option<[PreparedIds; 2]>,
    spans: Option<Buf<[u32; 2]>>,
    users: Tiles,
    candidates: Tiles,
}

/// What the last product needs of the rows.
struct RowTerms {
    offset: Buf<f32>,
    gap: Buf<f32>,
    /// Loss and slope of each.
    terms: Buf<[f64; 2]>,
}

impl PreparedLoss {
    /// The lists of masked columns.
    fn masked(&self, loss: &SoftmaxLoss<'_, Cuda>) -> MaskedLists {
        MaskedLists { spans: input(self.spans.as_ref()), columns: input(loss.masked.as_ref().map(|m| m.columns)) }
    }

    fn user_ids(&self) -> Option<&PreparedIds> {
        self.ids.as_ref().map(|[users, _]| users)
    }

    fn candidate_ids(&self) -> Option<&PreparedIds> {
        self.ids.as_ref().map(|[_, candidates]| candidates)
    }
}

/// Blocks of `loss_operands` for an operand.
pub(crate) fn parts(rows: usize) -> usize {
    (rows.next_multiple_of(PAD) / PART_ROWS).min(MAX_PARTS)
}

/// Tiles of padded rows, as the products take them: `rows` are there.
fn operand(tiles: &Tiles, rows: usize) -> Operand {
    Operand { rows: rows as u32, ..tiles.operand() }
}

/// See [`Operations::softmax_loss`](crate::backend::Operations::softmax_loss).
///
/// Lengths are checked here. What needs values is checked on the device, and reported when the host reads next: a
/// positive that is no column makes its row count for nothing, and masked columns that are none are left out.
pub(crate) fn softmax(cuda: &Cuda, grads: SoftmaxGrads<'_, Cuda>, loss: &SoftmaxLoss<'_, Cuda>) -> Result<()> {
    const OP: &str = "softmax_loss";
    check::softmax(cuda, &grads, loss)?;
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    need(OP, d <= MAX_DIM, format_args!("embeddings at most {MAX_DIM} wide on a CUDA device"), d)?;
    // Numbers of rows and columns are u32 in the kernels, those of the padding and of a last tile included.
    let most = u32::MAX as usize - 1024;
    need(OP, b <= most && c <= most, format_args!("at most {most} rows and columns"), format_args!("{b} x {c}"))?;
    let owned = grads.users.owned() && grads.candidates.owned() && grads.stats.owned();
    need(OP, owned, "results in buffers of their own", "a staged input")?;
    if b == 0 {
        cuda.fill_zero(grads.candidates, 0, c * d)?;
        return cuda.fill_zero(grads.stats, 0, 2);
    }
    if sm90a::serves(cuda, loss) {
        return sm90a::softmax(cuda, &grads, loss);
    }
    let shape = LossTiling::new(d, cuda.precision());
    let prepared = prepare(cuda, loss, &shape)?;
    let rows = users(cuda, &grads, loss, &shape, &prepared)?;
    candidates(cuda, &grads, loss, &shape, &prepared, &rows)?;
    let kernel = &kernels(cuda)?.loss_stats;
    let args = LossStatsArgs { stats: grads.stats.output(), terms: rows.terms.input(), rows: b as u64 };
    // SAFETY: two values of stats (checked), one of terms for each of the rows. One stream orders it.
    unsafe { cuda.launch(kernel, [1, 1, 1], 1024, 0, &args) }
}

fn kernels(cuda: &Cuda) -> Result<&Kernels> {
    cuda.kernels.loss(&cuda.context)
}

/// The two products' kernels.
fn products<'a>(
    kernels: &'a Kernels,
    shape: &LossTiling,
) -> (&'a Kernel<LossForwardArgs>, &'a Kernel<LossBackwardArgs>) {
    match (shape.wide, shape.parts, shape.width) {
        (true, 1, _) => (&kernels.loss_fwd_bf16_wide, &kernels.loss_bwd_bf16_wide),
        (true, _, _) => (&kernels.loss_fwd_fp32_wide, &kernels.loss_bwd_fp32_wide),
        (_, 1, 32) => (&kernels.loss_fwd_bf16_32, &kernels.loss_bwd_bf16_32),
        (_, 1, 64) => (&kernels.loss_fwd_bf16_64, &kernels.loss_bwd_bf16_64),
        (_, 1, _) => (&kernels.loss_fwd_bf16_128, &kernels.loss_bwd_bf16_128),
        (_, _, 32) => (&kernels.loss_fwd_fp32_32, &kernels.loss_bwd_fp32_32),
        (_, _, 64) => (&kernels.loss_fwd_fp32_64, &kernels.loss_bwd_fp32_64),
        (_, _, _) => (&kernels.loss_fwd_fp32_128, &kernels.loss_bwd_fp32_128),
    }
}

fn prepare(cuda: &Cuda, loss: &SoftmaxLoss<'_, Cuda>, shape: &LossTiling) -> Result<PreparedLoss> {
    let (b, c) = (loss.rows, loss.columns);
    let (rows, columns) = (b.next_multiple_of(PAD), c.next_multiple_of(PAD));
    let room = |rows| Tiles::room(cuda, rows, shape.width, cuda.precision() == Precision::Fp32);
    let ids = |len: usize| -> Result<PreparedIds> {
        Ok(PreparedIds { ids: cuda.scratch(len)?, ranges: cuda.scratch(len / 32)? })
    };
    let prepared = PreparedLoss {
        call: cuda.scratch(1)?,
        bias2: cuda.scratch(columns)?,
        column_bias: cuda.scratch(columns)?,
        positives: cuda.scratch(rows)?,
        fragment_positives: cuda.scratch(rows)?,
        ids: if loss.ids.is_some() { Some([ids(rows)?, ids(columns)?]) } else { None },
        spans: loss.masked.is_some().then(|| cuda.scratch(b)).transpose()?,
        users: room(rows)?,
        candidates: room(columns)?,
    };
    let extremes = cuda.scratch::<[f32; 4]>(parts(b) + parts(c))?;
    let operand = |tiles: &Tiles, from: &Buf<f32>, rows| LossOperand {
        hi: tiles.hi.output(),
        lo: output(tiles.lo.as_ref()),
        from: from.input(),
        rows: rows as u32,
        padded: tiles.rows as u32,
        parts: parts(rows) as u32,
        unused: Pad::Zero,
    };
    let args = LossOperandsArgs {
        users: operand(&prepared.users, loss.users, b),
        candidates: operand(&prepared.candidates, loss.candidates, c),
        extremes: extremes.output(),
        bias: input(loss.bias),
        dim: loss.dim as u32,
        width: shape.width as u32,
    };
    let kernels = kernels(cuda)?;
    let grid = [extremes.len() as u32, 1, 1];
    // SAFETY: operands hold the padded rows x width; the inputs' lengths were checked: the kernel reads no row or column beyond
    // them; one value of extremes for each block.
    unsafe { cuda.launch(&kernels.loss_operands, grid, THREADS as u32, 0, &args) }?;
    let (user_ids, candidate_ids) = (prepared.user_ids(), prepared.candidate_ids());
    let masked = loss.masked.as_ref();
    let args = LossPrepareArgs {
        call: prepared.call.output(),
        bias2: prepared.bias2.output(),
        column_bias: prepared.column_bias.output(),
        candidate_ids: output(candidate_ids.map(|of| &of.ids)),
        candidate_ranges: output(candidate_ids.map(|of| &of.ranges)),
        positives: prepared.positives.output(),
        fragment_positives: prepared.fragment_positives.output(),
        user_ids: output(user_ids.map(|of| &of.ids)),
        user_ranges: output(user_ids.map(|of| &of.ranges)),
        spans: output(prepared.spans.as_ref()),
        status: cuda.status().loss(),
        // The wide kernels have the running maximum alone: exponentials are a small part of their work.
        extremes: if shape.wide { In::NULL } else { extremes.input() },
        log_scale: loss.log_scale.input(),
        weights: input(loss.weights),
        bias: input(loss.bias),
        ids: input(loss.ids),
        given_positives: input(loss.positives),
        offsets: input(masked.map(|m| m.offsets)),
        masked: input(masked.map(|m| m.columns)),
        masked_len: masked.map_or(0, |m| m.columns.len()) as u64,
        rows: b as u64,
        columns: c as u64,
        padded_rows: rows as u64,
        padded_columns: columns as u64,
        user_parts: parts(b) as u32,
        candidate_parts: parts(c) as u32,
    };
    let grid = [1 + blocks(rows.max(columns), THREADS), 1, 1];
    // SAFETY: the results were made for these sizes above (the order of fragments moves a place within 16, which divide
    // them), the inputs' lengths were checked; the kernel reads a list only inside `masked_len`, an id only below `columns`,
    // and extremes of the launch before.
    unsafe { cuda.launch(&kernels.loss_prepare, grid, THREADS as u32, 0, &args) }?;
    Ok(prepared)
}

/// dU, and what is known of the users after it.
fn users(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    shape: &LossTiling,
    prepared: &PreparedLoss,
) -> Result<RowTerms> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let ColumnSplit { blocks: row_blocks, splits, tiles } = shape.split(b, c);
    let sums = cuda.scratch::<[f32; 2]>(splits * b)?;
    // Negatives are counted where their number matters.
    let counted = loss.corrected.is_some() && (loss.ids.is_some() || loss.masked.is_some());
    let dead = counted.then(|| cuda.scratch::<u32>(splits * b)).transpose()?;
    let dots = cuda.scratch::<f32>(b)?;
    // A single part is finished where it stands.
    let parts = (splits > 1).then(|| cuda.scratch::<f32>(splits * b * d)).transpose()?;
    let parts = parts.as_ref().unwrap_or(grads.users);
    let args = LossForwardArgs {
        out: parts.output(),
        sums: sums.output(),
        dead: output(dead.as_ref()),
        dots: dots.output(),
        users: operand(&prepared.users, b),
        candidates: operand(&prepared.candidates, c),
        column_bias: prepared.column_bias.input(),
        positives: prepared.positives.input(),
        user_ids: input(prepared.user_ids().map(|of| &of.ids)),
        candidate_ids: input(prepared.candidate_ids().map(|of| &of.ids)),
        candidate_ranges: input(prepared.candidate_ids().map(|of| &of.ranges)),
        masked: prepared.masked(loss),
        call: prepared.call.input(),
        dim: d as u32,
        split_tiles: tiles as u32,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    let kernel = products(kernels(cuda)?, shape).0;
    // Block and shared memory are `shape`'s.
    // SAFETY: results were made for `splits` x rows (x dim), operands and arrays by column are padded to whole blocks and
    // tiles; spans lie inside the list (loss_prepare). The kernel touches nothing beyond these.
    unsafe { cuda.launch(kernel, grid, shape.threads as u32, shape.forward_shared(), &args) }?;

    let padded = b.next_multiple_of(PAD);
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
    // (loss_prepare).
    unsafe { cuda.launch(&kernels(cuda)?.loss_finish, grid, THREADS as u32, 0, &args) }?;
    Ok(rows)
}

/// dV.
fn candidates(
    cuda: &Cuda,
    grads: &SoftmaxGrads<'_, Cuda>,
    loss: &SoftmaxLoss<'_, Cuda>,
    shape: &LossTiling,
    prepared: &PreparedLoss,
    rows: &RowTerms,
) -> Result<()> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let ColumnSplit { blocks: row_blocks, splits, tiles } = shape.split(c, b);
    let parts = (splits > 1).then(|| cuda.scratch::<f32>(splits * c * d)).transpose()?;
    let args = LossBackwardArgs {
        out: parts.as_ref().unwrap_or(grads.candidates).output(),
        candidates: operand(&prepared.candidates, c),
        users: operand(&prepared.users, b),
        bias2: prepared.bias2.input(),
        candidate_ids: input(prepared.candidate_ids().map(|of| &of.ids)),
        terms: UserTerms {
            offset: rows.offset.input(),
            gap: rows.gap.input(),
            positives: prepared.fragment_positives.input(),
            ids: input(prepared.user_ids().map(|of| &of.ids)),
            ranges: input(prepared.user_ids().map(|of| &of.ranges)),
        },
        masked: prepared.masked(loss),
        call: prepared.call.input(),
        dim: d as u32,
        split_tiles: tiles as u32,
    };
    let grid = [row_blocks as u32, splits as u32, 1];
    let shared = shape.backward_shared(loss.masked.is_some());
    let kernel = products(kernels(cuda)?, shape).1;
    // Block and shared memory are `shape`'s.
    // SAFETY: `out` was made for `splits` x columns x dim, or is dV (checked); operands and arrays by user are
    // padded to whole blocks and tiles; spans lie inside the list. The kernel touches nothing beyond these.
    unsafe { cuda.launch(kernel, grid, shape.threads as u32, shared, &args) }?;
    match parts {
        Some(parts) => add_parts(cuda, grads.candidates, &parts, c * d, splits),
        None => Ok(()),
    }
}

/// `to` = the sum of `splits` parts of `len` values, in their order.
fn add_parts(cuda: &Cuda, to: &Buf<f32>, parts: &Buf<f32>, len: usize, splits: usize) -> Result<()> {
    let args = LossAddArgs {
        to: to.output(),
        parts: parts.input(),
        len: len as u64,
        splits: splits as u32,
        unused: Pad::Zero,
    };
    let grid = [blocks(len.div_ceil(4), THREADS), 1, 1];
    // SAFETY: the caller made `parts` for `splits` x `len` values, and `to` is dV, which has `len` (checked). One stream
    // orders it.
    unsafe { cuda.launch(&kernels(cuda)?.loss_add, grid, THREADS as u32, 0, &args) }
}
