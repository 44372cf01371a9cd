// Rows of tables and matrices as a lane sees them: N neighbouring values, moved in one access where they are aligned.
#pragma once

// 16, 8, 4 or 2 bytes that no thread writes while the kernel runs (read-only cache).
template <int BYTES>
__device__ __forceinline__ void load_constant(u32 (&x)[BYTES < 4 ? 1 : BYTES / 4], const void* from) {
    if constexpr (BYTES == 16) {
        asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "l"(from));
    } else if constexpr (BYTES == 8) {
        asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(x[0]), "=r"(x[1]) : "l"(from));
    } else if constexpr (BYTES == 4) {
        asm("ld.global.nc.u32 %0, [%1];" : "=r"(x[0]) : "l"(from));
    } else {
        u16 y;
        asm("ld.global.nc.u16 %0, [%1];" : "=h"(y) : "l"(from));
        x[0] = y;
    }
}

// As load_constant, of memory that this kernel also writes.
template <int BYTES>
__device__ __forceinline__ void load_plain(u32 (&x)[BYTES < 4 ? 1 : BYTES / 4], const void* from) {
    if constexpr (BYTES == 16) {
        const uint4 y = *static_cast<const uint4*>(from);
        x[0] = y.x, x[1] = y.y, x[2] = y.z, x[3] = y.w;
    } else if constexpr (BYTES == 8) {
        const uint2 y = *static_cast<const uint2*>(from);
        x[0] = y.x, x[1] = y.y;
    } else if constexpr (BYTES == 4) {
        x[0] = *static_cast<const u32*>(from);
    } else {
        x[0] = *static_cast<const u16*>(from);
    }
}

template <int BYTES>
__device__ __forceinline__ void store_plain(void* to, const u32 (&x)[BYTES < 4 ? 1 : BYTES / 4]) {
    if constexpr (BYTES == 16) {
        *static_cast<uint4*>(to) = make_uint4(x[0], x[1], x[2], x[3]);
    } else if constexpr (BYTES == 8) {
        *static_cast<uint2*>(to) = make_uint2(x[0], x[1]);
    } else if constexpr (BYTES == 4) {
        *static_cast<u32*>(to) = x[0];
    } else {
        *static_cast<u16*>(to) = u16(x[0]);
    }
}

// Values that are not read again soon: they need not push the table out of the cache.
__device__ __forceinline__ void store_streaming(float* to, float4 x) {
    asm volatile("st.global.cs.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(x.x), "f"(x.y), "f"(x.z), "f"(x.w)
                 : "memory");
}
__device__ __forceinline__ void store_streaming(float* to, float x) {
    asm volatile("st.global.cs.f32 [%0], %1;" ::"l"(to), "f"(x) : "memory");
}

// N values as they are stored.
template <typename T, int N>
struct Packed {
    enum { BYTES = N * int(sizeof(typename T::Word)), WORDS = BYTES < 4 ? 1 : BYTES / 4 };
    u32 x[WORDS];

    // All zero bits are zeros in every type.
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < WORDS; ++i) x[i] = 0;
    }
    __device__ __forceinline__ void load_constant(const typename T::Word* from) { ::load_constant<BYTES>(x, from); }
    __device__ __forceinline__ void load(const typename T::Word* from) { load_plain<BYTES>(x, from); }
    __device__ __forceinline__ void store(typename T::Word* to) const { store_plain<BYTES>(to, x); }

    __device__ __forceinline__ float get(int i) const { return value(T(), i); }

private:
    __device__ __forceinline__ float value(F32, int i) const { return __uint_as_float(x[i]); }
    __device__ __forceinline__ float value(Bf16, int i) const {
        return __uint_as_float(i % 2 ? x[i / 2] & 0xffff0000u : x[i / 2] << 16);
    }
    __device__ __forceinline__ float value(F16, int i) const {
        return f16_to_f32(u16(i % 2 ? x[i / 2] >> 16 : x[i / 2]));
    }
};

// --- stochastic rounding: the host's bits (backend/cpu/embedding/stored.rs) ------------------------------------------
// Rounds up with the probability of the part that is cut off. Finite values stay finite, NaN stays NaN.

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

// The key of a row's random bits at one step.
__device__ __forceinline__ u64 row_key(u64 run_key, u32 table, u32 row) {
    return mix(run_key ^ (u64(table) << 32 | row));
}

// The bits of one column: the upper half of xorshift64*.
__device__ __forceinline__ u32 column_bits(u64 key, u32 column) {
    u64 state = key ^ (u64(column) + 1) * 0x9e3779b97f4a7c15ull;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return u32((state * 0x2545f4914f6cdd1dull) >> 32);
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
