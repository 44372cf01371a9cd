// The scan for rows of BYTES (64, 128 or 256): queries resident in registers.
//
// 128 queries x 64 items a block of 4 warps, each 32 queries x all items of the tile, 32 at a time. Shared memory:
// three stages of an item tile, and the items' scales and biases of three tiles; the queries pass through the stages
// first.
#pragma once
#include "topk/scan.cuh"

#define NARROW_QUERIES 128
#define NARROW_ITEMS 64
#define NARROW_THREADS 128
#define NARROW_STAGES 3

template <int BYTES>
__device__ __forceinline__ u32 swizzle(u32 row, u32 chunk) {
    return BYTES == 64 ? swizzle64(row, chunk) : row * BYTES + ((chunk ^ (row & 7)) << 4);
}

template <class T, int MODE, int BYTES>
__device__ __forceinline__ void scan_narrow(const typename ModeArgs<MODE>::Args& args) {
    const ScanOperands& in = args.operands;
    extern __shared__ __align__(128) u8 scan_memory[];
    constexpr u32 CHUNKS = BYTES / 16, STEPS = BYTES / 32, STAGE = NARROW_ITEMS * BYTES;
    // Item rows that all threads copy in one go.
    constexpr u32 ROWS = NARROW_THREADS / CHUNKS;
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u32 stages = shared_address(scan_memory), scales = stages + NARROW_STAGES * STAGE;
    const u32 biases = scales + NARROW_STAGES * NARROW_ITEMS * 4;
    const float* scale_values = reinterpret_cast<const float*>(scan_memory + NARROW_STAGES * STAGE);
    const float* bias_values = scale_values + NARROW_STAGES * NARROW_ITEMS;
    const u32 first_query = blockIdx.x * NARROW_QUERIES;
    const u32 copy_row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;

#pragma unroll
    for (u32 i = 0; i < NARROW_QUERIES / ROWS; ++i) {
        const u32 row = first_query + copy_row + i * ROWS;
        const bool there = row < in.rows;
        const u64 query = there ? query_of<MODE>(args, row) : 0;
        copy_async(stages + swizzle<BYTES>(copy_row + i * ROWS, chunk), in.queries + query * BYTES + chunk * 16,
                   there ? 16 : 0);
    }
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    u32 a[2][STEPS][4];
#pragma unroll
    for (u32 i = 0; i < 2; ++i) {
#pragma unroll
        for (u32 step = 0; step < STEPS; ++step) {
            load_matrices(a[i][step], stages + swizzle<BYTES>(warp * 32 + i * 16 + lane % 16, step * 2 + lane / 16));
        }
    }
    __syncthreads();

    u32 copy_tile = blockIdx.y, copy_stage = 0;
    auto copy = [&]() {
        if (copy_tile < in.tiles) {
#pragma unroll
            for (u32 i = 0; i < NARROW_ITEMS / ROWS; ++i) {
                const u32 row = copy_row + i * ROWS, item = item_of<MODE, NARROW_ITEMS>(args, copy_tile, row);
                const bool there = item < in.item_count;
                copy_async(stages + copy_stage * STAGE + swizzle<BYTES>(row, chunk),
                           in.items + u64(there ? item : 0) * BYTES + chunk * 16, there ? 16 : 0);
            }
            if ((T::SCALED || in.item_biases) && threadIdx.x < NARROW_ITEMS) {
                const u32 item = item_of<MODE, NARROW_ITEMS>(args, copy_tile, threadIdx.x);
                const u32 at = (copy_stage * NARROW_ITEMS + threadIdx.x) * 4;
                if (T::SCALED) copy_value(scales + at, in.item_scales, item, in.item_count);
                if (in.item_biases) copy_value(biases + at, in.item_biases, item, in.item_count);
            }
            copy_stage = (copy_stage + 1) % NARROW_STAGES;
            copy_tile += gridDim.y;
        }
        copy_commit();
    };
#pragma unroll
    for (u32 i = 0; i < NARROW_STAGES - 1; ++i) copy();

    Epilogue<T, MODE, NARROW_ITEMS> epilogue(args, first_query + warp * 32);
    const u32 b_row = lane % 8 + lane / 16 * 8, b_chunk = lane / 8 % 2;
    u32 stage = 0;
    for (u32 tile = blockIdx.y; tile < in.tiles; tile += gridDim.y) {
        copy_wait<NARROW_STAGES - 2>();
        __syncthreads();
        copy();
#pragma unroll
        for (u32 n = 0; n < NARROW_ITEMS; n += 32) {
            typename T::Sum sums[2][4][4] = {};
#pragma unroll
            for (u32 step = 0; step < STEPS; ++step) {
                u32 b[2][4];
#pragma unroll
                for (u32 i = 0; i < 2; ++i) {
                    load_matrices(b[i],
                                  stages + stage * STAGE + swizzle<BYTES>(b_row + n + i * 16, step * 2 + b_chunk));
                }
#pragma unroll
                for (u32 i = 0; i < 2; ++i) {
#pragma unroll
                    for (u32 j = 0; j < 4; ++j)
                        T::multiply(sums[i][j], a[i][step], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
                }
            }
            epilogue.take(sums, tile, n, scale_values + stage * NARROW_ITEMS, bias_values + stage * NARROW_ITEMS);
        }
        stage = (stage + 1) % NARROW_STAGES;
    }
    copy_wait<0>();
    // Buckets of a query: 4 a split.
    if constexpr (MODE == BUCKETS) epilogue.finish(blockIdx.y * 4);
}
