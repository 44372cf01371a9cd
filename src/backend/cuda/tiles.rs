//! fp32 matrices as bf16 operands of the tensor cores.

use super::launch::{args, blocks};
use super::{Buf, Cuda, Mat, need_mat};
use crate::Result;

/// Threads of a block of `split_bf16`.
const THREADS: usize = 256;

/// A matrix as bf16: rows x `width`, zero beyond its columns. `lo` holds what `hi` rounds away, where it was asked for.
pub(crate) struct Tiles {
    pub hi: Buf<u16>,
    pub lo: Option<Buf<u16>>,
}

impl Tiles {
    /// The address of `lo`, or 0.
    pub(crate) fn lo_ptr(&self) -> u64 {
        self.lo.as_ref().map_or(0, Buf::ptr)
    }
}

impl Cuda {
    /// `x` in rows of `width` (a multiple of 8, at least its columns), with `lo` where that is asked for.
    pub(crate) fn split(&self, x: &Mat<'_, Cuda>, width: usize, lo: bool) -> Result<Tiles> {
        need_mat("split", "the matrix", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
        debug_assert!(width.is_multiple_of(8) && width >= x.cols);
        let hi = self.scratch::<u16>(x.rows * width)?;
        let lo = if lo { Some(self.scratch::<u16>(x.rows * width)?) } else { None };
        let tiles = Tiles { hi, lo };
        let grid = [blocks(x.rows * width / 8, THREADS), 1, 1];
        let kernel = &self.kernels.tiles(&self.context)?.split_bf16;
        // SAFETY: split_bf16(hi, lo, x, rows, cols, stride, width). `hi` and `lo` hold rows x width values; the matrix
        // lies inside its buffer (checked above); the kernel reads columns below `cols` and writes below `width`.
        unsafe {
            self.launch(
                kernel,
                grid,
                THREADS as u32,
                0,
                &args![
                    tiles.hi.ptr(),
                    tiles.lo_ptr(),
                    x.buf.ptr_at(x.col),
                    x.rows as u64,
                    x.cols as u32,
                    x.stride as u64,
                    width as u32
                ],
            )
        }?;
        Ok(tiles)
    }
}

/// Bytes that splitting `rows` x `cols` must move: the matrix, and tiles of `width` columns (two, where precise).
#[cfg(test)]
pub(crate) fn floor_bytes(rows: usize, cols: usize, width: usize, precise: bool) -> u64 {
    (rows * (cols * 4 + width * if precise { 4 } else { 2 })) as u64
}
