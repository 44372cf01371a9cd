// What describes a block's work, copied to shared memory by one of its warps.
#pragma once
#include "core/types.cuh"

// Copies a structure of whole words, a word a lane. The whole warp is here.
template <typename T>
__device__ __forceinline__ void copy_words(T* to, const T* from, u32 count = 1) {
    const u32* words = reinterpret_cast<const u32*>(from);
    for (u32 i = threadIdx.x % WARP; i < count * u32(sizeof(T) / 4); i += WARP) reinterpret_cast<u32*>(to)[i] = __ldg(words + i);
}
