//! What the kernel that splits matrices takes.

use crate::backend::cuda::arguments::{In, Out, arguments};

arguments! { "tiles/arguments.cuh" with "core/types.cuh":
    /// hi, lo: rows x width; x: element (r, c) at x[r * stride + c], columns `cols` and on count as zero. lo may be null.
    struct SplitMatrix {
        hi: Out<u16>,
        lo: Out<u16>,
        x: In<f32>,
        rows: u64,
        stride: u64,
        cols: u32,
        width: u32,
    }

    /// One or two matrices, one a row of blocks.
    struct SplitArgs {
        of: [SplitMatrix; 2],
    }
}
