//! What a loss may be asked.

use crate::backend::cpu::{Cpu, need, need_len};
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::{Error, Result};

/// Every shape and index, once per call.
pub(super) fn check(grads: &SoftmaxGrads<'_, Cpu>, loss: &SoftmaxLoss<'_, Cpu>) -> Result<()> {
    const OP: &str = "softmax_loss";
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    need_len(OP, "users", loss.users.len(), b * d)?;
    need_len(OP, "candidates", loss.candidates.len(), c * d)?;
    need_len(OP, "log_scale", loss.log_scale.len(), 1)?;
    need_len(OP, "the users' gradients", grads.users.len(), b * d)?;
    need_len(OP, "the candidates' gradients", grads.candidates.len(), c * d)?;
    need_len(OP, "stats", grads.stats.len(), 2)?;
    for (name, buf, len) in [("bias", loss.bias, c), ("weights", loss.weights, b), ("corrected", loss.corrected, b)] {
        if let Some(buf) = buf {
            need_len(OP, name, buf.len(), len)?;
        }
    }
    if let Some(ids) = loss.ids {
        need_len(OP, "ids", ids.len(), c)?;
    }
    match loss.positives {
        None => need(OP, c >= b, format_args!("at least {b} columns"), c)?,
        Some(positives) => {
            need_len(OP, "positives", positives.len(), b)?;
            let bad = positives[..b].iter().find(|&&p| p as usize >= c);
            need(OP, bad.is_none(), format_args!("positives below {c}"), format_args!("{bad:?}"))?;
        }
    }
    if let Some(m) = &loss.masked {
        need_len(OP, "masked offsets", m.offsets.len(), b + 1)?;
        let offsets = &m.offsets[..b + 1];
        let ok = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets[b] as usize <= m.columns.len();
        need(OP, ok, format_args!("ascending offsets up to {} masked columns", m.columns.len()), "others")?;
        for i in 0..b {
            let pos = loss.positives.map_or(i, |p| p[i] as usize);
            let columns = &m.columns[offsets[i] as usize..offsets[i + 1] as usize];
            if let Some(&j) = columns.iter().find(|&&j| j as usize >= c || j as usize == pos) {
                return Err(Error::Shape {
                    op: OP,
                    expected: format!("masked columns below {c} that are no positive"),
                    found: format!("column {j} of row {i}"),
                });
            }
        }
    }
    Ok(())
}
