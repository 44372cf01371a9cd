// The operands of the products, and the extremes that the call's reference follows from.
#pragma once
#include "loss/prepare.cuh"

// Values 4 group .. 4 group + 4 of a row, zeros beyond its `dim`; `wide`: rows begin at multiples of 16 bytes.
__device__ __forceinline__ float4 load_group(const float* __restrict__ row, u32 group, u32 dim, bool wide) {
    const u32 first = group * 4;
    if (wide && first < dim) return *reinterpret_cast<const float4*>(row + first);
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) x[i] = first + i < dim ? row[first + i] : 0.0f;
    return make_float4(x[0], x[1], x[2], x[3]);
}

// Writes them as bf16. What they add to the row's squared length, as the products see it.
__device__ __forceinline__ float put_group(const LossOperand& of, u64 at, const float4& x) {
    u32 hi[2], lo[2];
    split_pair(hi[0], lo[0], x.x, x.y);
    split_pair(hi[1], lo[1], x.z, x.w);
    *reinterpret_cast<uint2*>(of.hi + at) = make_uint2(hi[0], hi[1]);
    float seen[4] = {x.x, x.y, x.z, x.w};
    if (of.lo) {
        *reinterpret_cast<uint2*>(of.lo + at) = make_uint2(lo[0], lo[1]);
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) seen[i] = __uint_as_float(i % 2 ? hi[i / 2] & 0xffff0000u : hi[i / 2] << 16);
    }
    return fmaf(seen[0], seen[0], seen[1] * seen[1]) + fmaf(seen[2], seen[2], seen[3] * seen[3]);
}

// A block a part: 16 threads a row, 16 rows at a time. Rows of the padding are zeros.
extern "C" __global__ void __launch_bounds__(256) loss_operands(const __grid_constant__ LossOperandsArgs args) {
    const u32 user_parts = args.users.parts;
    const bool users = blockIdx.x < user_parts;
    const LossOperand of = users ? args.users : args.candidates;
    const float* bias = users ? nullptr : args.bias;
    const u32 part = users ? blockIdx.x : blockIdx.x - user_parts, dim = args.dim, width = args.width;
    const bool wide = dim % 4 == 0 && (u64(of.from) & 15) == 0;
    float longest = 0.0f, top = neg_inf(), lowest = neg_inf();
#pragma unroll 2
    for (u64 first = part * 16; first < of.padded; first += of.parts * 16) {
        const u64 row = first + threadIdx.x / 16;
        float length = 0.0f;
        for (u32 group = threadIdx.x % 16; group < width / 4; group += 16) {
            float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (row < of.rows) x = load_group(of.from + row * dim, group, dim, wide);
            length += put_group(of, row * width + group * 4, x);
        }
        longest = max_nan(longest, group_sum(length, 16));
        if (bias && threadIdx.x < 16 && first + threadIdx.x < of.rows) {
            // -inf counts as masked.
            const float x = bias[first + threadIdx.x] * LOG2E;
            top = max_nan(top, x);
            if (x != neg_inf()) lowest = max_nan(lowest, -x);
        }
    }
    longest = block_max_nan(longest), top = block_max_nan(top), lowest = block_max_nan(lowest);
    if (threadIdx.x == 0) args.extremes[blockIdx.x] = make_float4(longest, top, -lowest, 0.0f);
}
