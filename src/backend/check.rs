//! Shapes, checked once at the start of an operation, on every backend in the same words.

use std::fmt::Display;

use super::{Backend, SoftmaxGrads, SoftmaxLoss, TopKWeights};
use crate::{Error, Result};

/// [`Error::Shape`] unless `ok`.
pub(crate) fn need(op: &'static str, ok: bool, expected: impl Display, found: impl Display) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::Shape { op, expected: expected.to_string(), found: found.to_string() }) }
}

/// [`Error::Shape`] unless a buffer called `name` has at least `len` values.
pub(crate) fn need_len(op: &'static str, name: &str, found: usize, len: usize) -> Result<()> {
    need(op, found >= len, format_args!("{len} values of {name}"), found)
}

/// [`Error::Shape`] unless there are `rows` biases where items are biased, and none where they are not. `found`: how
/// many.
pub(crate) fn need_biases(op: &'static str, found: Option<usize>, biased: bool, rows: usize) -> Result<()> {
    match (found, biased) {
        (Some(found), true) => need_len(op, "biases", found, rows),
        (None, false) => Ok(()),
        _ => {
            let (expected, found) = if biased { ("a bias for every item", "none") } else { ("no biases", "some") };
            need(op, false, expected, found)
        }
    }
}

/// [`Error::Shape`] unless the matrix lies inside its buffer of `len` values.
pub(crate) fn need_mat(
    op: &'static str,
    name: &str,
    len: usize,
    (rows, cols, stride, col): (usize, usize, usize, usize),
) -> Result<()> {
    let end = if rows == 0 { Some(0) } else { (rows - 1).checked_mul(stride).and_then(|x| x.checked_add(col + cols)) };
    need(
        op,
        col + cols <= stride && end.is_some_and(|e| e <= len),
        format_args!("{name} of {rows} x {cols} (stride {stride}, column {col}) inside its buffer"),
        format_args!("{len} values"),
    )
}

/// [`Error::Shape`] unless the buffers of a loss hold what its sizes say.
pub(crate) fn softmax<B: Backend>(backend: &B, grads: &SoftmaxGrads<'_, B>, loss: &SoftmaxLoss<'_, B>) -> Result<()> {
    const OP: &str = "softmax_loss";
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    need_len(OP, "users", backend.len(loss.users), b * d)?;
    need_len(OP, "candidates", backend.len(loss.candidates), c * d)?;
    need_len(OP, "log_scale", backend.len(loss.log_scale), 1)?;
    need_len(OP, "the users' gradients", backend.len(grads.users), b * d)?;
    need_len(OP, "the candidates' gradients", backend.len(grads.candidates), c * d)?;
    need_len(OP, "stats", backend.len(grads.stats), 2)?;
    for (name, buf, len) in [("bias", loss.bias, c), ("weights", loss.weights, b), ("corrected", loss.corrected, b)] {
        if let Some(buf) = buf {
            need_len(OP, name, backend.len(buf), len)?;
        }
    }
    if let Some(ids) = loss.ids {
        need_len(OP, "ids", backend.len(ids), c)?;
    }
    match loss.positives {
        None => need(OP, c >= b, format_args!("at least {b} columns"), c)?,
        Some(positives) => need_len(OP, "positives", backend.len(positives), b)?,
    }
    if let Some(masked) = &loss.masked {
        need_len(OP, "masked offsets", backend.len(masked.offsets), b + 1)?;
    }
    Ok(())
}

/// [`Error::Shape`] unless the buffers hold what the sizes say.
pub(crate) fn top_k_weights<B: Backend>(backend: &B, out: &B::Buf<f32>, rows: &TopKWeights<'_, B>) -> Result<()> {
    const OP: &str = "top_k_weights";
    let (b, c, d) = (rows.rows, rows.columns, rows.dim);
    need_len(OP, "users", backend.len(rows.users), b * d)?;
    need_len(OP, "candidates", backend.len(rows.candidates), c * d)?;
    need_len(OP, "log_scale", backend.len(rows.log_scale), 1)?;
    need_len(OP, "the result", backend.len(out), b)?;
    need_len(OP, "thresholds", backend.len(rows.thresholds), b)?;
    for (name, buf) in [("popularity", rows.popularity), ("weights", rows.weights)] {
        if let Some(buf) = buf {
            need_len(OP, name, backend.len(buf), b)?;
        }
    }
    match rows.positives {
        None => need(OP, c >= b, format_args!("at least {b} columns"), c),
        Some(positives) => need_len(OP, "positives", backend.len(positives), b),
    }
}
