//! What the kernels of norms take.

use crate::backend::cuda::arguments::{In, Out, arguments};

arguments! { "norm/arguments.cuh" with "core/types.cuh":
    /// y, x: rows x dim; inverse: rows. `lanes` threads share a row.
    struct NormForwardArgs {
        y: Out<f32>,
        inverse: Out<f32>,
        x: In<f32>,
        rows: u64,
        dim: u32,
        lanes: u32,
    }

    /// dy (in place), y: rows x dim; inverse: rows.
    struct NormBackwardArgs {
        dy: Out<f32>,
        y: In<f32>,
        inverse: In<f32>,
        rows: u64,
        dim: u32,
        lanes: u32,
    }
}
