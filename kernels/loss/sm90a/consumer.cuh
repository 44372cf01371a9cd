// The products of a consumer warpgroup: 64 rows, tiles of 128 columns in two steps of 64.
//
// S = rows tile^T and O += P tile come from the same tile. The rows stay in registers, P goes from accumulators to operands
// without leaving them, and O alone stays under way from one turn of the loop to the next: with S too, ptxas would wait for
// each product.
#pragma once
#include "core/sm90a/barrier.cuh"
#include "core/sm90a/panel.cuh"
#include "core/sm90a/product.cuh"
#include "core/sm90a/ticket.cuh"
#include "loss/common.cuh"
#include "loss/sm90a/arguments.cuh"

// The shape of an entry point (src/backend/cuda/loss/sm90a/shape.rs).
template <int D_, int GROUPS_, int BLOCKS_, int STAGES_>
struct Warpgroups {
    enum {
        D = D_,            // the width, padded with zeros
        GROUPS = GROUPS_,  // consumer warpgroups of a block; one more produces
        BLOCKS = BLOCKS_,  // blocks of a multiprocessor
        STAGES = STAGES_,  // tiles in shared memory
        STEP = 64,         // columns of a step
        BN = 2 * STEP,
        BM = 64 * GROUPS,
        THREADS = 128 * (GROUPS + 1),
        PANELS = D / 64,
        KSTEPS = D / 16,
        PSTEPS = STEP / 16,
        ROWS_BYTES = BM * D * 2,
        TILE_BYTES = BN * D * 2,
        // Of a stage: four arrays of a word a column, ranges of ids, bits.
        COLUMN_BYTES = BN * 4,
        RANGE_BYTES = BN / 32 * 8,
        // Lists of masked columns, which three consumers leave no registers for, and a bit a score of the tile for them.
        LISTS = GROUPS < 3,
        MASK_BYTES = LISTS ? BM * BN / 8 : 0,
        VALUE_BYTES = 4 * COLUMN_BYTES + RANGE_BYTES + MASK_BYTES,
        // Registers of a consumer's thread and a producer's: together what the block starts with.
        CONSUMER_REGISTERS = GROUPS == 1 ? 216 : GROUPS == 2 ? 240 : 160,
        PRODUCER_REGISTERS = GROUPS == 1 ? 40 : GROUPS == 2 ? 24 : 32,
    };
    static_assert(GROUPS == 1 ? BLOCKS == 2 : GROUPS <= 3 && BLOCKS == 1, "registers are shared out for these");
    static_assert(STAGES >= 2, "a tile is waited for before the one before it is let go");
};

// Where things stand in a block's shared memory.
template <class C>
struct Places {
    u32 rows, tiles, values, full, free, rows_full, call;

    __device__ __forceinline__ Places() {
        extern __shared__ unsigned char hopper_shared[];
        // The swizzle is of address bits: tiles start at multiples of 1,024 bytes.
        rows = (shared_address(hopper_shared) + 1023u) & ~1023u;
        tiles = rows + C::ROWS_BYTES;
        values = tiles + C::STAGES * C::TILE_BYTES;
        full = values + C::STAGES * C::VALUE_BYTES;
        free = full + C::STAGES * 8;
        rows_full = free + C::STAGES * 8;
        call = rows_full + 16;
    }
    __device__ __forceinline__ u32 tile(u32 stage) const { return tiles + stage * C::TILE_BYTES; }
    // Array `which` of a stage's values.
    __device__ __forceinline__ u32 column(u32 stage, u32 which) const {
        return values + stage * C::VALUE_BYTES + which * C::COLUMN_BYTES;
    }
    __device__ __forceinline__ u32 ranges(u32 stage) const { return column(stage, 4); }
    __device__ __forceinline__ u32 mask(u32 stage) const { return ranges(stage) + C::RANGE_BYTES; }
};

// Whether one of two ids may be in a step: its two ranges of 32 columns.
__device__ __forceinline__ bool in_ranges(u32 ranges, const u32 (&id)[2]) {
    const uint4 x = shared_uint4(ranges);
    bool any = false;
#pragma unroll
    for (int h = 0; h < 2; ++h) any |= (x.x <= id[h] && id[h] <= x.y) || (x.z <= id[h] && id[h] <= x.w);
    return any;
}

