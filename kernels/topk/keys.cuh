// Sort keys of scored items, skip lists, and a block's sort in shared memory.
#pragma once
#include "topk/arguments.cuh"

// No item.
#define NO_ITEM 0xffffffffu
// Behind every item; also the key of a NaN score, which is never returned.
#define NO_KEY 0xffffffffffffffffull

// The least key is the best: score descending, then item ascending. -0 and 0 are equal (as backend/cpu/topk).
__device__ __forceinline__ u64 score_key(float score, u32 item) {
    if (score != score) return NO_KEY;
    const u32 bits = __float_as_uint(score + 0.0f);
    const u32 ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
    return u64(~ascending) << 32 | item;
}

__device__ __forceinline__ float key_score(u64 key) {
    const u32 ascending = ~u32(key >> 32);
    return __uint_as_float(ascending >> 31 ? ascending & 0x7fffffffu : ~ascending);
}

// The key of an approximate score: a NaN comes before all others, since only the exact score can tell what it is.
__device__ __forceinline__ u64 scan_key(float score, u32 item) {
    return score != score ? item : score_key(score, item);
}

// Whether items[from .. to], ascending, have an item.
__device__ __forceinline__ bool contains(const u32* items, u32 from, u32 to, u32 item) {
    while (from < to) {
        const u32 middle = from + (to - from) / 2;
        const u32 x = __ldg(items + middle);
        if (x == item) return true;
        if (x < item) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return false;
}

// Whether a query must not return an item.
__device__ __forceinline__ bool skips(const SkipLists& skip, u32 query, u32 item) {
    if (!skip.offsets) return false;
    return contains(skip.items, __ldg(skip.offsets + query), __ldg(skip.offsets + query + 1), item);
}

// The query of a place: by the list where there is one.
__device__ __forceinline__ u32 listed(const u32* index, u32 place) { return index ? __ldg(index + place) : place; }

// One comparator of a bitonic network between lanes `lane` and `lane ^ step`; `up`: the lesser key goes to the lower.
__device__ __forceinline__ u64 exchange(u64 key, u32 step, u32 lane, bool up) {
    const u64 other = __shfl_xor_sync(FULL, key, step);
    const bool least = ((lane & step) == 0) == up;
    return (key < other) == least ? key : other;
}

// Sorts keys[0 .. n] ascending, n a power of two >= 32; all threads of the block together. Bitonic: steps of 32 and
// more go through shared memory, a warp reading 32 neighbours; smaller ones stay in registers.
__device__ void sort_keys(u64* keys, u32 n) {
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    __syncthreads();
    for (u32 chunk = warp * WARP; chunk < n; chunk += warps * WARP) {
        u64 key = keys[chunk + lane];
        for (u32 size = 2; size <= WARP; size <<= 1) {
            for (u32 step = size / 2; step > 0; step >>= 1)
                key = exchange(key, step, lane, ((chunk + lane) & size) == 0);
        }
        keys[chunk + lane] = key;
    }
    __syncthreads();
    for (u32 size = 2 * WARP; size <= n; size <<= 1) {
        for (u32 step = size / 2; step >= WARP; step >>= 1) {
            for (u32 i = threadIdx.x; i < n / 2; i += blockDim.x) {
                const u32 low = 2 * i - (i & (step - 1));
                const u64 a = keys[low], b = keys[low + step];
                if ((a > b) == ((low & size) == 0)) {
                    keys[low] = b;
                    keys[low + step] = a;
                }
            }
            __syncthreads();
        }
        for (u32 chunk = warp * WARP; chunk < n; chunk += warps * WARP) {
            u64 key = keys[chunk + lane];
            const bool up = (chunk & size) == 0;
#pragma unroll
            for (u32 step = WARP / 2; step > 0; step >>= 1) key = exchange(key, step, lane, up);
            keys[chunk + lane] = key;
        }
        __syncthreads();
    }
}
