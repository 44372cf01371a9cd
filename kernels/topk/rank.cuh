// The exact part of the top K: fp32 scores of candidates, the best k of them in order, and the proof that no other
// item belongs there.
//
// One block of 256 threads a query. A score is one chain of fused multiply-adds over the width in column order, from
// the item's bias on (0 where there are none), as on the CPU, so that ids and scores are the CPU's bits. Keys are
// unique, so the result does not depend on the order in which candidates arrive.
#pragma once
#include "topk/exact.cuh"

#define RANK_THREADS 256

// A block's list of the best keys so far. `keys` has `room` places (a power of two >= k + RANK_THREADS).
struct Ranking {
    u64* keys;
    u32 room, k;
    // In shared memory: how many keys there are.
    u32* fill;
    // The k-th best so far: what is behind it cannot matter.
    u64 worst;

    // Adds one key a thread, those of NO_KEY and behind `worst` left out. All threads call it together.
    __device__ __forceinline__ void add(u64 key) {
        if (key < worst) keys[atomicAdd(fill, 1u)] = key;
        __syncthreads();
        const u32 n = *fill;
        __syncthreads();
        if (n + RANK_THREADS > room) cut(n);
    }

    // Sorts and keeps the k best of n.
    __device__ __forceinline__ u32 cut(u32 n) {
        u32 size = WARP;
        while (size < n) size *= 2;
        for (u32 i = n + threadIdx.x; i < size; i += RANK_THREADS) keys[i] = NO_KEY;
        sort_keys(keys, size);
        if (n >= k) {
            n = k;
            worst = keys[k - 1];
        }
        __syncthreads();
        if (threadIdx.x == 0) *fill = n;
        __syncthreads();
        return n;
    }
};

// The shared memory of a ranking block: a tile a warp, `room` keys, a queue of items, and how many there are of both.
struct RankMemory {
    float4* tile;
    u64* keys;
    u32 *queue, *fill, *queued;

    __device__ __forceinline__ RankMemory(u64* memory, u32 room) {
        float4* tiles = reinterpret_cast<float4*>(memory);
        tile = tiles + threadIdx.x / WARP * (WARP * RANK_COLUMNS / 4);
        keys = reinterpret_cast<u64*>(tiles + RANK_THREADS * RANK_COLUMNS / 4);
        queue = reinterpret_cast<u32*>(keys + room);
        fill = queue + 2 * RANK_THREADS;
        queued = fill + 1;
        if (threadIdx.x == 0) *fill = *queued = 0;
        __syncthreads();
    }
};

// Places [0, k) of a query: sorted keys as ids and scores, what is missing as NO_ITEM and -inf.
__device__ __forceinline__ void write_places(u32* ids, float* scores, const u64* keys, u32 n, u32 k) {
    for (u32 i = threadIdx.x; i < k; i += RANK_THREADS) {
        const u64 key = i < n ? keys[i] : NO_KEY;
        ids[i] = key == NO_KEY ? NO_ITEM : u32(key);
        scores[i] = key == NO_KEY ? neg_inf() : key_score(key);
    }
}

// Ranks the candidates of each query, and proves or refutes that its k best are among them.
//
// lists hold scan keys (approximate scores). With e = errors[q], every exact score is within e of its approximate one,
// so that the k-th best exact score is at least the k-th best approximate one less e, and a candidate more than 2 e
// below the latter cannot be among the k best: the fp32 rows of the others alone are read. Every item outside the list
// has an approximate score below bars[q], hence an exact one below thresholds[q] = bars[q] + e. So the list is complete
// when its k-th exact score reaches thresholds[q]. Otherwise states[q] says what is missing:
//   RESCAN  k items are known: their k-th score is the new threshold, which cannot come out short again;
//   ALL     a rescan would not help (fewer than k candidates, or ties beyond the list's room): rank all items.
extern "C" __global__ void __launch_bounds__(RANK_THREADS, 2)
    topk_rank_list(const __grid_constant__ RankListArgs args) {
    extern __shared__ __align__(16) u64 rank_memory[];
    const u32 k = args.k, list_room = args.list_room;
    const u32 q = listed(args.index, blockIdx.x);
    if (args.states[q] == STATE_ALL) return;
    const RankMemory at(rank_memory, args.room);
    const float4* query = query_row(args.queries, q, args.items.pitch);
    const u64* list = args.lists + u64(blockIdx.x) * list_room;
    Ranking ranking = {at.keys, args.room, k, at.fill, NO_KEY};
    const u32 total = args.counts ? __ldg(args.counts + q) : list_room;
    const u32 n = min(total, list_room), lane = threadIdx.x % WARP;
    const float error = args.margin * __ldg(args.errors + q);

    for (u32 first = 0; first < n; first += RANK_THREADS) {
        const u32 i = first + threadIdx.x;
        ranking.add(i < n ? __ldg(list + i) : NO_KEY);
    }
    u64 limit = NO_KEY - 1;
    // A first half of 0 is a NaN: then there is no k-th score.
    if (ranking.cut(*at.fill) == k && at.keys[k - 1] >> 32 != 0) {
        limit = score_key(__fsub_rd(key_score(at.keys[k - 1]), 2.0f * error), NO_ITEM);
    }
    __syncthreads();
    if (threadIdx.x == 0) *at.fill = 0;
    ranking.worst = NO_KEY;
    __syncthreads();

    // Candidates are gathered until every thread has one.
    for (u32 first = 0; first < n; first += RANK_THREADS) {
        const u32 i = first + threadIdx.x;
        const u64 candidate = i < n ? __ldg(list + i) : NO_KEY;
        if (candidate <= limit) at.queue[atomicAdd(at.queued, 1u)] = u32(candidate);
        __syncthreads();
        const u32 queued = *at.queued, rest = queued > RANK_THREADS ? queued - RANK_THREADS : 0;
        __syncthreads();
        if (queued < RANK_THREADS && first + RANK_THREADS < n) continue;
        // The last round may leave more than a batch.
        for (u32 from = 0; from == 0 || (first + RANK_THREADS >= n && from < queued); from += RANK_THREADS) {
            const u32 item = from + threadIdx.x < queued ? at.queue[from + threadIdx.x] : NO_ITEM;
            u64 key = NO_KEY;
            if (__any_sync(FULL, item != NO_ITEM)) {
                const float score = exact_score(args.items, item, query, at.tile, lane);
                if (item != NO_ITEM) key = score_key(score, item);
            }
            ranking.add(key);
        }
        const u32 moved = threadIdx.x < rest ? at.queue[RANK_THREADS + threadIdx.x] : 0;
        __syncthreads();
        if (threadIdx.x < rest) at.queue[threadIdx.x] = moved;
        if (threadIdx.x == 0) *at.queued = rest;
        __syncthreads();
    }
    const u32 found = ranking.cut(*at.fill);
    write_places(args.ids + u64(q) * k, args.scores + u64(q) * k, at.keys, found, k);
    if (threadIdx.x != 0 || !args.thresholds) return;
    const float threshold = args.thresholds[q];
    const bool overflow = total > list_room, full = found == k;
    const float last = full ? key_score(at.keys[k - 1]) : neg_inf();
    u32 state = STATE_DONE;
    if (overflow) {
        state = full && last > threshold ? STATE_RESCAN : STATE_ALL;
    } else if (threshold > neg_inf() && !(full && last >= threshold)) {
        state = full ? STATE_RESCAN : STATE_ALL;
    }
    if (state == STATE_RESCAN) {
        args.thresholds[q] = last;
        args.bars[q] = __fsub_rd(last, error);
    }
    args.states[q] = state;
}