template <class C>
struct Consumer {
    float o[C::D / 2];
    u32 q[C::KSTEPS][4];

    static __device__ __forceinline__ u32 lane() { return threadIdx.x & 31; }
    // The place in the quad, in bytes of an array in the order of fragments.
    static __device__ __forceinline__ u32 quad() { return (lane() & 3) * 16; }

    __device__ __forceinline__ void load_rows(u32 rows) {
        const u32 r = (threadIdx.x >> 5 & 3) * 16 + (lane() & 15);
#pragma unroll
        for (int k = 0; k < C::KSTEPS; ++k) {
            const u32 chunk = k % 4 * 2 + (lane() >> 4);
            load_fragment(q[k], rows + k / 4 * (C::BM * PANEL_ROW_BYTES) + r * PANEL_ROW_BYTES + ((chunk ^ (r & 7)) << 4));
        }
    }

    // s = rows tile^T, the columns of a step. Not committed.
    __device__ __forceinline__ void scores(float (&s)[C::STEP / 2], u32 tile, int step) {
        products_fence();
#pragma unroll
        for (int k = 0; k < C::KSTEPS; ++k) {
            const u32 at = (tile >> 4) + step * (C::STEP * 8) + k / 4 * (C::BN * 8) + k % 4 * 2;
            Product<C::STEP>::template from_registers<0>(s, q[k], matrix_descriptor(at, 1, 64), k != 0);
        }
    }

    // o += p tile. Not committed.
    __device__ __forceinline__ void accumulate(const u32 (&p)[C::PSTEPS][4], u32 tile, int step) {
        products_fence();
#pragma unroll
        for (int k = 0; k < C::PSTEPS; ++k) {
            const u32 at = (tile >> 4) + (step * C::STEP + k * 16) * 8;
            Product<C::D>::template from_registers<1>(o, p[k], matrix_descriptor(at, C::BN * 8, 64), 1);
        }
    }

    // The first column of accumulators 4 c and 4 c + 2; the next is that of 4 c + 1 and 4 c + 3.
    static __device__ __forceinline__ u32 column(int c) { return c * 8 + (lane() & 3) * 2; }

    // The results of fragment row g, or g + 8 where h is 1: dim of D columns.
    __device__ __forceinline__ void scale(int h, float by) {
#pragma unroll
        for (int i = 0; i < C::D / 4; ++i) o[i / 2 * 4 + h * 2 + i % 2] *= by;
    }
    __device__ __forceinline__ void zero(int h) {
#pragma unroll
        for (int i = 0; i < C::D / 4; ++i) o[i / 2 * 4 + h * 2 + i % 2] = 0.0f;
    }
    // All D of them, for `join`.
    __device__ __forceinline__ void store_part(float* __restrict__ to, int h) const {
#pragma unroll
        for (int c = 0; c < C::D / 8; ++c)
            *reinterpret_cast<float2*>(to + column(c)) = make_float2(o[c * 4 + h * 2], o[c * 4 + h * 2 + 1]);
    }
    __device__ __forceinline__ void store(float* __restrict__ to, u32 dim, int h) const {
#pragma unroll
        for (int c = 0; c < C::D / 8; ++c) store_pair(to, column(c), dim, o[c * 4 + h * 2], o[c * 4 + h * 2 + 1]);
    }

    // The results of all splits, each by its factor `by(split)`, in their order: `split`'s stand here, the others' at `parts`,
    // `rows` rows of D apart.
    template <class By>
    __device__ __forceinline__ void join(const float* parts, u32 rows, u32 split, u32 splits, int h, By by) {
        float sum[C::D / 4];
#pragma unroll
        for (int i = 0; i < C::D / 4; ++i) sum[i] = 0.0f;
#pragma unroll 1
        for (u32 s = 0; s < splits; ++s, parts += u64(rows) * C::D) {
            const float factor = by(s);
#pragma unroll
            for (int c = 0; c < C::D / 8; ++c) {
                const float2 x = s == split ? make_float2(o[c * 4 + h * 2], o[c * 4 + h * 2 + 1])
                                            : *reinterpret_cast<const float2*>(parts + column(c));
                sum[c * 2] = fmaf(x.x, factor, sum[c * 2]), sum[c * 2 + 1] = fmaf(x.y, factor, sum[c * 2 + 1]);
            }
        }
#pragma unroll
        for (int i = 0; i < C::D / 4; ++i) o[i / 2 * 4 + h * 2 + i % 2] = sum[i];
    }
};

