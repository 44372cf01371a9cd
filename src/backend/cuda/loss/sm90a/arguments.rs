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

    /// fp32 rows become panels. Part p of an operand's `parts` looks after every parts-th group of 32 rows, from p on, and
    /// says of them: the largest squared length, then for candidates the largest bias and the least finite one.
    struct PanelsArgs {
        user_panels: Out<u16>,
        candidate_panels: Out<u16>,
        /// Of the users' parts, then of the candidates'.
        extremes: Out<[f32; 4]>,
        users: In<f32>,
        candidates: In<f32>,
        /// Null: 0.
        bias: In<f32>,
        rows: u32,
        columns: u32,
        padded_rows: u32,
        padded_columns: u32,
        user_parts: u32,
        candidate_parts: u32,
        dim: u32,
        /// Panels of an operand.
        panels: u32,
    }

    /// As `LossPrepareArgs`, for products by warpgroups. Null inputs: weights 1, bias 0, no ids, row i's positive is
    /// column i.
    struct PrepareHopperArgs {
        call: Out<LossCall>,
        /// By column: bias in powers of 2; the same less the reference, in the order of fragments.
        bias2: Out<f32>,
        column_bias: Out<f32>,
        candidate_ids: Out<u32>,
        column_ids: Out<u32>,
        column_ranges: Out<[u32; 2]>,
        /// By row: positives and their ids; the same in the order of fragments.
        positives: Out<u32>,
        user_ids: Out<u32>,
        fragment_positives: Out<u32>,
        fragment_ids: Out<u32>,
        user_ranges: Out<[u32; 2]>,
        /// Null: no masked columns.
        spans: Out<[u32; 2]>,
        status: Out<u64>,
        extremes: In<[f32; 4]>,
        log_scale: In<f32>,
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
    }

    /// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
    struct HopperForwardArgs {
        out: Out<f32>,
        /// A power of two near the sum, and the sum relative to it.
        sums: Out<[f32; 2]>,
        dead: Out<u32>,
        dots: Out<f32>,
        /// Where a wait that never ends is reported.
        stuck: Out<u64>,
        users: Panels,
        candidates: Panels,
        column_bias: In<f32>,
        column_ids: ColumnIds,
        positives: In<u32>,
        user_ids: In<u32>,
        masked: MaskedLists,
        call: In<LossCall>,
        dim: u32,
        /// Tiles of columns, and of a split.
        tiles: u32,
        split_tiles: u32,
        unused: Pad,
    }

    /// The backward product: its rows are candidates, `out` holds splits x candidates x dim.
    struct HopperBackwardArgs {
        out: Out<f32>,
        stuck: Out<u64>,
        candidates: Panels,
        users: Panels,
        /// Of the users, in the order of fragments: see `UserTerms`. `offset`: the largest bias less that.
        offset: In<f32>,
        gap: In<f32>,
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
        unused: Pad,
    }
}
