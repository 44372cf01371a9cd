// Forward, widths up to 128: for each user the sum over the negatives of e^score and of e^score v, relative to the call's
// reference, or to the row's largest score so far where none is fixed. The positive is left out of both and its dot product
// noted: loss_finish joins it, so that 1 - p keeps its digits where p is close to 1.
#pragma once
#include "loss/narrow.cuh"

template <class C>
struct NarrowForward : FragmentLane {
    Scores<C> scores;
    float o[C::RT][C::DP / 8][4];
    // Of the fragment rows g and g + 8 of each tile: this lane's part of the sum; the largest score, where no reference is
    // fixed.
    float sum[C::RT][2], largest[C::RT][2];
    // The id of the positive of the warp's row that the lane looks after.
    u32 id;

    // Notes the dot products of those positives that stand in this tile.
    __device__ __forceinline__ void note_positives(float* __restrict__ dots, u32 positive, u32 first, u64 row) {
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const u32 away = __shfl_sync(FULL, positive, row_of(m, h)) - first;
                float dot = 0.0f;
#pragma unroll
                for (int n = 0; n < C::BN / 8; ++n)
#pragma unroll
                    for (int e = 0; e < 2; ++e)
                        if (away == n * 8 + column_of() + e) dot = scores.s[m][n][2 * h + e];
                if (away < C::BN && (away & 6) == column_of()) dots[row + row_of(m, h)] = dot;
            }
    }

    // Calls `found` with each masked score: its row has the column's bit, or the column's id.
    template <bool BITS, class Found>
    static __device__ __forceinline__ void each_masked(const u64 (&row_bits)[C::RT][2], const u32 (&own)[C::RT][2], bool has_ids,
                                                       u32 ids, Found found) {
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            uint2 column_ids = make_uint2(0, 0);
            if (has_ids) column_ids = shared_uint2(ids + n / 2 * 64 + quad() + n % 2 * 8);
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    bool out = BITS && row_bits[m][i / 2] >> (n * 8 + i % 2) & 1;
                    out |= has_ids && (i % 2 ? column_ids.y : column_ids.x) == own[m][i / 2];
                    if (out) found(m, n, i);
                }
        }
    }

    // Masked scores become -inf: where the row's bit is set in its lane, and where a column has the id of the row's positive.
    // Counts those of the first `left` columns in `dead`, by the warp's row: it has `here`.
    template <bool BITS>
    __device__ __forceinline__ void mask(u64 bits, bool has_ids, u32 ids, u32* dead, u32 here, u32 left) {
        u64 row_bits[C::RT][2];
        u32 own[C::RT][2];
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                row_bits[m][h] = BITS ? __shfl_sync(FULL, bits, row_of(m, h)) >> column_of() : 0;
                own[m][h] = __shfl_sync(FULL, id, row_of(m, h));
            }
        each_masked<BITS>(row_bits, own, has_ids, ids, [&](int m, int n, int i) { scores.s[m][n][i] = neg_inf(); });
        if (!dead) return;
        u32 count[C::RT][2] = {};
        each_masked<BITS>(row_bits, own, has_ids, ids,
                          [&](int m, int n, int i) { count[m][i / 2] += n * 8 + column_of() + i % 2 < left; });
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const u32 all = quad_sum(count[m][h]);
                if ((lane() & 3) == 0 && row_of(m, h) < here) dead[row_of(m, h)] += all;
            }
    }

    // e^(score - reference) of 16 columns; `bias`: theirs, less the reference.
    __device__ __forceinline__ void soften(int step, float scale2, u32 bias) {
        const float4 by = shared_float4(bias + step * 64 + quad());
#pragma unroll
        for (int m = 0; m < C::RT; ++m) {
            float(&left)[4] = scores.s[m][2 * step], (&right)[4] = scores.s[m][2 * step + 1];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                left[i] = exp2_fast(fmaf(left[i], scale2, i % 2 ? by.y : by.x));
                right[i] = exp2_fast(fmaf(right[i], scale2, i % 2 ? by.w : by.z));
            }
#pragma unroll
            for (int h = 0; h < 2; ++h)
                sum[m][h] += (left[2 * h] + left[2 * h + 1]) + (right[2 * h] + right[2 * h + 1]);
        }
    }

    // s = s scale2 + bias
    __device__ __forceinline__ void scale(float scale2, u32 bias) {
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            const float2 by = shared_float2(bias + n / 2 * 64 + quad() + n % 2 * 8);
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) scores.s[m][n][i] = fmaf(scores.s[m][n][i], scale2, i % 2 ? by.y : by.x);
        }
    }

    // Scores become e^(score - largest); what was summed so far follows a larger score.
    __device__ __forceinline__ void raise() {
        float moved[C::RT][2];
        bool any = false;
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float best = largest[m][h];
#pragma unroll
                for (int n = 0; n < C::BN / 8; ++n)
                    best = fmaxf(best, fmaxf(scores.s[m][n][2 * h], scores.s[m][n][2 * h + 1]));
                best = quad_max(best);
                // Nothing but masked columns so far: any reference does.
                const float shift = best == neg_inf() ? 0.0f : best;
                moved[m][h] = exp2_fast(largest[m][h] - shift);
                any |= best != largest[m][h];
                largest[m][h] = best;
                float part = 0.0f;
#pragma unroll
                for (int n = 0; n < C::BN / 8; ++n)
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        float& s = scores.s[m][n][2 * h + e];
                        s = exp2_fast(s - shift);
                        part += s;
                    }
                sum[m][h] = fmaf(sum[m][h], moved[m][h], part);
            }
        if (__any_sync(FULL, any)) {
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int n = 0; n < C::DP / 8; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i) o[m][n][i] *= moved[m][i / 2];
        }
    }
};

