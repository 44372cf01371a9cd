// Lookups: all bags of a batch in one launch. A block works for one target; a group of `lanes` threads (a power of two
// from 4 to 32) makes its rows, a lane N neighbouring values at a time.
#pragma once
#include "core/rows.cuh"
#include "core/shared_words.cuh"
#include "core/status.cuh"
#include "embedding/arguments.cuh"

#define NOTHING 0xffffffffu

// Types of tables' values.
enum Stored { STORED_F32 = 0, STORED_BF16 = 1, STORED_F16 = 2 };

// N neighbouring values as they are stored. All zero bits are zeros in every type.
template <int N>
struct Raw {
    u32 x[N];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < N; ++i) x[i] = 0;
    }
    __device__ __forceinline__ void load(const void* table, u32 stored, u64 at) {
        if (stored == STORED_F32) {
            load_constant<4 * N>(x, static_cast<const float*>(table) + at);
        } else {
            u32 y[N < 2 ? 1 : N / 2];
            load_constant<2 * N>(y, static_cast<const u16*>(table) + at);
#pragma unroll
            for (int i = 0; i < (N < 2 ? 1 : N / 2); ++i) x[i] = y[i];
        }
    }
    __device__ __forceinline__ float get(u32 stored, int i) const {
        if (stored == STORED_F32) return __uint_as_float(x[i]);
        const u32 half = i % 2 ? x[i / 2] >> 16 : x[i / 2] & 0xffffu;
        return stored == STORED_BF16 ? __uint_as_float(half << 16) : f16_to_f32(u16(half));
    }
};

template <int N>
__device__ __forceinline__ void emit(float* to, const float (&x)[N]) {
    if constexpr (N == 4) {
        store_streaming(to, make_float4(x[0], x[1], x[2], x[3]));
    } else {
        store_streaming(to, x[0]);
    }
}

// The lanes of a warp that make a row together.
struct PoolGroup {
    u32 lanes, sub, mask;
    __device__ __forceinline__ explicit PoolGroup(u32 log_lanes) {
        lanes = 1u << log_lanes, sub = threadIdx.x & (lanes - 1);
        mask = lanes == WARP ? FULL : ((1u << lanes) - 1) << (threadIdx.x % WARP & ~(lanes - 1));
    }
};

// x = a lane's values of the pool of row `row`: the sum over l from offsets[row] to offsets[row + 1] of
// weights[l] table[ids[l]]; without weights their mean (0 for an empty bag); without offsets l is `row` alone. The sum runs in
// the order of l, in fp32. Offsets that go back or past `lookups` are cut off and reported, as position 2^31 + row.
template <int N>
__device__ __forceinline__ void pool_bag(float (&sum)[N], const PoolBag& bag, u64* status, u32 row, u32 dim, u32 column,
                                         const PoolGroup& group) {
    constexpr int FLIGHT = 4;
    u32 from = row, to = from + 1;
    if (bag.offsets) {
        from = bag.offsets[row], to = bag.offsets[row + 1];
        if (from > to || to > bag.lookups) {
            if (group.sub == 0) report(status, 0x80000000u + u64(row), to);
            to = to < bag.lookups ? to : bag.lookups;
            from = from < to ? from : to;
        }
    }
    const float factor = bag.weights || from == to ? 1.0f : __fdiv_rn(1.0f, float(to - from));
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = 0.0f;
    for (u32 l = from; l < to; l += group.lanes) {
        // Each lane fetches one id; an id of all ones loads nothing.
        u32 mine = NOTHING;
        float weight = 1.0f;
        if (l + group.sub < to) {
            mine = bag.ids[l + group.sub];
            if (bag.weights) weight = bag.weights[l + group.sub];
            if (mine >= bag.table_rows) report(status, l + group.sub, mine);
        }
        const u32 count = to - l < group.lanes ? to - l : group.lanes;
        for (u32 j = 0; j < count; j += FLIGHT) {
            Raw<N> x[FLIGHT];
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                const u32 id = __shfl_sync(group.mask, mine, j + k, group.lanes);
                x[k].clear();
                if (id < bag.table_rows && column < dim) x[k].load(bag.table, bag.stored, u64(id) * dim + column);
            }
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                const float w = __shfl_sync(group.mask, weight, j + k, group.lanes);
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] = __fmaf_rn(w, x[k].get(bag.stored, i), sum[i]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = __fmul_rn(sum[i], factor);
}

__device__ __forceinline__ bool is_plain(const PoolBag& bag) { return !bag.offsets && !bag.weights; }

// Rows of a target with one bag of single rows: copies, several in flight. An id that is not below `table_rows` is
// reported and gives zeros.
template <int N>
__device__ __forceinline__ void gather_rows(const PoolTarget& to, const PoolBag& bag, u64* status, u32 first) {
    constexpr int FLIGHT = 4;
    const PoolGroup group(to.log_lanes);
    const u32 end = to.rows - first < to.group_rows ? to.rows : first + to.group_rows;
    u32 mine = NOTHING;
    if (group.sub < FLIGHT && first + group.sub < end) {
        mine = __ldg(bag.ids + first + group.sub);
        if (mine >= bag.table_rows) report(status, first + group.sub, mine);
    }
    for (u32 pass = 0; pass < to.dim; pass += group.lanes * N) {
        const u32 column = pass + group.sub * N;
        const bool here = column < to.dim;
        Raw<N> x[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const u32 id = __shfl_sync(group.mask, mine, k, group.lanes);
            x[k].clear();
            if (id < bag.table_rows && here) x[k].load(bag.table, bag.stored, u64(id) * to.dim + column);
        }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            float values[N];
#pragma unroll
            for (int i = 0; i < N; ++i) values[i] = x[k].get(bag.stored, i);
            if (first + k < end && here) emit<N>(to.out + u64(first + k) * to.stride + column, values);
        }
    }
}

