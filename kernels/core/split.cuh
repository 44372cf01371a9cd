// fp32 values as bf16 pairs, for kernels that make operands of the tensor cores (see tiles.cu).
#pragma once

// Two neighbours: x ~ hi + lo, hi = bf16(x), lo = bf16(x - hi). NaN gives NaN in both, infinity NaN in lo.
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
