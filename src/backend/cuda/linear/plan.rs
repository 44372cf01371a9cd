//! How a product is cut into blocks, from its shape alone, and what it must at least move and multiply.

/// Threads of a block (`GEMM_THREADS` in `kernels/linear/gemm.cuh`).
pub(super) const THREADS: u32 = 128;
/// Rows or columns beyond which the kernels' 32-bit counts end.
pub(super) const LARGEST: usize = i32::MAX as usize;
/// Columns of C of a block (`GEMM_BN`).
const BLOCK_COLS: usize = 64;
/// Blocks that splits are made for, twice: two on each of 108 multiprocessors. A constant and not the device's number: the
/// splits decide the order of sums, hence bits, and a run may go on on another device of its architecture.
const SPLIT_BLOCKS: usize = 216;
/// Blocks that a multiprocessor holds at least.
const RESIDENT: usize = 2;
/// K of a split at least: below it the partial sums cost more than the operands.
const SPLIT: usize = 512;
/// Stages of copies under way (`STAGES`), and bytes of K that a row of a stage holds.
const STAGES: usize = 3;
const ROW_BYTES: usize = 128;
/// Partial sums of db at most.
pub(super) const CHUNKS: usize = 256;

/// Columns of bf16 tiles of a matrix with `cols` columns: rows begin on whole 32-byte sectors.
pub(crate) fn padded(cols: usize) -> usize {
    cols.next_multiple_of(16)
}

/// Rows whose columns one block sums for db.
pub(super) fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(CHUNKS).max(64)
}

/// Which product of a layer; each is a kernel of its own, by the order of its operands in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProductKind {
    /// `y = x w^T`: m rows, n outputs, k inputs; x and w in rows of k.
    Forward,
    /// `dx = dy w`: m rows, n inputs, k outputs; dy in rows of k, w in rows of n.
    BackwardX,
    /// `dw = dy^T x`: m outputs, n inputs, k rows; dy in rows of m, x in rows of n.
    BackwardW,
}

/// `C[m][n] = sum over k`, cut into blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    /// Which operands.
    pub of: ProductKind,
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// What is summed over.
    pub k: usize,
    /// Rows of C of a block: 128 where that still fills the device, else 64. Sums do not depend on it.
    pub block_rows: usize,
}

impl Product {
    /// The product, in blocks of the better size for a device with so many multiprocessors.
    pub(crate) fn new(of: ProductKind, m: usize, n: usize, k: usize, multiprocessors: usize) -> Product {
        let tall = Product { of, m, n, k, block_rows: 128 };
        let block_rows = if tall.blocks() * tall.splits() >= RESIDENT * multiprocessors { 128 } else { 64 };
        Product { block_rows, ..tall }
    }

    /// Blocks of a split.
    pub(crate) fn blocks(&self) -> usize {
        self.m.div_ceil(self.block_rows) * self.n.div_ceil(BLOCK_COLS)
    }

    /// K of a split: whole steps of the kernel (64). Only dw is split: its k is the rows of a batch, and C is small.
    /// The number of splits decides the order of sums, so it follows from the shape alone.
    pub(super) fn split_k(&self) -> usize {
        let blocks = self.m.div_ceil(64) * self.n.div_ceil(BLOCK_COLS);
        let wanted = if self.of == ProductKind::BackwardW {
            (2 * SPLIT_BLOCKS).div_ceil(blocks.max(1)).min(self.k / SPLIT).max(1)
        } else {
            1
        };
        self.k.div_ceil(wanted).next_multiple_of(64).max(64)
    }

    /// Parts of K, summed in order afterwards.
    pub(crate) fn splits(&self) -> usize {
        self.k.div_ceil(self.split_k()).max(1)
    }

    /// Dynamic shared memory of a block.
    pub(super) fn shared_bytes(&self) -> u32 {
        ((self.block_rows + BLOCK_COLS) * ROW_BYTES * STAGES) as u32
    }
}

/// The least work of a product, against which tests hold what a launch counts.
#[cfg(test)]
impl Product {
    /// Bytes that any kernel moves: bf16 operands (twice where precise) once, fp32 C once for each split.
    pub(crate) fn floor_bytes(&self, precise: bool) -> u64 {
        let operands = (self.m + self.n) * self.k * if precise { 4 } else { 2 };
        (operands + self.m * self.n * 4 * self.splits()) as u64
    }

    /// Bytes that this tiling moves when nothing is cached: every block reads its rows of A and B.
    pub(crate) fn tiling_bytes(&self, precise: bool) -> u64 {
        let operands = self.n.div_ceil(BLOCK_COLS) * self.m + self.m.div_ceil(self.block_rows) * self.n;
        let operands = operands * self.k * if precise { 4 } else { 2 };
        (operands + self.m * self.n * 4 * self.splits()) as u64
    }

    /// Multiplications and additions on whole tiles, three products where precise.
    pub(crate) fn floor_flops(&self, precise: bool) -> u64 {
        let rows = self.m.next_multiple_of(self.block_rows);
        let cols = self.n.next_multiple_of(BLOCK_COLS);
        (2 * rows * cols * self.k.next_multiple_of(16) * if precise { 3 } else { 1 }) as u64
    }
}

/// Bytes that the pass over dy must move: dy, with ReLU also y and dy again, its tiles, and the sums of each chunk.
#[cfg(test)]
pub(crate) fn mask_floor_bytes(rows: usize, cols: usize, relu: bool, precise: bool) -> u64 {
    let row = cols * 4 * if relu { 3 } else { 1 } + padded(cols) * if precise { 4 } else { 2 };
    (rows * row + rows.div_ceil(chunk_rows(rows)) * padded(cols) * 4) as u64
}

/// Bytes that adding `count` parts must move: each part and the result.
#[cfg(test)]
pub(crate) fn sum_floor_bytes(count: usize, rows: usize, cols: usize) -> u64 {
    ((count + 1) * rows * cols * 4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cover_k_once() {
        for m in [1, 64, 257, 1024] {
            for k in [0, 1, 63, 512, 1024, 1025, 8192, 65_536, 100_003] {
                let product = Product::new(ProductKind::BackwardW, m, 33, k, 108);
                let (splits, step) = (product.splits(), product.split_k());
                assert!(step % 64 == 0 && splits * step >= k, "{product:?}");
                assert!(splits == 1 || (splits - 1) * step < k, "{product:?}");
            }
        }
    }

    #[test]
    fn small_products_take_small_blocks() {
        assert_eq!(Product::new(ProductKind::Forward, 100, 64, 64, 108).block_rows, 64);
        assert_eq!(Product::new(ProductKind::Forward, 65_536, 64, 64, 108).block_rows, 128);
        assert_eq!(Product::new(ProductKind::Forward, 65_536, 64, 64, 264).block_rows, 64, "a larger device");
        assert_eq!(Product::new(ProductKind::BackwardW, 128, 256, 8192, 108).splits(), 16);
        assert_eq!(Product::new(ProductKind::BackwardX, 65_536, 64, 8192, 108).splits(), 1);
    }
}
