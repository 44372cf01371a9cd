// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// hi, lo: rows x width; x: element (r, c) at x[r * stride + c], columns `cols` and on count as zero. lo may be null.
struct SplitMatrix {
    u16* hi;
    u16* lo;
    const float* x;
    u64 rows;
    u64 stride;
    u32 cols;
    u32 width;
};
static_assert(sizeof(SplitMatrix) == 48, "the size of SplitMatrix on the host");

// One or two matrices, one a row of blocks.
struct SplitArgs {
    SplitMatrix of[2];
};
static_assert(sizeof(SplitArgs) == 96, "the size of SplitArgs on the host");
