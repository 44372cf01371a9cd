// Lookups. A group of `lanes` threads (a power of two from 4 to 32) makes one row of out; a lane holds N neighbouring
// values of a table row, one load.
#pragma once
#include "core/rows.cuh"
#include "core/status.cuh"
#include "embedding/arguments.cuh"

__device__ __forceinline__ void emit(float* to, float4 x, bool add) {
    if (add) {
        const float4 y = *reinterpret_cast<const float4*>(to);
        x = make_float4(y.x + x.x, y.y + x.y, y.z + x.z, y.w + x.w);
    }
    store_streaming(to, x);
}

// Half of a lane's eight values.
template <typename T>
__device__ __forceinline__ float4 unpack_half(const u32 (&x)[2]) {
    Packed<T, 4> y;
    y.x[0] = x[0], y.x[1] = x[1];
    return make_float4(y.get(0), y.get(1), y.get(2), y.get(3));
}

// Writes a lane's values of a table row, columns `column` on of `to`. Eight values are two accesses, which neighbouring
// lanes first exchange halves for, so that each access of the group covers whole sectors. The whole warp is here.
template <typename T, int N>
__device__ __forceinline__ void emit_packed(float* to, const Packed<T, N>& x, u32 column, u32 dim, bool write) {
    if constexpr (N == 8) {
        const bool odd = column & 8;
        u32 own[2], other[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            other[i] = __shfl_xor_sync(FULL, odd ? x.x[i] : x.x[i + 2], 1);
            own[i] = odd ? x.x[i + 2] : x.x[i];
        }
        const u32 first = (column & ~15u) + (odd ? 4 : 0);
        to += first;
        if (write && first < dim) store_streaming(to, odd ? unpack_half<T>(other) : unpack_half<T>(own));
        if (write && first + 8 < dim) store_streaming(to + 8, odd ? unpack_half<T>(own) : unpack_half<T>(other));
    } else {
        if (write && column < dim) store_streaming(to + column, make_float4(x.get(0), x.get(1), x.get(2), x.get(3)));
    }
}

// As emit_packed, of sums. `mask`: the lanes that are here.
template <int N>
__device__ __forceinline__ void emit_values(float* to, const float (&x)[N], u32 column, u32 dim, bool add, u32 mask) {
    if constexpr (N == 8) {
        const bool odd = column & 8;
        float other[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) other[i] = __shfl_xor_sync(mask, odd ? x[i] : x[i + 4], 1);
        const float4 received = make_float4(other[0], other[1], other[2], other[3]);
        const u32 first = (column & ~15u) + (odd ? 4 : 0);
        if (first < dim) emit(to + first, odd ? received : make_float4(x[0], x[1], x[2], x[3]), add);
        if (first + 8 < dim) emit(to + first + 8, odd ? make_float4(x[4], x[5], x[6], x[7]) : received, add);
    } else if constexpr (N == 4) {
        if (column < dim) emit(to + column, make_float4(x[0], x[1], x[2], x[3]), add);
    } else {
        if (column < dim) store_streaming(to + column, add ? to[column] + x[0] : x[0]);
    }
}

// out row r = table row ids[r]. Rows of table and out are 16-byte aligned and dim a multiple of N. The wrapper checks
// the lengths; an id that is not below `table_rows` is reported and gives zeros. A warp takes two rows a group: one load
// for their ids, both rows in flight.
template <typename T, int N>
__device__ __forceinline__ void gather_rows(const RowsForwardArgs& args) {
    float* out = args.out;
    const auto* table = static_cast<const typename T::Word*>(args.table);
    const u64 rows = args.rows, stride = args.stride;
    const u32 table_rows = args.table_rows, dim = args.dim, log_lanes = args.log_lanes;
    constexpr int FLIGHT = 2;
    const u32 lane = threadIdx.x % WARP, groups = WARP >> log_lanes;
    const u32 batch = groups * FLIGHT;
    const u64 first = (u64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP) * batch;
    if (first >= rows) return;
    // The rows of this warp.
    const u32 count = rows - first < batch ? u32(rows - first) : batch;
    u32 mine = 0xffffffffu;
    if (lane < count) {
        mine = __ldg(args.ids + first + lane);
        if (mine >= table_rows) report(args.status, first + lane, mine);
    }
    const u32 group = lane >> log_lanes, sub = lane & ((1u << log_lanes) - 1);
    out += first * stride;
    for (u32 pass = 0; pass < dim; pass += N << log_lanes) {
        const u32 column = pass + sub * N;
        Packed<T, N> x[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const u32 id = __shfl_sync(FULL, mine, k * groups + group);
            x[k].clear();
            if (id < table_rows && column < dim) x[k].load_constant(table + u64(id) * dim + column);
        }
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            const u32 row = k * groups + group;
            emit_packed<T, N>(out + row * stride, x[k], column, dim, row < count);
        }
    }
}

