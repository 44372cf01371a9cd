// Backward, widths up to 128: rows are candidates, columns are users, whose sums are known by now. The derivative by a
// score is p_ij = e^(score_ij) / sum_i * weight_i * scale, at the positive -gap_i; dV = p^T U. No maximum, no
// rescaling. Where the reference is fixed, a row's bias is a factor of its result: products see p / e^(bias - largest bias).
#pragma once
#include "loss/narrow.cuh"

template <class C>
struct NarrowBackward : FragmentLane {
    Scores<C> scores;
    float o[C::RT][C::DP / 8][4];
    // Of the warp's row that the lane looks after: its bias, less the largest one where that is a factor; its id; whether all
    // of it is masked, its positives aside.
    float bias;
    u32 id;
    bool gone;

    __device__ __forceinline__ float bias_of(int m, int h) const { return __shfl_sync(FULL, bias, row_of(m, h)); }

    // s = s scale2 + bias
    __device__ __forceinline__ void scale(float scale2) {
#pragma unroll
        for (int m = 0; m < C::RT; ++m) {
            const float by[2] = {bias_of(m, 0), bias_of(m, 1)};
#pragma unroll
            for (int n = 0; n < C::BN / 8; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) scores.s[m][n][i] = fmaf(scores.s[m][n][i], scale2, by[i / 2]);
        }
    }

    // Masked scores become -inf: where a column has the row's id; BITS: in rows that are gone, and where a column's word of
    // `words` has the bit of the warp's row.
    template <bool BITS>
    __device__ __forceinline__ void mask(bool has_ids, u32 ids, u32 words) {
        const u32 rows_gone = BITS ? __ballot_sync(FULL, gone) : 0;
        u32 own[C::RT][2];
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) own[m][h] = __shfl_sync(FULL, id, row_of(m, h));
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            const u32 at = n / 2 * 64 + quad() + n % 2 * 8;
            uint2 user_ids = make_uint2(0, 0), word = make_uint2(rows_gone, rows_gone);
            if (has_ids) user_ids = shared_uint2(ids + at);
            if (BITS && words) {
                const uint2 listed = shared_uint2(words + at);
                word.x |= listed.x, word.y |= listed.y;
            }
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    bool out = has_ids && (i % 2 ? user_ids.y : user_ids.x) == own[m][i / 2];
                    if (BITS) out |= (i % 2 ? word.y : word.x) >> row_of(m, i / 2) & 1;
                    if (out) scores.s[m][n][i] = neg_inf();
                }
        }
    }

    // The derivatives by the scores of 16 columns.
    __device__ __forceinline__ void soften(int step, float scale, u32 offsets) {
        const float4 by = shared_float4(offsets + step * 64 + quad());
#pragma unroll
        for (int m = 0; m < C::RT; ++m) {
            float(&left)[4] = scores.s[m][2 * step], (&right)[4] = scores.s[m][2 * step + 1];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                left[i] = exp2_fast(fmaf(left[i], scale, i % 2 ? by.y : by.x));
                right[i] = exp2_fast(fmaf(right[i], scale, i % 2 ? by.w : by.z));
            }
        }
    }

    // Those by the scores of positives; `factors`: biases are factors of the rows' results.
    __device__ __forceinline__ void put_positives(bool factors, u32 gaps, u32 positives, u32 first_row) {
        float by[C::RT][2];
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) by[m][h] = factors ? -exp2_fast(-bias_of(m, h)) : -1.0f;
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            const u32 at = n / 2 * 64 + quad() + n % 2 * 8;
            const float2 gap = shared_float2(gaps + at);
            const uint2 positive = shared_uint2(positives + at);
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i)
                    if ((i % 2 ? positive.y : positive.x) == first_row + row_of(m, i / 2))
                        scores.s[m][n][i] = (i % 2 ? gap.y : gap.x) * by[m][i / 2];
        }
    }
};

