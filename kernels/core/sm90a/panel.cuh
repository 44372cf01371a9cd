// Operands in panels: a bf16 matrix as blocks of 64 columns, each of them rows x 128 bytes with wgmma's 128-byte swizzle.
//
// Whatever its height, a tile of a panel is one plain range of memory: one bulk copy. The same tile serves as K-major and as
// MN-major operand. In shared memory it starts at a multiple of 1,024 bytes: the swizzle is of address bits.
#pragma once
#include "core/fragments.cuh"

#define PANEL_COLUMNS 64
#define PANEL_ROW_BYTES 128

// Where chunk `chunk` (8 values) of row `row` stands in its panel, in values.
__device__ __forceinline__ u64 panel_place(u64 row, u32 chunk) { return row * PANEL_COLUMNS + ((chunk ^ u32(row & 7)) * 8); }
