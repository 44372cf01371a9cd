// Exact scores: one chain of fused multiply-adds over the width in column order, from the item's bias on (0 where there
// are none), as on the CPU, so that ids and scores are the CPU's bits.
#pragma once
#include "topk/keys.cuh"

// Columns of an item that a warp holds in shared memory at a time; queries are padded with zeros to a multiple of it.
#define RANK_COLUMNS 16

// What a query still needs (see topk_rank_list).
#define STATE_DONE 0u
#define STATE_RESCAN 1u
#define STATE_ALL 2u

// Where the chain of an item's score starts. An item whose bias is -inf has no score.
__device__ __forceinline__ float score_start(const ExactItems& exact, u32 item) {
    if (!exact.biases || item == NO_ITEM) return 0.0f;
    const float bias = __ldg(exact.biases + item);
    return bias == neg_inf() ? __uint_as_float(0x7fffffffu) : bias;
}

// The chain over the columns of `query` (padded with zeros to a multiple of RANK_COLUMNS) and of each lane's item. A
// warp copies 32 rows x 16 columns at a time, whole sectors, into `tile` (512 floats); 16-byte chunks are swizzled so
// that neither side of the transpose meets a bank twice.
__device__ __forceinline__ float exact_score(const ExactItems& exact, u32 item, const float4* query, float4* tile,
                                             u32 lane) {
    const u32 pitch = exact.pitch;
    float4 next[4];
    const u32 chunk = lane % 4;
    u32 rows[4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i) rows[i] = __shfl_sync(FULL, item, i * 8 + lane / 4);
    auto fetch = [&](u32 from) {
        const u32 column = from + chunk * 4;
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            next[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (rows[i] != NO_ITEM && column < pitch) {
                next[i] = __ldg(reinterpret_cast<const float4*>(exact.rows + u64(rows[i]) * pitch + column));
            }
        }
    };
    float score = score_start(exact, item);
    fetch(0);
    for (u32 from = 0; from < pitch; from += RANK_COLUMNS) {
#pragma unroll
        for (u32 i = 0; i < 4; ++i) {
            const u32 row = i * 8 + lane / 4;
            tile[row * 4 + (chunk ^ ((row >> 1) & 3))] = next[i];
        }
        __syncwarp();
        if (from + RANK_COLUMNS < pitch) fetch(from + RANK_COLUMNS);
#pragma unroll
        for (u32 c = 0; c < 4; ++c) {
            const float4 v = tile[lane * 4 + (c ^ ((lane >> 1) & 3))];
            // From the cache: one sector for the warp, where shared memory would take four turns.
            const float4 u = __ldg(query + from / 4 + c);
            score = fmaf(u.x, v.x, score);
            score = fmaf(u.y, v.y, score);
            score = fmaf(u.z, v.z, score);
            score = fmaf(u.w, v.w, score);
        }
        __syncwarp();
    }
    return score;
}

// A query's row, padded.
__device__ __forceinline__ const float4* query_row(const float* queries, u32 q, u32 pitch) {
    const u32 padded = (pitch + RANK_COLUMNS - 1) / RANK_COLUMNS * RANK_COLUMNS;
    return reinterpret_cast<const float4*>(queries + u64(q) * padded);
}
