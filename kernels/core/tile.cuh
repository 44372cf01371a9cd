// Tiles of bf16 matrices in shared memory, as ldmatrix reads them.
#pragma once
#include "core/copy.cuh"

// Where chunk `chunk` (16 bytes) of row `row` stands within its row, for rows of CHUNKS chunks. Chunks are permuted
// within 128 bytes so that the 8 rows of an ldmatrix, straight or transposed, and the chunks that 8 neighbouring threads
// copy, fall in different banks: 8 chunks fill all banks, of 4 two rows do.
template <int CHUNKS>
__device__ __forceinline__ u32 swizzle(u32 row, u32 chunk) {
    static_assert(CHUNKS == 4 || CHUNKS % 8 == 0, "the permutation is made for 64 bytes or whole 128 bytes");
    return chunk ^ (CHUNKS == 4 ? row >> 1 & 3 : row & 7);
}

// ROWS x COLS values, copied by a block of THREADS.
template <int ROWS, int COLS, int THREADS>
struct Tile {
    enum { CHUNKS = COLS / 8, BYTES = ROWS * COLS * 2 };
    static_assert(THREADS % CHUNKS == 0 && ROWS * CHUNKS % THREADS == 0, "threads copy as many chunks");

    static __device__ __forceinline__ u32 offset(u32 row, u32 chunk) {
        return (row * CHUNKS + swizzle<CHUNKS>(row, chunk)) * 16;
    }

    // Starts the copy of rows `row`.. and columns `col`.. of x, rows x width; what lies outside of it becomes zero.
    static __device__ __forceinline__ void fetch(u32 to, const u16* x, u32 rows, u32 width, u32 row, u32 col) {
        // A thread's chunks lie STEP rows apart in one column: the permutation is the same for all.
        enum { STEP = THREADS / CHUNKS };
        static_assert(STEP % 8 == 0, "the permutation repeats after 8 rows");
        const u32 r = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
        to += offset(r, chunk);
        row += r, col += chunk * 8;
        const u16* from = x + u64(row) * width + col;
#pragma unroll
        for (int i = 0; i < ROWS / STEP; ++i) {
            const bool inside = row + i * STEP < rows && col < width;
            copy_async(to + i * THREADS * 16, inside ? from : x, inside ? 16 : 0);
            from += u64(STEP) * width;
        }
    }

    // As fetch, of a matrix as wide as the tile that holds all of its rows: one run of memory.
    static __device__ __forceinline__ void fetch_whole(u32 to, const u16* x, u32 row) {
        static_assert(THREADS / CHUNKS % 8 == 0, "the permutation repeats after 8 rows");
        to += offset(threadIdx.x / CHUNKS, threadIdx.x % CHUNKS);
        const u16* from = x + (u64(row) * CHUNKS + threadIdx.x) * 8;
#pragma unroll
        for (int i = 0; i < ROWS * CHUNKS / THREADS; ++i) copy_async(to + i * THREADS * 16, from + i * THREADS * 8);
    }
};
