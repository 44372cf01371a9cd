// Forward, widths from 129 to 1,024: see narrow_fwd.cuh for what it makes.
#pragma once
#include "loss/wide.cuh"

// What four threads know of a row; the first of them looks after its masked columns.
struct WideRow {
    float largest, sum;
    u32 positive, id, dead, next, end, upcoming;
};

template <class C>
__device__ __forceinline__ void forward_wide(const LossForwardArgs& args) {
    const Operand users = args.users, candidates = args.candidates;
    const MaskedLists masked = args.masked;
    const u32 *positives = args.positives, *user_ids = args.user_ids, *candidate_ids = args.candidate_ids;
    u32* dead = args.dead;
    const u32 dim = args.dim, width = users.width;
    extern __shared__ __align__(256) unsigned char shared[];
    const WideBlock<C> b(shared_address(shared), width, 2);
    const u64 first_row = u64(blockIdx.x) * b.rows, rows = users.rows;
    const u32 tiles = u32((candidates.rows + C::BN - 1) / C::BN);
    const u32 from = blockIdx.y * args.split_tiles, to = min(tiles, from + args.split_tiles);
    const bool has_ids = candidate_ids != nullptr;

    auto fetch = [&](u32 tile) {
        if (tile < to) {
            const u32 stage = (tile - from) % C::STAGES, at = b.tiles + stage * b.tile_bytes();
            const u64 column = u64(tile) * C::BN;
            b.copy(at, candidates.hi, column, C::BN, candidates.rows);
            if (C::LO) b.copy(at + C::BN * width * 2, candidates.lo, column, C::BN, candidates.rows);
            copy_values<C::BN, 0>(b.values + stage * C::BN * 8, args.column_bias, column);
            if (has_ids) copy_values<C::BN, 32>(b.values + stage * C::BN * 8 + C::BN * 4, candidate_ids, column);
        }
        copy_commit();
    };
    WideWarp<C> x;
    x.start(b, users, first_row);
    fetch(from);
    const u32 quarter = threadIdx.x % 4;
    WideRow state[C::ITEMS];
#pragma unroll
    for (int i = 0; i < C::ITEMS; ++i) {
        WideRow& r = state[i];
        r = WideRow{neg_inf(), 0.0f, NO_COLUMN, 0, 0, 0, 0, NO_COLUMN};
        const u64 row = first_row + (threadIdx.x + i * blockDim.x) / 4;
        if ((threadIdx.x + i * blockDim.x) / 4 >= b.rows || row >= rows) continue;
        r.positive = positives[row];
        if (has_ids) r.id = user_ids[fragment_order(row)];
        if (masked.spans && quarter == 0) {
            const uint2 span = masked.spans[row];
            r.next = lower_bound(masked.columns, span.x, span.y, from * C::BN), r.end = span.y;
            if (r.next < r.end) r.upcoming = masked.columns[r.next];
        }
    }
    const float scale2 = args.call->scale2;

    for (u32 tile = from; tile < to; ++tile) {
        copy_wait<0>();
        __syncthreads();
        fetch(tile + 1);
        const u32 stage = (tile - from) % C::STAGES, at = b.tiles + stage * b.tile_bytes();
        const u32 column = tile * C::BN + quarter * 4, left = u32(candidates.rows) - tile * C::BN;
        x.multiply(b, at);
        __syncthreads();

        bool moves = false;
#pragma unroll
        for (int i = 0; i < C::ITEMS; ++i) {
            const u32 row = (threadIdx.x + i * blockDim.x) / 4;
            if (row >= b.rows) break;
            WideRow& r = state[i];
            u32 bits = 0;
            while (r.upcoming < tile * C::BN + C::BN) {
                if (r.upcoming >= tile * C::BN) bits |= 1u << (r.upcoming - tile * C::BN);
                r.upcoming = ++r.next < r.end ? masked.columns[r.next] : NO_COLUMN;
            }
            if (masked.spans) bits = __shfl_sync(FULL, bits, threadIdx.x & 28);
            const float4 dot = joined_scores(b, row, quarter * 4);
            const u32 values = b.values + stage * C::BN * 8;
            const uint4 bias = shared_quarter(values, quarter);
            uint4 ids = make_uint4(0, 0, 0, 0);
            if (has_ids) ids = shared_quarter(values + C::BN * 4, quarter);
            float s[4] = {dot.x, dot.y, dot.z, dot.w};
            const u32 biases[4] = {bias.x, bias.y, bias.z, bias.w};
            const u32 column_ids[4] = {ids.x, ids.y, ids.z, ids.w};
            float best = r.largest;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                const bool own = column + k == r.positive;
                const bool hit = has_ids && column_ids[k] == r.id;
                const bool gone = own || hit || (bits >> (quarter * 4 + k) & 1);
                if (own) args.dots[first_row + row] = s[k];
                s[k] = gone ? neg_inf() : fmaf(s[k], scale2, __uint_as_float(biases[k]));
                r.dead += gone && quarter * 4 + k < left;
                best = fmaxf(best, s[k]);
            }
            best = quad_max(best);
            // Nothing but masked columns so far: any reference does.
            const float shift = best == neg_inf() ? 0.0f : best, by = exp2_fast(r.largest - shift);
            moves |= best != r.largest;
            r.largest = best;
            float sum = 0.0f;
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                s[k] = exp2_fast(s[k] - shift);
                sum += s[k];
            }
            r.sum = fmaf(r.sum, by, sum);
            store_p(b, row, quarter * 4, s);
            if (quarter == 0) store_shared_u32(b.moved + row * 4, __float_as_uint(by));
        }
        x.accumulate(b, at, __syncthreads_or(moves));
    }

    const u64 place = u64(blockIdx.y) * rows;
#pragma unroll
    for (int i = 0; i < C::ITEMS; ++i) {
        const u32 block_row = (threadIdx.x + i * blockDim.x) / 4;
        if (block_row >= b.rows) break;
        WideRow& r = state[i];
        const float sum = quad_sum(r.sum);
        const u32 count = quad_sum(r.dead);
        if (quarter != 0 || first_row + block_row >= rows) continue;
        args.sums[place + first_row + block_row] = make_float2(r.largest, sum);
        if (dead) dead[place + first_row + block_row] = count;
    }
    x.store(b, args.out + place * dim, first_row, rows, dim);
}

#define LOSS_FORWARD_WIDE(NAME, ...)                                                                           \
    extern "C" __global__ void __launch_bounds__(256, 1) NAME(const __grid_constant__ LossForwardArgs args) {  \
        forward_wide<Wide<__VA_ARGS__>>(args);                                                                 \
    }
