// Backward: rows are candidates, columns are users, whose sums are known by now. The derivative by a score is p_ij =
// e^(score_ij) / sum_i * weight_i * scale, at the positive -gap_i; dV = p^T U. Where the reference is fixed, a row's bias is a
// factor of its result: products see p / e^(bias - largest bias).
#pragma once
#include "loss/sm90a/consumer.cuh"

// Arrays of a stage.
enum BackwardValues { BACKWARD_OFFSET, BACKWARD_GAP, BACKWARD_POSITIVES, BACKWARD_IDS };

template <class C>
struct BackwardSide {
    const HopperBackwardArgs& args;
    float scale2;
    u32 fixed;
    // Of the fragment rows g and g + 8: the first's number, ids; what is added to every power; the factor of the result, and
    // one over it, negated where the whole row is masked, its positives aside.
    u32 row;
    u32 id[2];
    float bias[2], factor[2], inverse[2];

    __device__ __forceinline__ BackwardSide(const HopperBackwardArgs& args, u32 row) : args(args), row(row) {
        scale2 = args.call->scale2, fixed = args.call->fixed;
        const bool has_ids = args.candidate_ids != nullptr;
        const float top = args.call->top_bias;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const bool there = row + 8 * h < args.candidates.rows;
            id[h] = has_ids && there ? args.candidate_ids[row + 8 * h] : 0;
            const float own = there ? args.bias2[row + 8 * h] : top;
            const bool gone = own == neg_inf();
            bias[h] = fixed ? 0.0f : own;
            factor[h] = fixed && !gone ? exp2_fast(own - top) : 1.0f;
            inverse[h] = gone ? -1.0f : fixed ? exp2_fast(top - own) : 1.0f;
        }
    }

    // The bits of masked scores: a word a column, for the rows of two warps.
    static __device__ __forceinline__ u32 mask(const Places<C>& places, u32 stage, int step) {
        return places.mask(stage) + (threadIdx.x >> 6) * C::COLUMN_BYTES + step * (C::STEP * 4);
    }
    static __device__ __forceinline__ u32 shift() { return (threadIdx.x >> 5 & 1) * 16; }

    // Whether the step holds a positive or an id of the warp's rows, or any of these is masked.
    __device__ __forceinline__ bool special(const Places<C>& places, u32 stage, int step) const {
        // Every lane looks at two of the step's columns, in whatever order they stand.
        const uint2 positive = shared_uint2(places.column(stage, BACKWARD_POSITIVES) + step * (C::STEP * 4) + Consumer<C>::lane() * 8);
        const u32 warp_row = row - (Consumer<C>::lane() >> 2);
        bool any = positive.x - warp_row < 16 || positive.y - warp_row < 16 || fminf(inverse[0], inverse[1]) < 0.0f;
        if (args.candidate_ids) any |= in_ranges(places.ranges(stage) + step * 16, id);
        if (C::LISTS && args.masked.spans) {
            const uint2 bits = shared_uint2(mask(places, stage, step) + Consumer<C>::lane() * 8);
            any |= ((bits.x | bits.y) >> shift() & 0xffff) != 0;
        }
        return __any_sync(FULL, any);
    }

    template <bool SPECIAL>
    __device__ __forceinline__ void powers(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], const Places<C>& places, u32 stage,
                                           int step) {
        const u32 at = step * (C::STEP * 4) + Consumer<C>::quad();
        const bool has_ids = args.candidate_ids != nullptr;
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n) {
            const float4 offset = shared_float4(places.column(stage, BACKWARD_OFFSET) + at + n * 64);
            float4 gap = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            uint4 positive = make_uint4(0, 0, 0, 0), ids = positive, bits = positive;
            if (SPECIAL) {
                gap = shared_float4(places.column(stage, BACKWARD_GAP) + at + n * 64);
                positive = shared_uint4(places.column(stage, BACKWARD_POSITIVES) + at + n * 64);
                if (has_ids) ids = shared_uint4(places.column(stage, BACKWARD_IDS) + at + n * 64);
                if (C::LISTS && args.masked.spans) bits = shared_uint4(mask(places, stage, step) + Consumer<C>::quad() + n * 64);
            }
            float e[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int h = i >> 1 & 1;
                e[i] = exp2_fast(fmaf(s[n * 8 + i], scale2, i < 4 ? (i & 1 ? offset.y : offset.x) : (i & 1 ? offset.w : offset.z)));
                if (SPECIAL) {
                    const u32 other = i < 4 ? (i & 1 ? ids.y : ids.x) : (i & 1 ? ids.w : ids.z);
                    const u32 column = i < 4 ? (i & 1 ? positive.y : positive.x) : (i & 1 ? positive.w : positive.z);
                    const float own = i < 4 ? (i & 1 ? gap.y : gap.x) : (i & 1 ? gap.w : gap.z);
                    const u32 listed = i < 4 ? (i & 1 ? bits.y : bits.x) : (i & 1 ? bits.w : bits.z);
                    if (has_ids && other == id[h]) e[i] = 0.0f;
                    if (listed >> shift() >> ((threadIdx.x >> 2 & 7) + 8 * h) & 1) e[i] = 0.0f;
                    if (inverse[h] < 0.0f) e[i] = 0.0f;
                    if (column == row + 8 * h) e[i] = -own * fabsf(inverse[h]);
                }
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) p[n][i] = pack_bf16_here(e[2 * i], e[2 * i + 1]);
        }
    }

    __device__ __forceinline__ void soften(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], const Places<C>& places, u32 stage,
                                           u32, int step) {
        if (special(places, stage, step)) {
            powers<true>(p, s, places, stage, step);
        } else {
            powers<false>(p, s, places, stage, step);
        }
    }

    // Scores with their rows' biases: those of a large span are no factors.
    __device__ __forceinline__ void soften_moving(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], float (&)[C::D / 2],
                                                  const Places<C>& places, u32 stage, u32, int step) {
        moving_powers(p, s, places, stage, step);
    }

    __device__ __forceinline__ void moving_powers(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], const Places<C>& places,
                                                  u32 stage, int step) {
        const float scale = scale2;
#pragma unroll
        for (int i = 0; i < C::STEP / 2; ++i) s[i] = fmaf(s[i], scale, bias[i >> 1 & 1]);
        scale2 = 1.0f;
        powers<true>(p, s, places, stage, step);
        scale2 = scale;
    }
};

