// Random bits, the same as the host's (src/rng.rs and backend/cpu/embedding/stored.rs).
#pragma once
#include "core/types.cuh"

__device__ __forceinline__ u64 mix(u64 x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// The key of a row's random bits at one step.
__device__ __forceinline__ u64 row_key(u64 run_key, u32 table, u32 row) {
    return mix(run_key ^ (u64(table) << 32 | row));
}

// The bits of one column: the upper half of xorshift64*.
__device__ __forceinline__ u32 column_bits(u64 key, u32 column) {
    u64 state = key ^ (u64(column) + 1) * 0x9e3779b97f4a7c15ull;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return u32((state * 0x2545f4914f6cdd1dull) >> 32);
}
