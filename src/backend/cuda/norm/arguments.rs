//! What the kernels of norms take: up to two matrices of one width, one a row of blocks.

use crate::backend::cuda::arguments::{In, Out, arguments};

arguments! { "norm/arguments.cuh" with "core/types.cuh":
    /// y, x: rows x dim; inverse: rows.
    struct NormForwardRows {
        y: Out<f32>,
        inverse: Out<f32>,
        x: In<f32>,
        rows: u64,
    }

    /// `lanes` threads share a row.
    struct NormForwardArgs {
        of: [NormForwardRows; 2],
        dim: u32,
        lanes: u32,
    }

    /// dy (in place), y: rows x dim; inverse: rows.
    struct NormBackwardRows {
        dy: Out<f32>,
        y: In<f32>,
        inverse: In<f32>,
        rows: u64,
    }

    /// `lanes` threads share a row.
    struct NormBackwardArgs {
        of: [NormBackwardRows; 2],
        dim: u32,
        lanes: u32,
    }
}
