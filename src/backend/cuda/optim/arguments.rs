//! What the kernels of optimizers take.

use crate::backend::cuda::arguments::{In, Out, arguments};

arguments! { "optim/arguments.cuh" with "core/types.cuh":
    /// A step's constants, worked out by the host in f64.
    struct Rule {
        /// The optimizer: see enum Kind.
        kind: u32,
        grad_scale: f32,
        /// 1 - lr weight_decay.
        keep: f32,
        /// The learning rate; for Adam over 1 - beta1^t.
        rate: f32,
        beta1: f32,
        beta2: f32,
        /// 1 / sqrt(1 - beta2^t).
        root: f32,
        eps: f32,
    }

    /// w, m, v, dw: `len` values, 16-byte aligned; m and v are null where the optimizer keeps none.
    struct DenseStepArgs {
        w: Out<f32>,
        m: Out<f32>,
        v: Out<f32>,
        dw: In<f32>,
        len: u64,
        rule: Rule,
    }

    /// sums: one for each piece of 16,384 of the `len` values of x, 16-byte aligned.
    struct SquaredNormPiecesArgs {
        sums: Out<f64>,
        x: In<f32>,
        len: u64,
    }

    /// total = the sum of `count` values.
    struct SquaredNormTotalArgs {
        total: Out<f64>,
        sums: In<f64>,
        count: u64,
    }
}
