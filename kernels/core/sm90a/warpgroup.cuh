// What a warpgroup (four warps, 128 threads) does together beside its products: order, registers, operands.
//
// A product is asynchronous: between `products_fence` before its first instruction and the `products_wait` that covers its
// commit, nothing may touch its accumulators or the registers of its operands.
#pragma once
#include "core/shared.cuh"

// Before a product whose registers were written: they are seen.
__device__ __forceinline__ void products_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// What was started since the last commit is one group.
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most N groups are under way.
template <int N>
__device__ __forceinline__ void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

// Accumulators count from here on: nothing that reads them moves before.
template <int N>
__device__ __forceinline__ void settle(float (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
template <int N>
__device__ __forceinline__ void settle(int (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("" : "+r"(d[i])::"memory");
}

// Zeros that stay where they are written: an accumulator must not be defined while products are under way.
template <int N>
__device__ __forceinline__ void clear(float (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("mov.f32 %0, 0f00000000;" : "=f"(d[i])::"memory");
}
template <int N>
__device__ __forceinline__ void clear(int (&d)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) asm volatile("mov.b32 %0, 0;" : "=r"(d[i])::"memory");
}

// A warpgroup gives registers back, and another takes them: together no more than the block started with.
template <int N>
__device__ __forceinline__ void registers_give() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
__device__ __forceinline__ void registers_take() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

// The descriptor of a matrix in shared memory in panels of 64 columns with the 128-byte swizzle (`panel.cuh`). Addresses and
// offsets in units of 16 bytes. K-major: groups of 8 rows every `stride`, `leading` unused; the next 16 of k stand 2 units
// on. MN-major: groups of 8 of k every `stride`, blocks of 64 columns every `leading`.
__device__ __forceinline__ u64 matrix_descriptor(u32 at, u32 leading, u32 stride) {
    u64 d;
    asm("mov.b64 %0, {%1, %2};" : "=l"(d) : "r"(at + (leading << 16)), "r"(stride | 1u << 30));
    return d;
}

// Operand fragments, 16 x 16. Volatile: they stay before the products that follow.
__device__ __forceinline__ void load_fragment(u32 (&x)[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(address)
                 : "memory");
}

// Two nearest bf16, `low` in the low half. Volatile: what is packed stays before the wait that follows it, so that it is
// made under products.
__device__ __forceinline__ u32 pack_bf16_here(float low, float high) {
    u32 x;
    asm volatile("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(x) : "f"(high), "f"(low));
    return x;
}
