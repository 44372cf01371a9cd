// Linear layers: y = x w^T + b, and the gradients dx = dy w, dw = dy^T x, db = the columns of dy summed.
//
// x, w and dy come as bf16 tiles (tiles/tiles.cu, and linear_bwd_mask below); the three products are one template.
// Letters: M x N is the product's shape, K what it sums over. The wrapper checks every length and passes padded widths.
#include "core/split.cuh"
#include "linear/gemm.cuh"

// Blocks walk C in bands of 8 tile rows, down a band's columns first: neighbours share tiles of both operands in L2.
struct Place {
    u32 m, n;
    __device__ __forceinline__ Place(u32 block, u32 tiles_m, u32 tiles_n) {
        const u32 band = block / (8 * tiles_n), left = block - band * 8 * tiles_n;
        const u32 height = min(8u, tiles_m - band * 8);
        m = band * 8 + left % height, n = left / height;
    }
};

// Grid: tiles of C, in one row; z: splits of K.
template <int A_ORDER, int B_ORDER, int BM, bool PRECISE>
__device__ __forceinline__ void product(const ProductArgs& args) {
    const u32 m = args.m, n = args.n, k = args.k;
    const Place at(blockIdx.x, (m + BM - 1) / BM, (n + GEMM_BN - 1) / GEMM_BN);
    const Result to = {args.c + blockIdx.z * args.c_split, args.c_stride, args.bias, args.relu};
    const u32 first = blockIdx.z * args.k_split, end = min(k, first + args.k_split);
    GemmTile<A_ORDER, B_ORDER, BM, PRECISE>::run(args.a, args.b, to, at.m * BM, at.n * GEMM_BN, m, n, first, end);
}

// 72 KB (BM 128) and 48 KB (BM 64) of dynamic shared memory: two and three blocks on an sm_80 (163 KB), three and four
// on an sm_90 (227 KB).
#define PRODUCT(NAME, A_ORDER, B_ORDER, BM, PRECISE)                                                           \
    extern "C" __global__ void __launch_bounds__(GEMM_THREADS, BM == 128 ? 2 : 3)                              \
        NAME(const __grid_constant__ ProductArgs args) {                                                       \
        product<A_ORDER, B_ORDER, BM, PRECISE>(args);                                                          \
    }
