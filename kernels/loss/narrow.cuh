// The softmax kernels for widths up to 128: each warp owns RT x 16 rows, scores and results stay in its registers.
//
// One tile of the other side feeds both products: S = rows tile^T by ldmatrix, O += P tile by ldmatrix.trans. P goes
// from accumulators to the next product's fragments without leaving the registers. The tiles come by asynchronous
// copies, STAGES - 1 ahead, with one barrier a tile.
#pragma once
#include "loss/common.cuh"

template <int DP_, int RT_, int BN_, int STAGES_, bool LO_, bool KEEP_>
struct Narrow {
    enum {
        DP = DP_,          // the width, padded with zeros
        RT = RT_,          // tiles of 16 rows in a warp
        BN = BN_,          // columns of a tile
        STAGES = STAGES_,
        LO = LO_,          // products hi hi + hi lo + lo hi
        KEEP = KEEP_,      // the rows' fragments stay in registers; else they are read again for each tile
        WARPS = 4,
        THREADS = WARPS * WARP,
        WARP_ROWS = 16 * RT,
        BM = WARPS * WARP_ROWS,
        STEPS = DP / 16,
        PARTS = LO ? 2 : 1,
        ROWS_BYTES = BM * DP * 2 * PARTS,
        TILE_BYTES = BN * DP * 2 * PARTS,
        // Of a stage: an array of a word a column, ranges of ids of 64 columns.
        COLUMN_BYTES = BN * 4,
        RANGE_BYTES = 16,
    };
    static_assert(BN == 32 || BN == 64, "ranges of ids come by 64 columns");
    typedef Tile<BM, DP, THREADS> Rows;
    typedef Tile<BN, DP, THREADS> Columns;

    // Starts the copy of a block's rows, and of a tile of columns; `first` is the first of either. Operands are padded to
    // whole blocks and tiles.
    static __device__ __forceinline__ void fetch_rows(u32 to, const Operand& x, u32 first) {
        Rows::fetch_whole(to, x.hi, first);
        if (LO) Rows::fetch_whole(to + Rows::BYTES, x.lo, first);
    }
    static __device__ __forceinline__ void fetch_columns(u32 to, const Operand& x, u32 first) {
        Columns::fetch_whole(to, x.hi, first);
        if (LO) Columns::fetch_whole(to + Columns::BYTES, x.lo, first);
    }
    // Starts the copy of the ranges of ids of the 64 columns that a tile is of, by the thread FIRST.
    template <int FIRST>
    static __device__ __forceinline__ void fetch_ranges(u32 to, const uint2* ranges, u32 column) {
        copy_values<4, FIRST>(to, ranges, column / 64 * 4);
    }
    // Whether an id may be among those of a tile.
    static __device__ __forceinline__ bool in_ranges(u32 ranges, u32 column, u32 id) {
        const uint2 x = shared_uint2(ranges + (BN == 32 ? column & 32 : 0) / 4);
        if (BN == 32) return x.x <= id && id <= x.y;
        const uint2 y = shared_uint2(ranges + 8);
        return (x.x <= id && id <= x.y) || (y.x <= id && id <= y.y);
    }
};

// Where a lane of a warp stands in the products' results.
struct FragmentLane {
    static __device__ __forceinline__ u32 lane() { return threadIdx.x & 31; }
    // Row h of tile m, counted from the warp's first.
    static __device__ __forceinline__ u32 row_of(int m, int h) { return m * 16 + h * 8 + (lane() >> 2); }
    // This lane's first column of a tile of 8.
    static __device__ __forceinline__ u32 column_of() { return (lane() & 3) * 2; }
    // This lane's place among 16 values in the order of fragments, in bytes.
    static __device__ __forceinline__ u32 quad() { return (lane() & 3) * 16; }
};

// The scores of a warp's rows against a tile, and the rows themselves.
template <class C>
struct Scores {
    float s[C::RT][C::BN / 8][4];
    u32 q[C::KEEP ? C::PARTS : 1][C::KEEP ? C::RT : 1][C::KEEP ? C::STEPS : 1][4];
    u32 rows;  // shared address of the warp's rows

