// The exact top K of a catalogue on Hopper, sm_90a: what topk.cu does for any device, with wgmma and bulk copies.
// topk/prepare.cuh makes queries and items ready, topk/sm90a/panels.cuh or, as int8 codes, topk/sm90a/codes.cuh lays them
// out for the scan, topk/sm90a/scan.cuh scores a sample and then all items, topk/sm90a/rank.cuh ranks what passed and
// proves it complete. A query that it cannot prove is scanned again by the kernels of topk.cu.
#include "core/convert.cuh"
#include "topk/sm90a/codes.cuh"
#include "topk/sm90a/panels.cuh"
#include "topk/sm90a/rank.cuh"
#include "topk/sm90a/scan.cuh"

// Two warpgroups a block and 128 items a tile for samples, four and 64 items a product for scans: the best that were
// measured with bf16.
#define SAMPLE(NAME, SCORE, ROW_BYTES, WIDTH, BIASED)                                                            \
    extern "C" __global__ void __launch_bounds__(ScanShape<SCORE, ROW_BYTES, 2, WIDTH>::THREADS, 1)              \
        NAME(const __grid_constant__ PanelSampleArgs args) {                                                     \
        scan_panels<ScanShape<SCORE, ROW_BYTES, 2, WIDTH>, BIASED, true>(args);                                  \
    }
#define SCAN(NAME, SCORE, ROW_BYTES, BIASED)                                                                     \
    extern "C" __global__ void __launch_bounds__(ScanShape<SCORE, ROW_BYTES, 4, 64>::THREADS, 1)                 \
        NAME(const __grid_constant__ PanelScanArgs args) {                                                       \
        scan_panels<ScanShape<SCORE, ROW_BYTES, 4, 64>, BIASED, false>(args);                                    \
    }
SAMPLE(topk_panel_sample_64, float, 128, 128, false)
SAMPLE(topk_panel_sample_64_biased, float, 128, 128, true)
SAMPLE(topk_panel_sample_128, float, 256, 128, false)
SAMPLE(topk_panel_sample_128_biased, float, 256, 128, true)
SAMPLE(topk_panel_sample_int8_64, int, 64, 64, false)
SAMPLE(topk_panel_sample_int8_64_biased, int, 64, 64, true)
SAMPLE(topk_panel_sample_int8_128, int, 128, 128, false)
SAMPLE(topk_panel_sample_int8_128_biased, int, 128, 128, true)
SCAN(topk_panel_scan_64, float, 128, false)
SCAN(topk_panel_scan_64_biased, float, 128, true)
SCAN(topk_panel_scan_128, float, 256, false)
SCAN(topk_panel_scan_128_biased, float, 256, true)
SCAN(topk_panel_scan_int8_64, int, 64, false)
SCAN(topk_panel_scan_int8_64_biased, int, 64, true)
SCAN(topk_panel_scan_int8_128, int, 128, false)
SCAN(topk_panel_scan_int8_128_biased, int, 128, true)

#define RANK(NAME, THREADS)                                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(const __grid_constant__ PanelRankArgs args) {     \
        rank_panels<THREADS>(args);                                                                              \
    }
RANK(topk_panel_rank_32, 32)
RANK(topk_panel_rank_256, 256)