template <class C>
__device__ __forceinline__ void forward_narrow(const LossForwardArgs& args) {
    const Operand users = args.users, candidates = args.candidates;
    const MaskedLists masked = args.masked;
    const u32* candidate_ids = args.candidate_ids;
    const u32 dim = args.dim;
    extern __shared__ __align__(256) unsigned char shared[];
    const u32 base = shared_address(shared);
    constexpr u32 VALUES = C::ROWS_BYTES + C::STAGES * C::TILE_BYTES;
    constexpr u32 STAGE_VALUES = 2 * C::COLUMN_BYTES + C::RANGE_BYTES;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const u64 first_row = u64(blockIdx.x) * C::BM, warp_row = first_row + warp * C::WARP_ROWS;
    const u64 rows = users.rows;
    const u32 tiles = u32((candidates.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles, to = min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;

    auto fetch = [&](u32 tile, u32 stage) {
        if (tile < to) {
            const u32 values = base + VALUES + stage * STAGE_VALUES, column = tile * C::BN;
            C::fetch_columns(base + C::ROWS_BYTES + stage * C::TILE_BYTES, candidates, column);
            copy_values<C::BN, 0>(values, args.column_bias, column);
            if (has_ids) {
                copy_values<C::BN, 64>(values + C::COLUMN_BYTES, candidate_ids, column);
                C::template fetch_ranges<96>(values + 2 * C::COLUMN_BYTES, args.candidate_ranges, column);
            }
        }
        copy_commit();
    };

    C::fetch_rows(base, users, u32(first_row));
#pragma unroll
    for (int i = 0; i < C::STAGES - 1; ++i) fetch(from + i, i);

    NarrowForward<C> x;
    x.scores.rows = base + warp * (C::WARP_ROWS * C::DP * 2);
    // Lane l of a warp looks after the positive and the masks of the warp's row l.
    u32 positive = NO_COLUMN, next = 0, end = 0, upcoming = NO_COLUMN;
    const u64 own_row = warp_row + lane % C::WARP_ROWS;
    x.id = has_ids && own_row < rows ? args.user_ids[fragment_order(own_row)] : 0;
    if (lane < C::WARP_ROWS && own_row < rows) {
        positive = args.positives[own_row];
        if (masked.spans) {
            const uint2 span = masked.spans[own_row];
            next = lower_bound(masked.columns, span.x, span.y, from * C::BN), end = span.y;
            if (next < end) upcoming = masked.columns[next];
        }
    }
    const u32 here = u32(min(u64(C::WARP_ROWS), rows - min(rows, warp_row)));
    u32* dead = args.dead ? args.dead + u64(blockIdx.y) * rows + warp_row : nullptr;
#pragma unroll
    for (int m = 0; m < C::RT; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            x.largest[m][h] = neg_inf(), x.sum[m][h] = 0.0f;
            if (dead && lane % 4 == 0 && x.row_of(m, h) < here) dead[x.row_of(m, h)] = 0;
        }
#pragma unroll
        for (int n = 0; n < C::DP / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) x.o[m][n][i] = 0.0f;
    }
    const float scale2 = args.call->scale2;
    const bool fixed = args.call->fixed;

    // Of the tile at hand, and of the next to fetch.
    u32 stage = 0, ahead = C::STAGES - 1;
    for (u32 tile = from; tile < to; ++tile) {
        copy_wait<C::STAGES - 2>();
        __syncthreads();
        if (C::KEEP && tile == from) x.scores.keep();
        fetch(tile + C::STAGES - 1, ahead);
        const u32 at = base + C::ROWS_BYTES + stage * C::TILE_BYTES, values = base + VALUES + stage * STAGE_VALUES;
        const u32 ids = values + C::COLUMN_BYTES, ranges = ids + C::COLUMN_BYTES;
        const u32 column = tile * C::BN;
        x.scores.multiply(at);

        u64 bits = positive - column < C::BN ? 1ull << (positive - column) : 0;
        while (upcoming < column + C::BN) {
            if (upcoming >= column) bits |= 1ull << (upcoming - column);
            upcoming = ++next < end ? masked.columns[next] : NO_COLUMN;
        }
        const bool listed = __any_sync(FULL, bits != 0);
        const bool near = has_ids && __any_sync(FULL, C::in_ranges(ranges, column, x.id));
        if (listed) x.note_positives(args.dots, positive, column, warp_row);
        if (!fixed) x.scale(scale2, values);
        if (listed) {
            x.template mask<true>(bits, has_ids, ids, dead, here, u32(candidates.rows) - column);
        } else if (near) {
            x.template mask<false>(0, true, ids, dead, here, u32(candidates.rows) - column);
        }
        if (fixed) {
            x.scores.accumulate(x.o, at, [&](int step) { x.soften(step, scale2, values); });
        } else {
            x.raise();
            x.scores.accumulate(x.o, at, [](int) {});
        }
        ahead = stage, stage = stage + 1 == C::STAGES ? 0 : stage + 1;
    }

#pragma unroll
    for (int m = 0; m < C::RT; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const float sum = quad_sum(x.sum[m][h]);
            const u64 row = warp_row + x.row_of(m, h);
            if (row >= rows) continue;
            const PartOfSum part = fixed ? near_itself(sum, args.call->reference) : PartOfSum{x.largest[m][h], sum, 1.0f};
            const u64 place = u64(blockIdx.y) * rows + row;
            if (lane % 4 == 0) args.sums[place] = make_float2(part.largest, part.sum);
#pragma unroll
            for (int n = 0; n < C::DP / 8; ++n)
                store_pair(args.out + place * dim, n * 8 + x.column_of(), dim, x.o[m][n][2 * h] * part.by,
                           x.o[m][n][2 * h + 1] * part.by);
        }
}

// One entry point: its shape by width and precision, its name, blocks to an SM.
#define LOSS_FORWARD(NAME, BLOCKS, ...)                                                                        \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS)                                                  \
        NAME(const __grid_constant__ LossForwardArgs args) {                                                   \
        forward_narrow<Narrow<__VA_ARGS__>>(args);                                                             \
    }
