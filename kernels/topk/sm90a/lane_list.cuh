// A lane's list of a row of scores: what its scan lets pass.
#pragma once
#include "topk/sm90a/lists.cuh"

// Appends an item at byte `end` of a list if its score reaches the bar: predicated, since a branch costs more.
__device__ __forceinline__ void append(uint2* list, u32& end, float score, float bar, u32 column) {
    asm volatile("{\n.reg .pred p;\n.reg .b64 a;\nsetp.ge.f32 p, %1, %2;\ncvt.u64.u32 a, %0;\nadd.u64 a, a, %3;\n"
                 "@p st.global.v2.b32 [a], {%4, %5};\n@p add.u32 %0, %0, 8;\n}\n"
                 : "+r"(end)
                 : "f"(score), "f"(bar), "l"(list), "r"(__float_as_uint(score)), "r"(column)
                 : "memory");
}

__device__ __forceinline__ void append(uint2* list, u32& end, int score, int bar, u32 column) {
    asm volatile("{\n.reg .pred p;\n.reg .b64 a;\nsetp.ge.s32 p, %1, %2;\ncvt.u64.u32 a, %0;\nadd.u64 a, a, %3;\n"
                 "@p st.global.v2.b32 [a], {%1, %4};\n@p add.u32 %0, %0, 8;\n}\n"
                 : "+r"(end)
                 : "r"(score), "r"(bar), "l"(list), "r"(column)
                 : "memory");
}

// A bar that everything passes, and one that nothing does, as whole scores.
#define NO_BAR int(0x80000000u)
#define HIGHEST_BAR 0x7fffffff

// Of a query whose scores are whole: no higher than the bar says, roundings included. A query without a unit has no scores.
__device__ __forceinline__ int whole_bar(float bar, float unit) {
    return unit > 0.0f ? __float2int_rd(bar / unit) : HIGHEST_BAR;
}

// A row's list of a lane: bytes used, and the most that are of use.
template <class T>
struct LaneList {
    uint2* list;
    u32 end, room;
    T bar;
    // What whole numbers compare with as scores do. Where scores are fp32, the bar's bits if it is above zero, or else
    // everything is looked at.
    int bits;

    static __device__ __forceinline__ int bits_of(float x) { return __float_as_int(x); }
    static __device__ __forceinline__ int bits_of(int x) { return x; }
    static __device__ __forceinline__ void set(float& bar, int& bits, float asked, const float*, u32) {
        bar = asked;
        bits = asked > 0.0f ? __float_as_int(asked) : NO_BAR;
    }
    static __device__ __forceinline__ void set(int& bar, int& bits, float asked, const float* units, u32 row) {
        bits = bar = whole_bar(asked, __ldg(units + row));
    }

    __device__ __forceinline__ void open(const PanelScanArgs& args, u32 row) {
        // Rows past the last take nothing.
        const bool there = row < args.operands.rows;
        const QueryLists all(args.places, there ? row : 0, gridDim.y * 4);
        set(bar, bits, there ? __ldg(args.bars + row) : __uint_as_float(0x7f800000u), args.operands.units, there ? row : 0);
        list = args.lists + all.first + (blockIdx.y * 4 + threadIdx.x % 4) * u64(all.share);
        room = (all.room + 1) * 8;
        end = 0;
        // Not to be computed again where a score passes.
        asm volatile("" : "+l"(list), "+r"(bits));
    }

    // Eight scores of a row: those of columns column + {0, 1, 8, 9, 16, 17, 24, 25}.
    __device__ __forceinline__ void take(const T (&x)[8], u32 column) {
        auto at = [&](int i) { return bits_of(x[i]); };
        int most = __vimax3_s32(at(0), at(1), at(2));
        most = __vimax3_s32(most, at(3), at(4));
        most = __vimax3_s32(most, at(5), at(6));
        if (max(most, at(7)) < bits) return;
        end = min(end, room);
#pragma unroll
        for (int i = 0; i < 8; ++i) append(list, end, x[i], bar, column + i / 2 * 8 + i % 2);
    }
};
