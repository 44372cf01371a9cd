// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// Items that a query must not return: items[offsets[q] .. offsets[q + 1]], ascending. offsets may be null: none.
struct SkipLists {
    const u32* offsets;
    const u32* items;
};
static_assert(sizeof(SkipLists) == 16, "the size of SkipLists on the host");

// Items in fp32: `count` rows of `pitch` columns, a multiple of 8. Null biases: none adds anything to its scores.
struct ExactItems {
    const float* rows;
    const float* biases;
    u32 count;
    u32 pitch;
};
static_assert(sizeof(ExactItems) == 24, "the size of ExactItems on the host");

// Items and queries as a scan reads them, rows of `row_bytes`; int8: with a scale each. Null biases: none adds
// anything to its scores.
struct ScanOperands {
    const u8* items;
    const float* item_scales;
    const float* item_biases;
    const u8* queries;
    const float* query_scales;
    u32 item_count;
    // Queries that the launch is for.
    u32 rows;
    u32 row_bytes;
    // Tiles of items.
    u32 tiles;
};
static_assert(sizeof(ScanOperands) == 56, "the size of ScanOperands on the host");

// Items [first, first + rows): their fp32 rows of `pitch` columns, and bf16 rows of `width`.
struct PackBf16Args {
    float* exact;
    u8* scan;
    u32* stats;
    const float* embeddings;
    u64 first;
    u64 rows;
    u32 dim;
    u32 pitch;
    u32 width;
    u32 unused;
};
static_assert(sizeof(PackBf16Args) == 64, "the size of PackBf16Args on the host");

// Biases of items [first, first + rows).
struct PackBiasesArgs {
    float* to;
    u32* stats;
    const float* biases;
    u64 first;
    u64 rows;
};
static_assert(sizeof(PackBiasesArgs) == 40, "the size of PackBiasesArgs on the host");

// Int8 codes of all items, `width` a row, from their fp32 rows of `pitch` columns.
struct PackInt8Args {
    u8* codes;
    float* scales;
    u32* stats;
    const float* exact;
    u64 rows;
    u32 pitch;
    u32 width;
};
static_assert(sizeof(PackInt8Args) == 48, "the size of PackInt8Args on the host");

// What is known of each query before the scan: the bound of the scan's error, that of the scores, and whether the
// scan can serve it.
struct QueryTerms {
    float* errors;
    float* ceilings;
    u32* states;
};
static_assert(sizeof(QueryTerms) == 24, "the size of QueryTerms on the host");

// Queries, `dim` values each: in fp32, padded to a multiple of 16, and rows of `width` bf16 values or codes.
struct PrepareArgs {
    float* exact;
    u8* scan;
    // Int8 alone.
    float* scales;
    QueryTerms terms;
    const float* queries;
    const u32* stats;
    u32 rows;
    u32 dim;
    u32 width;
    u32 unused;
};
static_assert(sizeof(PrepareArgs) == 80, "the size of PrepareArgs on the host");

// maxima: groups x pitch. The sample's item s is near s * item_step / 2^32.
struct SampleArgs {
    float* maxima;
    ScanOperands operands;
    u64 item_step;
    u32 pitch;
    // Groups of 32 items, not 8.
    u32 wide_groups;
};
static_assert(sizeof(SampleArgs) == 80, "the size of SampleArgs on the host");

// A value a query; maxima: groups x pitch.
struct ThresholdArgs {
    float* thresholds;
    float* bars;
    const float* errors;
    const u32* states;
    const u32* ranks;
    const float* maxima;
    u32 rows;
    u32 groups;
    u32 pitch;
    // 1 for the exact search (bar = threshold - error), 0 for the approximate one.
    float margin;
};
static_assert(sizeof(ThresholdArgs) == 64, "the size of ThresholdArgs on the host");

// lists: list_room scan keys a query of the launch. Filter: `counts`, how many passed (zero before). Buckets: lists of
// all buckets x 4; counts and bars are null.
struct ScanArgs {
    u64* lists;
    u32* counts;
    const float* bars;
    ScanOperands operands;
    // Queries by block row; null: all of them in order.
    const u32* index;
    SkipLists skip;
    u32 list_room;
    u32 unused;
};
static_assert(sizeof(ScanArgs) == 112, "the size of ScanArgs on the host");

// ids, scores: k a query, at the query's place; lists: list_room a query of the launch.
struct RankListArgs {
    u32* ids;
    float* scores;
    u32* states;
    // Null: lists are taken as they are (buckets).
    float* thresholds;
    float* bars;
    const float* errors;
    // Queries by block; null: all of them in order.
    const u32* index;
    const u64* lists;
    // They may pass list_room. Null: all places are valid.
    const u32* counts;
    const float* queries;
    ExactItems items;
    u32 list_room;
    u32 k;
    // Keys of a block: a power of two that holds k and a batch.
    u32 room;
    // 1, or the part of the error that an approximate search allows for.
    float margin;
};
static_assert(sizeof(RankListArgs) == 120, "the size of RankListArgs on the host");

// keys: k a part, parts of a query side by side.
struct RankAllArgs {
    u64* keys;
    // Queries by block; null: all of them in order.
    const u32* index;
    // By block: keys up to this one have been returned before. Null: none.
    const u64* after;
    const float* ceilings;
    SkipLists skip;
    const float* queries;
    ExactItems items;
    // Items of a part.
    u32 per_part;
    u32 k;
    u32 room;
    u32 unused;
};
static_assert(sizeof(RankAllArgs) == 96, "the size of RankAllArgs on the host");

// Lists of k items a query: NO_ITEM where there is none.
struct HitsArgs {
    // k / 32 words a query, rounded up: bit j of word i is that of place 32 i + j.
    u32* hits;
    // A value an item: lowered.
    u32* first_places;
    const u32* ids;
    // Which lists a first scan has proven; null: all.
    const u32* states;
    // relevant[offsets[q] .. offsets[q + 1]] are query q's, ascending; what is not below `listed` is nobody's.
    const u32* offsets;
    const u32* relevant;
    u32 rows;
    u32 k;
    u32 listed;
    // 0: the lists that are proven; 1: the others alone.
    u32 rest;
};
static_assert(sizeof(HitsArgs) == 64, "the size of HitsArgs on the host");

// n keys a block -> places [place, place + k) of its query's `places`, and its last key.
struct RankMergeArgs {
    u32* ids;
    float* scores;
    u64* last;
    // Queries by block; null: all of them in order.
    const u32* index;
    const u64* keys;
    u32 n;
    u32 k;
    u32 places;
    u32 place;
    u32 room;
    u32 unused;
};
static_assert(sizeof(RankMergeArgs) == 64, "the size of RankMergeArgs on the host");
