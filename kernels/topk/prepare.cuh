// What the scans read: items and queries in bf16 or int8, with the norms that bound the scan's error.
#pragma once
#include "topk/bounds.cuh"

// A row's values [column, column + 4), zero from `dim` on; the kernel does not write the row.
__device__ __forceinline__ float4 load4(const float* row, u32 column, u32 dim) {
    if (dim % 4 == 0) {
        return column < dim ? __ldg(reinterpret_cast<const float4*>(row + column)) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    float4 x;
    x.x = column + 0 < dim ? __ldg(row + column + 0) : 0.0f;
    x.y = column + 1 < dim ? __ldg(row + column + 1) : 0.0f;
    x.z = column + 2 < dim ? __ldg(row + column + 2) : 0.0f;
    x.w = column + 3 < dim ? __ldg(row + column + 3) : 0.0f;
    return x;
}

// Four values in bf16, and the sum of the squares of their rounding errors.
__device__ __forceinline__ uint2 to_bf16(float4 x, double& error) {
    const uint2 y = make_uint2(pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
    error += square(x.x - __uint_as_float(y.x << 16)) + square(x.y - __uint_as_float(y.x & 0xffff0000u)) +
             square(x.z - __uint_as_float(y.y << 16)) + square(x.w - __uint_as_float(y.y & 0xffff0000u));
    return y;
}

// The sums of squares of a row, over a warp.
struct Squares {
    double norm, error;
};

// A warp stores a row in bf16, `width` columns (a multiple of 16), and as it is.
__device__ __forceinline__ Squares store_bf16(u16* to, float* exact, const float* row, u32 dim, u32 width, u32 lane) {
    double norm = 0.0, error = 0.0;
    for (u32 column = lane * 4; column < width; column += WARP * 4) {
        const float4 x = load4(row, column, dim);
        add_squares(norm, x);
        *reinterpret_cast<float4*>(exact + column) = x;
        *reinterpret_cast<uint2*>(to + column) = to_bf16(x, error);
    }
    return {warp_sum(norm), warp_sum(error)};
}

// A warp stores a row as codes in -127 .. 127 of largest / 127, `width` columns (a multiple of 32), and as it is where
// `exact` is not null (up to a multiple of 16).
__device__ __forceinline__ Squares store_int8(u8* to, float* exact, float& scale, const float* row, u32 dim, u32 width,
                                              u32 lane) {
    float most = 0.0f;
    for (u32 column = lane * 4; column < dim; column += WARP * 4)
        most = max_nan(most, largest(load4(row, column, dim)));
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) most = max_nan(most, __shfl_xor_sync(FULL, most, step));
    scale = most / 127.0f;
    float inverse = 1.0f / scale;
    // A row that is zero, or so small that the inverse overflows, has code 0; its error then counts whole.
    if (scale <= 1e-37f) scale = 1.0f, inverse = 0.0f;
    double norm = 0.0, error = 0.0;
    for (u32 column = lane * 4; column < width; column += WARP * 4) {
        const float4 x = load4(row, column, dim);
        add_squares(norm, x);
        if (exact && column < (dim + 15) / 16 * 16) *reinterpret_cast<float4*>(exact + column) = x;
        const u32 low = to_int8(x.x, inverse, scale, error) | to_int8(x.y, inverse, scale, error) << 8;
        const u32 high = to_int8(x.z, inverse, scale, error) | to_int8(x.w, inverse, scale, error) << 8;
        *reinterpret_cast<u32*>(to + column) = low | high << 16;
    }
    return {warp_sum(norm), warp_sum(error)};
}

// Items [first, first + rows): exact (pitch columns, a multiple of 8, zero from `dim` on), bf16 and their stats. A warp
// a row.
extern "C" __global__ void __launch_bounds__(256)
    topk_pack_bf16(const __grid_constant__ PackBf16Args args) {
    float* exact = args.exact;
    u32* stats = args.stats;
    const u64 first = args.first;
    const u32 dim = args.dim, pitch = args.pitch, width = args.width;
    const u32 lane = threadIdx.x % WARP;
    const u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= args.rows) return;
    const float* from = args.embeddings + row * dim;
    u16* to = reinterpret_cast<u16*>(args.scan) + (first + row) * width;
    double norm = 0.0, error = 0.0;
    bool odd = false;
    for (u32 column = lane * 4; column < width; column += WARP * 4) {
        const float4 x = load4(from, column, dim);
        if (column < pitch) *reinterpret_cast<float4*>(exact + (first + row) * pitch + column) = x;
        add_squares(norm, x);
        *reinterpret_cast<uint2*>(to + column) = to_bf16(x, error);
        odd |=
            !(fabsf(x.x) < infinity() && fabsf(x.y) < infinity() && fabsf(x.z) < infinity() && fabsf(x.w) < infinity());
    }
    const Squares sums = {warp_sum(norm), warp_sum(error)};
    odd = __any_sync(FULL, odd);
    if (lane != 0) return;
    // The score of an item with an infinity or NaN is itself one in the scan too: its norm bounds nothing.
    if (odd) {
        atomicOr(stats + STAT_FLAGS, FLAG_INFINITE);
    } else if (!(sums.norm < 1e70) || !(sums.error < 1e70)) {
        atomicOr(stats + STAT_FLAGS, FLAG_BEYOND);
    } else {
        raise(stats, STAT_NORM, sums.norm);
        raise(stats, STAT_BF16, sums.error);
    }
}

