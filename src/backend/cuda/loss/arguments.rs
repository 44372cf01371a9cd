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
        /// Every score lies near enough to `reference` to stand relative to it, and not to its row's largest.
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

    /// What the backward kernels know of each user, in the order of fragments and padded to whole tiles: written by
    /// loss_prepare and loss_finish.
    struct UserTerms {
        /// The largest bias, less log2 of the sum, and log2 of weight x scale; -inf where nothing counts.
        offset: In<f32>,
        /// What the positive's derivative is, negated.
        gap: In<f32>,
        positives: In<u32>,
        /// Null: no ids.
        ids: In<u32>,
        /// The least and greatest id of each 32 users.
        ranges: In<[u32; 2]>,
    }

    /// A matrix becomes an operand, with rows of zeros up to `padded`, a multiple of 16. Part p of its `parts` looks after every
    /// parts-th group of 16 rows, from p on.
    struct LossOperand {
        hi: Out<u16>,
        /// Null: products are not precise.
        lo: Out<u16>,
        from: In<f32>,
        rows: u32,
        padded: u32,
        parts: u32,
        unused: Pad,
    }

    /// Both operands, and what each part found: the largest squared length of a row, then of the candidates' the
    /// largest bias and the least finite one, in powers of 2.
    struct LossOperandsArgs {
        users: LossOperand,
        candidates: LossOperand,
        /// Of the users' parts, then of the candidates'.
        extremes: Out<[f32; 4]>,
        /// Null: 0.
        bias: In<f32>,
        dim: u32,
        /// Values from row to row of the operands.
        width: u32,
    }

    /// Arrays by row and column that the products copy by whole tiles: in the order of fragments, but for `bias2` and
    /// `positives`. Null inputs: weights 1, bias 0, no ids, row i's positive is column i, nothing masked, no fixed reference.
    struct LossPrepareArgs {
        call: Out<LossCall>,
        /// By candidate: bias in powers of 2; the same less the reference; ids, and the least and greatest of each 32.
        bias2: Out<f32>,
        column_bias: Out<f32>,
        candidate_ids: Out<u32>,
        candidate_ranges: Out<[u32; 2]>,
        /// By user: the positive, twice; its id, and the least and greatest of each 32; the list of masked columns.
        positives: Out<u32>,
        fragment_positives: Out<u32>,
        user_ids: Out<u32>,
        user_ranges: Out<[u32; 2]>,
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
        rows: u64,
        columns: u64,
        padded_rows: u64,
        padded_columns: u64,
        user_parts: u32,
        candidate_parts: u32,
    }

    /// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
    struct LossForwardArgs {
        out: Out<f32>,
        /// A power of two near the largest score, and the sum relative to it.
        sums: Out<[f32; 2]>,
        dead: Out<u32>,
        dots: Out<f32>,
        users: Operand,
        candidates: Operand,
        /// As `LossPrepareArgs` says.
        column_bias: In<f32>,
        positives: In<u32>,
        user_ids: In<u32>,
        /// Null: no ids.
        candidate_ids: In<u32>,
        candidate_ranges: In<[u32; 2]>,
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
