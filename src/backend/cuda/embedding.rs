//! Lookups in embedding tables, and the step of the touched rows: each one launch, or few, for all tables of a batch.

pub(super) mod arguments;
mod step;

pub(crate) use step::step_tables;
#[cfg(test)]
pub(crate) use step::{floor_bytes as step_floor_bytes, straddling_parts};

use arguments::{PoolBag, PoolTarget, PoolsArgs};

use super::arguments::{In, Out, Pad, TableValue};
use super::described::Described;
use super::{Buf, Cuda, input, need, need_len, need_mat};
use crate::Result;
use crate::backend::{Bag, EmbeddingTable, PoolInput, Pools, TableData};

/// Threads of a block.
const THREADS: usize = 256;
/// Rows of a target from which on its groups copy four of them, not two: enough blocks are left.
const MANY_ROWS: usize = 1 << 16;

/// A table's values on the device.
struct TableValues {
    values: Out<TableValue>,
    len: usize,
    /// Their type: `enum Stored` in `kernels/embedding/fwd.cuh`.
    stored: u32,
}

impl TableValues {
    fn of(data: &TableData<Cuda>) -> TableValues {
        fn values<T>(x: &Buf<T>, stored: u32) -> TableValues {
            TableValues { values: Out::new(x.ptr()), len: x.len(), stored }
        }
        match data {
            TableData::F32(x) => values(x, 0),
            TableData::Bf16(x) => values(x, 1),
            TableData::F16(x) => values(x, 2),
        }
    }

    /// Whether rows can be read 16 bytes at a time, as far as the first is concerned.
    fn aligned(&self) -> bool {
        self.values.address().is_multiple_of(16)
    }
}

/// The logarithm of a group's lanes, where a lane holds `values` of `dim`: enough for the row, from 4 to `most` lanes.
fn log_lanes(dim: usize, values: usize, most: usize) -> u32 {
    dim.div_ceil(values).next_power_of_two().clamp(4, most).ilog2()
}

/// Checks one input's lengths, and describes it. Ids and offsets are checked by the kernel.
fn describe(table: &EmbeddingTable<Cuda>, bag: &Bag<'_, Cuda>, rows: usize) -> Result<PoolBag> {
    const OP: &str = "embedding_pools";
    need(OP, bag.rows == rows, format_args!("bags of {rows} rows"), bag.rows)?;
    need_len(OP, "ids", bag.ids.len(), bag.lookups)?;
    let most = bag.lookups.max(bag.rows);
    need(OP, most < 1 << 31, "less than 2^31 lookups", most)?;
    need(OP, table.rows <= u32::MAX as usize, "a table of less than 2^32 rows", table.rows)?;
    if let Some(weights) = bag.weights {
        need_len(OP, "weights", weights.len(), bag.lookups)?;
    }
    match bag.offsets {
        None => need(OP, bag.lookups >= bag.rows, format_args!("{} ids", bag.rows), bag.lookups)?,
        Some(offsets) => need_len(OP, "offsets", offsets.len(), bag.rows + 1)?,
    }
    let values = TableValues::of(&table.data);
    need_len(OP, "the table", values.len, table.rows * table.dim)?;
    Ok(PoolBag {
        table: values.values.read(),
        ids: bag.ids.input(),
        offsets: input(bag.offsets),
        weights: input(bag.weights),
        lookups: bag.lookups as u32,
        table_rows: table.rows as u32,
        stored: values.stored,
        unused: Pad::Zero,
    })
}

