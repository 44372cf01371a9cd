// What both shapes of the softmax kernels share: the call's arguments, swizzled tiles, pieces of the products.
//
// A tile is a block of rows of a bf16 matrix in shared memory. Its 16-byte chunks are permuted within a row, so that the
// eight rows that ldmatrix reads at one time stand in different banks, straight or transposed.
#pragma once
#include "core/common.cuh"
#include "core/mma.cuh"

#define LOG2E 1.4426950408889634f
#define LN2 0.6931471805599453f
#define NO_COLUMN 0xffffffffu

// What holds for the whole call: written by loss_prepare.
struct LossCall {
    double total;  // sum of the weights
    float scale;   // e^log_scale
    float scale2;  // scale log2(e): scores are kept as powers of two
    u32 zero;      // the total is 0: loss and gradients are 0
    u32 unused;
};

// A matrix of the product: rows x width in bf16, and what bf16 lost of it (LO only).
struct Operand {
    const u16* hi;
    const u16* lo;
    u64 rows;
};

// By user: the masked columns stand at [x, y) of the list.
struct MaskedLists {
    const uint2* spans;
    const u32* columns;
};

template <int WIDTH>
__device__ __forceinline__ u32 swizzle(u32 row, u32 chunk) {
    // Rows of 64 k values fill all banks; of 32 k, two rows do.
    return WIDTH % 64 == 0 ? chunk ^ (row & 7) : chunk ^ ((row >> 1) & 3);
}

// Where chunk `chunk` of row `row` stands in a tile, in bytes.
template <int WIDTH>
__device__ __forceinline__ u32 place(u32 row, u32 chunk) {
    return row * (WIDTH * 2) + swizzle<WIDTH>(row, chunk) * 16;
}

// Starts the copy of rows first .. first + ROWS; rows past the end become zero.
template <int WIDTH, int ROWS, int THREADS>
__device__ __forceinline__ void copy_tile(u32 to, const u16* __restrict__ from, u64 first, u64 rows) {
    constexpr int CHUNKS = WIDTH / 8;
    constexpr int TOTAL = ROWS * CHUNKS;
#pragma unroll
    for (int start = 0; start < TOTAL; start += THREADS) {
        const u32 i = start + threadIdx.x;
        if (TOTAL % THREADS != 0 && i >= TOTAL) break;
        const u32 row = i / CHUNKS, chunk = i % CHUNKS;
        const bool there = first + row < rows;
        copy_async(to + place<WIDTH>(row, chunk), from + (there ? (first + row) * WIDTH + chunk * 8 : 0), there ? 16 : 0);
    }
}

// Starts the copy of COUNT 4-byte values (a multiple of 4), by the threads from FIRST on. The source is padded.
template <int COUNT, int FIRST>
__device__ __forceinline__ void copy_values(u32 to, const void* from, u64 first) {
    const u32 i = threadIdx.x - FIRST;  // wraps to far above COUNT for the threads before FIRST
    if (i < COUNT / 4) copy_async(to + i * 16, static_cast<const u32*>(from) + first + i * 4);
}

__device__ __forceinline__ float2 shared_float2(u32 address) {
    float2 x;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x.x), "=f"(x.y) : "r"(address) : "memory");
    return x;
}

__device__ __forceinline__ uint2 shared_uint2(u32 address) {
    uint2 x;
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(x.x), "=r"(x.y) : "r"(address) : "memory");
    return x;
}

__device__ __forceinline__ u32 shared_u32(u32 address) {
    u32 x;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(x) : "r"(address) : "memory");
    return x;
}

__device__ __forceinline__ float4 shared_float4(u32 address) {
    float4 x;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(address)
                 : "memory");
    return x;
}

__device__ __forceinline__ uint4 shared_uint4(u32 address) {
    uint4 x;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
                 : "r"(address)
                 : "memory");
    return x;
}

__device__ __forceinline__ void store_shared_float2(u32 address, float a, float b) {
    asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(a), "f"(b) : "memory");
}

__device__ __forceinline__ void store_shared_uint2(u32 address, u32 a, u32 b) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(address), "r"(a), "r"(b) : "memory");
}

__device__ __forceinline__ void store_shared_u32(u32 address, u32 x) {
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(address), "r"(x) : "memory");
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

// A fragment of bf16 out of two accumulator tiles that stand side by side; `lo` gets what bf16 lost.
template <bool LO>
__device__ __forceinline__ void probability_fragment(u32 (&hi)[4], u32 (&lo)[4], const float (&left)[4],
                                                     const float (&right)[4]) {
    hi[0] = pack_bf16(left[0], left[1]);
    hi[1] = pack_bf16(left[2], left[3]);
    hi[2] = pack_bf16(right[0], right[1]);
    hi[3] = pack_bf16(right[2], right[3]);
    if (LO) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float a = i < 2 ? left[2 * i] : right[2 * i - 4], b = i < 2 ? left[2 * i + 1] : right[2 * i - 3];
            lo[i] = pack_bf16(a - __uint_as_float(hi[i] << 16), b - __uint_as_float(hi[i] & 0xffff0000u));
        }
    }
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
