//! Lookups in embedding tables, and the step of the touched rows.

use half::{bf16, f16};

use super::optim::Rule;
use super::{Cpu, Mat, MatMut, need, need_len, need_mat};
use crate::backend::{Bag, Plan, Step, Table, TableData};
use crate::config::OptimizerKind;
use crate::{Error, Result};

/// Positions of a partial sum (see [`Plan`]).
const CHUNK: usize = 32;

/// [`Error::Shape`] where an id is outside the table.
fn check_ids(op: &'static str, ids: &[u32], rows: usize) -> Result<()> {
    match ids.iter().position(|&id| id as usize >= rows) {
        None => Ok(()),
        Some(i) => Err(Error::Shape {
            op,
            expected: format!("ids below the table's {rows} rows"),
            found: format!("id {} at position {i}", ids[i]),
        }),
    }
}

/// How a value is stored.
trait Stored: Copy + Send + Sync {
    fn get(self) -> f32;
    fn put(value: f32, bits: u32) -> Self;
}
impl Stored for f32 {
    fn get(self) -> f32 {
        self
    }
    fn put(value: f32, _: u32) -> f32 {
        value
    }
}
impl Stored for bf16 {
    fn get(self) -> f32 {
        self.to_f32()
    }
    fn put(value: f32, bits: u32) -> bf16 {
        let x = value.to_bits();
        if !value.is_finite() {
            return bf16::from_f32(value);
        }
        let y = (x.wrapping_add(bits & 0xffff)) >> 16;
        // The largest finite value does not become infinite.
        bf16::from_bits(if y & 0x7fff >= 0x7f80 { (y as u16 & 0x8000) | 0x7f7f } else { y as u16 })
    }
}
impl Stored for f16 {
    fn get(self) -> f32 {
        self.to_f32()
    }
    fn put(value: f32, bits: u32) -> f16 {
        if !value.is_finite() {
            return f16::from_f32(value);
        }
        let x = value.to_bits();
        let exponent = ((x >> 23) & 0xff) as i32;
        let mantissa = (x & 0x7f_ffff) | if exponent > 0 { 0x80_0000 } else { 0 };
        // Normal halves drop 13 bits; below 2^-14 one more for each power of two.
        let drop = (13 + (113 - exponent.max(1)).max(0)) as u32;
        let mantissa = if drop > 31 { mantissa.checked_shr(drop - 31).unwrap_or(0) } else { mantissa };
        let drop = drop.min(31);
        let kept = (mantissa + (bits & ((1 << drop) - 1))) >> drop;
        // The implicit bit carries into the exponent by itself.
        let base = if exponent > 112 { ((exponent - 113) as u32) << 10 } else { 0 };
        let magnitude = (base + kept).min(0x7bff);
        f16::from_bits(((x >> 16) & 0x8000) as u16 | magnitude as u16)
    }
}

/// Stochastic rounding's random bits of one row of a table: see [`Stored::put`].
pub(crate) fn row_key(step: &Step, table: u32, row: u32) -> u64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    mix(mix(mix(step.seed) ^ step.number) ^ (u64::from(table) << 32 | u64::from(row)))
}

