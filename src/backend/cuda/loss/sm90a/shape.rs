//! How the softmax kernels for sm_90a cut a problem.

use crate::backend::cuda::loss::shape::{ColumnSplit, MAX_SPLITS};

/// The widest embedding that the kernels take.
pub(super) const MAX_DIM: usize = 128;
/// Columns of a panel.
pub(super) const PANEL: usize = 64;
/// Columns of a tile.
pub(super) const COLUMNS: usize = 128;
/// Rows and columns are padded to this: a block's rows of every tiling, and the columns of a tile, divide it.
pub(super) const PAD: usize = 384;
/// Rows up to which small blocks keep more multiprocessors busy.
const FEW_ROWS: usize = 4096;
#[cfg(test)]
thread_local! {
    /// [`FEW_ROWS`] of this thread: tests reach large blocks with few rows.
    pub(crate) static FEW_ROWS_HERE: std::cell::Cell<usize> = const { std::cell::Cell::new(FEW_ROWS) };
}

#[cfg(test)]
fn few_rows() -> usize {
    FEW_ROWS_HERE.get()
}

#[cfg(not(test))]
fn few_rows() -> usize {
    FEW_ROWS
}

/// Multiprocessors that splits are made for. A constant and not the device's number: see `shape`.
const MULTIPROCESSORS: usize = 132;

/// The tiling of one width: what `kernels/loss/sm90a.cu` says of its entry points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WarpgroupTiling {
    /// The width, padded with zeros: whole panels.
    pub width: usize,
    /// Warpgroups of a block that multiply, 64 rows each. One more produces.
    pub groups: usize,
    /// Blocks of a multiprocessor.
    pub blocks: usize,
    /// Tiles in shared memory.
    pub stages: usize,
}

impl WarpgroupTiling {
    /// The tiling for `rows` of embeddings `dim` wide, at most [`MAX_DIM`]; `lists`: with lists of masked columns, which blocks
    /// of three warpgroups have no registers for.
    pub(crate) fn new(dim: usize, rows: usize, lists: bool) -> WarpgroupTiling {
        let width = dim.next_multiple_of(PANEL).max(PANEL);
        let (groups, blocks, stages) = match (width, rows <= few_rows() || lists) {
            (PANEL, false) => (3, 1, 6),
            (PANEL, true) => (1, 2, 5),
            _ => (2, 1, 5),
        };
        WarpgroupTiling { width, groups, blocks, stages }
    }

    /// Rows of a block.
    pub(crate) fn rows(&self) -> usize {
        64 * self.groups
    }

    /// Threads of a block.
    pub(crate) fn threads(&self) -> u32 {
        128 * (self.groups as u32 + 1)
    }

    /// Bytes of shared memory of a block: up to 1,024 before the first tile, rows, stages of a tile with four arrays of a word a
    /// column, ranges of ids and bits of masked columns, barriers, what holds for the whole call.
    pub(crate) fn shared(&self) -> u32 {
        let bits = if self.groups < 3 { self.rows() * COLUMNS / 8 } else { 0 };
        let values = 4 * COLUMNS * 4 + COLUMNS / 32 * 8 + bits;
        let stage = COLUMNS * self.width * 2 + values + 16;
        (1024 + self.rows() * self.width * 2 + self.stages * stage + 16 + 32) as u32
    }

    /// How `rows` x `columns` is cut: the splits with the least time by whole waves of blocks, where a block's start and end
    /// count as 2.5 tiles and each split's part as 0.3.
    pub(crate) fn split(&self, rows: usize, columns: usize) -> ColumnSplit {
        let blocks = rows.div_ceil(self.rows()).max(1);
        let all = columns.div_ceil(COLUMNS).max(1);
        let cost = |splits: usize| {
            let tiles = all.div_ceil(splits);
            (blocks * splits).div_ceil(MULTIPROCESSORS * self.blocks) * (10 * tiles + 25) + 3 * splits
        };
        // Splits that are all there: others are fewer, longer ones.
        let whole = |&splits: &usize| all.div_ceil(all.div_ceil(splits)) == splits;
        let splits = (1..=MAX_SPLITS.min(all)).filter(whole).min_by_key(|&splits| cost(splits)).unwrap_or(1);
        ColumnSplit { blocks, splits, tiles: all.div_ceil(splits) }
    }

    /// Bytes that a product kernel moves with this tiling: the operands' rows once a split, their columns once a block of rows,
    /// and a result of `dim` values a row; where there are splits, each writes its part and who joins them reads the others'.
    #[cfg(test)]
    pub(crate) fn tiling_bytes(&self, rows: usize, columns: usize, dim: usize) -> u64 {
        let split = self.split(rows, columns);
        let operands = self.width * 2 * (split.blocks * columns + split.splits * rows);
        let results = if split.splits > 1 { 2 * split.splits } else { 1 };
        (operands + results * rows * dim * 4) as u64
    }
}

/// Bytes beside the forward product: users and their positives in; by row 24 bytes of scalars in, 24 out.
#[cfg(test)]
pub(crate) fn finish_floor_bytes(rows: usize, dim: usize) -> u64 {
    (rows * (2 * 4 * dim + 48)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tiling_fits_a_multiprocessor() {
        for dim in 1..=MAX_DIM {
            for rows in [1, FEW_ROWS, FEW_ROWS + 1] {
                let tiling = WarpgroupTiling::new(dim, rows, false);
                assert!(tiling.width >= dim && tiling.width - dim < PANEL && tiling.width.is_multiple_of(PANEL));
                assert!(PAD.is_multiple_of(tiling.rows()) && PAD.is_multiple_of(COLUMNS));
                // 228 KiB of a multiprocessor, of which each block takes 1 KiB beside what it asks for.
                assert!(
                    tiling.blocks * (tiling.shared() as usize + 1024) <= 228 << 10,
                    "{tiling:?}: {}",
                    tiling.shared()
                );
            }
        }
    }

    #[test]
    fn splits_cover_all_columns() {
        for dim in [8, 64, 100, 128] {
            for (rows, columns) in [(1, 1), (128, 100_000), (129, 511), (8192, 8192), (1, 1 << 20), (5000, 3000)] {
                let tiling = WarpgroupTiling::new(dim, rows, false);
                let split = tiling.split(rows, columns);
                let tiles = columns.div_ceil(COLUMNS);
                assert!(split.splits * split.tiles >= tiles && (split.splits - 1) * split.tiles < tiles, "{split:?}");
                assert!(split.splits <= MAX_SPLITS && split.blocks * tiling.rows() >= rows, "{split:?}");
            }
        }
    }

    #[test]
    fn a_large_batch_fills_the_device_in_one_wave() {
        for (dim, splits) in [(64, 3), (128, 2)] {
            let split = WarpgroupTiling::new(dim, 8192, false).split(8192, 8192);
            assert_eq!((split.splits, split.blocks * split.splits <= MULTIPROCESSORS), (splits, true), "{split:?}");
        }
    }
}