// What a helping thread fills where columns are masked: the words of its columns of a tile, from their users' lists.
template <class C>
struct BackwardHelp {
    const HopperBackwardArgs& args;
    const Places<C>& places;
    u32 thread;

    __device__ __forceinline__ void operator()(u32 stage, u32 column) {
        const u32 first_row = blockIdx.x * C::BM;
        for (u32 c = thread; c < C::BN; c += HELPERS) {
            const u32 at = places.mask(stage) + u32(fragment_order(c)) * 4;
#pragma unroll
            for (int pair = 0; pair < 2 * C::GROUPS; ++pair) store_shared_u32(at + pair * C::COLUMN_BYTES, 0);
            if (column + c >= args.users.rows) continue;
            const uint2 span = args.masked.spans[column + c];
            for (u32 i = lower_bound(args.masked.columns, span.x, span.y, first_row); i < span.y; ++i) {
                const u32 row = args.masked.columns[i] - first_row;
                if (row >= C::BM) break;
                const u32 word = at + (row >> 5) * C::COLUMN_BYTES;
                store_shared_u32(word, shared_u32(word) | 1u << (row & 31));
            }
        }
    }
};

// The sums of what the forward product left by 16 rows, by one warp.
__device__ __forceinline__ void sum_terms(const HopperBackwardArgs& args) {
    const u32 lane = threadIdx.x % WARP;
    double loss = 0.0, slope = 0.0;
#pragma unroll 1
    for (u32 i = lane; i < (args.users.rows + 15) / 16; i += WARP) {
        const double2 x = args.terms[i];
        loss += x.x, slope += x.y;
    }
    loss = warp_sum(loss), slope = warp_sum(slope);
    if (lane == 0) args.stats[0] = float(loss), args.stats[1] = float(slope);
}

