// The scan of all items on Hopper's tensor cores: queries stay with the warps that score them, items stream by.
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
#include "topk/sm90a/arguments.cuh"
#include "topk/sm90a/lists.cuh"

template <int DIM, int GROUPS_, int WIDTH_>
struct ScanShape {
    enum {
        GROUPS = GROUPS_,
        WIDTH = WIDTH_,
        ROWS = 64 * GROUPS,
        THREADS = 128 * GROUPS + 128,
        PANELS = DIM / PANEL_COLUMNS,
        STEPS = DIM / 16,
        QUERY_BYTES = ROWS * DIM * 2,
        TILE_BYTES = WIDTH * DIM * 2,
        BIAS_BYTES = WIDTH * 4,
        // Registers of a thread that scores, and of one that copies: together those of the launch.
        SCORE_REGISTERS = GROUPS == 2 ? 240 : 112,
        COPY_REGISTERS = GROUPS == 2 ? 24 : 32,
    };
};

// Shared memory of a block, from a multiple of 1,024 bytes on: the swizzle goes by address.
struct ScanMemory {
    u32 queries, tiles, biases, full, empty, queries_full;

    template <class S, bool BIASED>
    static __device__ __forceinline__ ScanMemory of(u32 at, u32 stages) {
        ScanMemory m;
        m.queries = (at + 1023) & ~1023u;
        m.tiles = m.queries + S::QUERY_BYTES;
        m.biases = m.tiles + stages * S::TILE_BYTES;
        m.full = m.biases + (BIASED ? stages * S::BIAS_BYTES : 0);
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
        bulk_copy(at.queries + panel * (S::ROWS * PANEL_ROW_BYTES),
                  in.queries + panel * in.query_panel + u64(blockIdx.x) * (S::ROWS * PANEL_COLUMNS), S::ROWS * PANEL_ROW_BYTES,
                  at.queries_full);
    }
    u32 stage = 0, parity = 1;
    for (u32 i = 0; i < n; ++i) {
        const u32 item = (first + i) * S::WIDTH, full = at.full + stage * 8;
        barrier_wait(at.empty + stage * 8, parity, in.stuck, WAIT_FREE, i);
        barrier_expect(full, S::TILE_BYTES + (BIASED ? S::BIAS_BYTES : 0));
#pragma unroll
        for (int panel = 0; panel < S::PANELS; ++panel) {
            bulk_copy(at.tiles + stage * S::TILE_BYTES + panel * (S::WIDTH * PANEL_ROW_BYTES),
                      in.items + panel * in.item_panel + u64(item) * PANEL_COLUMNS, S::WIDTH * PANEL_ROW_BYTES, full);
        }
        if (BIASED) bulk_copy(at.biases + stage * S::BIAS_BYTES, in.item_biases + item, S::BIAS_BYTES, full);
        if (++stage == in.stages) stage = 0, parity ^= 1;
    }
}

// Appends an item at byte `end` of a list if its score reaches the bar: predicated, since a branch costs more.
__device__ __forceinline__ void append(uint2* list, u32& end, float score, float bar, u32 column) {
    asm volatile("{\n.reg .pred p;\n.reg .b64 a;\nsetp.ge.f32 p, %1, %2;\ncvt.u64.u32 a, %0;\nadd.u64 a, a, %3;\n"
                 "@p st.global.v2.b32 [a], {%4, %5};\n@p add.u32 %0, %0, 8;\n}\n"
                 : "+r"(end)
                 : "f"(score), "f"(bar), "l"(list), "r"(__float_as_uint(score)), "r"(column)
                 : "memory");
}

// A row's list of a lane: bytes used, and the most that are of use.
struct LaneList {
    uint2* list;
    u32 end, room;
    float bar;
    // The bar's bits where it is above zero: then whole numbers compare as scores do. Else everything is looked at.
    int bits;

    __device__ __forceinline__ void open(const PanelScanArgs& args, u32 row) {
        // Rows past the last take nothing.
        const bool there = row < args.operands.rows;
        const QueryLists all(args.places, there ? row : 0, gridDim.y * 4);
        bar = there ? __ldg(args.bars + row) : __uint_as_float(0x7f800000u);
        bits = bar > 0.0f ? __float_as_int(bar) : int(0x80000000u);
        list = args.lists + all.first + (blockIdx.y * 4 + threadIdx.x % 4) * u64(all.share);
        room = (all.room + 1) * 8;
        end = 0;
        // Not to be computed again where a score passes.
        asm volatile("" : "+l"(list), "+r"(bits));
    }

