// The end of the forward product: what its splits found of a warp's rows becomes losses, dU, and what the backward product
// needs of each row.
#pragma once
#include "loss/finish.cuh"
#include "loss/sm90a/call.cuh"
#include "loss/sm90a/consumer.cuh"

// The 16 rows from `first` on. `x` holds the results of the block's own split.
template <class C>
__device__ __forceinline__ void finish_rows(const HopperForwardArgs& args, const LossCall& call, Consumer<C>& x, u32 first) {
    const u32 lane = x.lane(), rows = args.users.rows, dim = args.dim, own = first + lane;
    // A row a lane.
    u32 positive = NO_COLUMN;
    Row row = no_row();
    if (lane < 16 && own < rows) {
        if (!call.zero) positive = args.positives[own];
        if (positive != NO_COLUMN) {
            const RowSum negatives = join_sums(args.sums, args.dead, args.splits, rows, own);
            const float *weight = args.weights ? args.weights + own : nullptr,
                        *corrected = args.corrected ? args.corrected + own : nullptr;
            row = finish_row(call, negatives, args.dots[own], weight, corrected, args.bias2 + positive, args.candidates.rows);
        }
        const u64 place = fragment_order(own);
        args.offset[place] = call.top_bias - row.offset, args.gap[place] = row.hot;
    }
    const bool pairs = dim % 2 == 0 && ((u64(args.user_rows) | u64(args.candidate_rows)) & 7) == 0;
    double slope = 0.0;
    // A row a quad.
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const u32 from = (lane >> 2) + 8 * h, at = first + from;
        const u32 column = __shfl_sync(FULL, positive, from);
        const float weight = __shfl_sync(FULL, row.weight, from), hot = __shfl_sync(FULL, row.hot, from);
        const float largest = __shfl_sync(FULL, row.largest, from);
        float dot = 0.0f;
        if (column != NO_COLUMN) {
            x.join(args.parts + u64(at) * C::D, rows, blockIdx.y, args.splits, h,
                   [&](u32 s) { return weight * exp2f(args.sums[u64(s) * rows + at].x - largest); });
            const float *u = args.user_rows + u64(at) * dim, *v = args.candidate_rows + u64(column) * dim;
#pragma unroll
            for (int c = 0; c < C::D / 8; ++c) {
                const float2 a = load_pair(u, x.column(c), dim, pairs), b = load_pair(v, x.column(c), dim, pairs);
                float *left = x.o + c * 4 + h * 2, *right = left + 1;
                *left = fmaf(-hot, b.x, *left), *right = fmaf(-hot, b.y, *right);
                dot = fmaf(a.x, *left, fmaf(a.y, *right, dot));
            }
        } else {
            x.zero(h);
        }
        if (at < rows) x.store(args.du + u64(at) * dim, dim, h);
        dot = quad_sum(dot);
        const float of_row = __shfl_sync(FULL, dot, (lane & 7) * 4);
        if (lane >> 3 == h) slope = of_row;
    }
    const double loss = warp_sum(row.loss);
    slope = warp_sum(slope);
    if (lane == 0 && first < rows) args.terms[first / 16] = make_double2(loss, slope);
}
