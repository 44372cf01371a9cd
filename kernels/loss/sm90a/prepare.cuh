// Before the products: operands in panels, the scalars, arrays by row and column.
#pragma once
#include "core/convert.cuh"
#include "core/sm90a/panel.cuh"
#include "loss/prepare.cuh"
#include "loss/sm90a/arguments.cuh"

// Chunk `chunk` of a row, and what it adds to the row's squared length, as the products see it.
__device__ __forceinline__ float convert_chunk(u16* __restrict__ to, const float* __restrict__ from, u32 row, u32 chunk, u32 dim,
                                               bool there, bool wide) {
    float x[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) x[i] = 0.0f;
    const u32 first = chunk * 8;
    if (there && first < dim) {
        const float* at = from + u64(row) * dim + first;
        if (wide) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                if (first + half * 4 >= dim) continue;
                const float4 y = *reinterpret_cast<const float4*>(at + half * 4);
                x[half * 4] = y.x, x[half * 4 + 1] = y.y, x[half * 4 + 2] = y.z, x[half * 4 + 3] = y.w;
            }
        } else {
#pragma unroll
            for (int i = 0; i < 8; ++i)
                if (first + i < dim) x[i] = at[i];
        }
    }
    u32 packed[4];
    float length = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        packed[i] = pack_bf16(x[2 * i], x[2 * i + 1]);
        const float low = __uint_as_float(packed[i] << 16), high = __uint_as_float(packed[i] & 0xffff0000u);
        length = fmaf(low, low, fmaf(high, high, length));
    }
    *reinterpret_cast<uint4*>(to + panel_place(row, chunk % 8)) = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    return length;
}

// A block a part: 8 threads a row, 32 rows at a time.
__device__ __forceinline__ void prepare_panels(const PrepareHopperArgs& args, u32 of_both) {
    const bool users = of_both < args.user_parts;
    const u32 part = users ? of_both : of_both - args.user_parts;
    const u32 parts = users ? args.user_parts : args.candidate_parts;
    const u32 rows = users ? args.rows : args.columns, padded = users ? args.padded_rows : args.padded_columns;
    const float *from = users ? args.users : args.candidates, *bias = users ? nullptr : args.bias;
    u16* to = users ? args.user_panels : args.candidate_panels;
    const u32 dim = args.dim, panels = args.panels;
    const bool wide = dim % 4 == 0 && (u64(from) & 15) == 0;
    float longest = 0.0f, top = neg_inf(), lowest = neg_inf();
    for (u32 first = part * 32; first < padded; first += parts * 32) {
        const u32 row = first + threadIdx.x / 8;
        float length = 0.0f;
        for (u32 panel = 0; panel < panels; ++panel)
            length += convert_chunk(to + u64(panel) * padded * PANEL_COLUMNS, from, row, panel * 8 + threadIdx.x % 8, dim,
                                    row < rows, wide);
        longest = max_nan(longest, group_sum(length, 8));
        if (bias && threadIdx.x < 32 && first + threadIdx.x < rows) {
            const float x = bias[first + threadIdx.x] * LOG2E;
            top = max_nan(top, x);
            if (x != neg_inf()) lowest = max_nan(lowest, -x);
        }
    }
    longest = block_max_nan(longest), top = block_max_nan(top), lowest = block_max_nan(lowest);
    if (threadIdx.x == 0) args.extremes[of_both] = make_float4(longest, top, -lowest, 0.0f);
}

// One thread a row and column up to the padded ones. A refused positive counts as none; a column of the padding has the bias
// -inf, a row of it counts for nothing.
__device__ __forceinline__ void prepare_values(const PrepareHopperArgs& args) {
    const float *weights = args.weights, *bias = args.bias;
    const u32* ids = args.ids;
    const u32 rows = args.rows, columns = args.columns, i = blockIdx.x * 256 + threadIdx.x;
    if (weights && blockIdx.x * 256 < rows) {
        const double sum = block_sum<256>(i < rows ? double(weights[i]) : 0.0);
        if (threadIdx.x == 0) args.weight_sums[blockIdx.x] = sum;
    }
    if (i < args.padded_columns) {
        const bool there = i < columns;
        args.bias2[i] = !there ? neg_inf() : bias ? bias[i] * LOG2E : 0.0f;
        if (i % 16 == 0) args.candidate_tickets[i / 16] = 0;
        if (ids) {
            const u32 id = there ? ids[i] : 0;
            args.candidate_ids[i] = id, args.column_ids[fragment_order(i)] = id;
            put_range(args.column_ranges, i, id, there);
        }
    }
    if (i >= args.padded_rows) return;
    if (i % 16 == 0) args.user_tickets[i / 16] = 0;
    u32 positive = NO_COLUMN;
    if (i < rows) {
        positive = args.given_positives ? args.given_positives[i] : i;
        if (positive >= columns) {
            report(args.status, i, positive);
            positive = NO_COLUMN;
        }
    } else {
        args.offset[fragment_order(i)] = neg_inf(), args.gap[fragment_order(i)] = 0.0f;
    }
    args.positives[i] = positive, args.fragment_positives[fragment_order(i)] = positive;
    if (ids) {
        const bool there = positive != NO_COLUMN;
        const u32 id = there ? ids[positive] : 0;
        args.user_ids[i] = id, args.fragment_ids[fragment_order(i)] = id;
        put_range(args.user_ranges, i, id, there);
    }
    if (args.offsets && i < rows) check_list(args, i, positive);
}

extern "C" __global__ void __launch_bounds__(256) loss_prepare_sm90a(const __grid_constant__ PrepareHopperArgs args) {
    if (blockIdx.x < args.value_blocks) {
        prepare_values(args);
    } else {
        prepare_panels(args, blockIdx.x - args.value_blocks);
    }
}
