// The top K of a catalogue by inner product, in three steps: topk/prepare.cuh (items and queries as the scan reads
// them, with the bounds of its error), topk/scan.cuh (approximate scores of all items on tensor cores, filtered in
// registers), topk/rank.cuh (exact fp32 scores of what is left, in order, with a proof that nothing is missing).
//
// N items, D columns, nq queries. Lengths and alignments are the wrapper's (backend/cuda/topk).
#include "core/convert.cuh"
#include "core/mma.cuh"
#include "core/random.cuh"
#include "core/reduce.cuh"
#include "topk/keys.cuh"
#include "topk/rank.cuh"
#include "topk/prepare.cuh"
#include "topk/scan.cuh"
#include "topk/wide.cuh"
#include "topk/narrow.cuh"

// maxima: groups x pitch; items: N x row_bytes, the sample's item s near s * item_step / 2^32; queries: rows x
// row_bytes.
#define SAMPLE(NAME, T) \
    extern "C" __global__ void __launch_bounds__(WIDE_THREADS, 2) \
        NAME(float* __restrict__ maxima, const u8* __restrict__ items, const float* __restrict__ item_scales, \
             const float* __restrict__ item_biases, const u8* __restrict__ queries, \
             const float* __restrict__ query_scales, u64 item_step, u32 item_count, u32 rows, u32 row_bytes, \
             u32 tiles, u32 pitch, u32 wide_groups) { \
        ScanArgs args = {}; \
        args.maxima = maxima, args.items = items, args.item_scales = item_scales; \
        args.item_biases = item_biases, args.queries = queries; \
        args.query_scales = query_scales, args.item_step = item_step, args.item_count = item_count, args.rows = rows; \
        args.row_bytes = row_bytes, args.tiles = tiles, args.maxima_pitch = pitch, args.wide_groups = wide_groups; \
        scan_wide<T, MAXIMA>(args); \
    }
SAMPLE(topk_sample_bf16, ScanBf16)
SAMPLE(topk_sample_int8, ScanInt8)

// lists: list_room scan keys a query, counts: how many passed (zero before). BUCKETS: lists of all buckets * 4, no
// counts.
#define SCAN(NAME, THREADS, BLOCKS, CALL) \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) \
        NAME(u64* __restrict__ lists, u32* __restrict__ counts, const float* __restrict__ bars, \
             const u8* __restrict__ items, const float* __restrict__ item_scales, \
             const float* __restrict__ item_biases, const u8* __restrict__ queries, \
             const float* __restrict__ query_scales, const u32* __restrict__ index, \
             const u32* __restrict__ skip_offsets, const u32* __restrict__ skip_items, u32 item_count, u32 rows, \
             u32 row_bytes, u32 tiles, u32 list_room) { \
        ScanArgs args = {}; \
        args.lists = lists, args.counts = counts, args.bars = bars, args.items = items; \
        args.item_scales = item_scales, args.item_biases = item_biases; \
        args.queries = queries, args.query_scales = query_scales, args.index = index; \
        args.skip.offsets = skip_offsets, args.skip.items = skip_items; \
        args.item_count = item_count, args.rows = rows; \
        args.row_bytes = row_bytes, args.tiles = tiles, args.list_room = list_room; \
        CALL(args); \
    }
#define NARROW(T, MODE, BYTES) scan_narrow<T, MODE, BYTES>
#define WIDE(T, MODE) scan_wide<T, MODE>
SCAN(topk_filter_bf16, WIDE_THREADS, 2, WIDE(ScanBf16, FILTER))
SCAN(topk_filter_bf16_128, NARROW_THREADS, 3, NARROW(ScanBf16, FILTER, 128))
SCAN(topk_filter_bf16_256, NARROW_THREADS, 3, NARROW(ScanBf16, FILTER, 256))
SCAN(topk_filter_int8, WIDE_THREADS, 2, WIDE(ScanInt8, FILTER))
SCAN(topk_filter_int8_64, NARROW_THREADS, 3, NARROW(ScanInt8, FILTER, 64))
SCAN(topk_filter_int8_128, NARROW_THREADS, 3, NARROW(ScanInt8, FILTER, 128))
SCAN(topk_buckets_bf16, WIDE_THREADS, 2, WIDE(ScanBf16, BUCKETS))
SCAN(topk_buckets_bf16_128, NARROW_THREADS, 3, NARROW(ScanBf16, BUCKETS, 128))
SCAN(topk_buckets_bf16_256, NARROW_THREADS, 2, NARROW(ScanBf16, BUCKETS, 256))
SCAN(topk_buckets_int8, WIDE_THREADS, 2, WIDE(ScanInt8, BUCKETS))
SCAN(topk_buckets_int8_64, NARROW_THREADS, 3, NARROW(ScanInt8, BUCKETS, 64))
SCAN(topk_buckets_int8_128, NARROW_THREADS, 3, NARROW(ScanInt8, BUCKETS, 128))
