//! How the softmax kernels cut a problem, and the least that it can cost.

use crate::config::Precision;

/// The widest embedding that the kernels take.
pub(crate) const MAX_DIM: usize = 1024;
// Every width that a model can have.
const _: () = assert!(crate::settings::limits::MAX_DIM <= MAX_DIM);
/// Blocks that splits are made for: two on each of 132 multiprocessors; one, for the wide kernels. Constants and not the
/// device's number: splits are joined in order, so their number decides bits, and a run may be resumed on another device
/// of its architecture.
const SPLIT_BLOCKS: usize = 264;
const SPLIT_BLOCKS_WIDE: usize = 132;
/// Columns of a split, at least: a split reads its rows again.
const SPLIT_COLUMNS: usize = 512;
/// Splits, at most: a lane of `loss_finish` each.
pub(super) const MAX_SPLITS: usize = 32;
/// The width of a wide kernel's warp.
const SLICE: usize = 128;

/// The tiling of one width and precision: what `kernels/loss/loss.cu` says of its entry points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LossTiling {
    /// Values from row to row of the operands: the dimension, padded with zeros.
    pub width: usize,
    /// Rows of a block.
    pub rows: usize,
    /// Columns of a tile.
    pub columns: usize,
    /// Tiles in shared memory.
    pub stages: usize,
    /// Threads of a block.
    pub threads: usize,
    /// Operands as hi and lo (2), or hi alone (1).
    pub parts: usize,
    /// Warps share the width.
    pub wide: bool,
}

/// How the columns are shared between blocks, by the shape alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnSplit {
    /// Blocks beside one another, one for each [`LossTiling::rows`] rows.
    pub blocks: usize,
    /// Parts of the columns.
    pub splits: usize,
    /// Tiles of a part.
    pub tiles: usize,
}

impl LossTiling {
    /// The tiling for embeddings `dim` wide, at most [`MAX_DIM`].
    pub(crate) fn new(dim: usize, precision: Precision) -> LossTiling {
        let precise = precision == Precision::Fp32;
        let parts = if precise { 2 } else { 1 };
        if dim > SLICE {
            let width = dim.next_multiple_of(64);
            let across = width.div_ceil(SLICE);
            let down = (8 / across).max(1);
            let rows = down * if precise { 16 } else { 32 };
            return LossTiling { width, rows, columns: 16, stages: 2, threads: across * down * 32, parts, wide: true };
        }
        let width = dim.next_power_of_two().max(32);
        let columns = if width <= 64 { 64 } else { 32 };
        let stages = if precise && width > 32 { 2 } else { 3 };
        LossTiling { width, rows: 128 / parts, columns, stages, threads: 128, parts, wide: false }
    }

    fn tile_bytes(&self, rows: usize) -> usize {
        rows * self.width * 2 * self.parts
    }

    /// Shared memory of the narrow kernels with `values` arrays of 4 bytes a column: with two ranges of ids a tile.
    fn narrow_shared(&self, values: usize) -> usize {
        self.tile_bytes(self.rows) + self.stages * (self.tile_bytes(self.columns) + values * self.columns * 4 + 16)
    }

    /// Shared memory of the wide kernels with `values` arrays of 4 bytes a column.
    fn wide_shared(&self, values: usize) -> usize {
        // Precise kernels keep their rows in registers.
        let rows = if self.parts == 2 { 0 } else { self.tile_bytes(self.rows) };
        let scores = self.width.div_ceil(SLICE) * self.rows * self.columns * 4;
        let p = self.parts * self.rows * self.columns * 2;
        self.stages * (self.tile_bytes(self.columns) + values * self.columns * 4) + rows + scores + p + self.rows * 4
    }

    /// Bytes of shared memory of a forward block.
    pub(crate) fn forward_shared(&self) -> u32 {
        let bytes = if self.wide { self.wide_shared(2) } else { self.narrow_shared(2) };
        bytes as u32
    }

