//! What the kernels of embedding tables take. Tables, bags and gradients are described in device memory, so that one launch
//! serves any number of them.

use crate::backend::cuda::arguments::{In, Out, Pad, TableValue, arguments};
use crate::backend::cuda::optim::arguments::StepRules;

arguments! { "embedding/arguments.cuh" with "optim/arguments.cuh":
    /// Rows x dim values of `out`: the sum of the pools of `bags` bags, in their order.
    struct PoolTarget {
        /// Element (r, c) at out[r * stride + c].
        out: Out<f32>,
        stride: u64,
        rows: u32,
        dim: u32,
        /// The logarithm of the lanes that share a row.
        log_lanes: u32,
        /// Neighbouring values of a lane: 4, where all accesses are aligned, or 1.
        vector: u32,
        /// Rows of a group.
        group_rows: u32,
        /// The first of its blocks.
        first_block: u32,
        /// The first of its bags.
        first_bag: u32,
        bags: u32,
    }

    /// The lookups of one input. `offsets` null: single rows; `weights` null: means.
    struct PoolBag {
        table: In<TableValue>,
        ids: In<u32>,
        offsets: In<u32>,
        weights: In<f32>,
        lookups: u32,
        table_rows: u32,
        /// The type of the table's values: see enum Stored.
        stored: u32,
        unused: Pad,
    }

    /// All lookups of a batch.
    struct PoolsArgs {
        targets: In<PoolTarget>,
        bags: In<PoolBag>,
        status: Out<u64>,
        count: u32,
        unused: Pad,
    }

    /// A table to step: rows x dim values and the optimizer's states.
    struct StepTable {
        table: Out<TableValue>,
        /// Adagrad: rows x dim; row-wise Adagrad: rows; Adam: rows x dim each; else null.
        state1: Out<f32>,
        state2: Out<f32>,
        /// Distinguishes tables in the seeds of rounding.
        number: u32,
        rows: u32,
        dim: u32,
        /// The logarithm of the lanes that share a row.
        log_lanes: u32,
        /// Neighbouring values of a lane: 4, where all accesses are aligned, or 1.
        vector: u32,
        /// The type of its values: see enum Stored.
        stored: u32,
        /// The first of its gradient matrices, and how many rows they have in all.
        first_gradient: u32,
        gradients: u32,
        gradient_rows: u32,
        unused: Pad,
    }

    /// A gradient matrix. The rows of a table's matrices are numbered through; this one's start at `first`.
    struct GradientRows {
        data: In<f32>,
        stride: u32,
        first: u32,
    }

    /// Where a table's part of the plan stands in the arrays of the whole. It begins on a chunk.
    struct PlanPart {
        /// In `unique`; in `starts` its number is to be added: each part has one more there.
        unique: u32,
        uniques: u32,
        position: u32,
        lookups: u32,
        /// In `scales`; NOTHING where all scales are 1.
        scales: u32,
    }

    /// The step of the rows of all tables.
    struct StepArgs {
        tables: In<StepTable>,
        gradients: In<GradientRows>,
        parts: In<PlanPart>,
        rules: In<StepRules>,
        /// What scales all gradients; null: the rule's.
        grad_scale: In<f32>,
        unique: In<u32>,
        starts: In<u32>,
        positions: In<u32>,
        scales: In<f32>,
        /// Two rows of `width` a chunk.
        partials: Out<f32>,
        straddling: Out<u32>,
        status: Out<u64>,
        count: u32,
        width: u32,
        /// Which tables this launch steps: those with this `vector`; 0: all.
        vector: u32,
        unused: Pad,
    }
}
