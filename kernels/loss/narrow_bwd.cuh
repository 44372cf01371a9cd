// Backward, widths up to 128: rows are candidates, columns are users, whose sums are known by now. The derivative by a
// score is p_ij = e^(score_ij) / sum_i * weight_i * scale, at the positive -gap_i; dV = p^T U. No maximum, no
// rescaling.
#pragma once
#include "loss/narrow.cuh"

template <class C>
struct NarrowBackward {
    Scores<C> scores;
    float o[C::RT][C::DP / 8][4];
    // Of the fragment rows g and g + 8 of each tile.
    float bias2[C::RT][2];
    u32 id[C::RT][2];

    static __device__ __forceinline__ u32 lane() { return threadIdx.x & 31; }
    static __device__ __forceinline__ u32 row_of(int m, int h) { return m * 16 + h * 8 + (lane() >> 2); }
    static __device__ __forceinline__ u32 column_of() { return (lane() & 3) * 2; }

    // Scores become derivatives. Each column's word of `words` says which of the warp's rows it masks.
    template <bool SPECIAL>
    __device__ __forceinline__ void raise(float scale2, bool has_ids, u32 offsets, u32 gaps, u32 positives, u32 ids,
                                          u32 words, u32 first_row) {
#pragma unroll
        for (int n = 0; n < C::BN / 8; ++n) {
            const u32 at = n * 32 + column_of() * 4;
            const float2 offset = shared_float2(offsets + at);
            uint2 user_ids = make_uint2(0, 0), positive = user_ids, word = user_ids;
            float2 gap = make_float2(0.0f, 0.0f);
            if (has_ids) user_ids = shared_uint2(ids + at);
            if (SPECIAL) {
                gap = shared_float2(gaps + at), positive = shared_uint2(positives + at);
                if (words) word = shared_uint2(words + at);
            }
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int h = i / 2, e = i % 2;
                    float& s = scores.s[m][n][i];
                    const float power = fmaf(s, scale2, bias2[m][h]) - (e == 0 ? offset.x : offset.y);
                    bool out = has_ids && (e == 0 ? user_ids.x : user_ids.y) == id[m][h];
                    if (SPECIAL) out |= (e == 0 ? word.x : word.y) >> row_of(m, h) & 1;
                    s = exp2_fast(out ? neg_inf() : power);
                    if (SPECIAL && (e == 0 ? positive.x : positive.y) == first_row + row_of(m, h))
                        s = -(e == 0 ? gap.x : gap.y);
                }
        }
    }
};

template <class C>
__device__ __forceinline__ void backward_narrow(const LossBackwardArgs& args) {
    const Operand candidates = args.candidates, users = args.users;
    const UserTerms terms = args.terms;
    const MaskedLists masked = args.masked;
    const float* bias2 = args.bias2;
    const u32* candidate_ids = args.candidate_ids;
    const u32 dim = args.dim;
    extern __shared__ __align__(128) unsigned char shared[];
    const u32 base = shared_address(shared);
    constexpr u32 VALUES = C::ROWS_BYTES + C::STAGES * C::TILE_BYTES;
    constexpr u32 STAGE_VALUES = 4 * C::BN * 4;
    constexpr u32 WORDS = VALUES + C::STAGES * STAGE_VALUES;
    constexpr u32 STAGE_WORDS = C::WARPS * C::BN * 4;
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const u64 rows = candidates.rows, first_row = u64(blockIdx.x) * C::BM, warp_row = first_row + warp * C::WARP_ROWS;
    const u32 tiles = u32((users.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles;
    // Without any weight nothing is derived: not even NaN passes.
    const u32 to = args.call->zero ? from : min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;

    auto fetch = [&](u32 tile) {
        if (tile < to) {
            const u32 stage = (tile - from) % C::STAGES;
            const u32 values = base + VALUES + stage * STAGE_VALUES, column = tile * C::BN;
            C::fetch_columns(base + C::ROWS_BYTES + stage * C::TILE_BYTES, users, column);
            copy_values<C::BN, 0>(values, terms.offset, column);
            copy_values<C::BN, 32>(values + C::BN * 4, terms.gap, column);
            copy_values<C::BN, 64>(values + C::BN * 8, terms.positives, column);
            if (has_ids) copy_values<C::BN, 96>(values + C::BN * 12, terms.ids, column);
        }
        copy_commit();
    };
    // Thread c looks after column c of a tile: bit r of word w is set where it masks row r of warp w.
    auto fill = [&](u32 tile) {
        const u64 user = u64(tile) * C::BN + threadIdx.x;
        if (!masked.spans || tile >= to || threadIdx.x >= C::BN) return;
        const u32 at = base + WORDS + (tile - from) % 2 * STAGE_WORDS + threadIdx.x * 4;
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
            store_shared_u32(at + w * C::BN * 4, C::WARP_ROWS == 32 ? word : word & 0xffff);
        }
    };

    C::fetch_rows(base, candidates, u32(first_row));
#pragma unroll
    for (int i = 0; i < C::STAGES - 1; ++i) fetch(from + i);
    fill(from);

    NarrowBackward<C> x;
    x.scores.rows = base + warp * (C::WARP_ROWS * C::DP * 2);
#pragma unroll
    for (int m = 0; m < C::RT; ++m) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u64 row = warp_row + x.row_of(m, h);
            x.bias2[m][h] = row < rows ? bias2[row] : neg_inf();
            x.id[m][h] = has_ids && row < rows ? candidate_ids[row] : 0;
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
        fill(tile + 1);
        const u32 stage = (tile - from) % C::STAGES;
        const u32 at = base + C::ROWS_BYTES + stage * C::TILE_BYTES, values = base + VALUES + stage * STAGE_VALUES;
        const u32 words = masked.spans ? base + WORDS + (tile - from) % 2 * STAGE_WORDS + warp * C::BN * 4 : 0;
        x.scores.multiply(at);

        bool special = false;
#pragma unroll
        for (int c = 0; c < C::BN; c += WARP) {
            special |= shared_u32(values + C::BN * 8 + (c + lane) * 4) - u32(warp_row) < C::WARP_ROWS;
            if (words) special |= shared_u32(words + (c + lane) * 4) != 0;
        }
        const u32 gaps = values + C::BN * 4, positives = gaps + C::BN * 4, ids = positives + C::BN * 4;
        if (__any_sync(FULL, special)) {
            x.template raise<true>(scale2, has_ids, values, gaps, positives, ids, words, u32(warp_row));
        } else {
            x.template raise<false>(scale2, has_ids, values, gaps, positives, ids, words, u32(warp_row));
        }
        x.scores.accumulate(x.o, at);
    }
    copy_wait<0>();

#pragma unroll
    for (int m = 0; m < C::RT; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u64 row = warp_row + x.row_of(m, h);
            if (row >= rows) continue;
            float* to_row = args.out + (u64(blockIdx.y) * rows + row) * dim;
#pragma unroll
            for (int n = 0; n < C::DP / 8; ++n)
                store_pair(to_row, n * 8 + x.column_of(), dim, x.o[m][n][2 * h], x.o[m][n][2 * h + 1]);
        }
}

// One entry point: its shape by width and precision, its name, blocks to an SM.
#define LOSS_BACKWARD(NAME, BLOCKS, ...)                                                                       \
    extern "C" __global__ void __launch_bounds__(128, BLOCKS)                                                  \
        NAME(const __grid_constant__ LossBackwardArgs args) {                                                  \
        backward_narrow<Narrow<__VA_ARGS__>>(args);                                                            \
    }
