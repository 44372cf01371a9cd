// Queries and items as int8 codes in panels, in whole-number scores that compare across items: what bf16 does with half the
// bytes and, on tensor cores, in half the time; the bound of its error is some six times as wide.
//
// All items have one scale, that of their largest value: the bound takes the largest error of any item anyway. A query has
// a scale of its own. Then score = unit (sum of products of codes + multiplier x term), where unit = query scale x item
// scale, and term is the item's bias in whole bias units, the same for all queries of a launch: query scales are such that
// a bias unit is a whole multiple, the multiplier, of the query's unit. Without biases there is no multiplier.
#pragma once
#include "core/reduce.cuh"
#include "core/sm90a/panel.cuh"
#include "topk/bounds.cuh"
#include "topk/sm90a/arguments.cuh"
#include "topk/sm90a/scatter.cuh"

// Codes of 16 bytes of a row.
#define CODES 16
// The multiplier of the longest query, at least: a query's scale is at most 1 / 16 above what it needs, and the rounding of
// biases a small part of the bound. And that of the shortest, at most.
#define LEAST_MULTIPLIER 16.0f
#define MOST_MULTIPLIER 4096.0f
// Terms at most, and that of an item without a score: further below all others than two sums of products are apart, but
// for the largest, and times the largest multiplier inside 31 bits.
#define MOST_TERM 131071
#define NO_TERM (-262144)
// A unit below this one is no normal number on the way.
#define LEAST_UNIT 1e-30f

__device__ __forceinline__ float item_scale(const CodeScales& scales) {
    return __uint_as_float(__ldg(scales.items)) / 127.0f;
}

// The bias unit of a launch.
__device__ __forceinline__ float bias_unit(const CodeScales& scales) {
    const float query_scale = __uint_as_float(__ldg(scales.queries)) / 127.0f;
    const float largest_bias = __uint_as_float(__ldg(scales.stats + STAT_BIAS));
    return fmaxf(LEAST_MULTIPLIER * query_scale * item_scale(scales), largest_bias / float(MOST_TERM));
}

// The largest value by size; those that no bound holds are left out.
extern "C" __global__ void __launch_bounds__(256)
    topk_largest(const __grid_constant__ LargestArgs args) {
    float most = 0.0f;
    const float4* values = reinterpret_cast<const float4*>(args.values);
    for (u64 i = u64(blockIdx.x) * 256 + threadIdx.x; i < args.count / 4; i += u64(gridDim.x) * 256) {
        const float x = largest(__ldg(values + i));
        if (x < 1e35f) most = fmaxf(most, x);
    }
    const u32 bits = __reduce_max_sync(FULL, __float_as_uint(most));
    if (threadIdx.x % WARP == 0) atomicMax(args.largest, bits);
}

// A thread's 16 columns of a row: the threads of a row are side by side.
struct ChunkPlace {
    u32 chunks, chunk, row;

    __device__ __forceinline__ ChunkPlace(u32 row_bytes) {
        chunks = row_bytes / CODES;
        const u64 i = u64(blockIdx.x) * 256 + threadIdx.x;
        chunk = u32(i) & (chunks - 1);
        row = u32(i >> (chunks == 4 ? 2 : 3));
    }
};

// What a thread codes.
struct CodeChunk {
    float x[CODES];

    __device__ __forceinline__ CodeChunk(const float* row, bool there, u32 chunk, u32 pitch) {
#pragma unroll
        for (u32 i = 0; i < CODES / 4; ++i) {
            const u32 column = chunk * CODES + i * 4;
            float4 y = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (there && column < pitch) y = __ldg(reinterpret_cast<const float4*>(row + column));
            x[i * 4] = y.x, x[i * 4 + 1] = y.y, x[i * 4 + 2] = y.z, x[i * 4 + 3] = y.w;
        }
    }

    // Codes of this scale; adds the squares of values and of rounding errors.
    __device__ __forceinline__ uint4 codes(float scale, double& norm, double& error) const {
        // A scale of zero: code 0, and the error counts whole.
        const float inverse = scale > 1e-37f ? 1.0f / scale : 0.0f;
        u32 words[CODES / 4];
#pragma unroll
        for (u32 i = 0; i < CODES / 4; ++i) {
            words[i] = 0;
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                words[i] |= to_int8(x[i * 4 + j], inverse, scale, error) << j * 8;
                norm += square(x[i * 4 + j]);
            }
        }
        return make_uint4(words[0], words[1], words[2], words[3]);
    }
};

// Where 16 codes of a row stand, in bytes. Rows of 64 bytes: 64 rows in the left halves of 64 rows of a panel, and the
// next 64 in their right halves, so that a tile of either is one operand (ScanShape).
__device__ __forceinline__ u64 code_place(u64 row, u32 chunk, u32 chunks) {
    if (chunks == 4) {
        chunk += u32(row / 64 % 2) * 4;
        row = row / 128 * 64 + row % 64;
    }
    return row * PANEL_ROW_BYTES + ((chunk ^ u32(row & 7)) * 16);
}

