// Around the two products of the softmax: what comes before them by row and column, what sums up after.
#pragma once
#include "core/status.cuh"
#include "loss/common.cuh"
#include "loss/finish.cuh"

// Block 0: what holds for the whole call. The others, one thread a row and column up to `padded_rows` and
// `padded_columns`: the arrays that the products copy by whole tiles, and the checks that need values. A column of the
// padding has the bias -inf; a refused positive counts as none, refused masked columns are left out.
extern "C" __global__ void __launch_bounds__(256)
    loss_prepare(const __grid_constant__ LossPrepareArgs args) {
    const float *weights = args.weights, *bias = args.bias;
    const u32 *ids = args.ids, *offsets = args.offsets;
    const u64 rows = args.rows, columns = args.columns;
    if (blockIdx.x == 0) {
        double sum = 0.0;
        if (weights) {
#pragma unroll 4
            for (u64 i = threadIdx.x; i < rows; i += 256) sum += weights[i];
        }
        sum = block_sum<256>(sum);
        if (threadIdx.x == 0) {
            const double total = weights ? sum : double(rows);
            const float scale = expf(*args.log_scale);
            *args.call = LossCall{total, scale, scale * LOG2E, total == 0.0, 0, 0.0f, 0.0f};
        }
        return;
    }
    const u64 i = u64(blockIdx.x - 1) * 256 + threadIdx.x;
    if (i < args.padded_columns) {
        const bool there = i < columns;
        args.bias2[i] = !there ? neg_inf() : bias ? bias[i] * LOG2E : 0.0f;
        if (ids) args.candidate_ids[i] = there ? ids[i] : 0;
    }
    if (i >= args.padded_rows) return;
    u32 positive = NO_COLUMN;
    if (i < rows) {
        positive = args.positives ? args.positives[i] : u32(i);
        if (positive >= columns) {
            report(args.status, i, positive);
            positive = NO_COLUMN;
        }
    }
    args.row_positives[i] = positive;
    if (ids) args.user_ids[i] = positive == NO_COLUMN ? 0 : ids[positive];
    if (!offsets || i >= rows) return;
    const u32 from = offsets[i], to = offsets[i + 1];
    if (from > to || to > args.masked_len) {
        report(args.status, i, to);
        args.spans[i] = make_uint2(0, 0);
        return;
    }
    args.spans[i] = make_uint2(from, to);
    for (u32 k = from; k < to; ++k) {
        const u32 column = __ldg(args.masked + k);
        if (column >= columns || column == positive) report(args.status, i, column);
    }
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
