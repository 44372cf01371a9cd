// Products of a warpgroup as in product.cuh, of int8: d (64 x N, int32) = or += A (64 x 32) B (32 x N). A comes from registers,
// B by descriptor, K-major. d lies as there.
#pragma once
#include "core/sm90a/warpgroup.cuh"

#define WHOLE_8(d, i)                                                                                         \
    "+r"(d[i]), "+r"(d[i + 1]), "+r"(d[i + 2]), "+r"(d[i + 3]), "+r"(d[i + 4]), "+r"(d[i + 5]), "+r"(d[i + 6]), \
        "+r"(d[i + 7])
#define WHOLE_32(d, i) WHOLE_8(d, i), WHOLE_8(d, i + 8), WHOLE_8(d, i + 16), WHOLE_8(d, i + 24)

template <int N>
struct ProductInt8;

template <>
struct ProductInt8<64> {
    static __device__ __forceinline__ void from_registers(int (&d)[32], const u32 (&a)[4], u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n64k32.s32.s8.s8 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
            "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
            "{%32, %33, %34, %35}, %36, p; "
            "\n}\n"
            : WHOLE_32(d, 0)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
    }
};

template <>
struct ProductInt8<128> {
    static __device__ __forceinline__ void from_registers(int (&d)[64], const u32 (&a)[4], u64 b, u32 add) {
        asm volatile(
            "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
            "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 "
            "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
            "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "
            "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "
            "%56, %57, %58, %59, %60, %61, %62, %63}, "
            "{%64, %65, %66, %67}, %68, p; "
            "\n}\n"
            : WHOLE_32(d, 0), WHOLE_32(d, 32)
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
    }
};
