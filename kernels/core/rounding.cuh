// Stochastic rounding of table values: the host's bits (backend/cpu/embedding/stored.rs).
//
// Rounds up with the probability of the part that is cut off. Finite values stay finite, NaN stays NaN.
#pragma once
#include "core/random.cuh"
#include "core/rows.cuh"

__device__ __forceinline__ u32 round_to(F32, float value, u32) { return __float_as_uint(value); }

// Adds 16 random bits below the 16 that are kept.
__device__ __forceinline__ u32 round_to(Bf16, float value, u32 bits) {
    const u32 x = __float_as_uint(value);
    const u32 rounded = (x + (bits & 0xffffu)) >> 16;
    // Beyond the largest finite value there is only infinity.
    const u32 finite = (rounded & 0x7fffu) >= 0x7f80u ? (rounded & 0x8000u) | 0x7f7fu : rounded;
    const bool nan = (x & 0x7fffffffu) > 0x7f800000u;
    const u32 special = x >> 16 | (nan ? 0x40u : 0u);
    return (x & 0x7f800000u) == 0x7f800000u ? special : finite;
}

// 13 bits are cut off a normal number, one more for each power of two below 2^-14; 31 at most, and what lies lower
// goes first.
__device__ __forceinline__ u32 round_to(F16, float value, u32 bits) {
    const u32 x = __float_as_uint(value);
    const u32 exponent = (x >> 23) & 0xffu;
    u32 mantissa = (x & 0x7fffffu) | (exponent > 0 ? 0x800000u : 0u);
    const u32 raised = exponent > 1 ? exponent : 1;
    const u32 below = raised < 113 ? 113 - raised : 0;
    const u32 lower = below > 18 ? below - 18 : 0;
    mantissa = lower > 31 ? 0 : mantissa >> (lower & 31);
    const u32 cut = 13 + below - lower;
    const u32 kept = (mantissa + (bits & ((1u << cut) - 1))) >> cut;
    // A carry out of the mantissa moves the exponent by itself.
    const u32 base = ((exponent > 113 ? exponent : 113) - 113) << 10;
    const u32 magnitude = base + kept > 0x7bffu ? 0x7bffu : base + kept;
    const u32 special = 0x7c00u | (x & 0x7fffffu ? 0x200u : 0u);
    return ((x >> 16) & 0x8000u) | (exponent == 0xffu ? special : magnitude);
}

// Packs N stepped values from column `column` on; `key` is the row's.
template <typename T, int N>
__device__ __forceinline__ Packed<T, N> round_values(const float (&w)[N], u64 key, u32 column) {
    Packed<T, N> out;
    out.clear();
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const u32 bits = sizeof(typename T::Word) == 4 ? 0 : column_bits(key, column + i);
        const u32 value = round_to(T(), w[i], bits);
        if constexpr (sizeof(typename T::Word) == 4) {
            out.x[i] = value;
        } else {
            out.x[i / 2] |= value << (i % 2 * 16);
        }
    }
    return out;
}
