// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "optim/arguments.cuh"

// Rows x dim values of `out`: the sum of the pools of `bags` bags, in their order.
struct PoolTarget {
    // Element (r, c) at out[r * stride + c].
    float* out;
    u64 stride;
    u32 rows;
    u32 dim;
    // The logarithm of the lanes that share a row.
    u32 log_lanes;
    // Neighbouring values of a lane: 4, where all accesses are aligned, or 1.
    u32 vector;
    // Rows of a group.
    u32 group_rows;
    // The first of its blocks.
    u32 first_block;
    // The first of its bags.
    u32 first_bag;
    u32 bags;
};
static_assert(sizeof(PoolTarget) == 48, "the size of PoolTarget on the host");

// The lookups of one input. `offsets` null: single rows; `weights` null: means.
struct PoolBag {
    const void* table;
    const u32* ids;
    const u32* offsets;
    const float* weights;
    u32 lookups;
    u32 table_rows;
    // The type of the table's values: see enum Stored.
    u32 stored;
    u32 unused;
};
static_assert(sizeof(PoolBag) == 48, "the size of PoolBag on the host");

// All lookups of a batch.
struct PoolsArgs {
    const PoolTarget* targets;
    const PoolBag* bags;
    u64* status;
    u32 count;
    u32 unused;
};
static_assert(sizeof(PoolsArgs) == 32, "the size of PoolsArgs on the host");

// A table to step: rows x dim values and the optimizer's states.
struct StepTable {
    void* table;
    // Adagrad: rows x dim; row-wise Adagrad: rows; Adam: rows x dim each; else null.
    float* state1;
    float* state2;
    // Distinguishes tables in the seeds of rounding.
    u32 number;
    u32 rows;
    u32 dim;
    // The logarithm of the lanes that share a row.
    u32 log_lanes;
    // Neighbouring values of a lane: 4, where all accesses are aligned, or 1.
    u32 vector;
    // The type of its values: see enum Stored.
    u32 stored;
    // The first of its gradient matrices, and how many rows they have in all.
    u32 first_gradient;
    u32 gradients;
    u32 gradient_rows;
    u32 unused;
};
static_assert(sizeof(StepTable) == 64, "the size of StepTable on the host");

// A gradient matrix. The rows of a table's matrices are numbered through; this one's start at `first`.
struct GradientRows {
    const float* data;
    u32 stride;
    u32 first;
};
static_assert(sizeof(GradientRows) == 16, "the size of GradientRows on the host");

// Where a table's part of the plan stands in the arrays of the whole. It begins on a chunk.
struct PlanPart {
    // In `unique`; in `starts` its number is to be added: each part has one more there.
    u32 unique;
    u32 uniques;
    u32 position;
    u32 lookups;
    // In `scales`; NOTHING where all scales are 1.
    u32 scales;
};
static_assert(sizeof(PlanPart) == 20, "the size of PlanPart on the host");

// The step of the rows of all tables.
struct StepArgs {
    const StepTable* tables;
    const GradientRows* gradients;
    const PlanPart* parts;
    const StepRules* rules;
    // What scales all gradients; null: the rule's.
    const float* grad_scale;
    const u32* unique;
    const u32* starts;
    const u32* positions;
    const float* scales;
    // Two rows of `width` a chunk.
    float* partials;
    u32* straddling;
    u64* status;
    u32 count;
    u32 width;
    // Which tables this launch steps: those with this `vector`; 0: all.
    u32 vector;
    u32 unused;
};
static_assert(sizeof(StepArgs) == 112, "the size of StepArgs on the host");
