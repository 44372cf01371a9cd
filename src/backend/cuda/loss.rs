//! The in-batch softmax: 8 B C D operations on tensor cores, no score in memory, nothing read back.
//!
//! 1. Users and candidates become bf16 operands; `loss_prepare` makes the scalars and the arrays by row and column.
//! 2. Forward, rows = users: for each user the sums of e^score and of e^score v over the negatives, in one pass.
//! 3. `loss_finish` joins the splits and the positive: losses, dU, and what the last product needs of each row.
//! 4. Backward, rows = candidates: dV.
//! 5. `loss_stats` sums losses and slopes of all rows in f64.
//!
//! Products have two precisions ([`Precision`](crate::config::Precision)): bf16, or operands and probabilities split
//! in two, which leaves errors of about 2^-16. Every sum has one order, whatever the device.

pub(crate) mod shape;
mod weights;

use super::kernels::{Kernel, Loss as Kernels};
use super::launch::{Arg, args, blocks};
use super::tiles::Tiles;
use super::{Buf, Cuda, check, need};
use crate::Result;
use crate::backend::{Mat, SoftmaxGrads, SoftmaxLoss};
use crate::config::Precision;
use shape::{ColumnSplit, LossTiling, MAX_DIM};
pub(crate) use weights::top_k_weights;

/// Rows and columns of the prepared arrays are padded to this: the columns of every tile divide it.
const PAD: usize = 128;
/// Threads of a block, of the kernels beside the products.
const THREADS: usize = 256;
/// Bytes of a `LossCall`.
const CALL: usize = 24;

/// What `loss_prepare` makes.
struct PreparedLoss {
    /// A `LossCall`.
    call: Buf<u8>,
    /// By column.
    bias2: Buf<f32>,
    candidate_ids: Option<Buf<u32>>,
    /// By row.
    positives: Buf<u32>,
    user_ids: Option<Buf<u32>>,
    /// Two values a row.
    spans: Option<Buf<u32>>,
    users: Tiles,
    candidates: Tiles,
}

/// What the last product needs of the rows.
struct RowTerms {
    offset: Buf<f32>,
    gap: Buf<f32>,
    /// Loss and slope of each.
    terms: Buf<f64>,
}

fn ptr<T>(buf: Option<&Buf<T>>) -> u64 {
    buf.map_or(0, Buf::ptr)
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
    // Numbers of rows and columns are u32 in the kernels, those of the padding included.
    let most = u32::MAX as usize - PAD;
    need(OP, b <= most && c <= most, format_args!("at most {most} rows and columns"), format_args!("{b} x {c}"))?;
    let owned = grads.users.owned() && grads.candidates.owned() && grads.stats.owned();
    need(OP, owned, "results in buffers of their own", "a staged input")?;
    if b == 0 {
        cuda.fill_zero(grads.candidates, 0, c * d)?;
        return cuda.fill_zero(grads.stats, 0, 2);
    }
    let shape = LossTiling::new(d, cuda.precision());
    let prepared = prepare(cuda, loss, &shape)?;
    let rows = users(cuda, &grads, loss, &shape, &prepared)?;
    candidates(cuda, &grads, loss, &shape, &prepared, &rows)?;
    let kernel = &kernels(cuda)?.loss_stats;
    let arguments = args![grads.stats.ptr(), rows.terms.ptr(), b as u64];
    // SAFETY: loss_stats(stats, terms, rows): two values of stats (checked), two of terms for each of the rows.
    unsafe { cuda.launch(kernel, [1, 1, 1], 1024, 0, &arguments) }
}

fn kernels(cuda: &Cuda) -> Result<&Kernels> {
    cuda.kernels.loss(&cuda.context)
}