// out row r = the sum over l from offsets[r] to offsets[r + 1] of weights[l] table[ids[l]]; without weights their mean
// (0 for an empty bag); without offsets l is r alone. Sums run in the order of l, in fp32. Other checks as for
// gather_rows; N 1 asks for no alignment. Offsets that go back or past `lookups` are cut off and reported, as
// position 2^31 + r.
template <typename T, int N>
__device__ __forceinline__ void pool_rows(const BagForwardArgs& args) {
    const auto* table = static_cast<const typename T::Word*>(args.table);
    const u32 *ids = args.ids, *offsets = args.offsets;
    const float* weights = args.weights;
    const u32 lookups = args.lookups, table_rows = args.table_rows, dim = args.dim, log_lanes = args.log_lanes;
    constexpr int FLIGHT = sizeof(Packed<T, N>) == 16 ? 2 : 4;
    const u32 lanes = 1u << log_lanes, sub = threadIdx.x & (lanes - 1);
    const u32 mask = lanes == WARP ? FULL : ((1u << lanes) - 1) << (threadIdx.x % WARP & ~(lanes - 1));
    // Less than 2^31 rows: the wrapper checks.
    const u32 row = u32((u64(blockIdx.x) * blockDim.x + threadIdx.x) >> log_lanes);
    if (row >= args.rows) return;
    u32 from = row, to = from + 1;
    if (offsets) {
        from = offsets[row], to = offsets[row + 1];
        if (from > to || to > lookups) {
            if (sub == 0) report(args.status, 0x80000000u + u64(row), to);
            to = to < lookups ? to : lookups;
            from = from < to ? from : to;
        }
    }
    const float factor = weights || from == to ? 1.0f : __fdiv_rn(1.0f, float(to - from));
    for (u32 pass = 0; pass < dim; pass += N << log_lanes) {
        const u32 column = pass + sub * N;
        float sum[N];
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] = 0.0f;
        for (u32 l = from; l < to; l += lanes) {
            // Each lane fetches one id; an id of all ones loads nothing.
            u32 mine = 0xffffffffu;
            float weight = 1.0f;
            if (l + sub < to) {
                mine = ids[l + sub];
                if (weights) weight = weights[l + sub];
                if (mine >= table_rows) report(args.status, l + sub, mine);
            }
            const u32 count = to - l < lanes ? to - l : lanes;
            for (u32 j = 0; j < count; j += FLIGHT) {
                Packed<T, N> x[FLIGHT];
#pragma unroll
                for (int k = 0; k < FLIGHT; ++k) {
                    const u32 id = __shfl_sync(mask, mine, j + k, lanes);
                    x[k].clear();
                    if (id < table_rows && column < dim) x[k].load_constant(table + u64(id) * dim + column);
                }
#pragma unroll
                for (int k = 0; k < FLIGHT; ++k) {
                    const float w = __shfl_sync(mask, weight, j + k, lanes);
#pragma unroll
                    for (int i = 0; i < N; ++i) sum[i] = __fmaf_rn(w, x[k].get(i), sum[i]);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] = __fmul_rn(sum[i], factor);
        emit_values<N>(args.out + u64(row) * args.stride, sum, column, dim, args.add, mask);
    }
}
