// The softmax kernels for widths from 129 to 1,024: the warps of a block share the width, 128 columns of it each.
//
// WM x WN warps: warp (m, n) holds RT x 16 rows, slice n of the width. For each tile of 16 columns it makes its slice's
// part of the scores; the parts are added in order through shared memory by four threads a row, which also turn the
// scores into P; then every warp adds P times its slice of the same tile to its slice of the result. No score is made
// twice. WM and WN follow from the width at run time. 16 x width x 2 bytes of a tile and the results in registers leave
// room for one block of 8 warps on an SM.
#pragma once
#include "loss/common.cuh"

template <int RT_, bool LO_>
struct Wide {
    enum {
        RT = RT_,
        LO = LO_,
        // With one tile of 16 rows a warp keeps its rows' fragments in registers; two read them again for each tile.
        KEEP = RT == 1,
        PARTS = LO ? 2 : 1,
        BN = 16,
        SLICE = 128,
        STEPS = SLICE / 16,
        STAGES = 2,
        // Items of a thread in the middle step: 4 threads a row, at most 16 RT WM rows, at least 32 WM WN threads.
        ITEMS = RT,
    };
};

// What a block looks like, and where things stand in its shared memory.
template <class C>
struct WideBlock {
    u32 width, wn, wm, warp, warps, slice, row, steps, rows;
    u32 tiles, values, parts, p, moved, queries, words;

    __device__ __forceinline__ WideBlock(u32 base, u32 width, u32 value_arrays) : width(width) {
        warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
        wn = (width + C::SLICE - 1) / C::SLICE, wm = warps / wn;
        slice = warp % wn, row = warp / wn * (16 * C::RT), rows = wm * (16 * C::RT);
        steps = min(u32(C::SLICE), width - slice * C::SLICE) / 16;
        tiles = base;
        queries = tiles + C::STAGES * tile_bytes();
        values = queries + (C::KEEP ? 0 : C::PARTS * rows * width * 2);
        parts = values + C::STAGES * value_arrays * C::BN * 4;
        p = parts + wn * rows * (C::BN * 4);
        moved = p + C::PARTS * rows * (C::BN * 2);
        words = moved + rows * 4;
    }

    __device__ __forceinline__ u32 tile_bytes() const { return C::PARTS * C::BN * width * 2; }
    __device__ __forceinline__ u32 place(u32 row, u32 chunk) const {
        return row * width * 2 + swizzle<8>(row, chunk) * 16;
    }

    // Starts the copy of rows first .. first + count of a matrix of `end` rows.
    __device__ __forceinline__ void copy(u32 to, const u16* __restrict__ from, u64 first, u32 count, u64 end) const {
        for (u32 r = warp; r < count; r += warps) {
            const bool there = first + r < end;
            const u16* source = from + (there ? (first + r) * width : 0);
            for (u32 chunk = threadIdx.x % WARP; chunk < width / 8; chunk += WARP)
                copy_async(to + place(r, chunk), source + chunk * 8, there ? 16 : 0);
        }
    }

    // Where (row, column), an even column, of part n of the scores stands: halves of a row are swapped in every other
    // pair of rows, so that the fragments' stores meet no bank twice.
    __device__ __forceinline__ u32 part(u32 n, u32 row, u32 column) const {
        return parts + ((n * rows + row) * C::BN + ((column & 7) | ((column & 8) ^ ((row & 2) << 2)))) * 4;
    }

    // Where (row, column) of P stands.
    __device__ __forceinline__ u32 p_at(u32 row, u32 column) const {
        return p + row * (C::BN * 2) + ((((column >> 3) ^ (row >> 2)) & 1) << 4) + (column & 7) * 2;
    }
};

// The rows' fragments and the result of one warp.
template <class C>
struct WideWarp {
    u32 q[C::KEEP ? C::PARTS : 1][C::KEEP ? C::RT : 1][C::KEEP ? C::STEPS : 1][4];
    float o[C::RT][C::STEPS * 2][4];

