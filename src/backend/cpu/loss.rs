//! The in-batch softmax.

use super::{Cpu, need, need_len};
use crate::backend::{SoftmaxGrads, SoftmaxLoss};
use crate::{Error, Result};

/// See [`Backend::softmax_loss`](crate::backend::Backend::softmax_loss).
pub(crate) fn softmax(_cpu: &Cpu, grads: SoftmaxGrads<'_, Cpu>, loss: &SoftmaxLoss<'_, Cpu>) -> Result<()> {
    let (b, c, d) = (loss.rows, loss.columns, loss.dim);
    check(&grads, loss)?;
    let scale = loss.log_scale[0].exp();
    let weight = |i: usize| loss.weights.map_or(1.0, |w| f64::from(w[i]));
    let total: f64 = (0..b).map(weight).sum();
    grads.users[..b * d].fill(0.0);
    grads.candidates[..c * d].fill(0.0);
    grads.stats[..2].fill(0.0);
    if total == 0.0 {
        return Ok(());
    }
    let (mut sum, mut d_scale) = (0.0f64, 0.0f64);
    let mut s = vec![0.0f32; c];
    for i in 0..b {
        let u = &loss.users[i * d..(i + 1) * d];
        let pos = loss.positives.map_or(i, |p| p[i] as usize);
        let mut negatives = c - 1;
        for (j, s) in s.iter_mut().enumerate() {
            let v = &loss.candidates[j * d..(j + 1) * d];
            *s = scale * u.iter().zip(v).map(|(a, b)| a * b).sum::<f32>();
            if loss.corrected.is_none() || j != pos {
                *s += loss.bias.map_or(0.0, |b| b[j]) + loss.corrected.map_or(0.0, |l| l[i]);
            }
        }
        let mut mask = |s: &mut f32| {
            if *s != f32::NEG_INFINITY {
                negatives -= 1;
                *s = f32::NEG_INFINITY;
            }
        };
        if let Some(ids) = loss.ids {
            (0..c).filter(|&j| j != pos && ids[j] == ids[pos]).for_each(|j| mask(&mut s[j]));
        }
        if let Some(m) = &loss.masked {
            let columns = &m.columns[m.offsets[i] as usize..m.offsets[i + 1] as usize];
            columns.iter().for_each(|&j| mask(&mut s[j as usize]));
        }
        let s_pos = s[pos];
        if loss.corrected.is_some() {
            s[pos] = f32::NEG_INFINITY;
        }
        let max = s.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        let shift = if max == f32::NEG_INFINITY { 0.0 } else { max };
        s.iter_mut().for_each(|s| *s = (*s - shift).exp());
        let denominator: f64 = s.iter().map(|&e| f64::from(e)).sum();
        let mut row = weight(i) / total;
        if loss.corrected.is_some() {
            // 1 - p, with both terms over exp(shift).
            let others = denominator / negatives.max(1) as f64;
            let positive = f64::from(s_pos - shift).exp();
            row *= if negatives == 0 {
                0.0
            } else if positive == f64::INFINITY {
                0.0
            } else {
                others / (positive + others)
            };
            if negatives == 0 {
                continue;
            }
        }
        sum += row * (f64::from(shift) + denominator.ln() - f64::from(s_pos));
        let factor = row * f64::from(scale);
        let du = &mut grads.users[i * d..(i + 1) * d];
        for (j, &e) in s.iter().enumerate() {
            let p = (f64::from(e) / denominator - if j == pos { 1.0 } else { 0.0 }) * factor;
            let p = p as f32;
            let v = &loss.candidates[j * d..(j + 1) * d];
            du.iter_mut().zip(v).for_each(|(a, b)| *a += p * b);
            grads.candidates[j * d..(j + 1) * d].iter_mut().zip(u).for_each(|(a, b)| *a += p * b);
        }
        d_scale += du.iter().zip(u).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    }
    grads.stats[0] = sum as f32;
    grads.stats[1] = d_scale as f32;
    Ok(())
}

/// Every shape and index, once per call.
fn check(grads: &SoftmaxGrads<'_, Cpu>, loss: &SoftmaxLoss<'_, Cpu>) -> Result<()> {
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
        None => need(OP, c >= b, format!("at least {b} columns"), c.to_string())?,
        Some(positives) => {
            need_len(OP, "positives", positives.len(), b)?;
            let bad = positives[..b].iter().find(|&&p| p as usize >= c);
            need(OP, bad.is_none(), format!("positives below {c}"), format!("{bad:?}"))?;
        }
    }
    if let Some(m) = &loss.masked {
        need_len(OP, "masked offsets", m.offsets.len(), b + 1)?;
        let offsets = &m.offsets[..b + 1];
        let ok = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets[b] as usize <= m.columns.len();
        need(OP, ok, format!("ascending offsets up to {} masked columns", m.columns.len()), "others")?;
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
