// What joins the parts of the forward product: losses, dU, and what the backward product needs of each row. Blocks of 256
// threads.
#pragma once
#include "loss/common.cuh"

// A row's scalars, from the parts of its sum over the negatives.
struct Row {
    double loss;
    float weight;  // of the sum over e^score v in dU, relative to `largest`
    float hot;     // of the positive's v in dU, negated
    float offset;  // log2 of the sum, less log2 of weight x scale; +inf where nothing counts
    float largest; // the largest score of the negatives, or 0 without any
};

__device__ __forceinline__ Row finish_row(const LossFinishArgs& args, const LossCall& call, u64 row, u32 positive) {
    const float2* sums = args.sums;
    const u32 *dead = args.dead, splits = args.splits;
    const float *weights = args.weights, *corrected = args.corrected;
    const u64 rows = args.rows, columns = args.columns;
    float largest = neg_inf(), sum = 0.0f;
    u64 masked = dead ? 0 : 1;
    for (u32 s = 0; s < splits; ++s) {
        largest = fmaxf(largest, sums[s * rows + row].x);
        if (dead) masked += dead[s * rows + row];
    }
    if (largest == neg_inf()) largest = 0.0f;
    for (u32 s = 0; s < splits; ++s) {
        const float2 part = sums[s * rows + row];
        sum = fmaf(part.y, exp2f(part.x - largest), sum);
    }
    const float share = float((weights ? double(weights[row]) : 1.0) / call.total);
    const float dot = args.dots[row];
    Row x;
    x.largest = largest;
    if (corrected) {
        if (columns == masked) return Row{0.0, 0.0f, 0.0f, __uint_as_float(0x7f800000u), largest};
        const float negatives = float(columns - masked);
        const float positive_score = dot * call.scale;
        const float log_sum = fmaf(largest, LN2, logf(sum)) + corrected[row];
        // 1 - p, a constant for the gradients.
        const float weight = share / (1.0f + expf(positive_score - (log_sum - logf(negatives))));
        x.loss = double(weight) * (log_sum - positive_score);
        x.hot = weight * call.scale;
        x.weight = x.hot / sum;
        x.offset = largest + log2f(sum) - log2f(x.hot);
        return x;
    }
    const float score = fmaf(dot, call.scale2, args.bias2[positive]);
    const float top = fmaxf(score, sum > 0.0f || !(sum == sum) ? largest : score);
    const float reference = top == neg_inf() ? 0.0f : top;
    // Without a negative there is no `largest` to take relative to.
    const float lift = sum == 0.0f ? 0.0f : exp2f(largest - reference);
    const float others = sum * lift, own = exp2f(score - reference), all = others + own;
    // log(1 + x) keeps the digits of a loss near 0.
    const float log_sum = score == top ? log1pf(others) : logf(all) + (reference - score) * LN2;
    x.loss = double(share) * log_sum;
    const float hot = share * call.scale;
    x.hot = hot * (others / all);
    x.weight = hot * lift / all;
    x.offset = reference + log2f(all) - log2f(hot);
    return x;
}

// dU and the loss of each row, and what the backward kernels need of it. A warp makes eight rows: their scalars side by
// side, then one dU after the other. `sums`, `dead` and `parts` come in `splits` parts (at most 32), added in order;
// `parts` may be `du` itself where there is one.
__device__ __forceinline__ void finish(const LossFinishArgs& args) {
    float* du = args.du;
    const float *parts = args.parts, *users = args.users, *candidates = args.candidates;
    const float2* sums = args.sums;
    const u64 rows = args.rows;
    const u32 dim = args.dim, splits = args.splits;
    const u32 lane = threadIdx.x % WARP;
    const u64 first = (u64(blockIdx.x) * 256 + threadIdx.x) / WARP * 8, own = first + lane;
    const LossCall call = *args.call;
    u32 positive = NO_COLUMN;
    Row x = Row{0.0, 0.0f, 0.0f, __uint_as_float(0x7f800000u), 0.0f};
    if (lane < 8 && own < args.padded_rows) {
        if (own < rows && !call.zero) positive = args.positives[own];
        if (positive != NO_COLUMN) x = finish_row(args, call, own, positive);
        const u64 place = fragment_order(own);
        args.offset[place] = call.top_bias - x.offset, args.gap[place] = x.hot;
    }
    const bool wide = dim % 4 == 0 && ((u64(users) | u64(candidates) | u64(du) | u64(parts)) & 15) == 0;
    float own_dot = 0.0f;
    for (u32 r = 0; r < 8 && first + r < rows; ++r) {
        const u64 row = first + r;
        const u32 column = __shfl_sync(FULL, positive, r);
        const float weight = __shfl_sync(FULL, x.weight, r), hot = __shfl_sync(FULL, x.hot, r);
        const float largest = __shfl_sync(FULL, x.largest, r);
        float* to = du + row * dim;
        if (column == NO_COLUMN) {
            for (u32 d = lane; d < dim; d += WARP) to[d] = 0.0f;
            continue;
        }
        float part_weight = weight;
        if (splits > 1) part_weight *= lane < splits ? exp2f(sums[u64(lane) * rows + row].x - largest) : 0.0f;
        const float* u = users + row * dim;
        const float* v = candidates + u64(column) * dim;
        float dot = 0.0f;
        for (u32 start = 0; start < dim; start += wide ? 4 * WARP : WARP) {
            const u32 d = start + lane * (wide ? 4 : 1);
            float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll 1
            for (u32 s = 0; s < splits; ++s) {
                const float by = __shfl_sync(FULL, part_weight, s);
                const float* part = parts + (u64(s) * rows + row) * dim + d;
                if (d >= dim) continue;
                if (wide) {
                    const float4 o = *reinterpret_cast<const float4*>(part);
                    sum[0] = fmaf(o.x, by, sum[0]), sum[1] = fmaf(o.y, by, sum[1]);
                    sum[2] = fmaf(o.z, by, sum[2]), sum[3] = fmaf(o.w, by, sum[3]);
                } else {
                    sum[0] = fmaf(*part, by, sum[0]);
                }
            }
            if (d >= dim) continue;
            if (wide) {
                const float4 a = *reinterpret_cast<const float4*>(u + d), b = *reinterpret_cast<const float4*>(v + d);
                sum[0] = fmaf(-hot, b.x, sum[0]), sum[1] = fmaf(-hot, b.y, sum[1]);
                sum[2] = fmaf(-hot, b.z, sum[2]), sum[3] = fmaf(-hot, b.w, sum[3]);
                *reinterpret_cast<float4*>(to + d) = make_float4(sum[0], sum[1], sum[2], sum[3]);
                dot = fmaf(a.x, sum[0], fmaf(a.y, sum[1], fmaf(a.z, sum[2], fmaf(a.w, sum[3], dot))));
            } else {
                sum[0] = fmaf(-hot, v[d], sum[0]);
                to[d] = sum[0];
                dot = fmaf(u[d], sum[0], dot);
            }
        }
        dot = warp_sum(dot);
        if (lane == r) own_dot = dot;
    }
    if (lane < 8 && own < rows) args.terms[own] = make_double2(x.loss, own_dot);
}