    // Kept fragments come straight from global memory, once a block; else the copy of the rows is started.
    __device__ __forceinline__ void start(const WideBlock<C>& b, const Operand& x, u64 first_row) {
        if (!C::KEEP) {
            b.copy(b.queries, x.hi, first_row, b.rows, x.rows);
            if (C::LO) b.copy(b.queries + b.rows * b.width * 2, x.lo, first_row, b.rows, x.rows);
        } else {
            keep(b, x, first_row);
        }
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int n = 0; n < C::STEPS * 2; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) o[m][n][i] = 0.0f;
    }

    // Lane t of a row's four reads values 4t .. 4t + 4 of a step, whole sectors, and gets its own from the others:
    // 2t, 2t + 1 and 2t + 8, 2t + 9.
    __device__ __forceinline__ void keep(const WideBlock<C>& b, const Operand& x, u64 first_row) {
        const u32 lane = threadIdx.x % WARP;
#pragma unroll
        for (int part = 0; part < C::PARTS; ++part)
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int step = 0; step < C::STEPS; ++step)
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        const u64 row = first_row + b.row + m * 16 + h * 8 + lane / 4;
                        const u32 k = b.slice * C::SLICE + step * 16 + lane % 4 * 4;
                        const u16* from = (part == 0 ? x.hi : x.lo) + row * b.width + k;
                        uint2 mine = make_uint2(0, 0);
                        if (step < b.steps && row < x.rows) mine = *reinterpret_cast<const uint2*>(from);
#pragma unroll
                        for (int half = 0; half < 2; ++half) {
                            const u32 source = (lane & 28) + half * 2 + lane % 4 / 2;
                            const u32 even = __shfl_sync(FULL, mine.x, source), odd = __shfl_sync(FULL, mine.y, source);
                            q[part][m][step][2 * half + h] = lane % 2 == 0 ? even : odd;
                        }
                    }
    }

    // The rows' fragments of one step of the width.
    __device__ __forceinline__ void fragments(u32 (&a)[C::PARTS][C::RT][4], const WideBlock<C>& b, int step) const {
        const u32 lane = threadIdx.x % WARP;
#pragma unroll
        for (int part = 0; part < C::PARTS; ++part)
#pragma unroll
            for (int m = 0; m < C::RT; ++m) {
                if (C::KEEP) {
#pragma unroll
                    for (int i = 0; i < 4; ++i) a[part][m][i] = q[part][m][step][i];
                } else {
                    const u32 row = b.row + m * 16 + (lane & 15);
                    const u32 chunk = b.slice * (C::SLICE / 8) + 2 * step + ((lane >> 4) & 1);
                    load_matrices(a[part][m], b.queries + part * b.rows * b.width * 2 + b.place(row, chunk));
                }
            }
    }

    // The slice's part of the scores, to shared memory.
    __device__ __forceinline__ void multiply(const WideBlock<C>& b, u32 tile) {
        const u32 lane = threadIdx.x % WARP;
        float s[C::RT][2][4];
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int n = 0; n < 2; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) s[m][n][i] = 0.0f;
#pragma unroll
        for (int step = 0; step < C::STEPS; ++step) {
            if (step >= b.steps) break;
            const u32 at = tile + b.place((lane & 7) + ((lane >> 1) & 8),
                                          b.slice * (C::SLICE / 8) + 2 * step + ((lane >> 3) & 1));
            u32 a[C::PARTS][C::RT][4], hi[4], lo[4];
            fragments(a, b, step);
            load_matrices(hi, at);
            if (C::LO) load_matrices(lo, at + C::BN * b.width * 2);
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int n = 0; n < 2; ++n) {
                    mma_bf16(s[m][n], a[0][m], hi[2 * n], hi[2 * n + 1]);
                    if (C::LO) {
                        mma_bf16(s[m][n], a[0][m], lo[2 * n], lo[2 * n + 1]);
                        mma_bf16(s[m][n], a[C::PARTS - 1][m], hi[2 * n], hi[2 * n + 1]);
                    }
                }
        }
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int n = 0; n < 2; ++n)
#pragma unroll
                for (int h = 0; h < 2; ++h)
                    store_shared_float2(b.part(b.slice, b.row + m * 16 + h * 8 + lane / 4, n * 8 + lane % 4 * 2),
                                        s[m][n][2 * h], s[m][n][2 * h + 1]);
    }

    // o += P tile, after o *= moved where `moves`.
    __device__ __forceinline__ void accumulate(const WideBlock<C>& b, u32 tile, bool moves) {
        const u32 lane = threadIdx.x % WARP;
        if (moves) {
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const float by = __uint_as_float(shared_u32(b.moved + (b.row + m * 16 + h * 8 + lane / 4) * 4));
#pragma unroll
                    for (int n = 0; n < C::STEPS * 2; ++n) o[m][n][2 * h] *= by, o[m][n][2 * h + 1] *= by;
                }
        }
        u32 p[C::PARTS][C::RT][4];
