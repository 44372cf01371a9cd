//! fp32 matrices as bf16 operands of the tensor cores.

pub(super) mod arguments;

use arguments::{SplitArgs, SplitMatrix};

use super::arguments::{In, Operand, Out};
use super::launch::blocks;
use super::{Buf, Cuda, Mat, input, need_mat, output};
use crate::Result;

/// Threads of a block of `split_bf16`.
const THREADS: usize = 256;

/// A matrix as bf16: rows x `width`, zero beyond its columns. `lo` holds what `hi` rounds away, where it was asked for.
pub(crate) struct Tiles {
    pub hi: Buf<u16>,
    pub lo: Option<Buf<u16>>,
    pub rows: usize,
    pub width: usize,
}

impl Tiles {
    /// Room for tiles, not initialised: with `lo` where that is asked for.
    pub(super) fn room(cuda: &Cuda, rows: usize, width: usize, lo: bool) -> Result<Tiles> {
        let values = || cuda.scratch::<u16>(rows * width);
        Ok(Tiles { hi: values()?, lo: lo.then(values).transpose()?, rows, width })
    }

    /// As kernels take them. They count rows in 32 bits: whoever makes tiles for a product checks.
    pub(super) fn operand(&self) -> Operand {
        let lo = input(self.lo.as_ref());
        Operand { hi: self.hi.input(), lo, rows: self.rows as u32, width: self.width as u32 }
    }
}

impl Cuda {
    /// Two matrices in rows of `width` (a multiple of 8, at least their columns), with `lo` where that is asked for; in one
    /// launch.
    pub(crate) fn split_both(&self, x: [&Mat<'_, Cuda>; 2], width: usize, lo: bool) -> Result<[Tiles; 2]> {
        let both = [Tiles::room(self, x[0].rows, width, lo)?, Tiles::room(self, x[1].rows, width, lo)?];
        let none = SplitMatrix { hi: Out::NULL, lo: Out::NULL, x: In::NULL, rows: 0, stride: 0, cols: 0, width: 8 };
        let mut of = [none; 2];
        let mut most = 0;
        for ((of, tiles), x) in of.iter_mut().zip(&both).zip(x) {
            need_mat("split", "the matrix", x.buf.len(), (x.rows, x.cols, x.stride, x.col))?;
            debug_assert!(tiles.width.is_multiple_of(8) && tiles.width >= x.cols && tiles.rows == x.rows);
            most = most.max(x.rows * tiles.width / 8);
            *of = SplitMatrix {
                hi: tiles.hi.output(),
                lo: output(tiles.lo.as_ref()),
                x: x.buf.input_at(x.col),
                rows: x.rows as u64,
                stride: x.stride as u64,
                cols: x.cols as u32,
                width: tiles.width as u32,
            };
        }
        let kernel = &self.kernels.tiles(&self.context)?.split_bf16;
        // SAFETY: `hi` and `lo` hold rows x width values; the matrices lie inside their buffers (checked above); the kernel
        // reads columns below `cols` and writes below `width`.
        unsafe { self.launch(kernel, [blocks(most, THREADS), 2, 1], THREADS as u32, 0, &SplitArgs { of }) }?;
        Ok(both)
    }
}

/// Bytes that splitting `rows` x `cols` must move: the matrix, and tiles of `width` columns (two, where precise).
#[cfg(test)]
pub(crate) fn floor_bytes(rows: usize, cols: usize, width: usize, precise: bool) -> u64 {
    (rows * (cols * 4 + width * if precise { 4 } else { 2 })) as u64
}
