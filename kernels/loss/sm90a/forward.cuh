// Forward: for each user the sums over the negatives of e^score and of e^score v, relative to one reference. The positive is
// left out of both and its dot product noted: it is joined at the end, so that 1 - p keeps its digits where p is close to 1.
#pragma once
#include "loss/sm90a/finish.cuh"

// Arrays of a stage. Biases are less the reference, and made here: the arrays that are copied do not know it.
enum ForwardValues { FORWARD_BIAS, FORWARD_IDS };

template <class C>
struct ForwardSide {
    const HopperForwardArgs& args;
    float scale2;
    u32 fixed;
    // Of the fragment rows g and g + 8: the positive, its id, this lane's part of the sum, the largest score (where no
    // reference is fixed).
    u32 positive[2], id[2];
    float sum[2], largest[2];

    // The first of the two. Rarely asked for, and made each time: it takes no register.
    static __device__ __forceinline__ u32 row() {
        u32 thread;
        asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
        return blockIdx.x * C::BM + (thread >> 5) * 16 + (thread >> 2 & 7);
    }

    // How many columns of the split row g (+ 8) masks: the first lane of its quad alone counts there.
    __device__ __forceinline__ u32* masked_columns(int h) const {
        return args.dead + u64(blockIdx.y) * args.users.rows + row() + 8 * h;
    }

    __device__ __forceinline__ ForwardSide(const HopperForwardArgs& args, const LossCall& call) : args(args) {
        const u32 row = this->row();
        scale2 = call.scale2, fixed = call.fixed;
        const bool has_ids = args.column_ids.ids != nullptr;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const bool there = row + 8 * h < args.users.rows;
            positive[h] = there ? args.positives[row + 8 * h] : NO_COLUMN;
            id[h] = has_ids && there ? args.user_ids[row + 8 * h] : 0;
            sum[h] = 0.0f, largest[h] = neg_inf();
            if (args.dead && there && (threadIdx.x & 3) == 0) *masked_columns(h) = 0;
        }
    }

    // Where the 64 bits of a row's step stand.
    static __device__ __forceinline__ u32 listed(const Places<C>& places, u32 stage, int step, int h) {
        return places.mask(stage) + ((threadIdx.x >> 5) * 16 + (threadIdx.x >> 2 & 7) + 8 * h) * 16 + step * 8;
    }

    // Masks the positives and the columns with their ids, where the step holds any of the warp's.
    __device__ __forceinline__ void mask(float (&s)[C::STEP / 2], const Places<C>& places, u32 stage, u32 column, int step) {
        const bool has_ids = args.column_ids.ids != nullptr;
        bool any = positive[0] - column < C::STEP || positive[1] - column < C::STEP;
        if (has_ids) any |= in_ranges(places.ranges(stage) + step * 16, id);
        if (!__any_sync(FULL, any)) return;
        float dot[2] = {0.0f, 0.0f};
        u32 dead[2] = {0, 0};
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n) {
            uint4 ids = make_uint4(0, 0, 0, 0);
            if (has_ids) ids = shared_uint4(places.column(stage, FORWARD_IDS) + step * (C::STEP * 4) + n * 64 + Consumer<C>::quad());
            const u32 first = column + n * 16 + (Consumer<C>::lane() & 3) * 2;
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int h = i >> 1 & 1;
                const u32 c = first + (i & 1) + (i >> 2) * 8;
                const u32 other = i < 4 ? (i & 1 ? ids.y : ids.x) : (i & 1 ? ids.w : ids.z);
                const bool own = c == positive[h];
                const bool out = own || (has_ids && other == id[h]);
                float& score = s[n * 8 + i];
                if (own) dot[h] = score;
                if (out) score = neg_inf();
                dead[h] += out && c < args.candidates.rows;
            }
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u32 away = positive[h] - column;
            if (away < C::STEP && (away >> 1 & 3) == (Consumer<C>::lane() & 3)) args.dots[row() + 8 * h] = dot[h];
        }
        count_masked(dead);
    }

    // Masks what the rows' lists hold of the step. A pass of its own: as a part of the one above, ptxas would wait for each
    // product.
    __device__ __forceinline__ void mask_listed(float (&s)[C::STEP / 2], const Places<C>& places, u32 stage, int step) {
        uint2 bits[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) bits[h] = shared_uint2(listed(places, stage, step, h));
        if (!__any_sync(FULL, (bits[0].x | bits[0].y | bits[1].x | bits[1].y) != 0)) return;
        u32 dead[2] = {0, 0};
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n)
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int h = i >> 1 & 1;
                const u32 word = (n < 2 ? bits[h].x : bits[h].y) >> ((threadIdx.x & 3) * 2);
                const bool out = word >> (n % 2 * 16 + (i >> 2) * 8 + (i & 1)) & 1;
                float& score = s[n * 8 + i];
                // Those with the positive's id are counted.
                dead[h] += out && score != neg_inf();
                if (out) score = neg_inf();
            }
        count_masked(dead);
    }

    __device__ __forceinline__ void count_masked(const u32 (&dead)[2]) {
        if (!args.dead) return;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const u32 count = quad_sum(dead[h]);
            if (row() + 8 * h < args.users.rows && (threadIdx.x & 3) == 0) *masked_columns(h) += count;
        }
    }

    __device__ __forceinline__ float4 biases(const Places<C>& places, u32 stage, int step, int n) const {
        return shared_float4(places.column(stage, FORWARD_BIAS) + step * (C::STEP * 4) + n * 64 + Consumer<C>::quad());
    }

    __device__ __forceinline__ void soften(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], const Places<C>& places, u32 stage,
                                           u32 column, int step) {
        mask(s, places, stage, column, step);
        if (C::LISTS && args.masked.spans) mask_listed(s, places, stage, step);
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n) {
            const float4 bias = biases(places, stage, step, n);
            float e[8];
#pragma unroll
            for (int i = 0; i < 8; ++i)
                e[i] = exp2_fast(fmaf(s[n * 8 + i], scale2, i < 4 ? (i & 1 ? bias.y : bias.x) : (i & 1 ? bias.w : bias.z)));
            sum[0] += (e[0] + e[1]) + (e[4] + e[5]);
            sum[1] += (e[2] + e[3]) + (e[6] + e[7]);
            pack(p[n], e);
        }
    }

    // As above, relative to the largest score so far, which `o` follows.
    __device__ __forceinline__ void soften_moving(u32 (&p)[C::PSTEPS][4], float (&s)[C::STEP / 2], float (&o)[C::D / 2],
                                                  const Places<C>& places, u32 stage, u32 column, int step) {
        mask(s, places, stage, column, step);
        if (C::LISTS && args.masked.spans) mask_listed(s, places, stage, step);
        float best[2] = {largest[0], largest[1]};
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n) {
            const float4 bias = biases(places, stage, step, n);
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                float& x = s[n * 8 + i];
                x = fmaf(x, scale2, i < 4 ? (i & 1 ? bias.y : bias.x) : (i & 1 ? bias.w : bias.z));
                best[i >> 1 & 1] = fmaxf(best[i >> 1 & 1], x);
            }
        }
        float shift[2], moved[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            best[h] = quad_max(best[h]);
            // Nothing but masked columns so far: any reference does.
            shift[h] = best[h] == neg_inf() ? 0.0f : best[h];
            moved[h] = exp2_fast(largest[h] - shift[h]);
            largest[h] = best[h];
            sum[h] *= moved[h];
        }
