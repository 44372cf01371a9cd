// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "topk/arguments.cuh"

// Rows of bf16 become panels of 64 columns, [panel][row][64], with the swizzle of 128 bytes. Rows in [rows, padded)
// and columns from `width` on become zero.
struct PanelArgs {
    u8* panels;
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

// What decides how scores of codes compare: largest values by size, as fp32 bits.
struct CodeScales {
    // Of the queries of a launch.
    const u32* queries;
    // Of the items; then the largest norm of the rounding errors of an item's codes.
    const u32* items;
    // Of the catalogue (`topk/bounds.cuh`).
    const u32* stats;
};
static_assert(sizeof(CodeScales) == 24, "the size of CodeScales on the host");

// `count` values, a multiple of 4; `largest` is raised to the largest of them by size, as fp32 bits.
struct LargestArgs {
    u32* largest;
    const float* values;
    u64 count;
};
static_assert(sizeof(LargestArgs) == 24, "the size of LargestArgs on the host");

// Int8 codes of items in panels of rows of `row_bytes`, 64 or 128, from fp32 rows of `pitch` columns. Else as
// PanelArgs.
struct ItemCodesArgs {
    u8* panels;
    u32* order;
    float* biases;
    // Raised to the largest norm of rounding errors, as fp32 bits.
    u32* rounding;
    // The largest value by size, as fp32 bits.
    const u32* largest;
    const float* from;
    const float* item_biases;
    u32 rows;
    u32 row_bytes;
    u32 pitch;
    u32 unused;
};
static_assert(sizeof(ItemCodesArgs) == 72, "the size of ItemCodesArgs on the host");

// The same of queries, with a unit, a multiplier and an error a query.
struct QueryCodesArgs {
    u8* panels;
    float* units;
    u32* multipliers;
    float* errors;
    const float* from;
    CodeScales scales;
    u32 rows;
    u32 row_bytes;
    u32 pitch;
    u32 dim;
    // 1 where items have biases, else 0.
    u32 biased;
    u32 unused;
};
static_assert(sizeof(QueryCodesArgs) == 88, "the size of QueryCodesArgs on the host");

// Biases in whole bias units.
struct ItemTermsArgs {
    u32* terms;
    const float* biases;
    CodeScales scales;
    u32 count;
    u32 unused;
};
static_assert(sizeof(ItemTermsArgs) == 48, "the size of ItemTermsArgs on the host");

// Queries and items in panels.
struct PanelOperands {
    const u8* queries;
    const u8* items;
    // What an item adds to its scores, in fragment order: fp32 bits of biases, or ItemTermsArgs. Null: nothing.
    const u32* item_terms;
    // Of queries in codes; null for others.
    const float* units;
    const u32* multipliers;
    // Where a wait that never ends is reported.
    u64* stuck;
    // Bytes of a panel.
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
static_assert(sizeof(PanelOperands) == 80, "the size of PanelOperands on the host");

// maxima: groups x pitch, 128 groups a part.
struct PanelSampleArgs {
    float* maxima;
    PanelOperands operands;
    u32 pitch;
    u32 unused;
};
static_assert(sizeof(PanelSampleArgs) == 96, "the size of PanelSampleArgs on the host");

// A query's lists, four a part of the items, are equal shares of lists[places[q] .. places[q + 1]]; 9 of a share
// are no place, but take what an overflow writes. An entry: the approximate score, fp32 bits or a whole
// number of the query's units, and the row of the item's panel.
struct PanelScanArgs {
    uint2* lists;
    // How many entries each list asked for.
    u32* counts;
    const float* bars;
    // A value a query, and the end.
    const u32* places;
    PanelOperands operands;
};
static_assert(sizeof(PanelScanArgs) == 112, "the size of PanelScanArgs on the host");

// As RankListArgs, of the lists that a scan of panels leaves.
struct PanelRankArgs {
    u32* ids;
    float* scores;
    u32* states;
    float* thresholds;
    float* bars;
    const float* errors;
    const float* ceilings;
    // Of queries in codes; null for others.
    const float* units;
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
static_assert(sizeof(PanelRankArgs) == 168, "the size of PanelRankArgs on the host");
