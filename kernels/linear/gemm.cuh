// A product of two bf16 matrices on tensor cores: C[m][n] = sum over k of A(m, k) B(n, k), sums in fp32.
//
// A block of 4 warps (2 x 2) makes BM x 64 of C. Tiles of the operands pass through shared memory, `STAGES` of them
// under way at a time (cp.async). An operand is a row-major matrix of a padded width (a multiple of 8, padding zero)
// with k along its rows (ALONG: A(m, k) = a[m * width + k]) or down its columns (DOWN: A(m, k) = a[k * width + m]); the
// second is turned on the way to the registers (ldmatrix.trans). Every element of C is summed over ascending k whatever
// the tile, so results do not depend on BM.
//
// Precise products: a = a_hi + a_lo, likewise b; a step of k adds a_hi b_lo, then a_hi b_hi, then a_lo b_hi.
#pragma once
#include "core/mma.cuh"
#include "core/tile.cuh"
#include "linear/arguments.cuh"

enum { ALONG = 0, DOWN = 1 };
enum { GEMM_THREADS = 128, GEMM_BN = 64, STAGES = 3 };

// An operand's tiles of MN (rows of A or of B^T) x BK, and how fragments come out of them.
template <int ORDER, int MN, int BK>
struct Side {
    typedef Tile<ORDER == ALONG ? MN : BK, ORDER == ALONG ? BK : MN, GEMM_THREADS> T;

    static __device__ __forceinline__ void fetch(u32 to, const u16* x, const Operand& of, u32 mn, u32 k) {
        T::fetch(to, x, of.rows, of.width, ORDER == ALONG ? mn : k, ORDER == ALONG ? k : mn);
    }

    // 16 x 16 at (mn, k): quarters in the order (mn, k), (mn + 8, k), (mn, k + 8), (mn + 8, k + 8).
    static __device__ __forceinline__ void fragment_a(u32 (&x)[4], u32 tile, u32 mn, u32 k) {
        const u32 lane = threadIdx.x % WARP;
        if (ORDER == ALONG)
            load_matrices(x, tile + T::offset(mn + lane % 16, k / 8 + lane / 16));
        else
            load_matrices_transposed(x, tile + T::offset(k + lane / 16 * 8 + lane % 8, mn / 8 + lane / 8 % 2));
    }

    // As fragment_a, in the order (mn, k), (mn, k + 8), (mn + 8, k), (mn + 8, k + 8).
    static __device__ __forceinline__ void fragment_b(u32 (&x)[4], u32 tile, u32 mn, u32 k) {
        const u32 lane = threadIdx.x % WARP;
        if (ORDER == ALONG)
            load_matrices(x, tile + T::offset(mn + lane / 16 * 8 + lane % 8, k / 8 + lane / 8 % 2));
        else
            load_matrices_transposed(x, tile + T::offset(k + lane % 16, mn / 8 + lane / 16));
    }
};

// Where C goes: element (m, n) at c[m * stride + n], with bias[n] added (where not null) and negatives zeroed (relu).
struct Result {
    float* c;
    u64 stride;
    const float* bias;
    u32 relu;
};

// ReLU keeps NaN, as the CPU does.
__device__ __forceinline__ float activate(float x, bool relu) { return relu && x < 0.0f ? 0.0f : x; }

template <int A_ORDER, int B_ORDER, int BM, bool PRECISE>
struct GemmTile {
    // As many bytes a stage in both precisions.
    enum { BK = PRECISE ? 32 : 64, WM = BM / 2, WN = GEMM_BN / 2, MT = WM / 16, NT = WN / 8 };
    typedef Side<A_ORDER, BM, BK> A;
    typedef Side<B_ORDER, GEMM_BN, BK> B;
    enum { A_LO = A::T::BYTES, B_HI = A_LO * (PRECISE ? 2 : 1), B_LO = B_HI + B::T::BYTES };
    enum { STAGE = B_HI + B::T::BYTES * (PRECISE ? 2 : 1), SHARED = STAGE * STAGES };

    static __device__ __forceinline__ void fetch(u32 stage, const Operand& a, const Operand& b, u32 m, u32 n, u32 k) {
        A::fetch(stage, a.hi, a, m, k);
        if (PRECISE) A::fetch(stage + A_LO, a.lo, a, m, k);
        B::fetch(stage + B_HI, b.hi, b, n, k);
        if (PRECISE) B::fetch(stage + B_LO, b.lo, b, n, k);
    }

