// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "topk/arguments.cuh"

// Rows of bf16 become panels of 64 columns, [panel][row][64], with the swizzle of 128 bytes. Rows in [rows, padded)
// and columns from `width` on become zero.
struct PanelArgs {
    u16* panels;
    // Where each row comes from, items alone: scattered as if at random, and written here. Null: rows in order.
    u32* order;
    // Items alone: their biases in fragment order, -inf in [rows, padded). Null: none.
    float* biases;
    const u8* from;
    // By item.
    const float* item_biases;
    u32 rows;
    // A multiple of 8.
    u32 padded;
    // Columns of a row of `from`, a multiple of 16.
    u32 width;
    // 64 or 128.
    u32 columns;
};
static_assert(sizeof(PanelArgs) == 56, "the size of PanelArgs on the host");

// Queries and items in panels. Null biases: none adds anything to its scores.
struct PanelOperands {
    const u16* queries;
    const u16* items;
    const float* item_biases;
    // Where a wait that never ends is reported.
    u64* stuck;
    // Values of a panel.
    u64 query_panel;
    u64 item_panel;
    // Queries that the launch is for.
    u32 rows;
    // Tiles of items, and how many of them a part has.
    u32 tiles;
    u32 part_tiles;
    // Tiles on their way through shared memory.
    u32 stages;
};
static_assert(sizeof(PanelOperands) == 64, "the size of PanelOperands on the host");

// maxima: groups x pitch, 128 groups a part.
struct PanelSampleArgs {
    float* maxima;
    PanelOperands operands;
    u32 pitch;
    u32 unused;
};
static_assert(sizeof(PanelSampleArgs) == 80, "the size of PanelSampleArgs on the host");

// A query's lists, four a part of the items, are equal shares of lists[places[q] .. places[q + 1]]; 9 of a share
// are no place, but take what an overflow writes. An entry: fp32 bits of the approximate score, and the row of the
// item's panel.
struct PanelScanArgs {
    uint2* lists;
    // How many entries each list asked for.
    u32* counts;
    const float* bars;
    // A value a query, and the end.
    const u32* places;
    PanelOperands operands;
};
static_assert(sizeof(PanelScanArgs) == 96, "the size of PanelScanArgs on the host");

// As RankListArgs, of the lists that a scan of panels leaves.
struct PanelRankArgs {
    u32* ids;
    float* scores;
    u32* states;
    float* thresholds;
    float* bars;
    const float* errors;
    const float* ceilings;
    // Queries by block; null: all of them in order.
    const u32* index;
    const uint2* lists;
    const u32* counts;
    const u32* places;
    // The item of a panel's row.
    const u32* order;
    SkipLists skip;
    const float* queries;
    ExactItems items;
    // Parts of the items.
    u32 parts;
    u32 k;
    // Candidates that a block holds.
    u32 room;
    u32 unused;
};
static_assert(sizeof(PanelRankArgs) == 160, "the size of PanelRankArgs on the host");