template <class C>
__device__ __forceinline__ void backward_narrow(const LossBackwardArgs& args) {
    const Operand candidates = args.candidates, users = args.users;
    const UserTerms terms = args.terms;
    const MaskedLists masked = args.masked;
    const u32* candidate_ids = args.candidate_ids;
    const u32 dim = args.dim;
    extern __shared__ __align__(256) unsigned char shared[];
    const u32 base = shared_address(shared);
    constexpr u32 VALUES = C::ROWS_BYTES + C::STAGES * C::TILE_BYTES;
    constexpr u32 STAGE_VALUES = 4 * C::COLUMN_BYTES + C::RANGE_BYTES;
    constexpr u32 WORDS = VALUES + C::STAGES * STAGE_VALUES;
    constexpr u32 STAGE_WORDS = C::WARPS * C::COLUMN_BYTES;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const u64 rows = candidates.rows, first_row = u64(blockIdx.x) * C::BM, warp_row = first_row + warp * C::WARP_ROWS;
    const u32 tiles = u32((users.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles;
    // Without any weight nothing is derived: not even NaN passes.
    const u32 to = args.call->zero ? from : min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;

    auto fetch = [&](u32 tile, u32 stage) {
        if (tile < to) {
            const u32 values = base + VALUES + stage * STAGE_VALUES, column = tile * C::BN;
            C::fetch_columns(base + C::ROWS_BYTES + stage * C::TILE_BYTES, users, column);
            copy_values<C::BN, 0>(values, terms.offset, column);
            copy_values<C::BN, 32>(values + C::COLUMN_BYTES, terms.gap, column);
            copy_values<C::BN, 64>(values + 2 * C::COLUMN_BYTES, terms.positives, column);
            if (has_ids) {
                copy_values<C::BN, 96>(values + 3 * C::COLUMN_BYTES, terms.ids, column);
                C::template fetch_ranges<127>(values + 4 * C::COLUMN_BYTES, terms.ranges, column);
            }
        }
        copy_commit();
    };
    // Thread c looks after column c of a tile: bit r of its word of warp w is set where it masks row r of that warp.
    auto fill = [&](u32 tile) {
        const u64 user = u64(tile) * C::BN + threadIdx.x;
        if (!masked.spans || tile >= to || threadIdx.x >= C::BN) return;
        const u32 at = base + WORDS + (tile - from) % 2 * STAGE_WORDS + u32(fragment_order(threadIdx.x)) * 4;
        u64 low = 0, high = 0;
        if (user < users.rows) {
            const uint2 span = masked.spans[user];
            for (u32 i = lower_bound(masked.columns, span.x, span.y, u32(first_row)); i < span.y; ++i) {
                const u32 row = masked.columns[i] - u32(first_row);
                if (row >= C::BM) break;
                if (row < 64) {
                    low |= 1ull << row;
                } else {
                    high |= 1ull << (row - 64);
                }
            }
        }
#pragma unroll
        for (int w = 0; w < C::WARPS; ++w) {
            const int first = w * C::WARP_ROWS;
            const u32 word = u32((first < 64 ? low : high) >> first % 64);
            store_shared_u32(at + w * C::COLUMN_BYTES, C::WARP_ROWS == 32 ? word : word & 0xffff);
        }
    };

    C::fetch_rows(base, candidates, u32(first_row));
#pragma unroll
    for (int i = 0; i < C::STAGES - 1; ++i) fetch(from + i, i);
    fill(from);

    const bool fixed = args.call->fixed;
    const float scale2 = args.call->scale2;
    NarrowBackward<C> x;
    x.scores.rows = base + warp * (C::WARP_ROWS * C::DP * 2);
    const u64 own_row = warp_row + lane % C::WARP_ROWS;
    x.bias = own_row < rows ? args.bias2[own_row] - args.call->top_bias : 0.0f;
    // -inf is neither added nor a factor.
    x.gone = x.bias == neg_inf();
    if (x.gone) x.bias = 0.0f;
    x.id = has_ids && own_row < rows ? candidate_ids[fragment_order(own_row)] : 0;
#pragma unroll
    for (int m = 0; m < C::RT; ++m)
#pragma unroll
        for (int n = 0; n < C::DP / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) x.o[m][n][i] = 0.0f;

    // Of the tile at hand, and of the next to fetch.
    u32 stage = 0, ahead = C::STAGES - 1;
    for (u32 tile = from; tile < to; ++tile) {
        copy_wait<C::STAGES - 2>();
        __syncthreads();
        if (C::KEEP && tile == from) x.scores.keep();
        fetch(tile + C::STAGES - 1, ahead);
        fill(tile + 1);
        const u32 at = base + C::ROWS_BYTES + stage * C::TILE_BYTES, values = base + VALUES + stage * STAGE_VALUES;
        const u32 gaps = values + C::COLUMN_BYTES, positives = gaps + C::COLUMN_BYTES;
        const u32 ids = positives + C::COLUMN_BYTES, ranges = ids + C::COLUMN_BYTES;
        const u32 words = masked.spans ? base + WORDS + (tile - from) % 2 * STAGE_WORDS + warp * C::COLUMN_BYTES : 0;
        x.scores.multiply(at);

        bool own = false, listed = x.gone;
#pragma unroll
        for (int c = 0; c < C::BN; c += WARP) {
            own |= shared_u32(positives + (c + lane) * 4) - u32(warp_row) < C::WARP_ROWS;
            if (words) listed |= shared_u32(words + (c + lane) * 4) != 0;
        }
        const bool near = has_ids && __any_sync(FULL, C::in_ranges(ranges, tile * C::BN, x.id));
        if (!fixed) x.scale(scale2);
        if (__any_sync(FULL, listed)) {
            x.template mask<true>(has_ids, ids, words);
        } else if (near) {
            x.template mask<false>(true, ids, 0);
        }
        auto soften = [&](int step) { x.soften(step, fixed ? scale2 : 1.0f, values); };
        if (__any_sync(FULL, own)) {
#pragma unroll
            for (int step = 0; step < C::BN / 16; ++step) soften(step);
            x.put_positives(fixed, gaps, positives, u32(warp_row));
            x.scores.accumulate(x.o, at, [](int) {});
        } else {
            x.scores.accumulate(x.o, at, soften);
        }
        ahead = stage, stage = stage + 1 == C::STAGES ? 0 : stage + 1;
    }
    copy_wait<0>();

#pragma unroll
    for (int m = 0; m < C::RT; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const float by = fixed ? exp2_fast(x.bias_of(m, h)) : 1.0f;
            const u64 row = warp_row + x.row_of(m, h);
            if (row >= rows) continue;
            float* to_row = args.out + (u64(blockIdx.y) * rows + row) * dim;
#pragma unroll
            for (int n = 0; n < C::DP / 8; ++n)
                store_pair(to_row, n * 8 + x.column_of(), dim, x.o[m][n][2 * h] * by, x.o[m][n][2 * h + 1] * by);
        }
}

// One entry point: its shape by width and precision, its name, blocks to an SM.
#define LOSS_BACKWARD(NAME, BLOCKS, ...)                                                                       \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS)                                                  \
        NAME(const __grid_constant__ LossBackwardArgs args) {                                                  \
        backward_narrow<Narrow<__VA_ARGS__>>(args);                                                            \
    }
