// The operands of the products, and the extremes that the call's reference follows from.
#pragma once
#include "loss/prepare.cuh"

// Chunk `chunk` of a row, and what it adds to the row's squared length, as the products see it.
__device__ __forceinline__ float put_chunk(const LossOperand& of, u64 row, u32 chunk, u32 dim, u32 width, bool wide) {
    float x[8];
    load_chunk(x, of.from, u32(row), chunk, dim, row < of.rows, wide);
    u32 hi[4], lo[4];
    float length = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        split_pair(hi[i], lo[i], x[2 * i], x[2 * i + 1]);
        if (!of.lo) x[2 * i] = __uint_as_float(hi[i] << 16), x[2 * i + 1] = __uint_as_float(hi[i] & 0xffff0000u);
        length = fmaf(x[2 * i], x[2 * i], fmaf(x[2 * i + 1], x[2 * i + 1], length));
    }
    const u64 at = row * width + chunk * 8;
    *reinterpret_cast<uint4*>(of.hi + at) = make_uint4(hi[0], hi[1], hi[2], hi[3]);
    if (of.lo) *reinterpret_cast<uint4*>(of.lo + at) = make_uint4(lo[0], lo[1], lo[2], lo[3]);
    return length;
}

// A block a part: 8 threads a row, 32 rows at a time. Rows of the padding are zeros.
extern "C" __global__ void __launch_bounds__(256) loss_operands(const __grid_constant__ LossOperandsArgs args) {
    const u32 user_parts = args.users.parts;
    const bool users = blockIdx.x < user_parts;
    const LossOperand of = users ? args.users : args.candidates;
    const float* bias = users ? nullptr : args.bias;
    const u32 part = users ? blockIdx.x : blockIdx.x - user_parts, dim = args.dim, width = args.width;
    const bool wide = dim % 4 == 0 && (u64(of.from) & 15) == 0;
    float longest = 0.0f, top = neg_inf(), lowest = neg_inf();
    for (u64 first = part * 32; first < of.padded; first += of.parts * 32) {
        const u64 row = first + threadIdx.x / 8;
        float length = 0.0f;
        for (u32 chunk = threadIdx.x % 8; chunk < width / 8; chunk += 8)
            length += put_chunk(of, row, chunk, dim, width, wide);
        longest = max_nan(longest, group_sum(length, 8));
        if (bias && threadIdx.x < 32 && first + threadIdx.x < of.rows) {
            // -inf counts as masked.
            const float x = bias[first + threadIdx.x] * LOG2E;
            top = max_nan(top, x);
            if (x != neg_inf()) lowest = max_nan(lowest, -x);
        }
    }
    longest = block_max_nan(longest), top = block_max_nan(top), lowest = block_max_nan(lowest);
    if (threadIdx.x == 0) args.extremes[blockIdx.x] = make_float4(longest, top, -lowest, 0.0f);
}