template <class C>
__device__ __forceinline__ void backward_hopper(const HopperBackwardArgs& args) {
    const Places<C> places;
    const u32 first_row = blockIdx.x * C::BM;
    // Without any weight nothing is derived: not even NaN passes.
    const bool zero = args.call->zero;
    const bool has_ids = args.candidate_ids != nullptr;
    const u32 bytes = 3 * C::COLUMN_BYTES + (has_ids ? C::COLUMN_BYTES + C::RANGE_BYTES : 0);
    auto copy_values = [&](u32 stage, u32 column) {
        const u32 full = places.full + stage * 8;
        bulk_copy(places.column(stage, BACKWARD_OFFSET), args.offset + column, C::COLUMN_BYTES, full);
        bulk_copy(places.column(stage, BACKWARD_GAP), args.gap + column, C::COLUMN_BYTES, full);
        bulk_copy(places.column(stage, BACKWARD_POSITIVES), args.positives + column, C::COLUMN_BYTES, full);
        if (!has_ids) return;
        bulk_copy(places.column(stage, BACKWARD_IDS), args.user_ids.ids + column, C::COLUMN_BYTES, full);
        bulk_copy(places.ranges(stage), args.user_ids.ranges + column / 32, C::RANGE_BYTES, full);
    };
    auto help = [&](u32 thread) { return BackwardHelp<C>{args, places, thread}; };
    auto aside = [&]() {
        if (blockIdx.x == 0 && blockIdx.y == 0) sum_terms(args);
    };
    auto work = [&]() {
        Consumer<C> x;
        BackwardSide<C> side(args, first_row + (threadIdx.x >> 5) * 16 + (x.lane() >> 2));
        clear(x.o);
        barrier_wait(places.rows_full, 0, args.stuck, WAIT_ROWS, 0);
        __syncwarp();
        x.load_rows(places.rows + (threadIdx.x >> 7) * (64 * PANEL_ROW_BYTES));
        const TileRange tiles(args.tiles, args.split_tiles);
        if (!zero) consume(x, side, places, tiles.first * C::BN, tiles.count, args.stuck);
        const u32 rows = args.candidates.rows, dim = args.dim;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u32 row = side.row + 8 * h;
            x.scale(h, side.factor[h]);
            if (args.parts && row < rows) x.store_part(args.parts + (u64(blockIdx.y) * rows + row) * C::D, h);
        }
        const u32 warp_row = first_row + (threadIdx.x >> 5) * 16;
        if (!comes_last(args.tickets + warp_row / 16, args.splits)) return;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u32 row = side.row + 8 * h;
            if (row >= rows) continue;
            x.join(args.parts + u64(row) * C::D, rows, blockIdx.y, args.splits, h, [](u32) { return 1.0f; });
            x.store(args.dv + u64(row) * dim, dim, h);
        }
    };
    run_block<C>(places, args.candidates, args.users, first_row, zero ? 0 : args.tiles, zero ? 0 : args.split_tiles, bytes, args.stuck, 0,
                 C::LISTS && args.masked.spans ? HELPERS : 0, copy_values, help, aside, work);
}

// As LOSS_FORWARD_SM90A.
#define LOSS_BACKWARD_SM90A(NAME, D, GROUPS, BLOCKS, STAGES)                                                   \
    extern "C" __global__ void __launch_bounds__(128 * (GROUPS + 1), BLOCKS)                                   \
        NAME(const __grid_constant__ HopperBackwardArgs args) {                                                \
        backward_hopper<Warpgroups<D, GROUPS, BLOCKS, STAGES>>(args);                                          \
    }