/// See [`Operations::embedding_pools`](crate::backend::Operations::embedding_pools). Ids and offsets are checked by the
/// kernel: one that does not fit gives zeros, and an error at the next read.
pub(crate) fn pools(cuda: &Cuda, pools: &mut [Pools<'_, Cuda>]) -> Result<()> {
    const OP: &str = "embedding_pools";
    let (mut targets, mut bags) = (Vec::new(), Vec::new());
    let mut blocks = 0;
    for Pools { out, rows, stride, inputs } in pools {
        let (rows, stride) = (*rows, *stride);
        for inputs in inputs.chunk_by(|a, b| a.col == b.col) {
            let (dim, col) = (inputs[0].table.dim, inputs[0].col);
            need_mat(OP, "out", out.len(), (rows, dim, stride, col))?;
            let first_bag = bags.len();
            let to = out.output_at(col);
            let mut aligned = to.address().is_multiple_of(16) && stride.is_multiple_of(4) && dim.is_multiple_of(4);
            for PoolInput { table, bag, .. } in inputs {
                need(OP, table.dim == dim, format_args!("tables of width {dim}"), table.dim)?;
                aligned &= TableValues::of(&table.data).aligned();
                bags.push(describe(table, bag, rows)?);
            }
            if dim == 0 || rows == 0 {
                bags.truncate(first_bag);
                continue;
            }
            let vector = if aligned { 4 } else { 1 };
            let log_lanes = log_lanes(dim, vector, 32);
            let plain = inputs.len() == 1 && inputs[0].bag.offsets.is_none() && inputs[0].bag.weights.is_none();
            let group_rows = match plain {
                true if rows >= MANY_ROWS => 4,
                true => 2,
                false => 1,
            };
            targets.push(PoolTarget {
                out: to,
                stride: stride as u64,
                rows: rows as u32,
                dim: dim as u32,
                log_lanes,
                vector: vector as u32,
                group_rows: group_rows as u32,
                first_block: blocks as u32,
                first_bag: first_bag as u32,
                bags: inputs.len() as u32,
            });
            blocks += rows.div_ceil((THREADS >> log_lanes) * group_rows);
        }
    }
    need(OP, blocks <= i32::MAX as usize, "rows that fit a grid", blocks)?;
    if targets.is_empty() {
        return Ok(());
    }
    let mut described = Described::default();
    let (at_targets, at_bags) = (described.push(&targets), described.push(&bags));
    let base = cuda.describe(&described)?;
    let args = PoolsArgs {
        targets: In::new(base + at_targets),
        bags: In::new(base + at_bags),
        status: cuda.status().lookup(),
        count: targets.len() as u32,
        unused: Pad::Zero,
    };
    let kernel = &cuda.kernels.embedding(&cuda.context)?.embedding_pools;
    // The kernel loads no row whose id is not below `table_rows` and cuts offsets off at `lookups`; one stream orders it.
    // SAFETY: each target lies inside its buffer, there is an id for each row, or rows + 1 offsets, and a weight for each
    // id where they are given; tables hold rows x dim values; accesses of 16 bytes are aligned where `vector` is 4 (all
    // checked above).
    unsafe { cuda.launch(kernel, [blocks as u32, 1, 1], THREADS as u32, 0, &args) }
}

/// Bytes that a lookup must move: each id, each row of the table as often as it is looked up (`size` bytes a value), the
/// offsets, and the result.
#[cfg(test)]
pub(crate) fn floor_bytes(lookups: usize, rows: usize, dim: usize, size: usize, bags: bool) -> u64 {
    (lookups * (4 + dim * size) + rows * dim * 4 + if bags { (rows + 1) * 4 } else { 0 }) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_as_wide_as_rows() {
        let lanes = |dim, values| 1 << log_lanes(dim, values, 32);
        assert_eq!([lanes(1, 1), lanes(64, 8), lanes(64, 4), lanes(100, 4), lanes(1024, 4)], [4, 8, 16, 32, 32]);
    }

    #[test]
    fn lookups_move_ids_rows_and_results() {
        // 10 bf16 rows of 8, alone: ids 40 bytes, rows 160, the result 320.
        assert_eq!(floor_bytes(10, 10, 8, 2, false), 520);
        // In two bags: three offsets.
        assert_eq!(floor_bytes(10, 2, 8, 2, true), 40 + 160 + 12 + 64);
    }
}
