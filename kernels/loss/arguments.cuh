// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/arguments.cuh"

// What holds for the whole call: written by loss_prepare, or by the forward product for sm_90a.
struct LossCall {
    // The sum of the weights.
    double total;
    // e^log_scale.
    float scale;
    // scale log2(e): scores are kept as powers of two.
    float scale2;
    // The total is 0: loss and gradients are 0.
    u32 zero;
    // For sm_90a: every score lies near enough to `reference` to stand relative to it, and not to its row's largest.
    u32 fixed;
    float reference;
    // The largest bias, in powers of two; 0 unless `fixed`.
    float top_bias;
};
static_assert(sizeof(LossCall) == 32, "the size of LossCall on the host");

// By user: the masked columns stand at [x, y) of the list. Null: none.
struct MaskedLists {
    const uint2* spans;
    const u32* columns;
};
static_assert(sizeof(MaskedLists) == 16, "the size of MaskedLists on the host");

// What the backward kernels know of each user, padded to whole tiles: written by loss_finish.
struct UserTerms {
    // log2 of the sum, less log2 of weight x scale; +inf where nothing counts.
    const float* offset;
    // What the positive's derivative is, negated.
    const float* gap;
    const u32* positives;
    const u32* ids;
};
static_assert(sizeof(UserTerms) == 32, "the size of UserTerms on the host");

// Arrays by row and column that the products copy by whole tiles. Null inputs: weights 1, bias 0, no ids, row i's
// positive is column i, nothing masked.
struct LossPrepareArgs {
    LossCall* call;
    float* bias2;
    u32* candidate_ids;
    u32* row_positives;
    u32* user_ids;
    uint2* spans;
    u64* status;
    const float* log_scale;
    const float* weights;
    const float* bias;
    const u32* ids;
    const u32* positives;
    const u32* offsets;
    const u32* masked;
    u64 masked_len;
    u64 rows;
    u64 columns;
    u64 padded_rows;
    u64 padded_columns;
};
static_assert(sizeof(LossPrepareArgs) == 152, "the size of LossPrepareArgs on the host");

// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
struct LossForwardArgs {
    float* out;
    // The largest score, and the sum relative to it.
    float2* sums;
    u32* dead;
    float* dots;
    Operand users;
    Operand candidates;
    const float* bias2;
    const u32* positives;
    const u32* user_ids;
    // Null: no ids.
    const u32* candidate_ids;
    MaskedLists masked;
    const LossCall* call;
    u32 dim;
    // Tiles of columns of a split.
    u32 split_tiles;
};
static_assert(sizeof(LossForwardArgs) == 144, "the size of LossForwardArgs on the host");

// dU and losses of rows, joined from the forward's `splits` parts.
struct LossFinishArgs {
    float* du;
    // Loss and slope of each row.
    double2* terms;
    float* offset;
    float* gap;
    // May be `du`, where there is one part.
    const float* parts;
    const float2* sums;
    const u32* dead;
    const float* dots;
    const LossCall* call;
    const float* users;
    const float* candidates;
    const float* weights;
    // log(1 - q) of each row's positive; null: the loss is not corrected.
    const float* corrected;
    const float* bias2;
    const u32* positives;
    u64 rows;
    u64 columns;
    u64 padded_rows;
    u32 dim;
    u32 splits;
};
static_assert(sizeof(LossFinishArgs) == 152, "the size of LossFinishArgs on the host");

// The backward product: its rows are candidates, `out` holds splits x candidates x dim.
struct LossBackwardArgs {
    float* out;
    Operand candidates;
    Operand users;
    const float* bias2;
    // Null: no ids.
    const u32* candidate_ids;
    UserTerms terms;
    MaskedLists masked;
    const LossCall* call;
    u32 dim;
    // Tiles of users of a split.
    u32 split_tiles;
};
static_assert(sizeof(LossBackwardArgs) == 136, "the size of LossBackwardArgs on the host");

// stats: the loss and its derivative by log_scale.
struct LossStatsArgs {
    float* stats;
    const double2* terms;
    u64 rows;
};
static_assert(sizeof(LossStatsArgs) == 24, "the size of LossStatsArgs on the host");

// to = the sum of `splits` parts of `len` values each.
struct LossAddArgs {
    float* to;
    const float* parts;
    u64 len;
    u32 splits;
    u32 unused;
};
static_assert(sizeof(LossAddArgs) == 32, "the size of LossAddArgs on the host");

// The weights of rows under SoftmaxLoss@K. Null: popularity 0, weights 1, row i's positive is column i.
struct TopKWeightsArgs {
    float* out;
    const float* users;
    const float* candidates;
    const float* log_scale;
    const float* thresholds;
    const float* popularity;
    const float* weights;
    const u32* positives;
    u64 rows;
    u64 columns;
    u32 dim;
    float width;
};
static_assert(sizeof(TopKWeightsArgs) == 88, "the size of TopKWeightsArgs on the host");
