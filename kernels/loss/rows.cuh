// Around the two products of the softmax: what comes before them by row and column, what sums up after.
#pragma once
#include "loss/finish.cuh"
#include "loss/prepare.cuh"

// Block 0: what holds for the whole call. The others, one thread a row and column up to `padded_rows` and
// `padded_columns`: the arrays that the products copy by whole tiles, and the checks that need values. A column of the
// padding has the bias -inf; a refused positive counts as none, refused masked columns are left out.
extern "C" __global__ void __launch_bounds__(256)
    loss_prepare(const __grid_constant__ LossPrepareArgs args) {
    const float *weights = args.weights, *bias = args.bias;
    const u32* ids = args.ids;
    const u64 rows = args.rows, columns = args.columns;
    const float scale = expf(*args.log_scale), scale2 = scale * LOG2E;
    const Reference reference = args.extremes ? reference_of(args, scale2) : Reference{0.0f, 0.0f, 0};
    if (blockIdx.x == 0) {
        double total = double(rows);
        if (weights) {
            double sum = 0.0;
#pragma unroll 4
            for (u64 i = threadIdx.x; i < rows; i += 256) sum += weights[i];
            total = block_sum<256>(sum);
        }
        if (threadIdx.x == 0)
            *args.call = LossCall{total, scale, scale2, total == 0.0, reference.fixed, reference.value, reference.top};
        return;
    }
    const u64 i = u64(blockIdx.x - 1) * 256 + threadIdx.x, place = fragment_order(i);
    if (i < args.padded_columns) {
        const bool there = i < columns;
        const float bias2 = !there ? neg_inf() : bias ? bias[i] * LOG2E : 0.0f;
        args.bias2[i] = bias2, args.column_bias[place] = bias2 - reference.value;
        if (ids) {
            const u32 id = there ? ids[i] : 0;
            args.candidate_ids[place] = id;
            put_range(args.candidate_ranges, i, id, there);
        }
    }
    if (i >= args.padded_rows) return;
    u32 positive = NO_COLUMN;
    if (i < rows) {
        positive = args.given_positives ? args.given_positives[i] : u32(i);
        if (positive >= columns) {
            report(args.status, i, positive);
            positive = NO_COLUMN;
        }
    }
    args.positives[i] = positive, args.fragment_positives[place] = positive;
    if (ids) {
        const bool there = positive != NO_COLUMN;
        const u32 id = there ? ids[positive] : 0;
        args.user_ids[place] = id;
        put_range(args.user_ranges, i, id, there);
    }
    if (args.offsets && i < rows) check_list(args, u32(i), positive);
}

extern "C" __global__ void __launch_bounds__(256)
    loss_finish(const __grid_constant__ LossFinishArgs args) {
    finish(args);
}

// The derivative by log_scale is sum_i <u_i, dU_i>. One block: one order.
extern "C" __global__ void __launch_bounds__(1024) loss_stats(const __grid_constant__ LossStatsArgs args) {
    double loss = 0.0, slope = 0.0;
    for (u64 i = threadIdx.x; i < args.rows; i += 1024) {
        const double2 x = args.terms[i];
        loss += x.x, slope += x.y;
    }
    loss = block_sum<1024>(loss);
    slope = block_sum<1024>(slope);
    if (threadIdx.x == 0) args.stats[0] = float(loss), args.stats[1] = float(slope);
}

// Parts are added in order.
extern "C" __global__ void __launch_bounds__(256) loss_add(const __grid_constant__ LossAddArgs args) {
    float* to = args.to;
    const float* parts = args.parts;
    const u64 len = args.len;
    const u32 splits = args.splits;
    const u64 threads = u64(gridDim.x) * 256, first = u64(blockIdx.x) * 256 + threadIdx.x;
    if (len % 4 == 0 && ((u64(to) | u64(parts)) & 15) == 0) {
        for (u64 i = first * 4; i < len; i += threads * 4) {
            float4 sum = *reinterpret_cast<const float4*>(parts + i);
#pragma unroll 2
            for (u32 s = 1; s < splits; ++s) {
                const float4 x = *reinterpret_cast<const float4*>(parts + s * len + i);
                sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
            }
            *reinterpret_cast<float4*>(to + i) = sum;
        }
        return;
    }
    for (u64 i = first; i < len; i += threads) {
        float sum = parts[i];
#pragma unroll 2
        for (u32 s = 1; s < splits; ++s) sum += parts[s * len + i];
        to[i] = sum;
    }
}
