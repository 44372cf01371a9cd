// A bound of the error of approximate scores, and what it is made of: the norms of rows and of their rounding errors.
//
// Bound: with a query u = u' + du and an item v = v' + dv (' as stored for the scan),
// |<u, v> - <u', v'>| <= |du| |v| + |u'| |dv|, plus the rounding of two sums over the width in fp32. The norms are
// those of the actual rounding errors, taken in f64 and rounded up: a true bound, about 2^-8 |u| |v| in bf16. The
// exact sum starts at the item's bias, the scan's takes it in at the end: roundings are of it, too.
#pragma once
#include "topk/keys.cuh"

// Stats of a catalogue, each a maximum over its items: fp32 bits of |v|, of |dv| in bf16 and in int8; then 1 where some
// item is beyond the bound (its norm or bias overflows), 2 where some item holds an infinity or NaN; then of |bias|, of
// all items that have a score.
#define STAT_NORM 0
#define STAT_BF16 1
#define STAT_INT8 2
#define STAT_FLAGS 3
#define STAT_BIAS 4
#define FLAG_BEYOND 1u
#define FLAG_INFINITE 2u

__device__ __forceinline__ float round_up(double x) { return __double2float_ru(x); }

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }

__device__ __forceinline__ double square(float x) { return double(x) * double(x); }

__device__ __forceinline__ void add_squares(double& sum, float4 x) {
    sum += square(x.x) + square(x.y) + square(x.z) + square(x.w);
}

__device__ __forceinline__ float largest(float4 x) {
    return fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
}

__device__ __forceinline__ u32 to_int8(float x, float inverse, float scale, double& error) {
    const int code = max(-127, min(127, __float2int_rn(x * inverse)));
    error += square(fmaf(float(-code), scale, x));
    return u32(code) & 0xffu;
}

// The norm of a row, and that of its rounding errors; or the largest of either.
struct RowNorms {
    double norm, error;
};

// How far the approximate score of a query with any of the items, of so many columns, is from the exact one.
__device__ __forceinline__ double score_error(const RowNorms query, const RowNorms items, double bias, u32 dim) {
    // 2^-21 a column covers both sums in fp32, rounded or cut off; the last term, results below the normal range.
    return query.error * items.norm + (query.norm + query.error) * items.error +
           ((query.norm + query.error) * (items.norm + items.error) + bias) * (dim + 8) * 4.77e-7 +
           double(dim + 8) * 1.2e-38;
}

__device__ __forceinline__ void raise(u32* stats, u32 which, double square_sum) {
    atomicMax(stats + which, __float_as_uint(round_up(sqrt(square_sum))));
}
