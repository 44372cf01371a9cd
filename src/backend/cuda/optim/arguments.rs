//! What the kernels of optimizers take.

use crate::backend::cuda::arguments::{In, Out, Pad, arguments};

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

    /// The constants of a step, which come with its batch.
    struct StepRules {
        /// The part of rounding's random bits that all rows share.
        run_key: u64,
        decayed: Rule,
        /// Without weight decay.
        plain: Rule,
    }

    /// Dense parameters: `len` values each, 16-byte aligned; m and v are null where the optimizer keeps none.
    struct DenseParam {
        w: Out<f32>,
        m: Out<f32>,
        v: Out<f32>,
        dw: In<f32>,
        len: u64,
        /// The first of its blocks.
        first_block: u32,
        /// Whether its weights decay.
        decays: u32,
    }

    /// The step of all dense parameters.
    struct DenseStepsArgs {
        params: In<DenseParam>,
        rules: In<StepRules>,
        /// What scales all gradients; null: the rule's.
        grad_scale: In<f32>,
        count: u32,
        unused: Pad,
    }

    /// Values whose squares are summed, 16-byte aligned, in pieces of 16,384.
    struct NormPart {
        x: In<f32>,
        len: u64,
        first_piece: u32,
        pieces: u32,
    }

    /// sums: one for each piece.
    struct SquaredNormsArgs {
        sums: Out<f64>,
        parts: In<NormPart>,
        count: u32,
        unused: Pad,
    }

    /// What clips gradients whose norm is that of all parts to `limit`.
    struct ClipArgs {
        grad_scale: Out<f32>,
        sums: In<f64>,
        parts: In<NormPart>,
        count: u32,
        limit: f32,
    }
}
