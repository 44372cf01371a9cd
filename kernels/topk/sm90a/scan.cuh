// The scan of all items on Hopper's tensor cores: queries stay with the warps that score them, items stream by.
// Scores are fp32, of bf16 rows, or whole numbers, of int8 codes (topk/sm90a/codes.cuh).
//
// A block has GROUPS warpgroups of 64 queries each, whose fragments stay in registers, and a warpgroup that copies: its
// first thread fills a ring of item tiles in shared memory (bulk copies that report to a barrier, `full`), and waits
// until every warp has released a tile (`empty`) before it fills it again. What becomes of a score:
//   SAMPLE  the best of each of WIDTH classes of items (place in the tile) goes to memory, for topk_threshold;
//   else    items that reach the query's bar are appended to a list of the lane's own: no atomics.
// A lane holds rows lane / 4 and lane / 4 + 8 of its warp's 16, columns 8 j + 2 (lane % 4) + {0, 1}.
#pragma once
#include "core/sm90a/barrier.cuh"
#include "core/sm90a/panel.cuh"
#include "core/sm90a/product.cuh"
#include "core/sm90a/product_int8.cuh"
#include "topk/sm90a/arguments.cuh"
#include "topk/sm90a/lane_list.cuh"

// Scores of type T, rows of ROW_BYTES (a step of a product takes 32 of them), WIDTH items a product.
template <class T, int ROW_BYTES, int GROUPS_, int WIDTH_>
struct ScanShape {
    typedef T Score;
    enum {
        // Whether scores are whole numbers.
        WHOLE = T(0.5f) == T(0),
        GROUPS = GROUPS_,
        WIDTH = WIDTH_,
        // Rows of 64 bytes stand in both halves of a panel's rows: a tile has as many items in either.
        HALVES = ROW_BYTES == 64 ? 2 : 1,
        ITEMS = WIDTH * HALVES,
        ROWS = 64 * GROUPS,
        THREADS = 128 * GROUPS + 128,
        PANELS = ROW_BYTES == 64 ? 1 : ROW_BYTES / PANEL_ROW_BYTES,
        STEPS = ROW_BYTES / 32,
        QUERY_PANEL_BYTES = ROWS / HALVES * PANEL_ROW_BYTES,
        QUERY_BYTES = PANELS * QUERY_PANEL_BYTES,
        TILE_PANEL_BYTES = WIDTH * PANEL_ROW_BYTES,
        TILE_BYTES = PANELS * TILE_PANEL_BYTES,
        TERM_BYTES = ITEMS * 4,
        // Registers of a thread that scores, and of one that copies: together those of the launch.
        SCORE_REGISTERS = GROUPS == 2 ? 240 : 112,
        COPY_REGISTERS = GROUPS == 2 ? 24 : 32,
    };
};

// Shared memory of a block, from a multiple of 1,024 bytes on: the swizzle goes by address.
struct ScanMemory {
    u32 queries, tiles, terms, full, empty, queries_full;

    template <class S, bool BIASED>
    static __device__ __forceinline__ ScanMemory of(u32 at, u32 stages) {
        ScanMemory m;
        m.queries = (at + 1023) & ~1023u;
        m.tiles = m.queries + S::QUERY_BYTES;
        m.terms = m.tiles + stages * S::TILE_BYTES;
        m.full = m.terms + (BIASED ? stages * S::TERM_BYTES : 0);
        m.empty = m.full + stages * 8;
        m.queries_full = m.empty + stages * 8;
        return m;
    }
};

// The thread that copies: the block's queries, then tiles [first, first + n) as places fall free.
template <class S, bool BIASED>
__device__ __forceinline__ void stream_tiles(const PanelOperands& in, const ScanMemory& at, u32 first, u32 n) {
    barrier_expect(at.queries_full, S::QUERY_BYTES);
#pragma unroll
    for (int panel = 0; panel < S::PANELS; ++panel) {
        bulk_copy(at.queries + panel * S::QUERY_PANEL_BYTES,
                  in.queries + panel * in.query_panel + u64(blockIdx.x) * S::QUERY_PANEL_BYTES, S::QUERY_PANEL_BYTES,
                  at.queries_full);
    }
    u32 stage = 0, parity = 1;
    for (u32 i = 0; i < n; ++i) {
        const u32 tile = first + i, full = at.full + stage * 8;
        barrier_wait(at.empty + stage * 8, parity, in.stuck, WAIT_FREE, i);
        barrier_expect(full, S::TILE_BYTES + (BIASED ? S::TERM_BYTES : 0));
#pragma unroll
        for (int panel = 0; panel < S::PANELS; ++panel) {
            bulk_copy(at.tiles + stage * S::TILE_BYTES + panel * S::TILE_PANEL_BYTES,
                      in.items + panel * in.item_panel + u64(tile) * S::TILE_PANEL_BYTES, S::TILE_PANEL_BYTES, full);
        }
        if (BIASED) bulk_copy(at.terms + stage * S::TERM_BYTES, in.item_terms + tile * S::ITEMS, S::TERM_BYTES, full);
        if (++stage == in.stages) stage = 0, parity ^= 1;
    }
}

