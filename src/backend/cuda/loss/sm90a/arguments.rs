//! What the softmax kernels for sm_90a take.

use crate::backend::cuda::arguments::{In, Out, Pad, arguments};
use crate::backend::cuda::loss::arguments::{LossCall, MaskedLists};

arguments! { "loss/sm90a/arguments.cuh" with "loss/arguments.cuh":
    /// An operand in panels of 64 columns, each `padded` rows x 128 bytes, swizzled: rows beyond `rows` are zero.
    struct Panels {
        values: In<u16>,
        rows: u32,
        padded: u32,
    }

    /// Ids by column in the order of fragments, and the least and greatest of each 32 columns. Null: no ids.
    struct ColumnIds {
        ids: In<u32>,
        ranges: In<[u32; 2]>,
    }

    /// What stands before the products. The first `value_blocks` blocks make arrays by row and column, the others panels of
    /// fp32 rows: part p of an operand's `parts` looks after every parts-th group of 32 rows, from p on. Null inputs: weights
    /// 1, bias 0, no ids, row i's positive is column i.
    struct PrepareHopperArgs {
        user_panels: Out<u16>,
        candidate_panels: Out<u16>,
        /// Of the users' parts, then of the candidates': the largest squared length, then for candidates the largest bias and
        /// the least finite one.
        extremes: Out<[f32; 4]>,
        /// Of each 256 rows.
        weight_sums: Out<f64>,
        /// By column: bias in powers of 2, ids; these in the order of fragments.
        bias2: Out<f32>,
        candidate_ids: Out<u32>,
        column_ids: Out<u32>,
        column_ranges: Out<[u32; 2]>,
        /// By row: positives and their ids; the same in the order of fragments.
        positives: Out<u32>,
        user_ids: Out<u32>,
        fragment_positives: Out<u32>,
        fragment_ids: Out<u32>,
        user_ranges: Out<[u32; 2]>,
        /// Of rows beyond the last; the forward product writes the others.
        offset: Out<f32>,
        gap: Out<f32>,
        /// Zeros: one of each 16 rows and columns.
        user_tickets: Out<u32>,
        candidate_tickets: Out<u32>,
        /// Null: no masked columns.
        spans: Out<[u32; 2]>,
        status: Out<u64>,
        users: In<f32>,
        candidates: In<f32>,
        weights: In<f32>,
        bias: In<f32>,
        ids: In<u32>,
        given_positives: In<u32>,
        offsets: In<u32>,
        masked: In<u32>,
        masked_len: u64,
        rows: u32,
        columns: u32,
        padded_rows: u32,
        padded_columns: u32,
        user_parts: u32,
        candidate_parts: u32,
        value_blocks: u32,
        dim: u32,
        /// Panels of an operand.
        panels: u32,
        unused: Pad,
    }

    /// What `LossCall` is made of.
    struct CallParts {
        extremes: In<[f32; 4]>,
        /// Null: weights 1.
        weight_sums: In<f64>,
        log_scale: In<f32>,
        user_parts: u32,
        candidate_parts: u32,
    }

    /// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x width in `parts` (null:
    /// one split). The warp that comes last of those with the same rows makes of them what is by row: dU and what the backward
    /// product needs.
    struct HopperForwardArgs {
        parts: Out<f32>,
        /// A power of two near the sum, and the sum relative to it.
        sums: Out<[f32; 2]>,
        dead: Out<u32>,
        dots: Out<f32>,
        tickets: Out<u32>,
        /// Where a wait that never ends is reported.
        stuck: Out<u64>,
        call: Out<LossCall>,
        du: Out<f32>,
        /// Loss and slope of each 16 rows.
        terms: Out<[f64; 2]>,
        /// By row, in the order of fragments: see `UserTerms`. `offset`: the largest bias less that.
        offset: Out<f32>,
        gap: Out<f32>,
        users: Panels,
        candidates: Panels,
        bias2: In<f32>,
        column_ids: ColumnIds,
        positives: In<u32>,
        user_ids: In<u32>,
        masked: MaskedLists,
        call_parts: CallParts,
        user_rows: In<f32>,
        candidate_rows: In<f32>,
        weights: In<f32>,
        /// log(1 - q) of each row's positive; null: the loss is not corrected.
        corrected: In<f32>,
        dim: u32,
        /// Tiles of columns, and of a split.
        tiles: u32,
        split_tiles: u32,
        splits: u32,
    }

    /// The backward product: its rows are candidates. Splits x candidates x width in `parts` (null: one split), which the warp
    /// that comes last of those with the same rows adds to dV.
    struct HopperBackwardArgs {
        dv: Out<f32>,
        parts: Out<f32>,
        tickets: Out<u32>,
        /// The loss and its derivative by log_scale.
        stats: Out<f32>,
        stuck: Out<u64>,
        candidates: Panels,
        users: Panels,
        /// What the forward product left of the users.
        offset: In<f32>,
        gap: In<f32>,
        terms: In<[f64; 2]>,
        positives: In<u32>,
        user_ids: ColumnIds,
        bias2: In<f32>,
        candidate_ids: In<u32>,
        masked: MaskedLists,
        call: In<LossCall>,
        dim: u32,
        /// Tiles of users, and of a split.
        tiles: u32,
        split_tiles: u32,
        splits: u32,
    }
}
