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
    // Every score lies near enough to `reference` to stand relative to it, and not to its row's largest.
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

// What the backward kernels know of each user, in the order of fragments and padded to whole tiles: written by
// loss_prepare and loss_finish.
struct UserTerms {
    // The largest bias, less log2 of the sum, and log2 of weight x scale; -inf where nothing counts.
    const float* offset;
    // What the positive's derivative is, negated.
    const float* gap;
    const u32* positives;
    // Null: no ids.
    const u32* ids;
    // The least and greatest id of each 32 users.
    const uint2* ranges;
};
static_assert(sizeof(UserTerms) == 40, "the size of UserTerms on the host");

// A matrix becomes an operand, with rows of zeros up to `padded`, a multiple of 16. Part p of its `parts` looks after every
// parts-th group of 16 rows, from p on.
struct LossOperand {
    u16* hi;
    // Null: products are not precise.
    u16* lo;
    const float* from;
    u32 rows;
    u32 padded;
    u32 parts;
    u32 unused;
};
static_assert(sizeof(LossOperand) == 40, "the size of LossOperand on the host");

// Both operands, and what each part found: the largest squared length of a row, then of the candidates' the
// largest bias and the least finite one, in powers of 2.
struct LossOperandsArgs {
    LossOperand users;
    LossOperand candidates;
    // Of the users' parts, then of the candidates'.
    float4* extremes;
    // Null: 0.
    const float* bias;
    u32 dim;
    // Values from row to row of the operands.
    u32 width;
};
static_assert(sizeof(LossOperandsArgs) == 104, "the size of LossOperandsArgs on the host");

// Arrays by row and column that the products copy by whole tiles: in the order of fragments, but for `bias2` and
// `positives`. Null inputs: weights 1, bias 0, no ids, row i's positive is column i, nothing masked, no fixed reference.
struct LossPrepareArgs {
    LossCall* call;
    // By candidate: bias in powers of 2; the same less the reference; ids, and the least and greatest of each 32.
    float* bias2;
    float* column_bias;
    u32* candidate_ids;
    uint2* candidate_ranges;
    // By user: the positive, twice; its id, and the least and greatest of each 32; the list of masked columns.
    u32* positives;
    u32* fragment_positives;
    u32* user_ids;
    uint2* user_ranges;
    uint2* spans;
    u64* status;
    const float4* extremes;
    const float* log_scale;
    const float* weights;
    const float* bias;
    const u32* ids;
    const u32* given_positives;
    const u32* offsets;
    const u32* masked;
    u64 masked_len;
    u64 rows;
    u64 columns;
    u64 padded_rows;
    u64 padded_columns;
    u32 user_parts;
    u32 candidate_parts;
};
static_assert(sizeof(LossPrepareArgs) == 200, "the size of LossPrepareArgs on the host");

// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
struct LossForwardArgs {
    float* out;
    // A power of two near the largest score, and the sum relative to it.
    float2* sums;
    u32* dead;
    float* dots;
    Operand users;
    Operand candidates;
    // As `LossPrepareArgs` says.
    const float* column_bias;
    const u32* positives;
    const u32* user_ids;
    // Null: no ids.
    const u32* candidate_ids;
    const uint2* candidate_ranges;
    MaskedLists masked;
    const LossCall* call;
    u32 dim;
    // Tiles of columns of a split.
    u32 split_tiles;
};
static_assert(sizeof(LossForwardArgs) == 152, "the size of LossForwardArgs on the host");

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
static_assert(sizeof(LossBackwardArgs) == 144, "the size of LossBackwardArgs on the host");

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