// Two rows' scores of WIDTH items, for a lane.
template <class S>
struct Scores {
    typedef typename S::Score Score;
    Score x[S::WIDTH / 2];

    // `tile`: where the items stand, in one half of a tile.
    __device__ __forceinline__ void multiply(const u32 (&queries)[S::STEPS][4], u32 tile) {
        products_fence();
#pragma unroll
        for (int step = 0; step < S::STEPS; ++step) {
            const u64 items = matrix_descriptor((tile >> 4) + step / 4 * (S::TILE_PANEL_BYTES / 16) + step % 4 * 2, 1, 64);
            multiply_step(x, queries[step], items, step > 0);
        }
        products_commit();
        products_wait<0>();
        settle(x);
    }

    static __device__ __forceinline__ void multiply_step(float (&d)[S::WIDTH / 2], const u32 (&a)[4], u64 b, u32 add) {
        Product<S::WIDTH>::template from_registers<0>(d, a, b, add);
    }
    static __device__ __forceinline__ void multiply_step(int (&d)[S::WIDTH / 2], const u32 (&a)[4], u64 b, u32 add) {
        ProductInt8<S::WIDTH>::from_registers(d, a, b, add);
    }

    // What items add to their scores, in fragment order: biases, or whole numbers that the queries' multipliers turn into
    // their units.
    __device__ __forceinline__ void add_terms(u32 at, const int (&multipliers)[2]) {
#pragma unroll
        for (int i = 0; i < S::WIDTH / 16; ++i) {
            const float4 four = shared_float4(at + i * 64 + threadIdx.x % 4 * 16);
            const float terms[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int j = 0; j < 8; ++j) add(x[i * 8 + j], terms[j / 4 * 2 + j % 2], multipliers[j / 2 % 2]);
        }
    }

    static __device__ __forceinline__ void add(float& score, float term, int) { score += term; }
    static __device__ __forceinline__ void add(int& score, float term, int multiplier) {
        score += __float_as_int(term) * multiplier;
    }

    // Row `HALF` of two: eight of its scores, those of 32 columns.
    template <int HALF>
    __device__ __forceinline__ void pick(Score (&y)[8], int block) const {
#pragma unroll
        for (int i = 0; i < 8; ++i) y[i] = x[block * 16 + i / 2 * 4 + HALF * 2 + i % 2];
    }
};

// What no score of its type is below.
template <class T>
__device__ __forceinline__ T least();
template <>
__device__ __forceinline__ float least<float>() {
    return neg_inf();
}
template <>
__device__ __forceinline__ int least<int>() {
    return int(0x80000000u);
}

