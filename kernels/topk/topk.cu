// The top K of a catalogue by inner product, in three steps: topk/prepare.cuh (items and queries as the scan reads
// them, with the bounds of its error), topk/scan.cuh (approximate scores of all items on tensor cores, filtered in
// registers), topk/rank.cuh (exact fp32 scores of what is left, in order, with a proof that nothing is missing). Where
// lists are judged and not wanted, topk/hits.cuh counts what they have of what is relevant.
//
// N items, D columns, nq queries. Lengths and alignments are the wrapper's (backend/cuda/topk).
#include "core/convert.cuh"
#include "core/mma.cuh"
#include "core/random.cuh"
#include "core/reduce.cuh"
#include "topk/keys.cuh"
#include "topk/rank.cuh"
#include "topk/hits.cuh"
#include "topk/prepare.cuh"
#include "topk/scan.cuh"
#include "topk/wide.cuh"
#include "topk/narrow.cuh"

#define SAMPLE(NAME, T)                                                                                        \
    extern "C" __global__ void __launch_bounds__(WIDE_THREADS, 2)                                              \
        NAME(const __grid_constant__ SampleArgs args) {                                                        \
        scan_wide<T, MAXIMA>(args);                                                                            \
    }
SAMPLE(topk_sample_bf16, ScanBf16)
SAMPLE(topk_sample_int8, ScanInt8)

#define SCAN(NAME, THREADS, BLOCKS, CALL)                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(const __grid_constant__ ScanArgs args) { \
        CALL(args);                                                                                            \
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
