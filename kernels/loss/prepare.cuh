// What the kernels that come before the products share, for sm_80 and for sm_90a: the reference of a call, ranges of ids, checks
// of lists. Blocks of 256 threads.
#pragma once
#include "core/reduce.cuh"
#include "core/status.cuh"
#include "loss/common.cuh"

// The greatest over a block of 256 threads; NaN wins. All threads call it together, as often as they like.
__device__ __forceinline__ float block_max_nan(float x) {
    __shared__ float most[8];
#pragma unroll
    for (int step = WARP / 2; step > 0; step >>= 1) x = max_nan(x, __shfl_xor_sync(FULL, x, step));
    __syncthreads();
    if (threadIdx.x % WARP == 0) most[threadIdx.x / WARP] = x;
    __syncthreads();
    float all = most[0];
    for (int warp = 1; warp < 8; ++warp) all = max_nan(all, most[warp]);
    return all;
}

// What the extremes say of the call. Every score in powers of 2, its bias included, lies within `bound` of `top` on one side
// and `bound` and the biases' span on the other. Where that range fits the powers that fp32 has, a fixed reference serves in
// place of each row's largest score; the range is cut so that no sum of 2^32 columns overflows above, and what underflows
// below is less than 2^-26 of any row's sum.
struct Reference {
    float value;  // what is taken from every score
    float top;    // the largest bias
    u32 fixed;
};

// By `extremes` of the operands' parts: the largest squared length of a row, and of the candidates' the largest bias and the
// least finite one, in powers of 2.
template <class Args>
__device__ __forceinline__ Reference reference_of(const Args& args, float scale2) {
    float users = 0.0f, candidates = 0.0f, top = neg_inf(), lowest = neg_inf();
    for (u32 i = threadIdx.x; i < args.user_parts; i += 256) users = max_nan(users, args.extremes[i].x);
    for (u32 i = threadIdx.x; i < args.candidate_parts; i += 256) {
        const float4 x = args.extremes[args.user_parts + i];
        candidates = max_nan(candidates, x.x), top = max_nan(top, x.y), lowest = max_nan(lowest, -x.z);
    }
    users = block_max_nan(users), candidates = block_max_nan(candidates);
    top = block_max_nan(top), lowest = block_max_nan(lowest);
    // No bias, or none that is finite.
    if (lowest == neg_inf()) top = 0.0f, lowest = 0.0f;
    const float span = top + lowest, bound = scale2 * sqrtf(users) * sqrtf(candidates) * 1.0001f;
    const float range = 2.0f * bound + span;
    // Not for NaN and infinities: those take the way of the running maximum. Nor for a scale of 0, by which -inf is no score.
    if (!(range <= 190.0f && span <= 100.0f && scale2 > 0.0f)) return Reference{0.0f, 0.0f, 0};
    const float above = fminf(fmaxf(range - 100.0f, 0.0f), 90.0f);
    return Reference{top + bound - above, top, 1};
}

// The least and greatest of a warp's ids, of those lanes that have one.
__device__ __forceinline__ void put_range(uint2* ranges, u64 i, u32 id, bool there) {
    const u32 least = __reduce_min_sync(FULL, there ? id : 0xffffffffu), most = __reduce_max_sync(FULL, there ? id : 0);
    if (i % WARP == 0) ranges[i / WARP] = make_uint2(least, most);
}

// A row's list of masked columns: refused as a whole where it is not in the array, reported where it holds what is no column,
// or the positive.
template <class Args>
__device__ __forceinline__ void check_list(const Args& args, u32 row, u32 positive) {
    const u32 from = args.offsets[row], to = args.offsets[row + 1];
    const bool there = from <= to && to <= args.masked_len;
    args.spans[row] = there ? make_uint2(from, to) : make_uint2(0, 0);
    if (!there) {
        report(args.status, row, to);
        return;
    }
    for (u32 k = from; k < to; ++k) {
        const u32 column = __ldg(args.masked + k);
        if (column >= args.columns || column == positive) report(args.status, row, column);
    }
}