#pragma unroll
        for (int i = 0; i < C::D / 2; ++i) o[i] *= moved[i >> 1 & 1];
#pragma unroll
        for (int n = 0; n < C::PSTEPS; ++n) {
            float e[8];
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const int h = i >> 1 & 1;
                e[i] = exp2_fast(s[n * 8 + i] - shift[h]);
                sum[h] += e[i];
            }
            pack(p[n], e);
        }
    }

    static __device__ __forceinline__ void pack(u32 (&p)[4], const float (&e)[8]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) p[i] = pack_bf16_here(e[2 * i], e[2 * i + 1]);
    }
};

// What a helping thread fills: the first warp a tile's biases, four columns a lane, and where columns are masked each a row's
// 128 bits, for its rows of the block. It looks its place in a list up for each tile: to keep it would take registers that
// a producer has given away.
template <class C>
struct ForwardHelp {
    const HopperForwardArgs& args;
    const Places<C>& places;
    float reference;
    u32 thread;

    __device__ __forceinline__ void operator()(u32 stage, u32 column) {
        if (thread < WARP) {
            const float* from = args.bias2 + column + (thread >> 2) * 16 + (thread & 3) * 2;
            const float2 a = *reinterpret_cast<const float2*>(from), b = *reinterpret_cast<const float2*>(from + 8);
            store_shared_float4(places.column(stage, FORWARD_BIAS) + thread * 16, a.x - reference, a.y - reference,
                                b.x - reference, b.y - reference);
        }
        if (C::LISTS && args.masked.spans) mask(places.mask(stage), column);
    }

