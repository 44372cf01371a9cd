// Exact scores of what a scan of panels let pass, the best k of them in order, and the proof that no other item belongs
// there: topk_rank_list (topk/rank.cuh) for lists of many lanes, where most queries need no second look.
#pragma once
#include "core/reduce.cuh"
#include "topk/exact.cuh"
#include "topk/sm90a/lists.cuh"

// Scores beyond this may overflow on the way to a sum, and what comes of that is in no bound.
#define MOST_SCORE 1e37f

// The sum over a block of THREADS, and their largest value; `words`: 16 of them, `turn` counts the calls.
template <int THREADS>
__device__ __forceinline__ u32 total_of(u32 x, u32* words, u32 turn) {
    x = __reduce_add_sync(FULL, x);
    if (THREADS == WARP) return x;
    u32* mine = words + turn % 2 * 8;
    if (threadIdx.x % WARP == 0) mine[threadIdx.x / WARP] = x;
    __syncthreads();
    u32 total = 0;
#pragma unroll
    for (int warp = 0; warp < THREADS / WARP; ++warp) total += mine[warp];
    return total;
}

// An order of scores that at least k of n reach, at most `slack` behind the k-th; the least is the best.
template <int THREADS>
__device__ __forceinline__ u32 kth_order(const u32* orders, u32 n, u32 k, u32 slack, u32* words) {
    u32 low = 0xffffffffu, inverse = 0xffffffffu;
    for (u32 i = threadIdx.x; i < n; i += THREADS) low = min(low, orders[i]), inverse = min(inverse, ~orders[i]);
    low = __reduce_min_sync(FULL, low), inverse = __reduce_min_sync(FULL, inverse);
    if (THREADS > WARP) {
        if (threadIdx.x % WARP == 0) words[threadIdx.x / WARP] = low, words[8 + threadIdx.x / WARP] = inverse;
        __syncthreads();
        for (int warp = 0; warp < THREADS / WARP; ++warp)
            low = min(low, words[warp]), inverse = min(inverse, words[8 + warp]);
        __syncthreads();
    }
    u32 high = ~inverse;
    for (u32 turn = 0; high - low > slack; ++turn) {
        const u32 middle = low + (high - low) / 2;
        u32 reached = 0;
        for (u32 i = threadIdx.x; i < n; i += THREADS) reached += orders[i] <= middle;
        if (total_of<THREADS>(reached, words, turn) >= k) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return high;
}

// The order of a score in a sort key, and the score of an order. That of a NaN is behind all others.
#define NO_ORDER 0xffffffffu
__device__ __forceinline__ u32 score_order(float score) { return u32(score_key(score, 0) >> 32); }
__device__ __forceinline__ float order_score(u32 order) { return key_score(u64(order) << 32); }

// One chain over a row by one lane: candidates are few, and their rows in the cache.
__device__ __forceinline__ float chain(const ExactItems& exact, u32 item, const float4* query) {
    const float4* row = reinterpret_cast<const float4*>(exact.rows + u64(item) * exact.pitch);
    float score = score_start(exact, item);
#pragma unroll 4
    for (u32 i = 0; i < exact.pitch / 4; ++i) {
        const float4 u = __ldg(query + i), v = __ldg(row + i);
        score = fmaf(u.x, v.x, score);
        score = fmaf(u.y, v.y, score);
        score = fmaf(u.z, v.z, score);
        score = fmaf(u.w, v.w, score);
    }
    return score;
}

// What an entry of a list says; `unit`: the query's, or 0 where scores are fp32.
__device__ __forceinline__ float approximate(u32 score, float unit) {
    return unit > 0.0f ? float(int(score)) * unit : __uint_as_float(score);
}

template <int THREADS>
__device__ __forceinline__ void rank_panels(const PanelRankArgs& args) {
    // Candidates by order and by item, apart: neighbours in neighbouring banks. Then those kept, by exact order.
    extern __shared__ __align__(16) u32 orders[];
    u32* items = orders + args.room;
    u32* kept = items + args.room;
    __shared__ u32 words[16], found_s, kept_s, overflow_s, last_s;
    const u32 q = listed(args.index, blockIdx.x), k = args.k;
    if (args.states[q] == STATE_ALL) return;
    if (threadIdx.x == 0) found_s = 0, kept_s = 0, overflow_s = 0, last_s = NO_ORDER;
    __syncthreads();

    // What passed and may be returned. Threads share the lists of the query out among them.
    const u32 lists = args.parts * 4;
    const QueryLists at(args.places, q, lists);
    const float unit = args.units ? __ldg(args.units + q) : 0.0f;
    const u32 helpers = lists >= THREADS ? 1 : THREADS / lists, helped = THREADS / helpers;
    const u32 helper = threadIdx.x % helpers;
    for (u32 list = threadIdx.x / helpers; list < lists; list += helped) {
        if (threadIdx.x / helpers >= helped) break;
        const u32 count = __ldg(args.counts + u64(q) * lists + list);
        if (count > at.room) overflow_s = 1;
        const uint2* from = args.lists + at.first + u64(list) * at.share;
        for (u32 i = helper; i < min(count, at.room); i += helpers) {
            const uint2 entry = __ldg(from + i);
            if (entry.y >= args.items.count) continue;
            const u32 item = __ldg(args.order + entry.y);
            if (skips(args.skip, q, item)) continue;
            const u32 place = atomicAdd(&found_s, 1u);
            if (place < args.room) orders[place] = score_order(approximate(entry.x, unit)), items[place] = item;
        }
    }
    __syncthreads();
    const u32 n = found_s;
    // Fewer than k, or more than there is room for: the scan that has room for them starts anew.
    const bool served = !overflow_s && n >= k && n <= args.room && __ldg(args.ceilings + q) < MOST_SCORE;
    if (!served) {
        if (threadIdx.x == 0) args.states[q] = STATE_RESCAN;
        return;
    }

    // A candidate more than two errors behind the k-th cannot be among the k best.
    const float error = __ldg(args.errors + q);
    const u32 kth = kth_order<THREADS>(orders, n, k, 64, words);
    const u32 limit = score_order(__fsub_rd(order_score(kth), 2.0f * error));
    for (u32 i = threadIdx.x; i < n; i += THREADS) {
        if (orders[i] <= limit) kept[atomicAdd(&kept_s, 1u)] = items[i];
    }
    __syncthreads();
    const u32 m = kept_s;
    const float4* query = query_row(args.queries, q, args.items.pitch);
    for (u32 i = threadIdx.x; i < m; i += THREADS) orders[i] = score_order(chain(args.items, kept[i], query));
    __syncthreads();
    for (u32 i = threadIdx.x; i < m; i += THREADS) {
        const u32 order = orders[i], item = kept[i];
        u32 place = 0;
        for (u32 j = 0; j < m; ++j) {
            const u32 other = orders[j];
            place += other < order;
            if (other == order) place += kept[j] < item;
        }
        // A NaN comes behind all others: never the k-th.
        if (place >= k || order == NO_ORDER) continue;
        args.ids[u64(q) * k + place] = item;
        args.scores[u64(q) * k + place] = order_score(order);
        if (place == k - 1) last_s = order;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    const bool full = last_s != NO_ORDER;
    const float last = full ? order_score(last_s) : neg_inf(), threshold = args.thresholds[q];
    // Every item outside the lists has an approximate score below the bar, an exact one below the threshold.
    if (full && (last >= threshold || threshold == neg_inf())) {
        args.states[q] = STATE_DONE;
        return;
    }
    args.states[q] = STATE_RESCAN;
    if (full) {
        args.thresholds[q] = last;
        args.bars[q] = __fsub_rd(last, error);
    }
}
