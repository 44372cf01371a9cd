// The scan of all items: approximate scores on tensor cores, compared in registers, never stored.
//
// A block scores tiles of items against BM queries, a warp 32 queries x 32 items at a time. What becomes of a score
// depends on the mode:
//   MAXIMA  of a sample of the items: the best of each group of 8 (or 32) goes to memory, for topk_threshold;
//   FILTER  items that reach the query's bar are appended to its list (an integer atomic each; the list's order varies
//           from run to run, its content does not);
//   BUCKETS the best 4 of each of the query's buckets stay in registers and go to memory at the end.
// Rows are read as bytes, a multiple of 32: bf16 (16 values a step of mma) or int8 codes (32 values a step).
// An item's bias is added to its score at the end, in the query's units.
#pragma once
#include "topk/keys.cuh"
#include "core/mma.cuh"

#define MAXIMA 0
#define FILTER 1
#define BUCKETS 2

// Items kept per bucket.
#define KEPT 4

// What the kernels of a mode take.
template <int MODE>
struct ModeArgs {
    typedef ScanArgs Args;
};
template <>
struct ModeArgs<MAXIMA> {
    typedef SampleArgs Args;
};

// The query of a block row.
template <int MODE>
__device__ __forceinline__ u32 query_of(const typename ModeArgs<MODE>::Args& args, u32 row) {
    if constexpr (MODE == MAXIMA) {
        return row;
    } else {
        return listed(args.index, row);
    }
}