// Biases of items [first, first + rows), and their stat. A bias of -inf or NaN takes the item out: -inf here, which no
// scan lets pass, and no score (exact_score).
extern "C" __global__ void __launch_bounds__(256)
    topk_pack_biases(const __grid_constant__ PackBiasesArgs args) {
    u32* stats = args.stats;
    const u64 row = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    float size = 0.0f;
    if (row < args.rows) {
        const float bias = __ldg(args.biases + row);
        const bool none = !(bias > neg_inf());
        args.to[args.first + row] = none ? neg_inf() : bias;
        size = none ? 0.0f : fabsf(bias);
        // An infinite score is itself infinite in the scan too.
        if (size == infinity()) {
            atomicOr(stats + STAT_FLAGS, FLAG_INFINITE);
            size = 0.0f;
        } else if (!(size < 1e35f)) {
            atomicOr(stats + STAT_FLAGS, FLAG_BEYOND);
            size = 0.0f;
        }
    }
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) size = fmaxf(size, __shfl_xor_sync(FULL, size, step));
    if (threadIdx.x % WARP == 0) atomicMax(stats + STAT_BIAS, __float_as_uint(size));
}

// Codes and scales of items [first, first + rows), from their fp32 rows. A warp a row.
extern "C" __global__ void __launch_bounds__(256)
    topk_pack_int8(const __grid_constant__ PackInt8Args args) {
    const u32 pitch = args.pitch, width = args.width;
    const u32 lane = threadIdx.x % WARP;
    const u64 row = u64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (row >= args.rows) return;
    float scale;
    const Squares sums =
        store_int8(args.codes + row * width, nullptr, scale, args.exact + row * pitch, pitch, width, lane);
    if (lane != 0) return;
    args.scales[row] = scale;
    if (sums.norm < 1e70 && sums.error < 1e70) raise(args.stats, STAT_INT8, sums.error);
}

// What a query needs before the scan: its row as the scan reads it, the bound of the scan's error, a ceiling of its
// scores, and whether the scan can serve it. A warp a query. `scale`: the value of a query's code 1, or 1.
__device__ __forceinline__ void finish_query(const PrepareArgs& args, u32 q, const Squares sums, u32 which,
                                             float scale) {
    const QueryTerms& terms = args.terms;
    const u32* stats = args.stats;
    const u32 dim = args.dim;
    const double norm = sqrt(sums.norm), error = sqrt(sums.error);
    const float largest_bias = __uint_as_float(__ldg(stats + STAT_BIAS));
    const double bias = double(largest_bias);
    const uint4 stat = __ldg(reinterpret_cast<const uint4*>(stats));
    const double items = double(__uint_as_float(stat.x)),
                 rounding = double(__uint_as_float(which == STAT_BF16 ? stat.y : stat.z));
    const double bound = score_error({norm, error}, {items, rounding}, bias, dim);
    const float e = round_up(bound);
    // The last: a scan of codes adds a bias in the query's units, and their range must hold it.
    const bool odd = !(norm < 1e35) || (stat.w & FLAG_BEYOND) || !(e < 1e37f) || !(largest_bias < 1e37f * scale);
    terms.errors[q] = e;
    terms.states[q] = odd || (norm == 0.0 && bias == 0.0) ? STATE_ALL : STATE_DONE;
    // Zero queries score exactly the bias everywhere; infinite items have no bound (but times zero they are NaN).
    float ceiling = norm == 0.0 || items == 0.0
                        ? largest_bias
                        : round_up((norm * items + bias) * (1.0 + (dim + 8) * 1.2e-7) + dim * 1.5e-45);
    const bool unbounded = !(norm < 1e35) || stat.w != 0;
    terms.ceilings[q] = unbounded ? infinity() : ceiling;
}

