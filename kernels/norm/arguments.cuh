// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// y, x: rows x dim; inverse: rows.
struct NormForwardRows {
    float* y;
    float* inverse;
    const float* x;
    u64 rows;
};
static_assert(sizeof(NormForwardRows) == 32, "the size of NormForwardRows on the host");

// `lanes` threads share a row.
struct NormForwardArgs {
    NormForwardRows of[2];
    u32 dim;
    u32 lanes;
};
static_assert(sizeof(NormForwardArgs) == 72, "the size of NormForwardArgs on the host");

// dy (in place), y: rows x dim; inverse: rows.
struct NormBackwardRows {
    float* dy;
    const float* y;
    const float* inverse;
    u64 rows;
};
static_assert(sizeof(NormBackwardRows) == 32, "the size of NormBackwardRows on the host");

// `lanes` threads share a row.
struct NormBackwardArgs {
    NormBackwardRows of[2];
    u32 dim;
    u32 lanes;
};
static_assert(sizeof(NormBackwardArgs) == 72, "the size of NormBackwardArgs on the host");