/// The two products' kernels.
fn products<'a>(kernels: &'a Kernels, shape: &LossTiling) -> (&'a Kernel, &'a Kernel) {
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
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    let (rows, columns) = (b.next_multiple_of(PAD), c.next_multiple_of(PAD));
    let lo = cuda.precision() == Precision::Fp32;
    let ids = |len| loss.ids.is_some().then(|| cuda.scratch::<u32>(len)).transpose();
    let prepared = PreparedLoss {
        call: cuda.scratch(CALL)?,
        bias2: cuda.scratch(columns)?,
        candidate_ids: ids(columns)?,
        positives: cuda.scratch(rows)?,
        user_ids: ids(rows)?,
        spans: loss.masked.is_some().then(|| cuda.scratch(2 * b)).transpose()?,
        users: cuda.split(&Mat::dense(loss.users, b, d), shape.width, lo)?,
        candidates: cuda.split(&Mat::dense(loss.candidates, c, d), shape.width, lo)?,
    };
    let arguments = args![
        prepared.call.ptr(),
        prepared.bias2.ptr(),
        ptr(prepared.candidate_ids.as_ref()),
        prepared.positives.ptr(),
        ptr(prepared.user_ids.as_ref()),
        ptr(prepared.spans.as_ref()),
        cuda.status().loss(),
        loss.log_scale.ptr(),
        ptr(loss.weights),
        ptr(loss.bias),
        ptr(loss.ids),
        ptr(loss.positives),
        ptr(loss.masked.as_ref().map(|m| m.offsets)),
        ptr(loss.masked.as_ref().map(|m| m.columns)),
        loss.masked.as_ref().map_or(0, |m| m.columns.len()) as u64,
        b as u64,
        c as u64,
        rows as u64,
        columns as u64,
    ];
    let grid = [1 + blocks(rows.max(columns), THREADS), 1, 1];
    // loss_prepare(call, bias2, candidate_ids, positives, user_ids, spans, status, log_scale, weights, bias, ids,
    // positives, offsets, masked, masked_len, rows, columns, padded_rows, padded_columns).
    // SAFETY: the results were made for these sizes above, the inputs' lengths were checked; the kernel reads a list
    // only inside `masked_len`, and an id only below `columns`.
    unsafe { cuda.launch(&kernels(cuda)?.loss_prepare, grid, THREADS as u32, 0, &arguments) }?;
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
    let sums = cuda.scratch::<f32>(2 * splits * b)?;
    // Negatives are counted where their number matters.
    let counted = loss.corrected.is_some() && (loss.ids.is_some() || loss.masked.is_some());
    let dead = counted.then(|| cuda.scratch::<u32>(splits * b)).transpose()?;
    let dots = cuda.scratch::<f32>(b)?;
    // A single part is finished where it stands.
    let parts = (splits > 1).then(|| cuda.scratch::<f32>(splits * b * d)).transpose()?;
    let parts = parts.as_ref().map_or(grads.users.ptr(), Buf::ptr);
    let mut arguments: Vec<Arg> = args![
        parts,
        sums.ptr(),
        ptr(dead.as_ref()),
        dots.ptr(),
        prepared.users.hi.ptr(),
        prepared.users.lo_ptr(),
        prepared.candidates.hi.ptr(),
        prepared.candidates.lo_ptr(),
        prepared.bias2.ptr(),
        prepared.positives.ptr(),
        ptr(prepared.user_ids.as_ref()),
        ptr(prepared.candidate_ids.as_ref()),
        ptr(prepared.spans.as_ref()),
        ptr(loss.masked.as_ref().map(|m| m.columns)),
        prepared.call.ptr(),
        b as u64,
        c as u64,
        d as u32,
    ]
    .to_vec();
    if shape.wide {
        arguments.push((shape.width as u32).into());
    }
    arguments.push((tiles as u32).into());
    let grid = [row_blocks as u32, splits as u32, 1];
    let kernel = products(kernels(cuda)?, shape).0;
    // loss_fwd_*(out, sums, dead, dots, users hi and lo, candidates hi and lo, bias2, positives, user_ids, candidate_ids,
    // spans, masked, call, rows, columns, dim[, width], split_tiles); block and shared memory are `shape`'s.
    // SAFETY: results were made for `splits` x rows (x dim), operands are rows x width, arrays by column padded to whole
    // tiles; spans lie inside the list (loss_prepare). The kernel touches nothing beyond these.
    unsafe { cuda.launch(kernel, grid, shape.threads as u32, shape.forward_shared(), &arguments) }?;

    let padded = b.next_multiple_of(PAD);
    let rows = RowTerms { offset: cuda.scratch(padded)?, gap: cuda.scratch(padded)?, terms: cuda.scratch(2 * b)? };
    let arguments = args![
        grads.users.ptr(),
        rows.terms.ptr(),
        rows.offset.ptr(),
        rows.gap.ptr(),
        parts,
        sums.ptr(),
        ptr(dead.as_ref()),
        dots.ptr(),
        prepared.call.ptr(),
        loss.users.ptr(),
        loss.candidates.ptr(),
        ptr(loss.weights),
        ptr(loss.corrected),
        prepared.bias2.ptr(),
        prepared.positives.ptr(),
        b as u64,
        c as u64,
        padded as u64,
        d as u32,
        splits as u32,
    ];
    let grid = [blocks(padded, THREADS / 4), 1, 1];
    // loss_finish(du, terms, offset, gap, parts, sums, dead, dots, call, users, candidates, weights, corrected, bias2,
    // positives, rows, columns, padded_rows, dim, splits). `parts` may be `du`: a thread reads a place, then writes it.
    // SAFETY: the inputs' lengths were checked, the rest was made for these sizes; positives are columns or NO_COLUMN
    // (loss_prepare).
    unsafe { cuda.launch(&kernels(cuda)?.loss_finish, grid, THREADS as u32, 0, &arguments) }?;
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
    let mut arguments: Vec<Arg> = args![
        parts.as_ref().map_or(grads.candidates.ptr(), Buf::ptr),
        prepared.candidates.hi.ptr(),
        prepared.candidates.lo_ptr(),
        prepared.users.hi.ptr(),
        prepared.users.lo_ptr(),
        prepared.bias2.ptr(),
        ptr(prepared.candidate_ids.as_ref()),
        rows.offset.ptr(),
        rows.gap.ptr(),
        prepared.positives.ptr(),
        ptr(prepared.user_ids.as_ref()),
        ptr(prepared.spans.as_ref()),
        ptr(loss.masked.as_ref().map(|m| m.columns)),
        prepared.call.ptr(),
        c as u64,
        b as u64,
        d as u32,
    ]
    .to_vec();
    if shape.wide {
        arguments.push((shape.width as u32).into());
    }
    arguments.push((tiles as u32).into());
    let grid = [row_blocks as u32, splits as u32, 1];
    let shared = shape.backward_shared(loss.masked.is_some());
    let kernel = products(kernels(cuda)?, shape).1;
    // loss_bwd_*(out, candidates hi and lo, users hi and lo, bias2, candidate_ids, offset, gap, positives, user_ids,
    // spans, masked, call, columns, rows, dim[, width], split_tiles); block and shared memory are `shape`'s.
    // SAFETY: `out` was made for `splits` x columns x dim, or is dV (checked); operands are rows x width, arrays by user
    // padded to whole tiles; spans lie inside the list. The kernel touches nothing beyond these.
    unsafe { cuda.launch(kernel, grid, shape.threads as u32, shared, &arguments) }?;
    let Some(parts) = parts else { return Ok(()) };
    let arguments = args![grads.candidates.ptr(), parts.ptr(), (c * d) as u64, splits as u32];
    let grid = [blocks((c * d).div_ceil(4), THREADS), 1, 1];
    // SAFETY: loss_add(to, parts, len, splits): `splits` parts of c x d values, added into dV's c x d (checked).
    unsafe { cuda.launch(&kernels(cuda)?.loss_add, grid, THREADS as u32, 0, &arguments) }
}
