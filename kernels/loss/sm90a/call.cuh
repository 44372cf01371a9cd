// What holds for the whole call: each block of the forward product makes it for itself, all of them the same.
#pragma once
#include "core/reduce.cuh"
#include "core/shared.cuh"
#include "loss/reference.cuh"
#include "loss/sm90a/arguments.cuh"

// By one warp: every lane gets the result.
__device__ __forceinline__ LossCall call_of(const CallParts& args, u32 rows) {
    const u32 lane = threadIdx.x % WARP, parts = args.user_parts + args.candidate_parts;
    float users = 0.0f, candidates = 0.0f, top = neg_inf(), lowest = neg_inf();
#pragma unroll 8
    for (u32 i = lane; i < parts; i += WARP) {
        const float4 x = args.extremes[i];
        if (i < args.user_parts) {
            users = max_nan(users, x.x);
        } else {
            candidates = max_nan(candidates, x.x), top = max_nan(top, x.y), lowest = max_nan(lowest, -x.z);
        }
    }
    double total = double(rows);
    if (args.weight_sums) {
        total = 0.0;
#pragma unroll 4
        for (u32 i = lane; i < (rows + 255) / 256; i += WARP) total += args.weight_sums[i];
        total = warp_sum(total);
    }
    const float scale = expf(*args.log_scale), scale2 = scale * LOG2E;
    const Reference x =
        reference_of(scale2, warp_max_nan(users), warp_max_nan(candidates), warp_max_nan(top), warp_max_nan(lowest));
    return LossCall{total, scale, scale2, total == 0.0, x.fixed, x.value, x.top};
}

// Of one thread.
__device__ __forceinline__ void store_call(u32 address, const LossCall& call) {
    const u64 total = u64(__double_as_longlong(call.total));
    store_shared_uint4(address, u32(total), u32(total >> 32), __float_as_uint(call.scale), __float_as_uint(call.scale2));
    store_shared_uint4(address + 16, call.zero, call.fixed, __float_as_uint(call.reference), __float_as_uint(call.top_bias));
}

__device__ __forceinline__ LossCall shared_call(u32 address) {
    u32 words[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) words[i] = shared_u32(address + 4 * i);
    return LossCall{__hiloint2double(int(words[1]), int(words[0])), __uint_as_float(words[2]), __uint_as_float(words[3]),
                    words[4], words[5], __uint_as_float(words[6]), __uint_as_float(words[7])};
}