    static __device__ __forceinline__ void products(float (&c)[MT][NT][4], const u32 (&a)[MT][4],
                                                    const u32 (&b)[NT / 2][4]) {
#pragma unroll
        for (int i = 0; i < MT; ++i)
#pragma unroll
            for (int j = 0; j < NT; ++j) mma_bf16(c[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }

    static __device__ __forceinline__ void fragments_a(u32 (&a)[MT][4], u32 tile, u32 m, u32 k) {
#pragma unroll
        for (int i = 0; i < MT; ++i) A::fragment_a(a[i], tile, m + i * 16, k);
    }

    static __device__ __forceinline__ void fragments_b(u32 (&b)[NT / 2][4], u32 tile, u32 n, u32 k) {
#pragma unroll
        for (int j = 0; j < NT / 2; ++j) B::fragment_b(b[j], tile, n + j * 16, k);
    }

    // Adds the bias and stores this warp's part of C, at (row, col) of rows x cols.
    static __device__ __forceinline__ void store(float (&c)[MT][NT][4], const Result& to, u32 row, u32 col, u32 rows,
                                                 u32 cols) {
        const u32 lane = threadIdx.x % WARP;
        row += lane / 4, col += lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
                const float bias = to.bias && col + j * 8 + e < cols ? to.bias[col + j * 8 + e] : 0.0f;
#pragma unroll
                for (int i = 0; i < MT; ++i) {
                    c[i][j][e] = activate(c[i][j][e] + bias, to.relu);
                    c[i][j][e + 2] = activate(c[i][j][e + 2] + bias, to.relu);
                }
            }
        // 4 lanes fill a sector with pairs; rows that do not begin on 8 bytes take single stores, as does an odd last
        // column.
        const bool pairs = ((u64(to.c) | to.stride * 4) & 7) == 0;
        float* at = to.c + row * to.stride + col;
        if (pairs) {
#pragma unroll
            for (int i = 0; i < MT * 2; ++i) {
                const u32 end = row + i * 8 < rows ? cols : 0;
#pragma unroll
                for (int j = 0; j < NT; ++j)
                    if (col + j * 8 + 1 < end)
                        *reinterpret_cast<float2*>(at + i * 8 * to.stride + j * 8) =
                            make_float2(c[i / 2][j][i % 2 * 2], c[i / 2][j][i % 2 * 2 + 1]);
            }
        }
        if (!pairs || cols % 2) {
            const u32 from = pairs ? cols - 1 : 0;
#pragma unroll
            for (int i = 0; i < MT * 2; ++i) {
                const u32 end = row + i * 8 < rows ? cols : 0;
#pragma unroll
                for (int j = 0; j < NT * 2; ++j) {
                    const u32 n = col + j / 2 * 8 + j % 2;
                    if (n >= from && n < end)
                        at[i * 8 * to.stride + j / 2 * 8 + j % 2] = c[i / 2][j / 2][i % 2 * 2 + j % 2];
                }
            }
        }
    }

    // C[m .. m + BM][n .. n + 64] over k in [k_first, k_end); k_first is a multiple of BK. C is rows x cols.
    static __device__ __forceinline__ void run(const Operand& a, const Operand& b, const Result& to, u32 m, u32 n,
                                               u32 rows, u32 cols, u32 k_first, u32 k_end) {
        extern __shared__ uint4 shared[];
        const u32 base = shared_address(shared), warp = threadIdx.x / WARP;
        const u32 warp_m = warp / 2 * WM, warp_n = warp % 2 * WN;
        float c[MT][NT][4];
#pragma unroll
        for (int i = 0; i < MT * NT * 4; ++i) c[i / 4 / NT][i / 4 % NT][i % 4] = 0.0f;

#pragma unroll
        for (int s = 0; s < STAGES - 1; ++s) {
            if (k_first + s * BK < k_end) fetch(base + s * STAGE, a, b, m, n, k_first + s * BK);
            copy_commit();
        }
        u32 read = base, write = base + (STAGES - 1) * STAGE;
        for (u32 k = k_first; k < k_end; k += BK) {
            copy_wait<STAGES - 2>();
            // The tile is there for all, and all are done with the one that the next copy overwrites.
            __syncthreads();
            if (k + (STAGES - 1) * BK < k_end) fetch(write, a, b, m, n, k + (STAGES - 1) * BK);
            copy_commit();
#pragma unroll
            for (int step = 0; step < BK; step += 16) {
                // Steps that hold nothing but padding cost nothing.
                if (step && k + step >= k_end) break;
                u32 fa[MT][4], fb[NT / 2][4];
                if (PRECISE) {
                    u32 small[NT / 2][4];
                    fragments_a(fa, read, warp_m, step);
                    fragments_b(small, read + B_LO, warp_n, step);
                    products(c, fa, small);
                    fragments_b(fb, read + B_HI, warp_n, step);
                    products(c, fa, fb);
                    fragments_a(fa, read + A_LO, warp_m, step);
                    products(c, fa, fb);
                } else {
                    fragments_a(fa, read, warp_m, step);
                    fragments_b(fb, read + B_HI, warp_n, step);
                    products(c, fa, fb);
                }
            }
            read = read + STAGE == base + SHARED ? base : read + STAGE;
            write = write + STAGE == base + SHARED ? base : write + STAGE;
        }
        copy_wait<0>();
        store(c, to, m + warp_m, n + warp_n, rows, cols);
    }
};
