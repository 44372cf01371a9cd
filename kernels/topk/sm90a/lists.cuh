// A query's lists of what its scan lets pass (PanelScanArgs): four a part of the items, one for each lane of the quad that
// holds the query's scores.
#pragma once
#include "topk/sm90a/arguments.cuh"

// Entries at the end of a list that take what an overflow writes (`SLACK` in backend/cuda/topk/sm90a/plan.rs).
#define LIST_SLACK 9

// The lists of a query, side by side.
struct QueryLists {
    u64 first;
    // Entries from one list to the next, and those that count.
    u32 share, room;

    __device__ __forceinline__ QueryLists(const u32* places, u32 query, u32 lists) {
        first = __ldg(places + query);
        share = (__ldg(places + query + 1) - u32(first)) / lists;
        room = share - LIST_SLACK;
    }
};
