// What joins the parts of the forward product: losses, dU, and what the backward product needs of each row.
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

// A row that counts for nothing.
__device__ __forceinline__ Row no_row() { return Row{0.0, 0.0f, 0.0f, __uint_as_float(0x7f800000u), 0.0f}; }

// The sum over a row's negatives.
struct RowSum {
    float largest;  // the largest score, or 0 without any
    float sum;      // relative to it
    u64 masked;     // columns that are no negatives
};

// Joins the parts of a row's sum, in order. `dead`: masked columns of each part; null: the positive alone.
__device__ __forceinline__ RowSum join_sums(const float2* sums, const u32* dead, u32 splits, u64 rows, u64 row) {
    RowSum x{neg_inf(), 0.0f, dead ? 0ull : 1ull};
    for (u32 s = 0; s < splits; ++s) {
        x.largest = fmaxf(x.largest, sums[s * rows + row].x);
        if (dead) x.masked += dead[s * rows + row];
    }
    if (x.largest == neg_inf()) x.largest = 0.0f;
    for (u32 s = 0; s < splits; ++s) {
        const float2 part = sums[s * rows + row];
        x.sum = fmaf(part.y, exp2f(part.x - x.largest), x.sum);
    }
    return x;
}

// A row's scalars. `dot`: its product with the positive, whose bias (in powers of 2) stands at `bias2`; `weight`: null for 1;
// `corrected`: log(1 - q) of the positive, or null.
__device__ __forceinline__ Row finish_row(const LossCall& call, const RowSum& negatives, float dot, const float* weight,
                                          const float* corrected, const float* bias2, u64 columns) {
    const float largest = negatives.largest, sum = negatives.sum;
    const float share = float((weight ? double(*weight) : 1.0) / call.total);
    Row x = no_row();
    x.largest = largest;
    if (corrected) {
        if (columns == negatives.masked) return x;
        const float positive_score = dot * call.scale;
        const float log_sum = fmaf(largest, LN2, logf(sum)) + *corrected;
        // 1 - p, a constant for the gradients.
        const float part = share / (1.0f + expf(positive_score - (log_sum - logf(float(columns - negatives.masked)))));
        x.loss = double(part) * (log_sum - positive_score);
        x.hot = part * call.scale;
        x.weight = x.hot / sum;
        x.offset = largest + log2f(sum) - log2f(x.hot);
        return x;
    }
    const float score = fmaf(dot, call.scale2, *bias2);
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

// dU and the loss of each row, and what the backward kernels need of it. Blocks of 256 threads; a warp makes eight rows: their scalars side by
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
    Row x = no_row();
    if (lane < 8 && own < args.padded_rows) {
        if (own < rows && !call.zero) positive = args.positives[own];
        if (positive != NO_COLUMN) {
            const RowSum negatives = join_sums(sums, args.dead, splits, rows, own);
            const float *weight = args.weights ? args.weights + own : nullptr,
                        *corrected = args.corrected ? args.corrected + own : nullptr;
            x = finish_row(call, negatives, args.dots[own], weight, corrected, args.bias2 + positive, args.columns);
        }
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
