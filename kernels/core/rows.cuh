// Rows of tables and matrices as a lane sees them: N neighbouring values, moved in one access where they are aligned.
#pragma once
#include "core/convert.cuh"

// Storage types of tables.
struct F32 {
    typedef float Word;
};
struct Bf16 {
    typedef u16 Word;
};
struct F16 {
    typedef u16 Word;
};

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
