// Around the two products of the softmax: what comes before them by row and column, what joins the parts after.
#pragma once
#include "loss/tile.cuh"

// Notes the first offender: `position` in the batch, `id` that is refused.
__device__ __forceinline__ void refuse(u64* __restrict__ status, u64 position, u32 id) {
    atomicMin(status, position << 32 | id);
}

// The sum of one value a thread, the same in every thread; `shared` holds a double for each warp.
__device__ __forceinline__ double block_sum(double x, double* shared) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) shared[threadIdx.x / WARP] = x;
    __syncthreads();
    double sum = 0.0;
    for (u32 w = 0; w < blockDim.x / WARP; ++w) sum += shared[w];
    return sum;
}

// Block 0: what holds for the whole call. The others, one thread a row and column up to `padded_rows` and
// `padded_columns`: the arrays that the products copy by whole tiles, and the checks that need values. A column of the
// padding has the bias -inf; a refused positive counts as none, refused masked columns are left out.
extern "C" __global__ void __launch_bounds__(256)
    loss_prepare(LossCall* __restrict__ call, float* __restrict__ bias2, u32* __restrict__ candidate_ids,
                 u32* __restrict__ row_positives, u32* __restrict__ user_ids, uint2* __restrict__ spans,
                 u64* __restrict__ status, const float* __restrict__ log_scale, const float* __restrict__ weights,
                 const float* __restrict__ bias, const u32* __restrict__ ids, const u32* __restrict__ positives,
                 const u32* __restrict__ offsets, const u32* __restrict__ masked, u64 masked_len, u64 rows, u64 columns,
                 u64 padded_rows, u64 padded_columns) {
    if (blockIdx.x == 0) {
        __shared__ double shared[8];
        double sum = 0.0;
        if (weights) {
#pragma unroll 4
            for (u64 i = threadIdx.x; i < rows; i += 256) sum += weights[i];
        }
        sum = block_sum(sum, shared);
        if (threadIdx.x == 0) {
            const double total = weights ? sum : double(rows);
            const float scale = expf(*log_scale);
            *call = LossCall{total, scale, scale * LOG2E, total == 0.0, 0};
        }
        return;
    }
    const u64 i = u64(blockIdx.x - 1) * 256 + threadIdx.x;
    if (i < padded_columns) {
        const bool there = i < columns;
        bias2[i] = !there ? neg_inf() : bias ? bias[i] * LOG2E : 0.0f;
        if (ids) candidate_ids[i] = there ? ids[i] : 0;
    }
    if (i >= padded_rows) return;
    u32 positive = NO_COLUMN;
    if (i < rows) {
        positive = positives ? positives[i] : u32(i);
        if (positive >= columns) {
            refuse(status, i, positive);
            positive = NO_COLUMN;
        }
    }
    row_positives[i] = positive;
    if (ids) user_ids[i] = positive == NO_COLUMN ? 0 : ids[positive];
    if (!offsets || i >= rows) return;
    const u32 from = offsets[i], to = offsets[i + 1];
    if (from > to || to > masked_len) {
        refuse(status, i, to);
        spans[i] = make_uint2(0, 0);
        return;
    }
    spans[i] = make_uint2(from, to);
    for (u32 k = from; k < to; ++k) {
        const u32 column = masked[k];
        if (column >= columns || column == positive) refuse(status, i, column);
    }
}

// A row's scalars, from the parts of its sum over the negatives.
struct Row {
    double loss;
    float weight;  // of the sum over e^score v in dU, relative to `largest`
    float hot;     // of the positive's v in dU, negated
    float offset;  // see UserTerms
    float largest; // the largest score of the negatives, or 0 without any
};

__device__ __forceinline__ Row finish_row(u64 row, u32 splits, const float2* __restrict__ sums,
                                          const u32* __restrict__ dead, const float* __restrict__ dots,
                                          const LossCall& call, const float* __restrict__ weights,
                                          const float* __restrict__ corrected, const float* __restrict__ bias2,
                                          u32 positive, u64 rows, u64 columns) {
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
    const float dot = dots[row];
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
    const float score = fmaf(dot, call.scale2, bias2[positive]);
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
extern "C" __global__ void __launch_bounds__(256)
    loss_finish(float* du, double2* __restrict__ terms, float* __restrict__ offset, float* __restrict__ gap,
                const float* parts, const float2* __restrict__ sums, const u32* __restrict__ dead,
                const float* __restrict__ dots, const LossCall* __restrict__ call_at, const float* __restrict__ users,
                const float* __restrict__ candidates, const float* __restrict__ weights,
                const float* __restrict__ corrected, const float* __restrict__ bias2,
                const u32* __restrict__ positives, u64 rows, u64 columns, u64 padded_rows, u32 dim, u32 splits) {
    const u32 lane = threadIdx.x % WARP;
    const u64 first = (u64(blockIdx.x) * 256 + threadIdx.x) / WARP * 8, own = first + lane;
    const LossCall call = *call_at;
    u32 positive = NO_COLUMN;
    Row x = Row{0.0, 0.0f, 0.0f, __uint_as_float(0x7f800000u), 0.0f};
    if (lane < 8 && own < padded_rows) {
        if (own < rows && !call.zero) positive = positives[own];
        if (positive != NO_COLUMN)
            x = finish_row(own, splits, sums, dead, dots, call, weights, corrected, bias2, positive, rows, columns);
        offset[own] = x.offset, gap[own] = x.hot;
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
    if (lane < 8 && own < rows) terms[own] = make_double2(x.loss, own_dot);
}

// stats: the loss and its derivative by log_scale, sum_i <u_i, dU_i>. One block: one order.
extern "C" __global__ void __launch_bounds__(1024)
    loss_stats(float* __restrict__ stats, const double2* __restrict__ terms, u64 rows) {
    __shared__ double shared[32];
    double loss = 0.0, slope = 0.0;
    for (u64 i = threadIdx.x; i < rows; i += 1024) {
        const double2 x = terms[i];
        loss += x.x, slope += x.y;
    }
    loss = block_sum(loss, shared);
    slope = block_sum(slope, shared);
    if (threadIdx.x == 0) stats[0] = float(loss), stats[1] = float(slope);
}

// to = the sum of `splits` parts of `len` values each, in order.
extern "C" __global__ void __launch_bounds__(256)
    loss_add(float* __restrict__ to, const float* __restrict__ parts, u64 len, u32 splits) {
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