// The scan must not see a query that it cannot serve: as zeros, with a bar of +inf, nothing passes.
__device__ __forceinline__ void clear_row(u32* row, u32 words, u32 lane) {
    // After what other lanes stored there.
    __syncwarp();
    for (u32 i = lane; i < words; i += WARP) row[i] = 0;
}

extern "C" __global__ void __launch_bounds__(256)
    topk_prepare_bf16(const __grid_constant__ PrepareArgs args) {
    const u32 dim = args.dim, width = args.width;
    const u32 lane = threadIdx.x % WARP, q = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (q >= args.rows) return;
    u16* to = reinterpret_cast<u16*>(args.scan) + u64(q) * width;
    const Squares sums =
        store_bf16(to, args.exact + u64(q) * width, args.queries + u64(q) * dim, dim, width, lane);
    if (!(sums.norm < 1e70)) clear_row(reinterpret_cast<u32*>(to), width / 2, lane);
    if (lane == 0) finish_query(args, q, sums, STAT_BF16, 1.0f);
}

extern "C" __global__ void __launch_bounds__(256)
    topk_prepare_int8(const __grid_constant__ PrepareArgs args) {
    const u32 dim = args.dim, width = args.width;
    const u32 lane = threadIdx.x % WARP, q = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (q >= args.rows) return;
    u8* to = args.scan + u64(q) * width;
    float scale;
    const Squares sums = store_int8(to, args.exact + u64(q) * ((dim + 15) / 16 * 16), scale,
                                    args.queries + u64(q) * dim, dim, width, lane);
    const bool odd = !(sums.norm < 1e70);
    if (odd) clear_row(reinterpret_cast<u32*>(to), width / 4, lane);
    if (lane != 0) return;
    args.scales[q] = odd ? 1.0f : scale;
    finish_query(args, q, sums, STAT_INT8, odd ? 1.0f : scale);
}

// Thresholds from the sample: the ranks[q]-th best of `groups` maxima (a column of maxima, groups x pitch), less the
// error. It is at most the ranks[q]-th best score of the sample, which the k-th best of all items passes all but
// surely. A rank past the groups gives -inf, and so does NaN. Queries that the scan cannot serve get bar +inf.
// A block does 8 neighbours, a warp each.
extern "C" __global__ void __launch_bounds__(256, 2)
    topk_threshold(const __grid_constant__ ThresholdArgs args) {
    extern __shared__ __align__(16) u32 orders[];
    const float margin = args.margin;
    const u32 rows = args.rows, groups = args.groups, pitch = (groups + 31) / 32 * 32 + 4;
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, first = blockIdx.x * 8;
    for (u32 i = threadIdx.x; i < groups * 8; i += 256) {
        const u32 query = first + i % 8;
        const float x = query < rows ? __ldg(args.maxima + u64(i / 8) * args.pitch + query) : neg_inf();
        const u32 bits = __float_as_uint(x);
        orders[i % 8 * pitch + i / 8] = x != x ? 0 : bits >> 31 ? ~bits : bits | 0x80000000u;
    }
    __syncthreads();
    const u32 q = first + warp;
    if (q >= rows) return;
    const u32* mine = orders + warp * pitch;
    const u32 rank = __ldg(args.ranks + q);
    // The largest x with `rank` maxima >= x, bit by bit.
    u32 x = 0;
    for (u32 bit = 0x80000000u; rank <= groups && bit != 0; bit >>= 1) {
        u32 count = 0;
        for (u32 i = lane; i < groups; i += WARP) count += mine[i] >= (x | bit);
#pragma unroll
        for (int step = 16; step > 0; step >>= 1) count += __shfl_xor_sync(FULL, count, step);
        if (count >= rank) x |= bit;
    }
    if (lane != 0) return;
    float threshold = x >> 31 ? __uint_as_float(x & 0x7fffffffu) : __uint_as_float(~x);
    if (x == 0 || threshold != threshold) threshold = neg_inf();
    const float error = __ldg(args.errors + q);
    threshold = __fsub_rd(threshold, margin * error);
    args.thresholds[q] = threshold;
    args.bars[q] = __ldg(args.states + q) == STATE_ALL ? infinity() : __fsub_rd(threshold, margin * error);
}
