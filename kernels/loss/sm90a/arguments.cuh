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

// What stands before the products. The first `value_blocks` blocks make arrays by row and column, the others panels of
// fp32 rows: part p of an operand's `parts` looks after every parts-th group of 32 rows, from p on. Null inputs: weights
// 1, bias 0, no ids, row i's positive is column i.
struct PrepareHopperArgs {
    u16* user_panels;
    u16* candidate_panels;
    // Of the users' parts, then of the candidates': the largest squared length, then for candidates the largest bias and
    // the least finite one.
    float4* extremes;
    // Of each 256 rows.
    double* weight_sums;
    // By column: bias in powers of 2, ids; these in the order of fragments.
    float* bias2;
    u32* candidate_ids;
    u32* column_ids;
    uint2* column_ranges;
    // By row: positives and their ids; the same in the order of fragments.
    u32* positives;
    u32* user_ids;
    u32* fragment_positives;
    u32* fragment_ids;
    uint2* user_ranges;
    // Of rows beyond the last; the forward product writes the others.
    float* offset;
    float* gap;
    // Zeros: one of each 16 rows and columns.
    u32* user_tickets;
    u32* candidate_tickets;
    // Null: no masked columns.
    uint2* spans;
    u64* status;
    const float* users;
    const float* candidates;
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
    u32 value_blocks;
    u32 dim;
    // Panels of an operand.
    u32 panels;
    u32 unused;
};
static_assert(sizeof(PrepareHopperArgs) == 264, "the size of PrepareHopperArgs on the host");

// What `LossCall` is made of.
struct CallParts {
    const float4* extremes;
    // Null: weights 1.
    const double* weight_sums;
    const float* log_scale;
    u32 user_parts;
    u32 candidate_parts;
};
static_assert(sizeof(CallParts) == 32, "the size of CallParts on the host");

// The forward product: splits x rows in `sums` and `dead` (null: not counted), splits x rows x width in `parts` (null:
// one split). The warp that comes last of those with the same rows makes of them what is by row: dU and what the backward
// product needs.
struct HopperForwardArgs {
    float* parts;
    // A power of two near the sum, and the sum relative to it.
    float2* sums;
    u32* dead;
    float* dots;
    u32* tickets;
    // Where a wait that never ends is reported.
    u64* stuck;
    LossCall* call;
    float* du;
    // Loss and slope of each 16 rows.
    double2* terms;
    // By row, in the order of fragments: see `UserTerms`. `offset`: the largest bias less that.
    float* offset;
    float* gap;
    Panels users;
    Panels candidates;
    const float* bias2;
    ColumnIds column_ids;
    const u32* positives;
    const u32* user_ids;
    MaskedLists masked;
    CallParts call_parts;
    const float* user_rows;
    const float* candidate_rows;
    const float* weights;
    // log(1 - q) of each row's positive; null: the loss is not corrected.
    const float* corrected;
    u32 dim;
    // Tiles of columns, and of a split.
    u32 tiles;
    u32 split_tiles;
    u32 splits;
};
static_assert(sizeof(HopperForwardArgs) == 256, "the size of HopperForwardArgs on the host");

// The backward product: its rows are candidates. Splits x candidates x width in `parts` (null: one split), which the warp
// that comes last of those with the same rows adds to dV.
struct HopperBackwardArgs {
    float* dv;
    float* parts;
    u32* tickets;
    // The loss and its derivative by log_scale.
    float* stats;
    u64* stuck;
    Panels candidates;
    Panels users;
    // What the forward product left of the users.
    const float* offset;
    const float* gap;
    const double2* terms;
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
    u32 splits;
};
static_assert(sizeof(HopperBackwardArgs) == 176, "the size of HopperBackwardArgs on the host");
