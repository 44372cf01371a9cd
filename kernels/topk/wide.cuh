// The scan for rows of any width up to 2,048 bytes: queries resident in shared memory, items streamed through it.
//
// 64 queries x 128 items a block of 8 warps (2 x 4, each 32 x 32). Rows are cut into panels of 64 bytes; the last may
// be half. Shared memory: the queries' panels, four stages of an item panel (8 KB each), the items' scales and biases
// of four tiles. Above 768 bytes a row only one block fits an SM of sm_80 (163 KB).
#pragma once
#include "topk/scan.cuh"

#define WIDE_QUERIES 64
#define WIDE_ITEMS 128
#define WIDE_THREADS 256
#define WIDE_STAGES 4
#define WIDE_STAGE_BYTES (WIDE_ITEMS * 64)

template <class T, int MODE>
__device__ __forceinline__ void scan_wide(const typename ModeArgs<MODE>::Args& args) {
    const ScanOperands& in = args.operands;
    extern __shared__ __align__(128) u8 scan_memory[];
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u32 panels = (in.row_bytes + 63) / 64;
    const u32 queries = shared_address(scan_memory), stages = queries + panels * (WIDE_QUERIES * 64);
    const u32 scales = stages + WIDE_STAGES * WIDE_STAGE_BYTES;
    const u32 biases = scales + WIDE_STAGES * WIDE_ITEMS * 4;
    const float* scale_values = reinterpret_cast<const float*>(scan_memory + (scales - queries));
    const float* bias_values = scale_values + WIDE_STAGES * WIDE_ITEMS;
    const u32 first_query = blockIdx.x * WIDE_QUERIES;

    // Each thread copies one chunk of each panel of the queries, and chunk `chunk` of two item rows a stage.
    const u32 copy_row = threadIdx.x / 4, chunk = threadIdx.x % 4;
    {
        const u32 row = first_query + copy_row;
        const bool there = row < in.rows;
        const u8* from = in.queries + u64(there ? query_of<MODE>(args, row) : 0) * in.row_bytes;
        for (u32 panel = 0; panel < panels; ++panel) {
            const u32 byte = panel * 64 + chunk * 16;
            const bool read = there && byte < in.row_bytes;
            copy_async(queries + panel * (WIDE_QUERIES * 64) + swizzle64(copy_row, chunk), from + (read ? byte : 0),
                       read ? 16 : 0);
        }
    }

    // What the next copy brings: panel `copy_panel` of tile `copy_tile`.
    u32 copy_tile = blockIdx.y, copy_panel = 0, copy_stage = 0, copy_slot = 0;
    u32 item[2];
    auto next_items = [&]() {
#pragma unroll
        for (u32 i = 0; i < 2; ++i) item[i] = item_of<MODE, WIDE_ITEMS>(args, copy_tile, copy_row + i * 64);
    };
    next_items();
    auto copy = [&]() {
        if (copy_tile < in.tiles) {
#pragma unroll
            for (u32 i = 0; i < 2; ++i) {
                const u32 byte = copy_panel * 64 + chunk * 16;
                const bool read = item[i] < in.item_count && byte < in.row_bytes;
                const u8* from = in.items + (read ? u64(item[i]) * in.row_bytes + byte : 0);
                copy_async(stages + copy_stage * WIDE_STAGE_BYTES + swizzle64(copy_row + i * 64, chunk), from,
                           read ? 16 : 0);
                if (copy_panel == 0 && chunk == 0) {
                    const u32 at = (copy_slot * WIDE_ITEMS + copy_row + i * 64) * 4;
                    if (T::SCALED) copy_value(scales + at, in.item_scales, item[i], in.item_count);
                    if (in.item_biases) copy_value(biases + at, in.item_biases, item[i], in.item_count);
                }
            }
            copy_stage = (copy_stage + 1) % WIDE_STAGES;
            if (++copy_panel == panels) {
                copy_panel = 0;
                copy_tile += gridDim.y;
                copy_slot = (copy_slot + 1) % WIDE_STAGES;
                next_items();
            }
        }
        copy_commit();
    };
#pragma unroll
    for (u32 i = 0; i < WIDE_STAGES - 1; ++i) copy();

    const u32 m = warp % 2 * 32, n = warp / 2 * 32;
    Epilogue<T, MODE, WIDE_ITEMS> epilogue(args, first_query + m);
    // Rows and chunks of the lane's ldmatrix addresses.
    const u32 a_row = m + lane % 16, a_chunk = lane / 16;
    const u32 b_row = n + lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
    u32 stage = 0, slot = 0;
    for (u32 tile = blockIdx.y; tile < in.tiles; tile += gridDim.y) {
        typename T::Sum sums[2][4][4] = {};
        for (u32 panel = 0; panel < panels; ++panel) {
            copy_wait<WIDE_STAGES - 2>();
            __syncthreads();
            copy();
            const u32 a_panel = queries + panel * (WIDE_QUERIES * 64), b_panel = stages + stage * WIDE_STAGE_BYTES;
#pragma unroll
            for (u32 step = 0; step < 2; ++step) {
                if (panel * 64 + step * 32 >= in.row_bytes) break;
                u32 a[2][4], b[2][4];
#pragma unroll
                for (u32 i = 0; i < 2; ++i) {
                    load_matrices(a[i], a_panel + swizzle64(a_row + i * 16, step * 2 + a_chunk));
                    load_matrices(b[i], b_panel + swizzle64(b_row + i * 16, step * 2 + b_chunk));
                }
#pragma unroll
                for (u32 i = 0; i < 2; ++i) {
#pragma unroll
                    for (u32 j = 0; j < 4; ++j)
                        T::multiply(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
                }
            }
            stage = (stage + 1) % WIDE_STAGES;
        }
        epilogue.take(sums, tile, n, scale_values + slot * WIDE_ITEMS, bias_values + slot * WIDE_ITEMS);
        slot = (slot + 1) % WIDE_STAGES;
    }
    copy_wait<0>();
    // Buckets of a query: 16 a split.
    if constexpr (MODE == BUCKETS) epilogue.finish(blockIdx.y * 16 + warp / 2 * 4);
}
