//! What the kernels of linear layers take.

use crate::backend::cuda::arguments::{In, Operand, Out, Pad, arguments};

arguments! { "linear/arguments.cuh" with "core/arguments.cuh":
    /// C[i][j] = the sum over k of A(i, k) B(j, k), plus bias[j] (null: none), negatives zeroed where `relu`. C is m x n.
    struct ProductArgs {
        /// Element (i, j) of split z at c[z * c_split + i * c_stride + j].
        c: Out<f32>,
        bias: In<f32>,
        c_stride: u64,
        c_split: u64,
        a: Operand,
        b: Operand,
        m: u32,
        n: u32,
        k: u32,
        /// k of a split, a multiple of 64.
        k_split: u32,
        relu: u32,
        unused: Pad,
    }

    /// The pass over dy: masked by y > 0 (y null: all of it), as tiles, and its columns' sums.
    struct MaskArgs {
        hi: Out<u16>,
        lo: Out<u16>,
        /// Chunks x width.
        parts: Out<f32>,
        dy: Out<f32>,
        y: In<f32>,
        dy_stride: u64,
        y_stride: u64,
        rows: u32,
        cols: u32,
        width: u32,
        chunk: u32,
        lanes: u32,
        unused: Pad,
    }

    /// to[r][c] = the sum over p of parts[p][r][c]: `count` parts of rows x width.
    struct SumOf {
        to: Out<f32>,
        parts: In<f32>,
        count: u32,
        rows: u32,
        cols: u32,
        width: u32,
    }

    /// Sums side by side, each in its row of blocks.
    struct SumArgs {
        of: [SumOf; 2],
    }
}
