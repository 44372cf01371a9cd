//! What a loss may be asked.

use crate::backend::check::softmax as lengths;
use crate::backend::cpu::{Cpu, need};
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::{Error, Result};

/// Every shape and index, once per call.
pub(super) fn check(cpu: &Cpu, grads: &SoftmaxGrads<'_, Cpu>, loss: &SoftmaxLoss<'_, Cpu>) -> Result<()> {
    const OP: &str = "softmax_loss";
    lengths(cpu, grads, loss)?;
    let (b, c) = (loss.rows, loss.columns);
    if let Some(positives) = loss.positives {
        let bad = positives[..b].iter().find(|&&p| p as usize >= c);
        need(OP, bad.is_none(), format_args!("positives below {c}"), format_args!("{bad:?}"))?;
    }
    if let Some(m) = &loss.masked {
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
