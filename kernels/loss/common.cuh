// What both shapes of the softmax kernels share: constants, lists, pieces of the products.
#pragma once
#include "core/fragments.cuh"
#include "core/mma.cuh"
#include "core/reduce.cuh"
#include "core/split.cuh"
#include "core/tile.cuh"
#include "loss/arguments.cuh"

#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f
#define NO_COLUMN 0xffffffffu

// 2^x, flushing results below the normal range; -inf gives 0.
__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The first place in [from, to) of an ascending list that holds at least `least`.
__device__ __forceinline__ u32 lower_bound(const u32* __restrict__ list, u32 from, u32 to, u32 least) {
    while (from < to) {
        const u32 middle = from + (to - from) / 2;
        if (list[middle] < least) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

// Values 4 quarter .. 4 quarter + 4 of 16 in the order of fragments.
__device__ __forceinline__ uint4 shared_quarter(u32 values, u32 quarter) {
    const u32 at = values + quarter % 2 * 32 + quarter / 2 * 8;
    const uint2 first = shared_uint2(at), second = shared_uint2(at + 16);
    return make_uint4(first.x, first.y, second.x, second.y);
}

// A fragment of bf16 out of two accumulator tiles that stand side by side; `lo` gets what bf16 lost.
template <bool LO>
__device__ __forceinline__ void probability_fragment(u32 (&hi)[4], u32 (&lo)[4], const float (&left)[4],
                                                     const float (&right)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float a = i < 2 ? left[2 * i] : right[2 * i - 4], b = i < 2 ? left[2 * i + 1] : right[2 * i - 3];
        if (LO) {
            split_pair(hi[i], lo[i], a, b);
        } else {
            hi[i] = pack_bf16(a, b);
        }
    }
}

// A row's part of the sum over the negatives: relative to 2^largest, and the factor that this took.
struct PartOfSum {
    float largest, sum, by;
};

// Of a sum relative to a fixed reference: relative to the power of two below it, as near the row's largest score as what joins
// the parts needs.
__device__ __forceinline__ PartOfSum near_itself(float sum, float reference) {
    const u32 power = min(max(__float_as_uint(sum) >> 23, 1u), 253u);
    const float by = __uint_as_float((254u - power) << 23);
    return PartOfSum{sum > 0.0f ? reference + (float(power) - 127.0f) : neg_inf(), sum * by, by};
}

// Two values of a result row; `column` is even.
__device__ __forceinline__ void store_pair(float* __restrict__ row, u32 column, u32 dim, float a, float b) {
    if (dim % 2 == 0) {
        if (column < dim) *reinterpret_cast<float2*>(row + column) = make_float2(a, b);
    } else {
        if (column < dim) row[column] = a;
        if (column + 1 < dim) row[column + 1] = b;
    }
}

// Two values of a row; `column` is even. `pairs`: they stand at a multiple of 8 bytes wherever both are in the row.
__device__ __forceinline__ float2 load_pair(const float* row, u32 column, u32 dim, bool pairs) {
    float2 x = make_float2(0.0f, 0.0f);
    if (pairs) {
        if (column < dim) x = *reinterpret_cast<const float2*>(row + column);
    } else {
        if (column < dim) x.x = row[column];
        if (column + 1 < dim) x.y = row[column + 1];
    }
    return x;
}