    // Lane's place of ldmatrix in a 16 x 16 tile: A fragments and transposed B fragments ...
    static __device__ __forceinline__ u32 row_of() { return threadIdx.x & 15; }
    static __device__ __forceinline__ u32 chunk_of() { return (threadIdx.x >> 4) & 1; }
    // ... and straight B fragments.
    static __device__ __forceinline__ u32 column_of() { return (threadIdx.x & 7) + ((threadIdx.x >> 1) & 8); }
    static __device__ __forceinline__ u32 step_of() { return (threadIdx.x >> 3) & 1; }

    // The chunk that is 2 `step` further on. A row's chunks are permuted by flipping bits of their numbers: so is the way from
    // one to another. Shared memory begins at a multiple of a row.
    static __device__ __forceinline__ u32 further(u32 at, int step) { return at ^ step * 32; }

    __device__ __forceinline__ void fragment(u32 (&a)[4], int part, int tile, int step) {
        const u32 at = rows + C::Rows::offset(row_of(), chunk_of());
        load_matrices(a, further(at, step) + part * (C::BM * C::DP * 2) + tile * (16 * C::DP * 2));
    }

    // Once the rows are there.
    __device__ __forceinline__ void keep() {
        if (C::KEEP) {
#pragma unroll
            for (int part = 0; part < C::PARTS; ++part)
#pragma unroll
                for (int tile = 0; tile < C::RT; ++tile)
#pragma unroll
                    for (int step = 0; step < C::STEPS; ++step) fragment(q[part][tile][step], part, tile, step);
        }
    }

    // s = rows tile^T
    __device__ __forceinline__ void multiply(u32 tile) {
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int n = 0; n < C::BN / 8; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) s[m][n][i] = 0.0f;
#pragma unroll
        for (int step = 0; step < C::STEPS; ++step) {
            u32 a[C::PARTS][C::RT][4];
#pragma unroll
            for (int part = 0; part < C::PARTS; ++part)
#pragma unroll
                for (int m = 0; m < C::RT; ++m) {
                    if (C::KEEP) {
#pragma unroll
                        for (int i = 0; i < 4; ++i) a[part][m][i] = q[part][m][step][i];
                    } else {
                        fragment(a[part][m], part, m, step);
                    }
                }
            const u32 at = further(tile + C::Columns::offset(column_of(), step_of()), step);
#pragma unroll
            for (int n = 0; n < C::BN / 16; ++n) {
                u32 hi[4], lo[4];
                load_matrices(hi, at + n * (16 * C::DP * 2));
                if (C::LO) load_matrices(lo, at + n * (16 * C::DP * 2) + C::BN * C::DP * 2);
#pragma unroll
                for (int m = 0; m < C::RT; ++m)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        float(&c)[4] = s[m][2 * n + half];
                        mma_bf16(c, a[0][m], hi[2 * half], hi[2 * half + 1]);
                        if (C::LO) {
                            mma_bf16(c, a[0][m], lo[2 * half], lo[2 * half + 1]);
                            mma_bf16(c, a[C::PARTS - 1][m], hi[2 * half], hi[2 * half + 1]);
                        }
                    }
            }
        }
    }

    // o += s tile. `soften(step)` makes the P of 16 columns out of their scores, under the products of the 16 before.
    template <class Soften>
    __device__ __forceinline__ void accumulate(float (&o)[C::RT][C::DP / 8][4], u32 tile, Soften soften) {
#pragma unroll
        for (int step = 0; step < C::BN / 16; ++step) {
            soften(step);
            u32 p[C::RT][4], p_lo[C::RT][4];
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
                probability_fragment<C::LO>(p[m], p_lo[m], s[m][2 * step], s[m][2 * step + 1]);
#pragma unroll
            for (int n = 0; n < C::DP / 16; ++n) {
                const u32 at = further(tile + C::Columns::offset(row_of(), chunk_of()), n) + step * (16 * C::DP * 2);
                u32 hi[4], lo[4];
                load_matrices_transposed(hi, at);
                if (C::LO) load_matrices_transposed(lo, at + C::BN * C::DP * 2);
#pragma unroll
                for (int m = 0; m < C::RT; ++m)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        float(&c)[4] = o[m][2 * n + half];
                        mma_bf16(c, p[m], hi[2 * half], hi[2 * half + 1]);
                        if (C::LO) {
                            mma_bf16(c, p[m], lo[2 * half], lo[2 * half + 1]);
                            mma_bf16(c, p_lo[m], hi[2 * half], hi[2 * half + 1]);
                        }
                    }
            }
        }
    }
};