// Items, as topk_panels lays them out in bf16. The grid is of the padded rows, a multiple of 128.
extern "C" __global__ void __launch_bounds__(256)
    topk_item_codes(const __grid_constant__ ItemCodesArgs args) {
    const ChunkPlace at(args.row_bytes);
    const u32 row = at.row, chunk = at.chunk, chunks = at.chunks;
    const bool there = row < args.rows;
    const u32 from = there ? scattered(row, args.rows) : 0;
    if (chunk == 0) {
        if (there) args.order[row] = from;
        if (args.biases) args.biases[fragment_order(row)] = there ? __ldg(args.item_biases + from) : neg_inf();
    }
    const CodeChunk values(args.from + u64(from) * args.pitch, there, chunk, args.pitch);
    double norm = 0.0, error = 0.0;
    const uint4 codes = values.codes(__uint_as_float(__ldg(args.largest)) / 127.0f, norm, error);
    *reinterpret_cast<uint4*>(args.panels + code_place(row, chunk, chunks)) = codes;
    error = group_sum(error, chunks);
    const u32 bits = __reduce_max_sync(FULL, __float_as_uint(round_up(sqrt(error))));
    if (threadIdx.x % WARP == 0) atomicMax(args.rounding, bits);
}

// Queries: their codes, units and multipliers, and the bound of the error raised to that of codes. Rows from `rows` on are
// zero. The grid as that of items.
extern "C" __global__ void __launch_bounds__(256)
    topk_query_codes(const __grid_constant__ QueryCodesArgs args) {
    const ChunkPlace at(args.row_bytes);
    const u32 q = at.row, chunk = at.chunk, chunks = at.chunks;
    const bool there = q < args.rows;
    const CodeChunk values(args.from + u64(q) * args.pitch, there, chunk, args.pitch);
    float most = 0.0f;
#pragma unroll
    for (u32 j = 0; j < CODES; ++j) most = max_nan(most, fabsf(values.x[j]));
    for (u32 step = chunks / 2; step > 0; step /= 2) most = max_nan(most, __shfl_xor_sync(FULL, most, step));
    const float items = item_scale(args.scales);
    float unit = most / 127.0f * items, multiplier = 0.0f, bias_error = 0.0f;
    if (args.biased) {
        const float whole = bias_unit(args.scales);
        multiplier = fminf(fmaxf(floorf(whole / unit), 1.0f), MOST_MULTIPLIER);
        unit = whole / multiplier;
        bias_error = 0.51f * whole;
    }
    // Also where a value is none: nothing of this query passes.
    if (!(most < 1e35f) || !(unit >= LEAST_UNIT)) unit = 0.0f, multiplier = 0.0f;
    double norm = 0.0, error = 0.0;
    // Code 0 throughout where the biases alone count.
    float scale = unit > 0.0f && items > 0.0f ? unit / items : 0.0f;
    if (!(scale < 1e37f)) scale = 0.0f;
    uint4 codes = values.codes(scale, norm, error);
    if (unit == 0.0f) codes = make_uint4(0, 0, 0, 0);
    *reinterpret_cast<uint4*>(args.panels + code_place(q, chunk, chunks)) = codes;
    norm = group_sum(norm, chunks), error = group_sum(error, chunks);
    if (chunk != 0 || !there) return;
    args.units[q] = unit;
    args.multipliers[q] = u32(multiplier);
    const u32* stats = args.scales.stats;
    const RowNorms query = {sqrt(norm), sqrt(error)};
    const RowNorms all = {double(__uint_as_float(__ldg(stats + STAT_NORM))),
                          double(__uint_as_float(__ldg(args.scales.items + 1)))};
    const double bias = double(__uint_as_float(__ldg(stats + STAT_BIAS)));
    const float bound = round_up(score_error(query, all, bias, args.dim) + double(bias_error));
    // Not below that of bf16, by which a query is scanned again. A bound that is none leaves it to others: it passes nothing.
    args.errors[q] = fmaxf(args.errors[q], bound);
}

// The items' terms, in the order of their biases.
extern "C" __global__ void __launch_bounds__(256)
    topk_item_terms(const __grid_constant__ ItemTermsArgs args) {
    const u32 i = blockIdx.x * 256 + threadIdx.x;
    if (i >= args.count) return;
    const float bias = __ldg(args.biases + i), whole = bias_unit(args.scales);
    const int term = whole > 0.0f ? max(-MOST_TERM, min(MOST_TERM, __float2int_rn(bias / whole))) : 0;
    args.terms[i] = u32(bias == neg_inf() ? NO_TERM : term);
}