// Four-byte copy to shared memory; `bytes` 0 writes zero.
__device__ __forceinline__ void copy_async4(u32 to, const void* from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

// Copies a value of an item to shared memory; 0 where `item` is none.
__device__ __forceinline__ void copy_value(u32 to, const float* values, u32 item, u32 item_count) {
    const bool there = item < item_count;
    copy_async4(to, values + (there ? item : 0), there ? 4 : 0);
}

struct ScanBf16 {
    typedef float Sum;
    enum { SCALED = 0 };
    static __device__ __forceinline__ void multiply(Sum (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
        mma_bf16(c, a, b0, b1);
    }
};

struct ScanInt8 {
    typedef int Sum;
    enum { SCALED = 1 };
    static __device__ __forceinline__ void multiply(Sum (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
        asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                     "{%0, %1, %2, %3};"
                     : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
};

// The item of place `column` of a tile of BN; past the last one: none.
template <int MODE, int BN>
__device__ __forceinline__ u32 item_of(const typename ModeArgs<MODE>::Args& args, u32 tile, u32 column) {
    if (MODE == FILTER) return tile * BN + column;
    if constexpr (MODE == MAXIMA) {
        // Strata of equal length, a pseudo-random item of each: no order of the catalogue misleads the sample for long.
        const u32 sample = tile * BN + column;
        const u32 jitter = __umulhi(u32(mix(sample) >> 32), u32(args.item_step >> 32));
        return u32(sample * args.item_step >> 32) + jitter;
    }
    // Eight neighbours in the catalogue (often alike) share four buckets; the next eight go to the next split, in time
    // to other warps: buckets as if at random, whatever the order of the catalogue.
    const u32 eight = (column / 8 + tile / gridDim.y) % (BN / 8);
    return (eight * args.operands.tiles + tile) * 8 + column % 8;
}

// What a warp does with its 32 x 32 scores. Row r of a lane's four is r / 2 * 16 + r % 2 * 8 + lane / 4; its columns
// are j * 8 + lane % 4 * 2 + {0, 1} for j < 4.
template <class T, int MODE, int BN>
struct Epilogue {
    const typename ModeArgs<MODE>::Args& args;
    u32 first_row;
    // FILTER: bars. (Buckets: the least kept score is the bar.)
    float bars[4];
    // What turns a bias into the units of a row's scores.
    float units[T::SCALED ? 4 : 1];
    float best[MODE == BUCKETS ? 4 : 1][KEPT];
    u32 kept[MODE == BUCKETS ? 4 : 1][KEPT];

    __device__ __forceinline__ u32 row(u32 r) const {
        return first_row + r / 2 * 16 + r % 2 * 8 + threadIdx.x % WARP / 4;
    }
    __device__ __forceinline__ u32 query(u32 row) const { return query_of<MODE>(args, row); }
    __device__ __forceinline__ bool there(u32 r) const { return row(r) < args.operands.rows; }
    __device__ __forceinline__ float query_scale(u32 query) const { return __ldg(args.operands.query_scales + query); }

    // `at`: the warp's first row.
    __device__ __forceinline__ Epilogue(const typename ModeArgs<MODE>::Args& scan, u32 at)
        : args(scan), first_row(at) {
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            if (T::SCALED) {
                const bool biased = args.operands.item_biases && there(r);
                units[T::SCALED ? r : 0] = biased ? 1.0f / query_scale(query(row(r))) : 0.0f;
            }
            if constexpr (MODE == FILTER) {
                // Rows past the last are zero: no finite score passes.
                bars[r] = __uint_as_float(0x7f800000u);
                if (there(r)) {
                    const u32 q = query(row(r));
                    const float bar = __ldg(args.bars + q);
                    bars[r] = T::SCALED && fabsf(bar) < __uint_as_float(0x7f800000u) ? bar / query_scale(q) : bar;
                }
            }
            if (MODE == BUCKETS) {
#pragma unroll
                for (u32 i = 0; i < KEPT; ++i) best[r][i] = neg_inf(), kept[r][i] = NO_ITEM;
            }
        }
    }

    // Takes the scores of columns [column, column + 32) of a tile; `scales`, `biases`: the tile's in shared memory.
    __device__ __forceinline__ void take(const typename T::Sum (&sums)[2][4][4], u32 tile, u32 column,
                                         const float* scales, const float* biases) {
        const u32 lane = threadIdx.x % WARP;
        float x[4][8];
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            const float* scale = scales + column + j * 8 + lane % 4 * 2;
#pragma unroll
            for (u32 r = 0; r < 4; ++r) {
                x[r][j * 2] = float(sums[r / 2][j][r % 2 * 2]);
                x[r][j * 2 + 1] = float(sums[r / 2][j][r % 2 * 2 + 1]);
                if (T::SCALED) x[r][j * 2] *= scale[0], x[r][j * 2 + 1] *= scale[1];
            }
        }
        if (args.operands.item_biases) {
#pragma unroll
            for (u32 i = 0; i < 8; ++i) {
                const float bias = biases[place(column, i)];
#pragma unroll
                for (u32 r = 0; r < 4; ++r)
                    x[r][i] = T::SCALED ? fmaf(bias, units[T::SCALED ? r : 0], x[r][i]) : x[r][i] + bias;
            }
        }
        if constexpr (MODE == MAXIMA) return store_maxima(x, tile, column);
        bool passes = false;
        float most[4];
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            most[r] = x[r][0];
            // A NaN passes every bar: only the exact score can tell whether the item counts.
#pragma unroll
            for (u32 i = 1; i < 8; ++i) most[r] = MODE == FILTER ? max_nan(most[r], x[r][i]) : fmaxf(most[r], x[r][i]);
            passes |= MODE == FILTER ? !(most[r] < bars[r]) : most[r] > best[MODE == BUCKETS ? r : 0][KEPT - 1];
        }
        if (!__any_sync(FULL, passes)) return;
        if constexpr (MODE == FILTER) append(x, most, tile, column);
        if constexpr (MODE == BUCKETS) insert(x, most, tile, column);
    }

    // The place of a lane's i-th column of eight.
    static __device__ __forceinline__ u32 place(u32 column, u32 i) {
        return column + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
    }

    // One of a row's eight scores.
    static __device__ __forceinline__ float pick(const float (&x)[8], u32 hit) {
        float score = x[0];
#pragma unroll
        for (u32 i = 1; i < 8; ++i) score = i == hit ? x[i] : score;
        return score;
    }

    __device__ __forceinline__ void append(const float (&x)[4][8], const float (&most)[4], u32 tile, u32 column) {
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            if (most[r] < bars[r] || !there(r)) continue;
            u32 hits = 0;
#pragma unroll
            for (u32 i = 0; i < 8; ++i) hits |= u32(!(x[r][i] < bars[r])) << i;
            while (hits) {
                const u32 hit = __ffs(hits) - 1;
                hits &= hits - 1;
                const u32 item = item_of<MODE, BN>(args, tile, place(column, hit)), q = query(row(r));
                if (item >= args.operands.item_count || skips(args.skip, q, item)) continue;
                const u32 n = atomicAdd(args.counts + q, 1u);
                const float score = T::SCALED ? pick(x[r], hit) * query_scale(q) : pick(x[r], hit);
                if (n < args.list_room) args.lists[u64(row(r)) * args.list_room + n] = scan_key(score, item);
            }
        }
    }

    __device__ __forceinline__ void insert(const float (&x)[4][8], const float (&most)[4], u32 tile, u32 column) {
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            float(&scores)[KEPT] = best[r];
            u32(&ids)[KEPT] = kept[r];
            if (!(most[r] > scores[KEPT - 1]) || !there(r)) continue;
            u32 hits = 0;
#pragma unroll
            for (u32 i = 0; i < 8; ++i) hits |= u32(x[r][i] > scores[KEPT - 1]) << i;
            while (hits) {
                const u32 hit = __ffs(hits) - 1;
                hits &= hits - 1;
                float score = pick(x[r], hit);
                u32 id = item_of<MODE, BN>(args, tile, place(column, hit));
                // Earlier hits may have raised the bar.
                if (!(score > scores[KEPT - 1]) || id >= args.operands.item_count) continue;
                if (skips(args.skip, query(row(r)), id)) continue;
#pragma unroll
                for (u32 n = 0; n < KEPT; ++n) {
                    const bool better = score > scores[n];
                    const float s = better ? scores[n] : score;
                    const u32 d = better ? ids[n] : id;
                    scores[n] = better ? score : scores[n];
                    ids[n] = better ? id : ids[n];
                    score = s, id = d;
                }
            }
        }
    }

    // maxima: groups x pitch, a group's queries side by side: eight lanes write one sector.
    __device__ __forceinline__ void store_maxima(const float (&x)[4][8], u32 tile, u32 column) {
        const u32 lane = threadIdx.x % WARP, block = (tile * BN + column) / 32;
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            float most = x[r][0];
            // NaN is left out: it is never returned.
#pragma unroll
            for (u32 i = 1; i < 8; ++i) most = fmaxf(most, x[r][i]);
            if (args.wide_groups) {
                most = fmaxf(most, __shfl_xor_sync(FULL, most, 1));
                most = fmaxf(most, __shfl_xor_sync(FULL, most, 2));
            }
            if (!there(r) || (args.wide_groups && lane % 4 != 0)) continue;
            const u32 group = args.wide_groups ? block : block * 4 + lane % 4;
            args.maxima[u64(group) * args.pitch + row(r)] = T::SCALED ? most * query_scale(row(r)) : most;
        }
    }

    // lists: a row of buckets * KEPT a query; bucket `first` + lane % 4 is this lane's.
    __device__ __forceinline__ void finish(u32 first) {
#pragma unroll
        for (u32 r = 0; r < 4; ++r) {
            if (!there(r)) continue;
            const float scale = T::SCALED ? query_scale(row(r)) : 1.0f;
            u64 keys[KEPT];
#pragma unroll
            for (u32 n = 0; n < KEPT; ++n)
                keys[n] = kept[r][n] == NO_ITEM ? NO_KEY : scan_key(best[r][n] * scale, kept[r][n]);
            u64* to = args.lists + u64(row(r)) * args.list_room + (first + threadIdx.x % 4) * KEPT;
            reinterpret_cast<ulonglong2*>(to)[0] = make_ulonglong2(keys[0], keys[1]);
            reinterpret_cast<ulonglong2*>(to)[1] = make_ulonglong2(keys[2], keys[3]);
        }
    }
};

// Addresses of 16-byte chunks in rows of 64 bytes, so that eight rows' equal chunks lie in different banks.
__device__ __forceinline__ u32 swizzle64(u32 row, u32 chunk) { return row * 64 + ((chunk ^ ((row >> 1) & 3)) << 4); }
