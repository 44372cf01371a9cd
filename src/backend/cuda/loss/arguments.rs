//! What the kernels of the softmax loss take.

use crate::backend::cuda::arguments::{In, Operand, Out, Pad, arguments};

arguments! { "loss/arguments.cuh" with "core/arguments.cuh":
    /// What holds for the whole call: written by loss_prepare, or by the forward product for sm_90a.
    struct LossCall {
        /// The sum of the weights.
        total: f64,
        /// e^log_scale.
        scale: f32,
        /// scale log2(e): scores are kept as powers of two.
        scale2: f32,
        /// The total is 0: loss and gradients are 0.
        zero: u32,
        /// For sm_90a: every score lies near enough to `reference` to stand relative to it, and not to its row's largest.
        fixed: u32,
        reference: f32,
        /// The largest bias, in powers of two; 0 unless `fixed`.
        top_bias: f32,
    }

    /// By user: the masked columns stand at [x, y) of the list. Null: none.
    struct MaskedLists {
        spans: In<[u32; 2]>,
        columns: In<u32>,
    }

    /// What the backward kernels know of each user, padded to whole tiles: written by loss_finish.
    struct UserTerms {
        /// log2 of the sum, less log2 of weight x scale; +inf where nothing counts.
        offset: In<f32>,
        /// What the positive's derivative is, negated.
        gap: In<f32>,
        positives: In<u32>,
        ids: In<u32>,
    }

    /// Arrays by row and column that the products copy by whole tiles. Null inputs: weights 1, bias 0, no ids, row i's
    /// positive is column i, nothing masked.
    struct LossPrepareArgs {
        call: Out<LossCall>,
        bias2: Out<f32>,
        candidate_ids: Out<u32>,
        row_positives: Out<u32>,
        user_ids: Out<u32>,
        spans: Out<[u32; 2]>,
        status: Out<u64>,
        log_scale: In<f32>,
        weights: In<f32>,
        bias: In<f32>,
        ids: In<u32>,
        positives: In<u32>,
        offsets: In<u32>,
        masked: In<u32>,
        masked_len: u64,
        rows: u64,
        columns: u64,
        padded_rows: u64,
        padded_columns: u64,
    }

    /// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
    struct LossForwardArgs {
        out: Out<f32>,
        /// The largest score, and the sum relative to it.
        sums: Out<[f32; 2]>,
        dead: Out<u32>,
        dots: Out<f32>,
        users: Operand,
        candidates: Operand,
        bias2: In<f32>,
        positives: In<u32>,
        user_ids: In<u32>,
        /// Null: no ids.
        candidate_ids: In<u32>,
        masked: MaskedLists,
        call: In<LossCall>,
        dim: u32,
        /// Tiles of columns of a split.
        split_tiles: u32,
    }

    /// dU and losses of rows, joined from the forward's `splits` parts.
    struct LossFinishArgs {
        du: Out<f32>,
        /// Loss and slope of each row.
        terms: Out<[f64; 2]>,
        offset: Out<f32>,
        gap: Out<f32>,
        /// May be `du`, where there is one part.
        parts: In<f32>,
        sums: In<[f32; 2]>,
        dead: In<u32>,
        dots: In<f32>,
        call: In<LossCall>,
        users: In<f32>,
        candidates: In<f32>,
        weights: In<f32>,
        /// log(1 - q) of each row's positive; null: the loss is not corrected.
        corrected: In<f32>,
        bias2: In<f32>,
        positives: In<u32>,
        rows: u64,
        columns: u64,
        padded_rows: u64,
        dim: u32,
        splits: u32,
    }

    /// The backward product: its rows are candidates, `out` holds splits x candidates x dim.
    struct LossBackwardArgs {
        out: Out<f32>,
        candidates: Operand,
        users: Operand,
        bias2: In<f32>,
        /// Null: no ids.
        candidate_ids: In<u32>,
        terms: UserTerms,
        masked: MaskedLists,
        call: In<LossCall>,
        dim: u32,
        /// Tiles of users of a split.
        split_tiles: u32,
    }

    /// stats: the loss and its derivative by log_scale.
    struct LossStatsArgs {
        stats: Out<f32>,
        terms: In<[f64; 2]>,
        rows: u64,
    }

    /// to = the sum of `splits` parts of `len` values each.
    struct LossAddArgs {
        to: Out<f32>,
        parts: In<f32>,
        len: u64,
        splits: u32,
        unused: Pad,
    }

    /// The weights of rows under SoftmaxLoss@K. Null: popularity 0, weights 1, row i's positive is column i.
    struct TopKWeightsArgs {
        out: Out<f32>,
        users: In<f32>,
        candidates: In<f32>,
        log_scale: In<f32>,
        thresholds: In<f32>,
        popularity: In<f32>,
        weights: In<f32>,
        positives: In<u32>,
        rows: u64,
        columns: u64,
        dim: u32,
        width: f32,
    }
}
