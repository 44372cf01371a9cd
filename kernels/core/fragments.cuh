// The order of arrays by column that a product's fragments are read beside.
#pragma once
#include "core/types.cuh"

// Where column j stands, so that a thread of a quad reads its four values of 16 columns (2 t, 2 t + 1, 2 t + 8, 2 t + 9) by one
// load of 16 bytes.
__device__ __forceinline__ u64 fragment_order(u64 j) {
    return (j & ~15ull) | (((j & 7) >> 1) << 2) | (((j >> 3) & 1) << 1) | (j & 1);
}
