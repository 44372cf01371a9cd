// Products of a warpgroup: d (64 x N, fp32) = or += A (64 x 16) B (16 x N), bf16. A comes from registers, a fragment of 16 rows
// a warp, or by descriptor; B by descriptor, K-major, or MN-major where TRANSPOSED is 1. `add` 0: d is overwritten.
//
// d of warp w, lane l: rows 16 w + l / 4 (+ 8 where bit 1 of the index is set), columns 8 (i / 4) + 2 (l % 4) + (i & 1).
#pragma once
#include "core/sm90a/warpgroup.cuh"

#define ACCUMULATORS_8(d, i)                                                                                  \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
        "+f"(d[i + 7])
#define ACCUMULATORS_32(d, i) \
    ACCUMULATORS_8(d, i), ACCUMULATORS_8(d, i + 8), ACCUMULATORS_8(d, i + 16), ACCUMULATORS_8(d, i + 24)

template <int N>
struct Product;

template <>
struct Product<64> {
    template <int TRANSPOSED>
    static __device__ __forceinline__ void from_registers(float (&d)[32], const u32 (&a)[4], u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "
            "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "{%32, %33, %34, %35}, %36, p, 1, 1, %38; "
            "\n}\n"
            : ACCUMULATORS_32(d, 0)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TRANSPOSED));
    }
    template <int TRANSPOSED>
    static __device__ __forceinline__ void from_shared(float (&d)[32], u64 a, u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "
            "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "%32, %33, p, 1, 1, 0, %35; "
            "\n}\n"
            : ACCUMULATORS_32(d, 0)
            : "l"(a), "l"(b), "r"(add), "n"(TRANSPOSED));
    }
};

template <>
struct Product<128> {
    template <int TRANSPOSED>
    static __device__ __forceinline__ void from_registers(float (&d)[64], const u32 (&a)[4], u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "
            "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
            "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, "
            "%59, %60, %61, %62, %63}, "
            "{%64, %65, %66, %67}, %68, p, 1, 1, %70; "
            "\n}\n"
            : ACCUMULATORS_32(d, 0), ACCUMULATORS_32(d, 32)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(TRANSPOSED));
    }
    template <int TRANSPOSED>
    static __device__ __forceinline__ void from_shared(float (&d)[64], u64 a, u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, "
            "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
            "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, "
            "%59, %60, %61, %62, %63}, "
            "%64, %65, p, 1, 1, 0, %67; "
            "\n}\n"
            : ACCUMULATORS_32(d, 0), ACCUMULATORS_32(d, 32)
            : "l"(a), "l"(b), "r"(add), "n"(TRANSPOSED));
    }
};