#pragma unroll
        for (int part = 0; part < C::PARTS; ++part)
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
                load_matrices(p[part][m], b.p_at(b.row + m * 16 + (lane & 15), (lane >> 1) & 8) +
                                              part * b.rows * (C::BN * 2));
#pragma unroll
        for (int n = 0; n < C::STEPS; ++n) {
            if (n >= b.steps) break;
            const u32 at = tile + b.place(lane & 15, b.slice * (C::SLICE / 8) + 2 * n + ((lane >> 4) & 1));
            u32 hi[4], lo[4];
            load_matrices_transposed(hi, at);
            if (C::LO) load_matrices_transposed(lo, at + C::BN * b.width * 2);
#pragma unroll
            for (int m = 0; m < C::RT; ++m)
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    float(&c)[4] = o[m][2 * n + half];
                    mma_bf16(c, p[0][m], hi[2 * half], hi[2 * half + 1]);
                    if (C::LO) {
                        mma_bf16(c, p[0][m], lo[2 * half], lo[2 * half + 1]);
                        mma_bf16(c, p[C::PARTS - 1][m], hi[2 * half], hi[2 * half + 1]);
                    }
                }
        }
    }

    // The result's rows, each `dim` long.
    __device__ __forceinline__ void store(const WideBlock<C>& b, float* __restrict__ out, u64 first_row, u64 rows,
                                          u32 dim) const {
        const u32 lane = threadIdx.x % WARP;
#pragma unroll
        for (int m = 0; m < C::RT; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const u64 row = first_row + b.row + m * 16 + h * 8 + lane / 4;
                if (row >= rows) continue;
#pragma unroll
                for (int n = 0; n < C::STEPS * 2; ++n)
                    store_pair(out + row * dim, b.slice * C::SLICE + n * 8 + lane % 4 * 2, dim, o[m][n][2 * h],
                               o[m][n][2 * h + 1]);
            }
    }
};

// Four scores of one row, the slices' parts added in order.
template <class C>
__device__ __forceinline__ float4 joined_scores(const WideBlock<C>& b, u32 row, u32 column) {
    float4 s = shared_float4(b.part(0, row, column));
    for (u32 n = 1; n < b.wn; ++n) {
        const float4 x = shared_float4(b.part(n, row, column));
        s.x += x.x, s.y += x.y, s.z += x.z, s.w += x.w;
    }
    return s;
}

// Four values of P, and what bf16 lost of them.
template <class C>
__device__ __forceinline__ void store_p(const WideBlock<C>& b, u32 row, u32 column, const float (&p)[4]) {
    const u32 at = b.p_at(row, column);
    u32 hi[2], lo[2];
    split_pair(hi[0], lo[0], p[0], p[1]);
    split_pair(hi[1], lo[1], p[2], p[3]);
    store_shared_uint2(at, hi[0], hi[1]);
    if (C::LO) store_shared_uint2(at + b.rows * (C::BN * 2), lo[0], lo[1]);
}
