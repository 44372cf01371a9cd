// fp32 to and from bf16 and fp16, by the nearest value.
#pragma once
#include "core/types.cuh"

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