#define PRODUCTS(OP, A_ORDER, B_ORDER)                   \
    PRODUCT(OP##_bf16_64, A_ORDER, B_ORDER, 64, false)   \
    PRODUCT(OP##_bf16_128, A_ORDER, B_ORDER, 128, false) \
    PRODUCT(OP##_fp32_64, A_ORDER, B_ORDER, 64, true)    \
    PRODUCT(OP##_fp32_128, A_ORDER, B_ORDER, 128, true)

// y = x w^T + b: M rows, N outputs, K inputs.
PRODUCTS(linear_fwd, ALONG, ALONG)
// dx = dy w: M rows, N inputs, K outputs.
PRODUCTS(linear_bwd_x, ALONG, DOWN)
// dw = dy^T x: M outputs, N inputs, K rows.
PRODUCTS(linear_bwd_w, DOWN, DOWN)

// dy where y > 0 (in place; y null: all of dy; NaN in y keeps dy), as bf16 tiles, and its columns summed over each
// `chunk` of rows: parts[blockIdx.x][col], `width` wide. One pass over dy.
//
// A block: `lanes` threads across (a power of two), 256 / lanes down, each with 4 columns: neighbours where rows begin
// on 16 bytes, else `lanes` apart, so that a warp touches whole sectors either way. hi, lo: rows x width, columns
// `cols` and on zero; lo may be null. Grid: chunks of rows, then blocks of 4 `lanes` columns.
extern "C" __global__ void __launch_bounds__(256) linear_bwd_mask(const __grid_constant__ MaskArgs args) {
    u16 *hi = args.hi, *lo = args.lo;
    float* dy = args.dy;
    const float* y = args.y;
    const u64 dy_stride = args.dy_stride, y_stride = args.y_stride;
    const u32 cols = args.cols, width = args.width, lanes = args.lanes;
    __shared__ float4 sums[256];
    const u32 x = threadIdx.x & (lanes - 1), down = blockDim.x / lanes, z = threadIdx.x / lanes;
    const bool vector = ((u64(dy) | dy_stride * 4 | u64(y) | y_stride * 4) & 15) == 0;
    const u32 first = blockIdx.y * lanes * 4 + (vector ? x * 4 : x), step = vector ? 1 : lanes;
    const u32 from = blockIdx.x * args.chunk, to = min(args.rows, from + args.chunk);
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (vector && first + 4 <= cols) {
#pragma unroll 2
        for (u32 r = from + z; r < to; r += down) {
            float4* at = reinterpret_cast<float4*>(dy + r * dy_stride + first);
            float4 d = *at;
            if (y) {
                const float4 v = __ldg(reinterpret_cast<const float4*>(y + r * y_stride + first));
                d.x = v.x <= 0.0f ? 0.0f : d.x, d.y = v.y <= 0.0f ? 0.0f : d.y;
                d.z = v.z <= 0.0f ? 0.0f : d.z, d.w = v.w <= 0.0f ? 0.0f : d.w;
                *at = d;
            }
            put_split(hi, lo, u64(r) * width + first, d);
            sum.x += d.x, sum.y += d.y, sum.z += d.z, sum.w += d.w;
        }
    } else {
        float* s = &sum.x;
        for (u32 r = from + z; r < to; r += down) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const u32 col = first + i * step;
                if (col >= width) continue;
                float d = 0.0f;
                if (col < cols) {
                    float* at = dy + r * dy_stride + col;
                    d = *at;
                    if (y) {
                        d = __ldg(y + r * y_stride + col) <= 0.0f ? 0.0f : d;
                        *at = d;
                    }
                }
                put_split(hi, lo, u64(r) * width + col, d);
                s[i] += d;
            }
        }
    }
    // The threads of a column, halved again and again: the order is fixed.
    sums[threadIdx.x] = sum;
    for (u32 half = down / 2; half > 0; half /= 2) {
        __syncthreads();
        if (z < half) {
            const float4 other = sums[threadIdx.x + half * lanes];
            sum.x += other.x, sum.y += other.y, sum.z += other.z, sum.w += other.w;
            sums[threadIdx.x] = sum;
        }
    }
    if (z > 0) return;
    float* out = args.parts + u64(blockIdx.x) * width;
    if (vector && first + 4 <= cols) {
        *reinterpret_cast<float4*>(out + first) = sum;
        return;
    }
    const float* s = &sum.x;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const u32 col = first + i * step;
        if (col < width) out[col] = s[i];
    }
}

// width is a multiple of 4. A block: 32 threads across, each with 4 neighbours; 8 down, each with an eighth of the
// parts, ascending. The eighths are added in order: the order depends on `count` alone. Grid: blocks of one sum; sums.
extern "C" __global__ void __launch_bounds__(256, 8) linear_sum(const __grid_constant__ SumArgs args) {
    const SumOf& of = args.of[blockIdx.y];
    float* to = of.to;
    const u32 count = of.count, rows = of.rows, cols = of.cols, width = of.width;
    __shared__ float4 sums[256];
    const u32 groups = (cols + 3) / 4, z = threadIdx.x / WARP, eighth = (count + 7) / 8;
    const u64 at = u64(blockIdx.x) * WARP + threadIdx.x % WARP;
    const u64 row = at / groups;
    const u32 col = u32(at - row * groups) * 4;
    const bool there = row < rows;
    const float* from = of.parts + row * width + col;
    const u64 step = u64(rows) * width;
    float4 sum = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    const u32 end = there ? min(count, (z + 1) * eighth) : 0;
#pragma unroll 4
    for (u32 p = z * eighth; p < end; ++p) {
        const float4 x = *reinterpret_cast<const float4*>(from + p * step);
        sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (z > 0 || !there) return;
#pragma unroll
    for (u32 i = 1; i < 8; ++i) {
        const float4 x = sums[threadIdx.x + i * WARP];
        sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
    }
    float* out = to + row * cols + col;
    if (col + 4 <= cols && ((u64(to) | u64(cols) * 4) & 15) == 0) {
        *reinterpret_cast<float4*>(out) = sum;
    } else {
        out[0] = sum.x;
        if (col + 1 < cols) out[1] = sum.y;
        if (col + 2 < cols) out[2] = sum.z;
        if (col + 3 < cols) out[3] = sum.w;
    }
}
