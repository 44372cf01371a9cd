// fp32 values as bf16 pairs, for kernels that make operands of the tensor cores: x ~ hi + lo with hi = bf16(x) and
// lo = bf16(x - hi), off by at most 2^-9 of x (hi alone) or 2^-18 (both). Fast products are hi hi, precise ones
// hi hi + hi lo + lo hi: off by less than 2^-16 of the product of the two values.
#pragma once
#include "core/convert.cuh"

// Two neighbours. NaN gives NaN in both, infinity NaN in lo.
__device__ __forceinline__ void split_pair(u32& hi, u32& lo, float x0, float x1) {
    hi = pack_bf16(x0, x1);
    lo = pack_bf16(x0 - __uint_as_float(hi << 16), x1 - __uint_as_float(hi & 0xffff0000u));
}

// Four neighbours: 8 bytes of hi and, where `lo` is not null, of lo. `at` counts values, a multiple of 4.
__device__ __forceinline__ void put_split(u16* hi, u16* lo, u64 at, const float4& x) {
    uint2 h, l;
    split_pair(h.x, l.x, x.x, x.y);
    split_pair(h.y, l.y, x.z, x.w);
    *reinterpret_cast<uint2*>(hi + at) = h;
    if (lo) *reinterpret_cast<uint2*>(lo + at) = l;
}

// One value.
__device__ __forceinline__ void put_split(u16* hi, u16* lo, u64 at, float x) {
    const u16 h = f32_to_bf16(x);
    hi[at] = h;
    if (lo) lo[at] = f32_to_bf16(x - bf16_to_f32(h));
}
