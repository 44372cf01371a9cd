// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// y, x: rows x dim; inverse: rows. `lanes` threads share a row.
struct NormForwardArgs {
    float* y;
    float* inverse;
    const float* x;
    u64 rows;
    u32 dim;
    u32 lanes;
};
static_assert(sizeof(NormForwardArgs) == 40, "the size of NormForwardArgs on the host");

// dy (in place), y: rows x dim; inverse: rows.
struct NormBackwardArgs {
    float* dy;
    const float* y;
    const float* inverse;
    u64 rows;
    u32 dim;
    u32 lanes;
};
static_assert(sizeof(NormBackwardArgs) == 40, "the size of NormBackwardArgs on the host");
