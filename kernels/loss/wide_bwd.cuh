// Backward, widths from 129 to 1,024: see narrow_bwd.cuh for what it makes.
#pragma once
#include "loss/wide.cuh"

template <class C>
__device__ __forceinline__ void backward_wide(const LossBackwardArgs& args) {
    const Operand candidates = args.candidates, users = args.users;
    const UserTerms terms = args.terms;
    const MaskedLists masked = args.masked;
    const float* bias2 = args.bias2;
    const u32* candidate_ids = args.candidate_ids;
    const u32 dim = args.dim, width = users.width;
    extern __shared__ __align__(256) unsigned char shared[];
    const WideBlock<C> b(shared_address(shared), width, 4);
    const u64 first_row = u64(blockIdx.x) * b.rows, rows = candidates.rows;
    const u32 tiles = u32((users.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles;
    // Without any weight nothing is derived: not even NaN passes.
    const u32 to = args.call->zero ? from : min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;
    constexpr u32 STAGE_VALUES = 4 * C::BN * 4;

    auto fetch = [&](u32 tile) {
        if (tile < to) {
            const u32 stage = (tile - from) % C::STAGES, at = b.tiles + stage * b.tile_bytes();
            const u32 values = b.values + stage * STAGE_VALUES;
            const u64 column = u64(tile) * C::BN;
            b.copy(at, users.hi, column, C::BN, users.rows);
            if (C::LO) b.copy(at + C::BN * width * 2, users.lo, column, C::BN, users.rows);
            copy_values<C::BN, 0>(values, terms.offset, column);
            copy_values<C::BN, 4>(values + C::BN * 4, terms.gap, column);
            copy_values<C::BN, 32>(values + C::BN * 8, terms.positives, column);
            if (has_ids) copy_values<C::BN, 36>(values + C::BN * 12, terms.ids, column);
        }
        copy_commit();
    };
    // Thread c looks after column c of a tile: bit r of word w is set where it masks row 32 w + r of the block.
    auto fill = [&](u32 tile) {
        const u64 user = u64(tile) * C::BN + threadIdx.x;
        if (!masked.spans || tile >= to || threadIdx.x >= C::BN) return;
        u64 low = 0, high = 0;
        if (user < users.rows) {
            const uint2 span = masked.spans[user];
            for (u32 i = lower_bound(masked.columns, span.x, span.y, u32(first_row)); i < span.y; ++i) {
                const u32 row = masked.columns[i] - u32(first_row);
                if (row >= b.rows) break;
                if (row < 64) {
                    low |= 1ull << row;
                } else {
                    high |= 1ull << (row - 64);
                }
            }
        }
        const u32 at = b.words + ((tile - from) % 2 * 4 * C::BN + threadIdx.x) * 4;
        store_shared_u32(at, u32(low)), store_shared_u32(at + C::BN * 4, u32(low >> 32));
        store_shared_u32(at + C::BN * 8, u32(high)), store_shared_u32(at + C::BN * 12, u32(high >> 32));
    };
    WideWarp<C> x;
    x.start(b, candidates, first_row);
    fetch(from);
    fill(from);

    const u32 quarter = threadIdx.x % 4;
    float row_bias[C::ITEMS];
    u32 row_id[C::ITEMS];
#pragma unroll
    for (int i = 0; i < C::ITEMS; ++i) {
        const u64 row = first_row + (threadIdx.x + i * blockDim.x) / 4;
        row_bias[i] = row < rows ? bias2[row] : neg_inf();
        row_id[i] = has_ids && row < rows ? candidate_ids[fragment_order(row)] : 0;
    }
    const float scale2 = args.call->scale2;

    for (u32 tile = from; tile < to; ++tile) {
        copy_wait<0>();
        __syncthreads();
        fetch(tile + 1);
        fill(tile + 1);
        const u32 stage = (tile - from) % C::STAGES, at = b.tiles + stage * b.tile_bytes();
        x.multiply(b, at);
        __syncthreads();

#pragma unroll
        for (int i = 0; i < C::ITEMS; ++i) {
            const u32 row = (threadIdx.x + i * blockDim.x) / 4;
            if (row >= b.rows) break;
            const float4 dot = joined_scores(b, row, quarter * 4);
            const u32 values = b.values + stage * STAGE_VALUES;
            const uint4 offset = shared_quarter(values, quarter), gap = shared_quarter(values + C::BN * 4, quarter);
            const uint4 positive = shared_quarter(values + C::BN * 8, quarter);
            uint4 ids = make_uint4(0, 0, 0, 0), words = ids;
            if (has_ids) ids = shared_quarter(values + C::BN * 12, quarter);
            if (masked.spans)
                words = shared_uint4(b.words + ((tile - from) % 2 * 4 + row / 32) * C::BN * 4 + quarter * 16);
            const float dots[4] = {dot.x, dot.y, dot.z, dot.w};
            const u32 offsets[4] = {offset.x, offset.y, offset.z, offset.w}, gaps[4] = {gap.x, gap.y, gap.z, gap.w};
            const u32 column_positives[4] = {positive.x, positive.y, positive.z, positive.w};
            const u32 column_ids[4] = {ids.x, ids.y, ids.z, ids.w};
            const u32 column_words[4] = {words.x, words.y, words.z, words.w};
            float p[4];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                const float power = fmaf(dots[k], scale2, row_bias[i]) + __uint_as_float(offsets[k]);
                const bool gone = (has_ids && column_ids[k] == row_id[i]) || (column_words[k] >> row % 32 & 1);
                p[k] = exp2_fast(gone ? neg_inf() : power);
                if (column_positives[k] == u32(first_row) + row) p[k] = -__uint_as_float(gaps[k]);
            }
            store_p(b, row, quarter * 4, p);
        }
        __syncthreads();
        x.accumulate(b, at, false);
    }
    copy_wait<0>();
    x.store(b, args.out + u64(blockIdx.y) * rows * dim, first_row, rows, dim);
}

#define LOSS_BACKWARD_WIDE(NAME, ...)                                                                          \
    extern "C" __global__ void __launch_bounds__(256, 1) NAME(const __grid_constant__ LossBackwardArgs args) { \
        backward_wide<Wide<__VA_ARGS__>>(args);                                                                \
    }