// One row of a target: the pools of its bags, added in order. Bags of single rows that follow one another are loaded
// together.
template <int N>
__device__ __forceinline__ void add_pools(const PoolTarget& to, const PoolBag* bags, u64* status, u32 row) {
    constexpr int FLIGHT = 4;
    const PoolGroup group(to.log_lanes);
    for (u32 pass = 0; pass < to.dim; pass += group.lanes * N) {
        const u32 column = pass + group.sub * N;
        float sum[N];
        for (u32 b = 0; b < to.bags;) {
            if (!is_plain(bags[b])) {
                float pool[N];
                pool_bag<N>(pool, bags[b], status, row, to.dim, column, group);
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] = b == 0 ? pool[i] : sum[i] + pool[i];
                ++b;
                continue;
            }
            u32 count = 1;
            while (count < FLIGHT && b + count < to.bags && is_plain(bags[b + count])) ++count;
            Raw<N> x[FLIGHT];
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                x[k].clear();
                if (k >= count) continue;
                const PoolBag& bag = bags[b + k];
                const u32 id = __ldg(bag.ids + row);
                if (id >= bag.table_rows) {
                    if (group.sub == 0) report(status, row, id);
                } else if (column < to.dim) {
                    x[k].load(bag.table, bag.stored, u64(id) * to.dim + column);
                }
            }
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                if (k >= count) continue;
                const u32 stored = bags[b + k].stored;
#pragma unroll
                for (int i = 0; i < N; ++i) {
                    const float value = x[k].get(stored, i);
                    sum[i] = b + k == 0 ? value : sum[i] + value;
                }
            }
            b += count;
        }
        if (column < to.dim) emit<N>(to.out + u64(row) * to.stride + column, sum);
    }
}

template <int N>
__device__ __forceinline__ void make_rows(const PoolTarget& to, const PoolBag* bags, u64* status) {
    const u32 block = blockIdx.x - to.first_block;
    const u32 first = ((block * blockDim.x + threadIdx.x) >> to.log_lanes) * to.group_rows;
    if (first >= to.rows) return;
    if (to.bags == 1 && is_plain(bags[0])) {
        gather_rows<N>(to, bags[0], status, first);
    } else {
        add_pools<N>(to, bags, status, first);
    }
}

// The last target whose blocks begin at or before this one.
__device__ __forceinline__ u32 target_of(const PoolsArgs& args) {
    u32 low = 0, high = args.count;
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (__ldg(&args.targets[middle].first_block) <= blockIdx.x) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// A block reads what describes its target once, but for bags beyond SHARED_BAGS.
#define SHARED_BAGS 24
__device__ __forceinline__ void pools(const PoolsArgs& args) {
    __shared__ __align__(16) PoolTarget to;
    __shared__ __align__(16) PoolBag shared[SHARED_BAGS];
    if (threadIdx.x < WARP) {
        copy_words(&to, args.targets + target_of(args));
        __syncwarp();
        copy_words(shared, args.bags + to.first_bag, to.bags < SHARED_BAGS ? to.bags : SHARED_BAGS);
    }
    __syncthreads();
    const PoolBag* bags = to.bags <= SHARED_BAGS ? shared : args.bags + to.first_bag;
    if (to.vector == 4) {
        make_rows<4>(to, bags, args.status);
    } else {
        make_rows<1>(to, bags, args.status);
    }
}
