//! Lookups in embedding tables, and the step of the touched rows.

mod step;
mod stored;

pub(crate) use step::step_tables;
#[cfg(test)]
pub(crate) use step::{GradientPlan, backward_step};
use stored::Stored;

use super::simd::{Op, Simd};
use super::{Cpu, MatMut, need, need_len, need_mat};
use crate::backend::{Bag, EmbeddingTable, PoolInput, Pools, TableData};
use crate::threads::ranges;
use crate::{Error, Result};

/// Output rows of a task.
const ROWS: usize = 256;
/// Values below which a task costs more than it saves.
const SMALL: usize = 1 << 15;
/// How many lookups ahead rows are fetched.
const AHEAD: usize = 16;

/// [`Error::Shape`] where one of `ids` is not below `rows`.
fn check_ids(op: &'static str, ids: &[u32], rows: usize) -> Result<()> {
    // The maximum first: it is found without a branch for each id.
    let max = ids.iter().fold(0, |a, &b| if b > a { b } else { a });
    if ids.is_empty() || (max as usize) < rows {
        return Ok(());
    }
    let at = ids.iter().position(|&id| id == max).unwrap_or_default();
    Err(Error::Shape { op, expected: format!("ids below {rows}"), found: format!("id {max} at position {at}") })
}

/// See [`Operations::embedding_pools`](crate::backend::Operations::embedding_pools).
pub(crate) fn pools(cpu: &Cpu, pools: &mut [Pools<'_, Cpu>]) -> Result<()> {
    for Pools { out, rows, stride, inputs } in pools {
        let mut before = None;
        for PoolInput { table, bag, col } in inputs {
            let out = MatMut { buf: &mut **out, rows: *rows, cols: table.dim, stride: *stride, col: *col };
            forward(cpu, out, table, bag, before == Some(*col))?;
            before = Some(*col);
        }
    }
    Ok(())
}

/// Pools table rows into `out` (rows x D), or adds the pools to it.
pub(crate) fn forward(
    cpu: &Cpu,
    out: MatMut<'_, Cpu>,
    table: &EmbeddingTable<Cpu>,
    bag: &Bag<'_, Cpu>,
    add: bool,
) -> Result<()> {
    const OP: &str = "embedding_pools";
    need_mat(OP, "out", out.buf.len(), (out.rows, out.cols, out.stride, out.col))?;
    need(OP, out.cols == table.dim, format_args!("{} columns of out", table.dim), out.cols)?;
    need(OP, out.rows == bag.rows, format_args!("{} rows of out", bag.rows), out.rows)?;
    need_len(OP, "ids", bag.ids.len(), bag.lookups)?;
    check_ids(OP, &bag.ids[..bag.lookups], table.rows)?;
    if let Some(weights) = bag.weights {
        need_len(OP, "weights", weights.len(), bag.lookups)?;
    }
    match bag.offsets {
        None => need(OP, bag.lookups >= bag.rows, format_args!("{} ids", bag.rows), bag.lookups)?,
        Some(offsets) => {
            need_len(OP, "offsets", offsets.len(), bag.rows + 1)?;
            let offsets = &offsets[..bag.rows + 1];
            let ok = offsets.windows(2).all(|w| w[0] <= w[1]) && offsets[bag.rows] as usize <= bag.lookups;
            need(OP, ok, format_args!("ascending offsets up to {} lookups", bag.lookups), "others")?;
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
    table: &EmbeddingTable<Cpu>,
    bag: &Bag<'_, Cpu>,
    add: bool,
) -> Result<()> {
    let dim = table.dim;
    need_len("embedding_pools", "the table", data.len(), table.rows * dim)?;
    if dim == 0 {
        return Ok(());
    }
    let (stride, col) = (out.stride, out.col);
    let parts = ranges(out.rows, ROWS).into_iter().zip(out.buf.chunks_mut(ROWS * stride));
    let parts = parts.map(|(rows, out)| Gather { out, stride, col, data, dim, bag, rows, add }).collect();
    cpu.threads.each(bag.lookups * dim > SMALL, parts, |part| cpu.isa.run(part));
    Ok(())
}

struct Gather<'a, T> {
    out: &'a mut [f32],
    stride: usize,
    col: usize,
    data: &'a [T],
    dim: usize,
    bag: &'a Bag<'a, Cpu>,
    rows: std::ops::Range<usize>,
    add: bool,
}

impl<T: Stored> Op for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (dim, bag) = (self.dim, self.bag);
        let ids = &bag.ids[..bag.lookups];
        for (out, r) in self.out.chunks_mut(self.stride).zip(self.rows) {
            let out = &mut out[self.col..self.col + dim];
            let (from, to) = match bag.offsets {
                None => (r, r + 1),
                Some(offsets) => (offsets[r] as usize, offsets[r + 1] as usize),
            };
            for l in from + AHEAD..to + AHEAD {
                if let Some(&id) = ids.get(l) {
                    s.prefetch(&self.data[id as usize * dim..][..dim]);
                }
            }
            let weights = bag.weights.map(|w| &w[from..to]);
            let factor = if weights.is_none() && to > from { 1.0 / (to - from) as f32 } else { 1.0 };
            let pool = Pool { data: self.data, dim, ids: &ids[from..to], weights, factor, add: self.add };
            let mut c = 0;
            while c + 4 * S::LANES <= dim {
                pool.columns::<S, 4>(s, out, c);
                c += 4 * S::LANES;
            }
            while c < dim {
                pool.columns::<S, 1>(s, out, c);
                c += S::LANES;
            }
        }
    }
}

/// One bag.
struct Pool<'a, T> {
    data: &'a [T],
    dim: usize,
    ids: &'a [u32],
    weights: Option<&'a [f32]>,
    factor: f32,
    add: bool,
}

impl<T: Stored> Pool<'_, T> {
    /// `NV` vectors of the result from column c on; one may be cut short by the row's end.
    #[inline(always)]
    fn columns<S: Simd, const NV: usize>(&self, s: S, out: &mut [f32], c: usize) {
        let mut sums = [s.splat(0.0); NV];
        for (l, &id) in self.ids.iter().enumerate() {
            let row = &self.data[id as usize * self.dim..][..self.dim];
            let weight = s.splat(self.weights.map_or(1.0, |w| w[l]));
            for v in 0..NV {
                sums[v] = s.fma(weight, T::get(s, &row[c + v * S::LANES..]), sums[v]);
            }
        }
        for v in 0..NV {
            let out = &mut out[c + v * S::LANES..];
            let mut x = s.mul(sums[v], s.splat(self.factor));
            if self.add {
                x = s.add(s.get(out), x);
            }
            s.put(out, x);
        }
    }
}
