// The order of items in their panels: as if at random.
#pragma once
#include "core/random.cuh"

// A bijection of [0, n) that scatters neighbours (`scattered` in backend/cuda/topk/sm90a/plan.rs): four Feistel rounds
// over the fewest even bits that hold n, walked until they land inside.
__device__ __forceinline__ u32 scattered(u32 x, u32 n) {
    const u32 half = (33 - __clz(n - 1)) / 2, mask = (1u << half) - 1;
    do {
        u32 left = x >> half, right = x & mask;
#pragma unroll
        for (u32 round = 0; round < 4; ++round) {
            const u32 next = left ^ (u32(mix(u64(round) << 32 | right)) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}