    // Eight scores of a row: those of columns column + {0, 1, 8, 9, 16, 17, 24, 25}.
    __device__ __forceinline__ void take(const float (&x)[8], u32 column) {
        auto at = [&](int i) { return __float_as_int(x[i]); };
        int most = __vimax3_s32(at(0), at(1), at(2));
        most = __vimax3_s32(most, at(3), at(4));
        most = __vimax3_s32(most, at(5), at(6));
        if (max(most, at(7)) < bits) return;
        end = min(end, room);
#pragma unroll
        for (int i = 0; i < 8; ++i) append(list, end, x[i], bar, column + i / 2 * 8 + i % 2);
    }
};

// Two rows' scores of a tile, for a lane.
template <class S>
struct Scores {
    float x[S::WIDTH / 2];

    __device__ __forceinline__ void multiply(const u32 (&queries)[S::STEPS][4], u32 tile) {
        products_fence();
#pragma unroll
        for (int step = 0; step < S::STEPS; ++step) {
            const u64 items = matrix_descriptor((tile >> 4) + step / 4 * (S::WIDTH * 8) + step % 4 * 2, 1, 64);
            Product<S::WIDTH>::template from_registers<0>(x, queries[step], items, step > 0);
        }
        products_commit();
        products_wait<0>();
        settle(x);
    }

    // The biases of 16 items, in fragment order.
    __device__ __forceinline__ void add_biases(u32 at) {
#pragma unroll
        for (int i = 0; i < S::WIDTH / 16; ++i) {
            const float4 bias = shared_float4(at + i * 64 + threadIdx.x % 4 * 16);
            float* y = x + i * 8;
            y[0] += bias.x, y[1] += bias.y, y[2] += bias.x, y[3] += bias.y;
            y[4] += bias.z, y[5] += bias.w, y[6] += bias.z, y[7] += bias.w;
        }
    }

    // Row `half` of two: eight of its scores, those of 32 columns.
    template <int HALF>
    __device__ __forceinline__ void pick(float (&y)[8], int block) const {
#pragma unroll
        for (int i = 0; i < 8; ++i) y[i] = x[block * 16 + i / 2 * 4 + HALF * 2 + i % 2];
    }
};

template <class S, bool BIASED, bool SAMPLE, class Args>
__device__ __forceinline__ void scan_panels(const Args& args) {
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
    LaneList lists[2];
    if constexpr (!SAMPLE) {
        lists[0].open(args, row);
        lists[1].open(args, row + 8);
    }
    barrier_wait(at.queries_full, 0, in.stuck, WAIT_ROWS, 0);
    __syncwarp();
    u32 queries[S::STEPS][4];
#pragma unroll
    for (int step = 0; step < S::STEPS; ++step) {
        const u32 r = warp * 16 + lane % 16, chunk = step % 4 * 2 + lane / 16;
        load_fragment(queries[step], at.queries + step / 4 * (S::ROWS * PANEL_ROW_BYTES) + r * PANEL_ROW_BYTES + ((chunk ^ (r & 7)) << 4));
    }
    Scores<S> scores;
    clear(scores.x);
    float best[SAMPLE ? S::WIDTH / 2 : 1];
#pragma unroll
    for (int i = 0; i < (SAMPLE ? S::WIDTH / 2 : 1); ++i) best[i] = neg_inf();
    u32 stage = 0, parity = 0, column = first * S::WIDTH + lane % 4 * 2;
    auto release = [&]() {
        __syncwarp();
        if (lane == 0) barrier_arrive(at.empty + stage * 8);
    };
    for (u32 i = 0; i < n; ++i) {
        barrier_wait(at.full + stage * 8, parity, in.stuck, WAIT_TILE, i);
        __syncwarp();
        scores.multiply(queries, at.tiles + stage * S::TILE_BYTES);
        if (BIASED) scores.add_biases(at.biases + stage * S::BIAS_BYTES);
        release();
        if constexpr (SAMPLE) {
#pragma unroll
            for (int k = 0; k < S::WIDTH / 2; ++k) best[k] = fmaxf(best[k], scores.x[k]);
        } else {
#pragma unroll
            for (int block = 0; block < S::WIDTH / 32; ++block) {
                float y[8];
                scores.template pick<0>(y, block);
                lists[0].take(y, column + block * 32);
                scores.template pick<1>(y, block);
                lists[1].take(y, column + block * 32);
            }
        }
        if (++stage == in.stages) stage = 0, parity ^= 1;
        column += S::WIDTH;
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const u32 r = row + half * 8;
        if (r >= in.rows) continue;
        if constexpr (SAMPLE) {
            // Eight lanes write one sector: neighbouring queries of a group.
#pragma unroll
            for (int k = 0; k < S::WIDTH / 4; ++k) {
                const u32 group = blockIdx.y * S::WIDTH + k / 2 * 8 + lane % 4 * 2 + k % 2;
                args.maxima[u64(group) * args.pitch + r] = best[k / 2 * 4 + half * 2 + k % 2];
            }
        } else {
            args.counts[(u64(r) * gridDim.y + blockIdx.y) * 4 + lane % 4] = lists[half].end / 8;
        }
    }
}
