// Forward, widths up to 128: for each user the sum over the negatives of e^score and of e^score v, both relative to the
// largest score. The positive is left out of both and its dot product noted: loss_finish joins it, so that 1 - p keeps
// its digits where p is close to 1.
#pragma once
#include "loss/narrow.cuh"

template <class C>
struct NarrowForward {
    Scores<C> scores;
    float o[C::RT][C::DP / 8][4];
    // Of the fragment rows g and g + 8 of each tile: largest score, this lane's part of the sum, masked columns.
    float largest[C::RT][2], sum[C::RT][2];
    u32 dead[C::RT][2];
    u32 id[C::RT][2];

    static __device__ __forceinline__ u32 lane() { return threadIdx.x & 31; }
    // Row h of tile m, counted from the warp's first.
    static __device__ __forceinline__ u32 row_of(int m, int h) { return m * 16 + h * 8 + (lane() >> 2); }
    // This lane's first column of a tile of 8.
    static __device__ __forceinline__ u32 column_of() { return (lane() & 3) * 2; }

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

    // s = s scale2 + bias2
    __device__ __forceinline__ void scale(float scale2, u32 bias2) {
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            const float2 bias = shared_float2(bias2 + n * 32 + column_of() * 4);
#pragma unroll
            for (int m = 0; m < C::RT; ++m) {
                float(&c)[4] = scores.s[m][n];
                c[0] = fmaf(c[0], scale2, bias.x), c[1] = fmaf(c[1], scale2, bias.y);
                c[2] = fmaf(c[2], scale2, bias.x), c[3] = fmaf(c[3], scale2, bias.y);
            }
        }
    }

    // Masks the columns whose bit is set in the row's lane, and those with the id of the row's positive.
    // Counts those of the first `left` columns where it looks at bits.
    template <bool BITS>
    __device__ __forceinline__ void mask(u64 bits, bool has_ids, u32 ids, u32 left) {
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const u64 row_bits = BITS ? __shfl_sync(FULL, bits, row_of(m, h)) >> column_of() : 0;
#pragma unroll
                for (int n = 0; n < C::BN / 8; ++n) {
                    uint2 column_ids = make_uint2(0, 0);
                    if (has_ids) column_ids = shared_uint2(ids + n * 32 + column_of() * 4);
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        bool out = BITS && ((n < 4 ? u32(row_bits) : u32(row_bits >> 32)) >> (n % 4 * 8 + e) & 1);
                        out |= has_ids && (e == 0 ? column_ids.x : column_ids.y) == id[m][h];
                        if (out) scores.s[m][n][2 * h + e] = neg_inf();
                        if (BITS) dead[m][h] += out && n * 8 + column_of() + e < left;
                    }
                }
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
    const u32 *positives = args.positives, *user_ids = args.user_ids, *candidate_ids = args.candidate_ids;
    u32* dead = args.dead;
    const u32 dim = args.dim;
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 base = shared_address(shared);
    constexpr u32 VALUES = C::ROWS_BYTES + C::STAGES * C::TILE_BYTES;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const u64 first_row = u64(blockIdx.x) * C::BM, warp_row = first_row + warp * C::WARP_ROWS;
    const u64 rows = users.rows;
    const u32 tiles = u32((candidates.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles, to = min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;

    auto fetch = [&](u32 tile) {
        if (tile < to) {
            const u32 stage = (tile - from) % C::STAGES;
            const u32 column = tile * C::BN;
            C::fetch_columns(base + C::ROWS_BYTES + stage * C::TILE_BYTES, candidates, column);
            copy_values<C::BN, 0>(base + VALUES + stage * C::BN * 8, args.bias2, column);
            if (has_ids) copy_values<C::BN, 64>(base + VALUES + stage * C::BN * 8 + C::BN * 4, candidate_ids, column);
        }
        copy_commit();
    };

    C::fetch_rows(base, users, u32(first_row));
#pragma unroll
    for (int i = 0; i < C::STAGES - 1; ++i) fetch(from + i);

    NarrowForward<C> x;
    x.scores.rows = base + warp * (C::WARP_ROWS * C::DP * 2);
    // Lane l of a warp looks after the masks of the warp's row l.
    u32 positive = NO_COLUMN, next = 0, end = 0, upcoming = NO_COLUMN;
    if (lane < C::WARP_ROWS && warp_row + lane < rows) {
        positive = positives[warp_row + lane];
        if (masked.spans) {
            const uint2 span = masked.spans[warp_row + lane];
            next = lower_bound(masked.columns, span.x, span.y, from * C::BN), end = span.y;
            if (next < end) upcoming = masked.columns[next];
        }
    }
#pragma unroll
    for (int m = 0; m < C::RT; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u64 row = warp_row + x.row_of(m, h);
            x.largest[m][h] = neg_inf(), x.sum[m][h] = 0.0f, x.dead[m][h] = 0;
            x.id[m][h] = has_ids && row < rows ? user_ids[row] : 0;
        }
#pragma unroll
        for (int n = 0; n < C::DP / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) x.o[m][n][i] = 0.0f;
    }
    const float scale2 = args.call->scale2;

    for (u32 tile = from; tile < to; ++tile) {
        copy_wait<C::STAGES - 2>();
        __syncthreads();
        if (C::KEEP && tile == from) x.scores.keep();
        fetch(tile + C::STAGES - 1);
        const u32 stage = (tile - from) % C::STAGES;
        const u32 at = base + C::ROWS_BYTES + stage * C::TILE_BYTES, values = base + VALUES + stage * C::BN * 8;
        const u32 column = tile * C::BN;
        x.scores.multiply(at);

        u64 bits = positive - column < C::BN ? 1ull << (positive - column) : 0;
        while (upcoming < column + C::BN) {
            if (upcoming >= column) bits |= 1ull << (upcoming - column);
            upcoming = ++next < end ? masked.columns[next] : NO_COLUMN;
        }
        const bool any = __any_sync(FULL, bits != 0);
        if (any) x.note_positives(args.dots, positive, column, warp_row);
        x.scale(scale2, values);
        if (any || dead) {
            x.template mask<true>(bits, has_ids, values + C::BN * 4, u32(candidates.rows) - column);
        } else if (has_ids) {
            x.template mask<false>(0, true, values + C::BN * 4, 0);
        }
        x.raise();
        x.scores.accumulate(x.o, at);
    }

#pragma unroll
    for (int m = 0; m < C::RT; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const float sum = quad_sum(x.sum[m][h]);
            const u32 count = quad_sum(x.dead[m][h]);
            const u64 row = warp_row + x.row_of(m, h);
            if (row >= rows) continue;
            const u64 place = u64(blockIdx.y) * rows + row;
            if (lane % 4 == 0) {
                args.sums[place] = make_float2(x.largest[m][h], sum);
                if (dead) dead[place] = count;
            }
#pragma unroll
            for (int n = 0; n < C::DP / 8; ++n)
                store_pair(args.out + place * dim, n * 8 + x.column_of(), dim, x.o[m][n][2 * h], x.o[m][n][2 * h + 1]);
        }
}

// One entry point: its shape by width and precision, its name, blocks to an SM.
#define LOSS_FORWARD(NAME, BLOCKS, ...)                                                                        \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS)                                                  \
        NAME(const __grid_constant__ LossForwardArgs args) {                                                   \
        forward_narrow<Narrow<__VA_ARGS__>>(args);                                                             \
    }