// Ranks all items of a part of the catalogue, [part * per_part, ...): the path that needs no bound, for few items,
// ties, and queries or items that are not finite. ceilings[q] bounds every score of q: once the k-th score reaches it,
// later items cannot come in (at best they tie).
extern "C" __global__ void __launch_bounds__(RANK_THREADS, 2)
    topk_rank_all(const __grid_constant__ RankAllArgs args) {
    extern __shared__ __align__(16) u64 rank_memory[];
    const u32 k = args.k;
    const u32 q = listed(args.index, blockIdx.x);
    const RankMemory at(rank_memory, args.room);
    const float4* query = query_row(args.queries, q, args.items.pitch);
    Ranking ranking = {at.keys, args.room, k, at.fill, NO_KEY};
    const bool after = args.after;
    const u64 returned = after ? __ldg(args.after + blockIdx.x) : 0;
    const u32 from = blockIdx.y * args.per_part, to = min(u64(args.items.count), u64(from) + args.per_part);
    const u32 lane = threadIdx.x % WARP;
    // The key of the ceiling: a k-th key before it, or with its score, ends the search.
    const u64 end = score_key(__ldg(args.ceilings + q), NO_ITEM - 1);
    for (u32 first = from; first < to; first += RANK_THREADS) {
        const u32 item = first + threadIdx.x < to ? first + threadIdx.x : NO_ITEM;
        const float score = exact_score(args.items, item, query, at.tile, lane);
        u64 key = item == NO_ITEM ? NO_KEY : score_key(score, item);
        if (key < ranking.worst && ((after && key <= returned) || skips(args.skip, q, item))) key = NO_KEY;
        ranking.add(key);
        if (end != NO_KEY && ranking.worst <= end) break;
    }
    const u32 found = ranking.cut(*at.fill);
    u64* out = args.keys + (u64(blockIdx.x) * gridDim.y + blockIdx.y) * k;
    for (u32 i = threadIdx.x; i < k; i += RANK_THREADS) out[i] = i < found ? at.keys[i] : NO_KEY;
}

// Merges the parts of topk_rank_all.
extern "C" __global__ void __launch_bounds__(RANK_THREADS, 2)
    topk_rank_merge(const __grid_constant__ RankMergeArgs args) {
    extern __shared__ __align__(16) u64 rank_memory[];
    __shared__ u32 fill;
    const u32 n = args.n, k = args.k;
    const u32 q = listed(args.index, blockIdx.x);
    if (threadIdx.x == 0) fill = 0;
    __syncthreads();
    Ranking ranking = {rank_memory, args.room, k, &fill, NO_KEY};
    for (u32 first = 0; first < n; first += RANK_THREADS) {
        const u32 i = first + threadIdx.x;
        ranking.add(i < n ? __ldg(args.keys + u64(blockIdx.x) * n + i) : NO_KEY);
    }
    const u32 found = ranking.cut(fill);
    const u64 at = u64(q) * args.places + args.place;
    write_places(args.ids + at, args.scores + at, rank_memory, found, k);
    if (threadIdx.x == 0) args.last[blockIdx.x] = found == k ? rank_memory[k - 1] : NO_KEY;
}
