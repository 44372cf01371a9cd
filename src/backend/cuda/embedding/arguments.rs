//! What the kernels of embedding tables take.

use crate::backend::cuda::arguments::{In, Out, Pad, TableValue, arguments};
use crate::backend::cuda::optim::arguments::Rule;

arguments! { "embedding/arguments.cuh" with "optim/arguments.cuh":
    /// A lookup of single rows.
    struct RowsForwardArgs {
        /// Element (r, c) at out[r * stride + c].
        out: Out<f32>,
        table: In<TableValue>,
        ids: In<u32>,
        status: Out<u64>,
        rows: u64,
        stride: u64,
        table_rows: u32,
        dim: u32,
        log_lanes: u32,
        unused: Pad,
    }

    /// A lookup of bags. `offsets` null: single rows; `weights` null: means.
    struct BagForwardArgs {
        out: Out<f32>,
        table: In<TableValue>,
        ids: In<u32>,
        offsets: In<u32>,
        weights: In<f32>,
        status: Out<u64>,
        rows: u64,
        stride: u64,
        lookups: u32,
        table_rows: u32,
        dim: u32,
        log_lanes: u32,
        add: u32,
        unused: Pad,
    }

    /// What steps need of a table: rows x dim values, the optimizer's states, and the seed of its rounding.
    struct Target {
        table: Out<TableValue>,
        /// Adagrad: rows x dim; row-wise Adagrad: rows; Adam: rows x dim each; else null.
        state1: Out<f32>,
        state2: Out<f32>,
        run_key: u64,
        number: u32,
        rows: u32,
        dim: u32,
        /// The logarithm of the lanes that share a row.
        log_lanes: u32,
    }

    /// Gradient matrices, their rows numbered through: row p is that of the last matrix whose `first` is not above p.
    /// Matrices that are not there have `first` NOTHING.
    struct Gradients {
        data: [In<f32>; 8],
        stride: [u32; 8],
        first: [u32; 8],
    }

    /// The step of a plan's rows, chunk by chunk. `scales` null: ones.
    struct StepChunksArgs {
        target: Target,
        gradients: Gradients,
        rule: Rule,
        unique: In<u32>,
        starts: In<u32>,
        positions: In<u32>,
        scales: In<f32>,
        partials: Out<f32>,
        straddling: Out<u32>,
        status: Out<u64>,
        gradient_rows: u32,
        uniques: u32,
        lookups: u32,
        unused: Pad,
    }

    /// The step of the rows whose runs straddle chunks.
    struct StepStraddlingArgs {
        target: Target,
        rule: Rule,
        unique: In<u32>,
        starts: In<u32>,
        partials: In<f32>,
        straddling: In<u32>,
        lookups: u32,
        unused: Pad,
    }
}
