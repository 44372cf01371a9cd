// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// An operand of a product on tensor cores: rows x width in bf16, and what bf16 rounds away (`lo`, null where
// products are not precise).
struct Operand {
    const u16* hi;
    const u16* lo;
    u32 rows;
    u32 width;
};
static_assert(sizeof(Operand) == 24, "the size of Operand on the host");
