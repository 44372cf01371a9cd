// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/arguments.cuh"

// C[i][j] = the sum over k of A(i, k) B(j, k), plus bias[j] (null: none), negatives zeroed where `relu`. C is m x n.
struct ProductArgs {
    // Element (i, j) of split z at c[z * c_split + i * c_stride + j].
    float* c;
    const float* bias;
    u64 c_stride;
    u64 c_split;
    Operand a;
    Operand b;
    u32 m;
    u32 n;
    u32 k;
    // k of a split, a multiple of 64.
    u32 k_split;
    u32 relu;
    u32 unused;
};
static_assert(sizeof(ProductArgs) == 104, "the size of ProductArgs on the host");

// The pass over dy: masked by y > 0 (y null: all of it), as tiles, and its columns' sums.
struct MaskArgs {
    u16* hi;
    u16* lo;
    // Chunks x width.
    float* parts;
    float* dy;
    const float* y;
    u64 dy_stride;
    u64 y_stride;
    u32 rows;
    u32 cols;
    u32 width;
    u32 chunk;
    u32 lanes;
    u32 unused;
};
static_assert(sizeof(MaskArgs) == 80, "the size of MaskArgs on the host");

// to[r][c] = the sum over p of parts[p][r][c]: `count` parts of rows x width.
struct SumOf {
    float* to;
    const float* parts;
    u32 count;
    u32 rows;
    u32 cols;
    u32 width;
};
static_assert(sizeof(SumOf) == 32, "the size of SumOf on the host");

// Sums side by side, each in its row of blocks.
struct SumArgs {
    SumOf of[2];
};
static_assert(sizeof(SumArgs) == 64, "the size of SumArgs on the host");
