// Sums and maxima over the lanes of a group, a warp or a block. The order of every sum is fixed: over lanes a
// xor-shuffle that halves the distance, over warps ascending.
#pragma once
#include "core/types.cuh"

// Over `lanes` neighbours (a power of two, at most a warp); `mask`: the lanes that are here.
template <typename T>
__device__ __forceinline__ T group_sum(T x, u32 lanes, u32 mask = FULL) {
    for (u32 step = lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(mask, x, step);
    return x;
}

// Over a warp: every lane gets the result.
template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step >>= 1) x += __shfl_xor_sync(FULL, x, step);
    return x;
}

// Over four neighbours, the lanes that share a row of a product's fragment.
template <typename T>
__device__ __forceinline__ T quad_sum(T x) {
    x += __shfl_xor_sync(FULL, x, 1);
    x += __shfl_xor_sync(FULL, x, 2);
    return x;
}

__device__ __forceinline__ float quad_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(FULL, x, 1));
    return fmaxf(x, __shfl_xor_sync(FULL, x, 2));
}

// Over a block of THREADS: every thread gets the result. All threads call it together, as often as they like.
template <int THREADS>
__device__ __forceinline__ double block_sum(double x) {
    __shared__ double sums[THREADS / WARP];
    x = warp_sum(x);
    // What was read last time was read.
    __syncthreads();
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = x;
    __syncthreads();
    double total = 0.0;
    for (int warp = 0; warp < THREADS / WARP; ++warp) total += sums[warp];
    return total;
}

// NaN wins: a maximum must not swallow it.
__device__ __forceinline__ float max_nan(float a, float b) {
    float y;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}

// The greatest over a warp: every lane gets it.
__device__ __forceinline__ float warp_max_nan(float x) {
#pragma unroll
    for (int step = WARP / 2; step > 0; step >>= 1) x = max_nan(x, __shfl_xor_sync(FULL, x, step));
    return x;
}
