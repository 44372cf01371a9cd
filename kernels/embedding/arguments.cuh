// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "optim/arguments.cuh"

// A lookup of single rows.
struct RowsForwardArgs {
    // Element (r, c) at out[r * stride + c].
    float* out;
    const void* table;
    const u32* ids;
    u64* status;
    u64 rows;
    u64 stride;
    u32 table_rows;
    u32 dim;
    u32 log_lanes;
    u32 unused;
};
static_assert(sizeof(RowsForwardArgs) == 64, "the size of RowsForwardArgs on the host");

// A lookup of bags. `offsets` null: single rows; `weights` null: means.
struct BagForwardArgs {
    float* out;
    const void* table;
    const u32* ids;
    const u32* offsets;
    const float* weights;
    u64* status;
    u64 rows;
    u64 stride;
    u32 lookups;
    u32 table_rows;
    u32 dim;
    u32 log_lanes;
    u32 add;
    u32 unused;
};
static_assert(sizeof(BagForwardArgs) == 88, "the size of BagForwardArgs on the host");

// What steps need of a table: rows x dim values, the optimizer's states, and the seed of its rounding.
struct Target {
    void* table;
    // Adagrad: rows x dim; row-wise Adagrad: rows; Adam: rows x dim each; else null.
    float* state1;
    float* state2;
    u64 run_key;
    u32 number;
    u32 rows;
    u32 dim;
    // The logarithm of the lanes that share a row.
    u32 log_lanes;
};
static_assert(sizeof(Target) == 48, "the size of Target on the host");

// Gradient matrices, their rows numbered through: row p is that of the last matrix whose `first` is not above p.
// Matrices that are not there have `first` NOTHING.
struct Gradients {
    const float* data[8];
    u32 stride[8];
    u32 first[8];
};
static_assert(sizeof(Gradients) == 128, "the size of Gradients on the host");

// The step of a plan's rows, chunk by chunk. `scales` null: ones.
struct StepChunksArgs {
    Target target;
    Gradients gradients;
    Rule rule;
    const u32* unique;
    const u32* starts;
    const u32* positions;
    const float* scales;
    float* partials;
    u32* straddling;
    u64* status;
    u32 gradient_rows;
    u32 uniques;
    u32 lookups;
    u32 unused;
};
static_assert(sizeof(StepChunksArgs) == 280, "the size of StepChunksArgs on the host");

// The step of the rows whose runs straddle chunks.
struct StepStraddlingArgs {
    Target target;
    Rule rule;
    const u32* unique;
    const u32* starts;
    const float* partials;
    const u32* straddling;
    u32 lookups;
    u32 unused;
};
static_assert(sizeof(StepStraddlingArgs) == 120, "the size of StepStraddlingArgs on the host");
