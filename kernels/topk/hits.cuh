// Hits: which places of each query's list have relevant items, as a bit a place, and the first place that each item has
// in any list. Both are whole numbers that no order of queries changes.
#pragma once
#include "topk/exact.cuh"
#include "topk/keys.cuh"

#define HITS_THREADS 256

// A warp a query, a lane a place: 32 places make a word. Lists that are to be completed yet have no hits, and count for no
// item; once they are, those alone are looked at.
extern "C" __global__ void __launch_bounds__(HITS_THREADS) topk_hits(const __grid_constant__ HitsArgs args) {
    const u32 q = (blockIdx.x * HITS_THREADS + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (q >= args.rows) return;
    const u32 k = args.k, words = (k + WARP - 1) / WARP;
    const bool complete = !args.states || __ldg(args.states + q) == STATE_DONE;
    if (complete == (args.rest != 0)) {
        if (args.rest == 0)
            for (u32 word = lane; word < words; word += WARP) args.hits[u64(q) * words + word] = 0;
        return;
    }
    const u32 from = min(__ldg(args.offsets + q), args.listed), to = min(__ldg(args.offsets + q + 1), args.listed);
    for (u32 word = 0; word < words; ++word) {
        const u32 place = word * WARP + lane;
        const u32 item = place < k ? __ldg(args.ids + u64(q) * k + place) : NO_ITEM;
        const bool there = item != NO_ITEM;
        if (there) atomicMin(args.first_places + item, place);
        const u32 bits = __ballot_sync(FULL, there && contains(args.relevant, from, to, item));
        if (lane == 0) args.hits[u64(q) * words + word] = bits;
    }
}
