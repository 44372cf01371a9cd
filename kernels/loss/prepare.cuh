// What the kernels that come before the products share, for sm_80 and for sm_90a: the reference of a call, ranges of ids, checks
// of lists. Blocks of 256 threads.
#pragma once
#include "core/reduce.cuh"
#include "core/status.cuh"
#include "loss/reference.cuh"

// The greatest over a block of 256 threads; NaN wins. All threads call it together, as often as they like.
__device__ __forceinline__ float block_max_nan(float x) {
    __shared__ float most[8];
    x = warp_max_nan(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) most[threadIdx.x / WARP] = x;
    __syncthreads();
    float all = most[0];
    for (int warp = 1; warp < 8; ++warp) all = max_nan(all, most[warp]);
    return all;
}

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
    return reference_of(scale2, users, candidates, top, lowest);
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
