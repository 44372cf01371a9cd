// Operands in panels: a bf16 matrix as blocks of 64 columns, each of them rows x 128 bytes with wgmma's 128-byte swizzle.
//
// Whatever its height, a tile of a panel is one plain range of memory: one bulk copy. The same tile serves as K-major and as
// MN-major operand. In shared memory it starts at a multiple of 1,024 bytes: the swizzle is of address bits.
#pragma once
#include "core/types.cuh"

#define PANEL_COLUMNS 64
#define PANEL_ROW_BYTES 128

// Where chunk `chunk` (8 values) of row `row` stands in its panel, in values.
__device__ __forceinline__ u64 panel_place(u64 row, u32 chunk) { return row * PANEL_COLUMNS + ((chunk ^ u32(row & 7)) * 8); }

// Where column j of an array by column stands, so that a thread of a quad reads its four values of 16 columns (2 t, 2 t + 1,
// 2 t + 8, 2 t + 9) by one load of 16 bytes.
__device__ __forceinline__ u64 fragment_order(u64 j) {
    return (j & ~15ull) | (((j & 7) >> 1) << 2) | (((j >> 3) & 1) << 1) | (j & 1);
}