    /// Bytes of shared memory of a backward block; `masked`: with lists of masked columns.
    pub(crate) fn backward_shared(&self, masked: bool) -> u32 {
        let bytes = if self.wide { self.wide_shared(4) } else { self.narrow_shared(4) };
        // Four words a column, for the tile at hand and the next.
        let words = if masked { 2 * 4 * self.columns * 4 } else { 0 };
        (bytes + words) as u32
    }

    /// How `rows` x `columns` is cut.
    pub(crate) fn split(&self, rows: usize, columns: usize) -> ColumnSplit {
        let blocks = rows.div_ceil(self.rows);
        let all = columns.div_ceil(self.columns);
        let wanted = if self.wide { SPLIT_BLOCKS_WIDE } else { SPLIT_BLOCKS } / blocks.max(1);
        let splits = wanted.min(columns / SPLIT_COLUMNS).clamp(1, MAX_SPLITS);
        let tiles = all.div_ceil(splits).max(1);
        ColumnSplit { blocks, splits: all.div_ceil(tiles).max(1), tiles }
    }

    /// Bytes that one product kernel moves with this tiling: the operands' rows once a split, their columns once a block
    /// of rows, and a result of `dim` values a row and split.
    #[cfg(test)]
    pub(crate) fn tiling_bytes(&self, rows: usize, columns: usize, dim: usize) -> u64 {
        let split = self.split(rows, columns);
        let operands = self.width * 2 * self.parts * (split.blocks * columns + split.splits * rows);
        (operands + split.splits * rows * dim * 4) as u64
    }
}

/// The operations of tensor cores in one product kernel: two products of B C D multiply-adds, each three times where
/// operands are split in two.
#[cfg(test)]
pub(crate) fn floor_flops(rows: usize, columns: usize, dim: usize, precision: Precision) -> u64 {
    let products = if precision == Precision::Fp32 { 3 } else { 1 };
    (4 * products * rows * columns * dim) as u64
}

/// The bytes that any kernel for one of the two products moves: bf16 operands in (hi and lo, for fp32), an fp32 result
/// for each row out, each once.
#[cfg(test)]
pub(crate) fn floor_bytes(rows: usize, columns: usize, dim: usize, precision: Precision) -> u64 {
    let parts = if precision == Precision::Fp32 { 2 } else { 1 };
    (2 * parts * (rows + columns) * dim + 4 * rows * dim) as u64
}

/// The bytes of `loss_finish` with one split: sums of the forward kernel, users and positives in, gradients out; by row
/// 24 bytes of scalars in, 24 out.
#[cfg(test)]
pub(crate) fn finish_floor_bytes(rows: usize, dim: usize) -> u64 {
    (rows * (4 * 4 * dim + 48)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_fits_a_block() {
        for precision in [Precision::Bf16, Precision::Fp32] {
            for dim in 0..=MAX_DIM {
                let shape = LossTiling::new(dim, precision);
                assert!(shape.width >= dim && shape.width.is_multiple_of(16), "{dim}");
                assert!(shape.threads <= if shape.wide { 256 } else { 128 }, "{dim}");
                // What a block of sm_80 can have; the narrow kernels fit twice.
                let most = if shape.wide { 163 << 10 } else { (164 << 10) / 2 - 1024 };
                assert!(shape.backward_shared(true) as usize <= most, "{dim}: {}", shape.backward_shared(true));
            }
        }
    }

    #[test]
    fn splits_cover_all_columns() {
        for dim in [8, 64, 128, 256, 1024] {
            let shape = LossTiling::new(dim, Precision::Bf16);
            for (rows, columns) in [(1, 1), (128, 100_000), (129, 511), (8192, 8192), (1, 1 << 20), (5000, 3000)] {
                let split = shape.split(rows, columns);
                let tiles = columns.div_ceil(shape.columns);
                assert!(split.splits * split.tiles >= tiles && (split.splits - 1) * split.tiles < tiles);
                assert!(split.splits <= MAX_SPLITS && split.blocks * shape.rows >= rows);
            }
        }
    }
}
