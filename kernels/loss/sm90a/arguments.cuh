// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "loss/arguments.cuh"

// An operand in panels of 64 columns, each `padded` rows x 128 bytes, swizzled: rows beyond `rows` are zero.
struct Panels {
    const u16* values;
    u32 rows;
    u32 padded;
};
static_assert(sizeof(Panels) == 16, "the size of Panels on the host");

// Ids by column in the order of fragments, and the least and greatest of each 32 columns. Null: no ids.
struct ColumnIds {
    const u32* ids;
    const uint2* ranges;
};
static_assert(sizeof(ColumnIds) == 16, "the size of ColumnIds on the host");

// fp32 rows become panels. Part p of an operand's `parts` looks after every parts-th group of 32 rows, from p on, and
// says of them: the largest squared length, then for candidates the largest bias and the least finite one.
struct PanelsArgs {
    u16* user_panels;
    u16* candidate_panels;
    // Of the users' parts, then of the candidates'.
    float4* extremes;
    const float* users;
    const float* candidates;
    // Null: 0.
    const float* bias;
    u32 rows;
    u32 columns;
    u32 padded_rows;
    u32 padded_columns;
    u32 user_parts;
    u32 candidate_parts;
    u32 dim;
    // Panels of an operand.
    u32 panels;
};
static_assert(sizeof(PanelsArgs) == 80, "the size of PanelsArgs on the host");

// As `LossPrepareArgs`, for products by warpgroups. Null inputs: weights 1, bias 0, no ids, row i's positive is
// column i.
struct PrepareHopperArgs {
    LossCall* call;
    // By column: bias in powers of 2; the same less the reference, in the order of fragments.
    float* bias2;
    float* column_bias;
    u32* candidate_ids;
    u32* column_ids;
    uint2* column_ranges;
    // By row: positives and their ids; the same in the order of fragments.
    u32* positives;
    u32* user_ids;
    u32* fragment_positives;
    u32* fragment_ids;
    uint2* user_ranges;
    // Null: no masked columns.
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
    u32 rows;
    u32 columns;
    u32 padded_rows;
    u32 padded_columns;
    u32 user_parts;
    u32 candidate_parts;
};
static_assert(sizeof(PrepareHopperArgs) == 200, "the size of PrepareHopperArgs on the host");

// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x dim in `out`.
struct HopperForwardArgs {
    float* out;
    // A power of two near the sum, and the sum relative to it.
    float2* sums;
    u32* dead;
    float* dots;
    // Where a wait that never ends is reported.
    u64* stuck;
    Panels users;
    Panels candidates;
    const float* column_bias;
    ColumnIds column_ids;
    const u32* positives;
    const u32* user_ids;
    MaskedLists masked;
    const LossCall* call;
    u32 dim;
    // Tiles of columns, and of a split.
    u32 tiles;
    u32 split_tiles;
    u32 unused;
};
static_assert(sizeof(HopperForwardArgs) == 152, "the size of HopperForwardArgs on the host");

// The backward product: its rows are candidates, `out` holds splits x candidates x dim.
struct HopperBackwardArgs {
    float* out;
    u64* stuck;
    Panels candidates;
    Panels users;
    // Of the users, in the order of fragments: see `UserTerms`. `offset`: the largest bias less that.
    const float* offset;
    const float* gap;
    const u32* positives;
    ColumnIds user_ids;
    const float* bias2;
    const u32* candidate_ids;
    MaskedLists masked;
    const LossCall* call;
    u32 dim;
    // Tiles of users, and of a split.
    u32 tiles;
    u32 split_tiles;
    u32 unused;
};
static_assert(sizeof(HopperBackwardArgs) == 144, "the size of HopperBackwardArgs on the host");
