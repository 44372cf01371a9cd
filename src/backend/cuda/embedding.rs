//! Lookups in embedding tables, and the step of the touched rows.

pub(super) mod arguments;
mod step;

pub(crate) use step::backward_step;
#[cfg(test)]
pub(crate) use step::{floor_bytes as step_floor_bytes, straddling_parts};

use arguments::{BagForwardArgs, RowsForwardArgs};

use super::arguments::{Out, Pad, TableValue};
use super::kernels::{Embedding, Kernel};
use super::{Buf, Cuda, MatMut, input, need, need_len, need_mat};
use crate::Result;
use crate::backend::{Bag, EmbeddingTable, TableData};

/// Threads of a block.
const THREADS: usize = 256;
/// Rows that a group of `embedding_rows_fwd` takes.
const FLIGHT: usize = 2;

/// A table's values on the device.
struct TableValues {
    values: Out<TableValue>,
    len: usize,
    /// Bytes of one.
    bytes: usize,
}

impl TableValues {
    fn of(data: &TableData<Cuda>) -> TableValues {
        fn values<T>(x: &Buf<T>) -> TableValues {
            TableValues { values: Out::new(x.ptr()), len: x.len(), bytes: size_of::<T>() }
        }
        match data {
            TableData::F32(x) => values(x),
            TableData::Bf16(x) => values(x),
            TableData::F16(x) => values(x),
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

/// The kernel for bags, and how many values one of its lanes holds.
fn bag_kernel<'a>(
    kernels: &'a Embedding,
    data: &TableData<Cuda>,
    dim: usize,
    aligned: bool,
) -> (&'a Kernel<BagForwardArgs>, usize) {
    match (data, aligned) {
        (TableData::F32(_), true) if dim.is_multiple_of(4) => (&kernels.embedding_bag_fwd_f32_v4, 4),
        (TableData::Bf16(_), true) if dim.is_multiple_of(8) => (&kernels.embedding_bag_fwd_bf16_v8, 8),
        (TableData::F16(_), true) if dim.is_multiple_of(8) => (&kernels.embedding_bag_fwd_f16_v8, 8),
        (TableData::Bf16(_), true) if dim.is_multiple_of(4) => (&kernels.embedding_bag_fwd_bf16_v4, 4),
        (TableData::F16(_), true) if dim.is_multiple_of(4) => (&kernels.embedding_bag_fwd_f16_v4, 4),
        (TableData::F32(_), _) => (&kernels.embedding_bag_fwd_f32_v1, 1),
        (TableData::Bf16(_), _) => (&kernels.embedding_bag_fwd_bf16_v1, 1),
        (TableData::F16(_), _) => (&kernels.embedding_bag_fwd_f16_v1, 1),
    }
}

/// The kernel for single rows that are written, not added; it needs 16-byte accesses.
fn rows_kernel<'a>(kernels: &'a Embedding, data: &TableData<Cuda>) -> (&'a Kernel<RowsForwardArgs>, usize) {
    match data {
        TableData::F32(_) => (&kernels.embedding_rows_fwd_f32_v4, 4),
        TableData::Bf16(_) => (&kernels.embedding_rows_fwd_bf16_v8, 8),
        TableData::F16(_) => (&kernels.embedding_rows_fwd_f16_v8, 8),
    }
}

/// See [`Operations::embedding_bag_fwd`](crate::backend::Operations::embedding_bag_fwd). Ids and offsets are checked by the
/// kernel: one that does not fit gives zeros, and an error at the next read.
pub(crate) fn forward(
    cuda: &Cuda,
    out: MatMut<'_, Cuda>,
    table: &EmbeddingTable<Cuda>,
    bag: &Bag<'_, Cuda>,
    add: bool,
) -> Result<()> {
    const OP: &str = "embedding_bag_fwd";
    let EmbeddingTable { rows, dim, ref data, .. } = *table;
    need_mat(OP, "out", out.buf.len(), (out.rows, out.cols, out.stride, out.col))?;
    need(OP, out.cols == dim, format_args!("{dim} columns of out"), out.cols)?;
    need(OP, out.rows == bag.rows, format_args!("{} rows of out", bag.rows), out.rows)?;
    need_len(OP, "ids", bag.ids.len(), bag.lookups)?;
    let most = bag.lookups.max(bag.rows);
    need(OP, most < 1 << 31, "less than 2^31 lookups", most)?;
    need(OP, rows <= u32::MAX as usize, "a table of less than 2^32 rows", rows)?;
    if let Some(weights) = bag.weights {
        need_len(OP, "weights", weights.len(), bag.lookups)?;
    }
    match bag.offsets {
        None => need(OP, bag.lookups >= bag.rows, format_args!("{} ids", bag.rows), bag.lookups)?,
        Some(offsets) => need_len(OP, "offsets", offsets.len(), bag.rows + 1)?,
    }
    let values = TableValues::of(data);
    need_len(OP, "the table", values.len, rows * dim)?;
    if dim == 0 || bag.rows == 0 {
        return Ok(());
    }
    let kernels = cuda.kernels.embedding(&cuda.context)?;
    let to = out.buf.output_at(out.col);
    let aligned = to.address().is_multiple_of(16) && out.stride.is_multiple_of(4) && values.aligned();
    let single = bag.offsets.is_none() && bag.weights.is_none();
    if single && !add && aligned && (dim * values.bytes).is_multiple_of(16) {
        let (kernel, lane) = rows_kernel(kernels, data);
        let log_lanes = log_lanes(dim, lane, 32);
        let block = (THREADS >> log_lanes) * FLIGHT;
        let args = RowsForwardArgs {
            out: to,
            table: values.values.read(),
            ids: bag.ids.input(),
            status: cuda.status().lookup(),
            rows: bag.rows as u64,
            stride: out.stride as u64,
            table_rows: rows as u32,
            dim: dim as u32,
            log_lanes,
            unused: Pad::Zero,
        };
        let grid = [bag.rows.div_ceil(block) as u32, 1, 1];
        // SAFETY: `out` lies inside its buffer, there is an id for each row, the table holds rows x dim values, accesses
        // of 16 bytes are aligned (all checked above); the kernel loads no row whose id is not below `rows`. One stream
        // orders it.
        return unsafe { cuda.launch(kernel, grid, THREADS as u32, 0, &args) };
    }
    let (kernel, lane) = bag_kernel(kernels, data, dim, aligned);
    let log_lanes = log_lanes(dim, lane, 32);
    let args = BagForwardArgs {
        out: to,
        table: values.values.read(),
        ids: bag.ids.input(),
        offsets: input(bag.offsets),
        weights: input(bag.weights),
        status: cuda.status().lookup(),
        rows: bag.rows as u64,
        stride: out.stride as u64,
        lookups: bag.lookups as u32,
        table_rows: rows as u32,
        dim: dim as u32,
        log_lanes,
        add: u32::from(add),
        unused: Pad::Zero,
    };
    let grid = [bag.rows.div_ceil(THREADS >> log_lanes) as u32, 1, 1];
    // SAFETY: as above; there are rows + 1 offsets and a weight for each id where they are given, else they are null; the
    // kernel cuts offsets off at `lookups`.
    unsafe { cuda.launch(kernel, grid, THREADS as u32, 0, &args) }
}

/// Bytes that a lookup must move: each id, each row of the table as often as it is looked up (`size` bytes a value), and
/// the result, which is also read where it is added to.
#[cfg(test)]
pub(crate) fn floor_bytes(lookups: usize, rows: usize, dim: usize, size: usize, bags: bool, add: bool) -> u64 {
    let out = rows * dim * 4 * if add { 2 } else { 1 };
    (lookups * (4 + dim * size) + out + if bags { (rows + 1) * 4 } else { 0 }) as u64
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
        assert_eq!(floor_bytes(10, 10, 8, 2, false, false), 520);
        // In two bags that are added: three offsets, and the result of 64 bytes both ways.
        assert_eq!(floor_bytes(10, 2, 8, 2, true, true), 40 + 160 + 12 + 128);
    }
}
