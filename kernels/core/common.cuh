// What every kernel uses: fixed-width names, storage types, rounding, reductions over a warp.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define WARP 32
#define FULL 0xffffffffu

__device__ __forceinline__ float neg_inf() { return __uint_as_float(0xff800000u); }

// --- storage types of tables: fp32, bf16, fp16 -----------------------------------------------------------------------

struct F32 {
    typedef float Word;
    // Values in 16 bytes.
    enum { LANES = 4 };
};
struct Bf16 {
    typedef u16 Word;
    enum { LANES = 8 };
};
struct F16 {
    typedef u16 Word;
    enum { LANES = 8 };
};

__device__ __forceinline__ float bf16_to_f32(u16 x) { return __uint_as_float(u32(x) << 16); }

__device__ __forceinline__ float f16_to_f32(u16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

// The nearest bf16, ties to even; NaN stays NaN.
__device__ __forceinline__ u16 f32_to_bf16(float x) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(0.0f), "f"(x));
    return u16(packed);
}

// Two nearest bf16: `low` in the low half.
__device__ __forceinline__ u32 pack_bf16(float low, float high) {
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// --- random bits: the same as the host's (src/rng.rs and backend/cpu/embedding/stored.rs) ----------------------------

__device__ __forceinline__ u64 mix(u64 x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

// --- a warp together: every lane gets the result; the order of the sum is fixed ---------------------------------------

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(FULL, x, step);
    return x;
}

__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(FULL, x, step);
    return x;
}

// NaN wins: a maximum must not swallow it.
__device__ __forceinline__ float max_nan(float a, float b) {
    float y;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
    return y;
}