// The order of a pass over `tiles` tiles (at least one) from `column` on, whose step-wise work is the side's: `soften(p, s,
// values, stage, column, step)` makes P of scores. The product of each step runs under the exponentials of the next.
template <class C, class Side>
__device__ __forceinline__ void consume(Consumer<C>& x, Side& side, const Places<C>& places, u32 column, u32 tiles, u64* stuck) {
    // Of the tile in work, and of the next to wait for.
    u32 stage = 0, next = 0, parity = 0;
    auto await_next = [&](u32 column) {
        barrier_wait(places.full + next * 8, parity, stuck, WAIT_TILE, column / C::BN);
        __syncwarp();
    };
    auto advance_next = [&]() {
        if (++next == C::STAGES) next = 0, parity ^= 1;
    };
    auto release = [&](u32 done) {
        __syncwarp();
        if (x.lane() == 0) barrier_arrive(places.free + done * 8);
    };
    float s[C::STEP / 2];
    u32 p0[C::PSTEPS][4], p1[C::PSTEPS][4];
    auto soften = [&](u32(&p)[C::PSTEPS][4], u32 at, u32 column, int step) {
        settle(s);
        side.soften(p, s, places, at, column + step * C::STEP, step);
    };
    clear(s);
    if (!side.fixed) {
        // Scores that no fixed reference serves: step by step, each row's largest score so far is the reference.
        for (; tiles > 0; --tiles, column += C::BN) {
            await_next(column);
#pragma unroll
            for (int step = 0; step < 2; ++step) {
                x.scores(s, places.tile(next), step);
                products_commit();
                products_wait<0>();
                settle(s);
                settle(x.o);
                side.soften_moving(p0, s, x.o, places, next, column + step * C::STEP, step);
                x.accumulate(p0, places.tile(next), step);
                products_commit();
                products_wait<0>();
            }
            release(next);
            advance_next();
        }
        settle(x.o);
        return;
    }
    await_next(column);
    advance_next();
    x.scores(s, places.tile(0), 0);
    products_commit();
    products_wait<0>();
    soften(p0, 0, column, 0);
    // No tile.
    u32 before = C::STAGES;
    for (; tiles > 1; --tiles, column += C::BN) {
        // Under way: the product of the second step of the tile before.
        x.scores(s, places.tile(stage), 1);
        products_commit();
        x.accumulate(p0, places.tile(stage), 0);
        products_commit();
        products_wait<1>();
        if (before < C::STAGES) release(before);
        soften(p1, stage, column, 1);
        await_next(column + C::BN);
        x.scores(s, places.tile(next), 0);
        products_commit();
        x.accumulate(p1, places.tile(stage), 1);
        products_commit();
        products_wait<1>();
        soften(p0, next, column + C::BN, 0);
        before = stage;
        stage = next;
        advance_next();
    }
    x.scores(s, places.tile(stage), 1);
    products_commit();
    x.accumulate(p0, places.tile(stage), 0);
    products_commit();
    products_wait<1>();
    soften(p1, stage, column, 1);
    x.accumulate(p1, places.tile(stage), 1);
    products_commit();
    products_wait<0>();
    settle(x.o);
}

// What a producer copies: the block's rows once, then for each tile the columns' panels and arrays of values.
template <class C>
__device__ __forceinline__ void expect_rows(const Places<C>& places, const Panels& rows, u32 first_row) {
    barrier_expect(places.rows_full, C::ROWS_BYTES);
#pragma unroll
    for (int panel = 0; panel < C::PANELS; ++panel)
        bulk_copy(places.rows + panel * (C::BM * PANEL_ROW_BYTES),
                  rows.values + (u64(panel) * rows.padded + first_row) * PANEL_COLUMNS, C::BM * PANEL_ROW_BYTES, places.rows_full);
}