/// The 32 bits of one lane: xorshift64* of the row's key and the lane.
pub(crate) fn lane_bits(key: u64, lane: usize) -> u32 {
    let mut x = key ^ (lane as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
}

/// See [`Backend::embedding_bag_fwd`](crate::backend::Backend::embedding_bag_fwd).
pub(crate) fn forward(
    cpu: &Cpu,
    out: MatMut<'_, Cpu>,
    table: &Table<Cpu>,
    bag: &Bag<'_, Cpu>,
    add: bool,
) -> Result<()> {
    const OP: &str = "embedding_bag_fwd";
    need_mat(OP, "out", out.buf.len(), (out.rows, out.cols, out.stride, out.col))?;
    need(OP, out.cols == table.dim, format!("{} columns of out", table.dim), out.cols.to_string())?;
    need(OP, out.rows == bag.rows, format!("{} rows of out", bag.rows), out.rows.to_string())?;
    need_len(OP, "ids", bag.ids.len(), bag.lookups)?;
    check_ids(OP, &bag.ids[..bag.lookups], table.rows)?;
    if let Some(weights) = bag.weights {
        need_len(OP, "weights", weights.len(), bag.lookups)?;
    }
    match bag.offsets {
        None => need(OP, bag.lookups >= bag.rows, format!("{} ids", bag.rows), bag.lookups.to_string())?,
        Some(offsets) => {
            need_len(OP, "offsets", offsets.len(), bag.rows + 1)?;
            let offsets = &offsets[..bag.rows + 1];
            let ok = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets[bag.rows] as usize <= bag.lookups;
            need(OP, ok, format!("ascending offsets up to {} lookups", bag.lookups), "others")?;
        }
    }
    match &table.data {
        TableData::F32(data) => gather(cpu, out, data, table, bag, add),
        TableData::Bf16(data) => gather(cpu, out, data, table, bag, add),
        TableData::F16(data) => gather(cpu, out, data, table, bag, add),
    }
}

fn gather<T: Stored>(
    cpu: &Cpu,
    out: MatMut<'_, Cpu>,
    data: &[T],
    table: &Table<Cpu>,
    bag: &Bag<'_, Cpu>,
    add: bool,
) -> Result<()> {
    let d = table.dim;
    need_len("embedding_bag_fwd", "the table", data.len(), table.rows * d)?;
    let (stride, col) = (out.stride, out.col);
    if stride == 0 {
        return Ok(());
    }
    let parts: Vec<_> = out.buf.chunks_mut(stride).take(out.rows).enumerate().collect();
    cpu.threads.each(bag.lookups * d > 1 << 15, parts, |(r, out)| {
        let (from, to) = match bag.offsets {
            None => (r, r + 1),
            Some(o) => (o[r] as usize, o[r + 1] as usize),
        };
        let mean = if bag.weights.is_none() && to > from { 1.0 / (to - from) as f32 } else { 1.0 };
        for (c, out) in out[col..col + d].iter_mut().enumerate() {
            let mut sum = 0.0;
            for l in from..to {
                let w = bag.weights.map_or(1.0, |w| w[l]);
                sum += w * data[bag.ids[l] as usize * d + c].get();
            }
            *out = if add { *out } else { 0.0 } + sum * mean;
        }
    });
    Ok(())
}

/// See [`Backend::embedding_bag_bwd_step`](crate::backend::Backend::embedding_bag_bwd_step).
///
/// A gradient that is not finite is not hidden: it goes through the rule into the row, where the trainer's check finds
/// it.
pub(crate) fn backward_step(
    cpu: &Cpu,
    table: &mut Table<Cpu>,
    plan: &Plan<'_, Cpu>,
    grads: &[Mat<'_, Cpu>],
    step: &Step,
) -> Result<()> {
    const OP: &str = "embedding_bag_bwd_step";
    let Table { rows, dim, data, state1, state2, number } = table;
    let (rows, dim) = (*rows, *dim);
    need_len(OP, "unique", plan.unique.len(), plan.uniques)?;
    need_len(OP, "starts", plan.starts.len(), plan.uniques + 1)?;
    need_len(OP, "positions", plan.positions.len(), plan.lookups)?;
    if let Some(scales) = plan.scales {
        need_len(OP, "scales", scales.len(), plan.lookups)?;
    }
    need(OP, step.number > 0, "a step number from 1", "0")?;
    let unique = &plan.unique[..plan.uniques];
    check_ids(OP, unique, rows)?;
    need(OP, unique.windows(2).all(|w| w[0] < w[1]), "ascending unique rows", "others")?;
    let starts = &plan.starts[..plan.uniques + 1];
    let ok = starts.windows(2).all(|w| w[0] <= w[1]) && starts[plan.uniques] as usize <= plan.lookups;
    need(OP, ok, format!("ascending starts up to {} lookups", plan.lookups), "others")?;
    let mut total = 0;
    for g in grads {
        need_mat(OP, "a gradient", g.buf.len(), (g.rows, g.cols, g.stride, g.col))?;
        need(OP, g.cols == dim, format!("gradients of width {dim}"), g.cols.to_string())?;
        total += g.rows;
    }
    check_ids(OP, &plan.positions[..plan.lookups], total)?;
    let per_row = if step.kind == OptimizerKind::RowwiseAdagrad { 1 } else { dim };
    let (mut none1, mut none2) = (Vec::new(), Vec::new());
    let state1 = state1.as_mut().unwrap_or(&mut none1);
    let state2 = state2.as_mut().unwrap_or(&mut none2);
    if step.kind != OptimizerKind::Sgd {
        need_len(OP, "state 1", state1.len(), rows * per_row)?;
    }
    if step.kind == OptimizerKind::Adam {
        need_len(OP, "state 2", state2.len(), rows * dim)?;
    }
    let args = (plan, grads, step, *number);
    match data {
        TableData::F32(data) => step_rows(cpu, data, rows, dim, state1, state2, args),
        TableData::Bf16(data) => step_rows(cpu, data, rows, dim, state1, state2, args),
        TableData::F16(data) => step_rows(cpu, data, rows, dim, state1, state2, args),
    }
}

type StepArgs<'a> = (&'a Plan<'a, Cpu>, &'a [Mat<'a, Cpu>], &'a Step, u32);

fn step_rows<T: Stored>(
    _cpu: &Cpu,
    data: &mut [T],
    rows: usize,
    dim: usize,
    state1: &mut [f32],
    state2: &mut [f32],
    (plan, grads, step, number): StepArgs<'_>,
) -> Result<()> {
    need_len("embedding_bag_bwd_step", "the table", data.len(), rows * dim)?;
    let rule = Rule::new(step);
    let (mut sum, mut part, mut w) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
    let rowwise = step.kind == OptimizerKind::RowwiseAdagrad;
    for u in 0..plan.uniques {
        let row = plan.unique[u] as usize;
        let (from, to) = (plan.starts[u] as usize, plan.starts[u + 1] as usize);
        sum.fill(0.0);
        let mut p = from;
        while p < to {
            let end = ((p / CHUNK + 1) * CHUNK).min(to);
            part.fill(0.0);
            for l in p..end {
                let mut at = plan.positions[l] as usize;
                let mut g = &grads[0];
                for next in grads {
                    g = next;
                    if at < next.rows {
                        break;
                    }
                    at -= next.rows;
                }
                let scale = plan.scales.map_or(1.0, |s| s[l]);
                let g = &g.buf[at * g.stride + g.col..][..dim];
                part.iter_mut().zip(g).for_each(|(p, g)| *p += scale * g);
            }
            sum.iter_mut().zip(&part).for_each(|(s, p)| *s += p);
            p = end;
        }
        let stored = &mut data[row * dim..(row + 1) * dim];
        w.iter_mut().zip(&*stored).for_each(|(w, s)| *w = s.get());
        let n1 = if rowwise { 1 } else { dim };
        let s1 = if step.kind == OptimizerKind::Sgd { &mut [][..] } else { &mut state1[row * n1..(row + 1) * n1] };
        let s2 = if step.kind == OptimizerKind::Adam { &mut state2[row * dim..(row + 1) * dim] } else { &mut [][..] };
        rule.apply(&mut w, &sum, s1, s2, rowwise);
        let key = row_key(step, number, row as u32);
        stored.iter_mut().zip(&w).enumerate().for_each(|(lane, (s, w))| *s = T::put(*w, lane_bits(key, lane)));
    }
    Ok(())
}