__device__ __forceinline__ float better(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ int better(int a, int b) { return max(a, b); }

// A score as the thresholds are: `units` are the queries' where scores are whole.
__device__ __forceinline__ float as_threshold(float score, const float*, u32) { return score; }
__device__ __forceinline__ float as_threshold(int score, const float* units, u32 row) {
    return float(score) * __ldg(units + row);
}

template <class S, bool BIASED, bool SAMPLE, class Args>
__device__ __forceinline__ void scan_panels(const Args& args) {
    typedef typename S::Score Score;
    extern __shared__ u8 panel_memory[];
    const PanelOperands& in = args.operands;
    const ScanMemory at = ScanMemory::of<S, BIASED>(shared_address(panel_memory), in.stages);
    // The same in all lanes of a warp, and known to be.
    const u32 warp = __shfl_sync(FULL, threadIdx.x / WARP, 0), lane = threadIdx.x % WARP;
    const u32 first = blockIdx.y * in.part_tiles, n = first < in.tiles ? min(in.tiles - first, in.part_tiles) : 0;
    if (threadIdx.x == 0) {
        for (u32 stage = 0; stage < in.stages; ++stage) {
            barrier_init(at.full + stage * 8, 1);
            barrier_init(at.empty + stage * 8, 4 * S::GROUPS);
        }
        barrier_init(at.queries_full, 1);
        barriers_ready();
    }
    __syncthreads();
    if (warp >= 4 * S::GROUPS) {
        registers_give<S::COPY_REGISTERS>();
        if (warp == 4 * S::GROUPS && lane == 0) stream_tiles<S, BIASED>(in, at, first, n);
        __syncwarp();
        return;
    }
    registers_take<S::SCORE_REGISTERS>();
    const u32 row = blockIdx.x * S::ROWS + warp * 16 + lane / 4;
    LaneList<Score> lists[2];
    if constexpr (!SAMPLE) {
        lists[0].open(args, row);
        lists[1].open(args, row + 8);
    }
    int multipliers[2] = {0, 0};
    if constexpr (BIASED && S::WHOLE) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            if (row + half * 8 < in.rows) multipliers[half] = int(__ldg(in.multipliers + row + half * 8));
        }
    }
    barrier_wait(at.queries_full, 0, in.stuck, WAIT_ROWS, 0);
    __syncwarp();
    u32 queries[S::STEPS][4];
#pragma unroll
    for (int step = 0; step < S::STEPS; ++step) {
        u32 r = warp * 16 + lane % 16, chunk = step % 4 * 2 + lane / 16;
        if (S::HALVES == 2) chunk += r / 64 % 2 * 4, r = r / 128 * 64 + r % 64;
        load_fragment(queries[step], at.queries + step / 4 * S::QUERY_PANEL_BYTES + r * PANEL_ROW_BYTES + ((chunk ^ (r & 7)) << 4));
    }
    Scores<S> scores;
    clear(scores.x);
    Score best[SAMPLE ? S::ITEMS / 2 : 1];
#pragma unroll
    for (int i = 0; i < (SAMPLE ? S::ITEMS / 2 : 1); ++i) best[i] = least<Score>();
    u32 stage = 0, parity = 0, column = first * S::ITEMS + lane % 4 * 2;
    auto release = [&]() {
        __syncwarp();
        if (lane == 0) barrier_arrive(at.empty + stage * 8);
    };
    for (u32 i = 0; i < n; ++i) {
        barrier_wait(at.full + stage * 8, parity, in.stuck, WAIT_TILE, i);
        __syncwarp();
        // Bests have places of their own in registers: not a loop there.
#pragma unroll(SAMPLE ? S::HALVES : 1)
        for (int half = 0; half < S::HALVES; ++half) {
            scores.multiply(queries, at.tiles + stage * S::TILE_BYTES + half * 64);
            if (BIASED) scores.add_terms(at.terms + stage * S::TERM_BYTES + half * (S::WIDTH * 4), multipliers);
            if (half == S::HALVES - 1) release();
            if constexpr (SAMPLE) {
#pragma unroll
                for (int k = 0; k < S::WIDTH / 2; ++k) {
                    Score& so_far = best[half * (S::WIDTH / 2) + k];
                    so_far = better(so_far, scores.x[k]);
                }
            } else {
#pragma unroll
                for (int block = 0; block < S::WIDTH / 32; ++block) {
                    Score y[8];
                    scores.template pick<0>(y, block);
                    lists[0].take(y, column + block * 32);
                    scores.template pick<1>(y, block);
                    lists[1].take(y, column + block * 32);
                }
            }
            column += S::WIDTH;
        }
        if (++stage == in.stages) stage = 0, parity ^= 1;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const u32 r = row + half * 8;
        if (r >= in.rows) continue;
        if constexpr (SAMPLE) {
            // Eight lanes write one sector: neighbouring queries of a group.
#pragma unroll
            for (int k = 0; k < S::ITEMS / 4; ++k) {
                const u32 group = blockIdx.y * S::ITEMS + k / 2 * 8 + lane % 4 * 2 + k % 2;
                args.maxima[u64(group) * args.pitch + r] = as_threshold(best[k / 2 * 4 + half * 2 + k % 2], in.units, r);
            }
        } else {
            args.counts[(u64(r) * gridDim.y + blockIdx.y) * 4 + lane % 4] = lists[half].end / 8;
        }
    }
}