template <class C>
__device__ __forceinline__ void copy_tile(const Places<C>& places, const Panels& columns, u32 stage, u32 column) {
#pragma unroll
    for (int panel = 0; panel < C::PANELS; ++panel)
        bulk_copy(places.tile(stage) + panel * (C::BN * PANEL_ROW_BYTES),
                  columns.values + (u64(panel) * columns.padded + column) * PANEL_COLUMNS, C::BN * PANEL_ROW_BYTES,
                  places.full + stage * 8);
}

// The tiles of a block's split. Each role makes it for itself: held from before the roles part, it would be spilled.
struct TileRange {
    u32 first, count;

    __device__ __forceinline__ TileRange(u32 all, u32 split) {
        u32 y;
        asm volatile("mov.u32 %0, %%ctaid.y;" : "=r"(y));
        first = y * split, count = min(all - first, split);
    }
};

// Threads of the producing warpgroup that can help: its warps but the first.
#define HELPERS 96

// A block's pass over the tiles of its split: the last warpgroup produces, the others consume. `copy_values(stage, column)`
// starts the copies of `value_bytes` a tile; `work()` is a consumer's. The first `helpers` helping threads, whole warps, fill
// their part of a tile's values by what `help(thread)` gives. `row_arrivals`: what the rows are waited for with, beside
// their copy. `aside()` is done beside the work, by one warp.
template <class C, class CopyValues, class Help, class Aside, class Work>
__device__ __forceinline__ void run_block(const Places<C>& places, const Panels& rows, const Panels& columns, u32 first_row,
                                          u32 all_tiles, u32 split_tiles, u32 value_bytes, u64* stuck, u32 row_arrivals, u32 helpers,
                                          CopyValues copy_values, Help help, Aside aside, Work work) {
    const u32 warp = __shfl_sync(FULL, threadIdx.x >> 5, 0), lane = threadIdx.x & 31;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < C::STAGES; ++stage) {
            barrier_init(places.full + stage * 8, 1 + helpers);
            barrier_init(places.free + stage * 8, 4 * C::GROUPS);
        }
        barrier_init(places.rows_full, 1 + row_arrivals);
        barriers_ready();
    }
    __syncthreads();
    if (warp < 4 * C::GROUPS) {
        registers_take<C::CONSUMER_REGISTERS>();
        work();
        return;
    }
    registers_give<C::PRODUCER_REGISTERS>();
    if (warp == 4 * C::GROUPS) {
        if (lane == 0) {
            expect_rows(places, rows, first_row);
            const TileRange tiles(all_tiles, split_tiles);
            u32 stage = 0, parity = 1;
            for (u32 i = 0; i < tiles.count; ++i) {
                const u32 column = (tiles.first + i) * C::BN;
                barrier_wait(places.free + stage * 8, parity, stuck, WAIT_FREE, tiles.first + i);
                barrier_expect(places.full + stage * 8, C::TILE_BYTES + value_bytes);
                copy_tile(places, columns, stage, column);
                copy_values(stage, column);
                if (++stage == C::STAGES) stage = 0, parity ^= 1;
            }
        }
    } else {
        const u32 thread = threadIdx.x - (128 * C::GROUPS + 32);
        if (thread < helpers) {
            const TileRange tiles(all_tiles, split_tiles);
            auto fill = help(thread);
            u32 stage = 0, parity = 1;
            for (u32 i = 0; i < tiles.count; ++i) {
                barrier_wait(places.free + stage * 8, parity, stuck, WAIT_FREE, tiles.first + i);
                fill(stage, (tiles.first + i) * C::BN);
                barrier_arrive(places.full + stage * 8);
                if (++stage == C::STAGES) stage = 0, parity ^= 1;
            }
        }
        if (warp == 4 * C::GROUPS + 1) aside();
    }
    __syncwarp();
}