    __device__ __forceinline__ void mask(u32 bits, u32 column) {
        for (u32 place = thread; place < C::BM; place += HELPERS) {
            const u32 at = bits + place * 16, row = blockIdx.x * C::BM + place;
            store_shared_uint2(at, 0, 0), store_shared_uint2(at + 8, 0, 0);
            if (row >= args.users.rows) continue;
            const uint2 span = args.masked.spans[row];
            for (u32 i = lower_bound(args.masked.columns, span.x, span.y, column); i < span.y; ++i) {
                const u32 away = args.masked.columns[i] - column, word = at + (away >> 5) * 4;
                if (away >= C::BN) break;
                store_shared_u32(word, shared_u32(word) | 1u << (away & 31));
            }
        }
    }
};

template <class C>
__device__ __forceinline__ void forward_hopper(const HopperForwardArgs& args) {
    const Places<C> places;
    const u32 first_row = blockIdx.x * C::BM;
    const bool has_ids = args.column_ids.ids != nullptr;
    const u32 bytes = has_ids ? C::COLUMN_BYTES + C::RANGE_BYTES : 0;
    auto copy_values = [&](u32 stage, u32 column) {
        if (!has_ids) return;
        const u32 full = places.full + stage * 8;
        bulk_copy(places.column(stage, FORWARD_IDS), args.column_ids.ids + column, C::COLUMN_BYTES, full);
        bulk_copy(places.ranges(stage), args.column_ids.ranges + column / 32, C::RANGE_BYTES, full);
    };
    // The first consumer warp has registers and time for the call's values while the first copies are under way.
    auto make_call = [&]() {
        const LossCall call = call_of(args.call_parts, args.users.rows);
        if (threadIdx.x > 0) return;
        store_call(places.call, call);
        if (blockIdx.x == 0 && blockIdx.y == 0) *args.call = call;
        barrier_arrive(places.rows_full);
    };
    auto help = [&](u32 thread) {
        barrier_wait(places.rows_full, 0, args.stuck, WAIT_ROWS, 0);
        return ForwardHelp<C>{args, places, shared_call(places.call).reference, thread};
    };
    auto work = [&]() {
        Consumer<C> x;
        if (threadIdx.x < WARP) make_call();
        barrier_wait(places.rows_full, 0, args.stuck, WAIT_ROWS, 0);
        __syncwarp();
        ForwardSide<C> side(args, shared_call(places.call));
        clear(x.o);
        x.load_rows(places.rows + (threadIdx.x >> 7) * (64 * PANEL_ROW_BYTES));
        const TileRange tiles(args.tiles, args.split_tiles);
        consume(x, side, places, tiles.first * C::BN, tiles.count, args.stuck);
        const LossCall call = shared_call(places.call);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const float total = quad_sum(side.sum[h]);
            const u32 row = side.row() + 8 * h;
            if (row >= args.users.rows) continue;
            const PartOfSum part =
                call.fixed ? near_itself(total, call.reference) : PartOfSum{side.largest[h], total, 1.0f};
            if (call.fixed) x.scale(h, part.by);
            const u64 place = u64(blockIdx.y) * args.users.rows + row;
            if ((x.lane() & 3) == 0) args.sums[place] = make_float2(part.largest, part.sum);
            if (args.parts) x.store_part(args.parts + place * C::D, h);
        }
        const u32 warp_row = first_row + (threadIdx.x >> 5) * 16;
        if (comes_last(args.tickets + warp_row / 16, args.splits)) finish_rows(args, call, x, warp_row);
    };
    run_block<C>(places, args.users, args.candidates, first_row, args.tiles, args.split_tiles, bytes, args.stuck, 1,
                 C::LISTS && args.masked.spans ? HELPERS : WARP, copy_values, help, []() {}, work);
}

// Name; width, consumer warpgroups, blocks of a multiprocessor, stages.
#define LOSS_FORWARD_SM90A(NAME, D, GROUPS, BLOCKS, STAGES)                                                    \
    extern "C" __global__ void __launch_bounds__(128 * (GROUPS + 1), BLOCKS)                                   \
        NAME(const __grid_constant__ HopperForwardArgs args) {                                                 \
        forward_hopper<Warpgroups<D, GROUPS, BLOCKS, STAGES>>(args);                                           \
    }
