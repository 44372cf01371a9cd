// Embedding tables: lookups, and the step of the touched rows. Tables are V x D in fp32, bf16 or fp16; everything else
// is fp32. `_v4`, `_v8`: values of a lane, `_v1`: rows that are not 16-byte aligned.
#include "core/common.cuh"
#include "core/rows.cuh"
#include "optim/rule.cuh"
#include "embedding/fwd.cuh"
#include "embedding/step.cuh"

#define THREADS 256

// A lookup of single rows.
#define ROWS_FWD(NAME, T, N)                                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS, 8)                                                           \
        embedding_rows_fwd_##NAME(float* out, const T::Word* table, const u32* ids, u64* status, u64 rows,             \
                                  u32 table_rows, u32 dim, u64 stride, u32 log_lanes) {                                \
        gather_rows<T, N>(out, table, ids, status, rows, table_rows, dim, stride, log_lanes);                          \
    }

ROWS_FWD(f32_v4, F32, 4)
ROWS_FWD(bf16_v8, Bf16, 8)
ROWS_FWD(f16_v8, F16, 8)

// A lookup of bags; also single rows where gather_rows does not serve.
#define BAG_FWD(NAME, T, N)                                                                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 6)                                                           \
        embedding_bag_fwd_##NAME(float* out, const T::Word* table, const u32* ids, const u32* offsets,                 \
                                 const float* weights, u64* status, u64 rows, u32 lookups, u32 table_rows, u32 dim,    \
                                 u64 stride, u32 log_lanes, u32 add) {                                                 \
        pool_rows<T, N>(out, table, ids, offsets, weights, status, rows, lookups, table_rows, dim, stride, log_lanes,  \
                        add);                                                                                          \
    }

BAG_FWD(f32_v4, F32, 4)
BAG_FWD(bf16_v8, Bf16, 8)
BAG_FWD(f16_v8, F16, 8)
BAG_FWD(bf16_v4, Bf16, 4)
BAG_FWD(f16_v4, F16, 4)
BAG_FWD(f32_v1, F32, 1)
BAG_FWD(bf16_v1, Bf16, 1)
BAG_FWD(f16_v1, F16, 1)

#define TARGET_PARAMS(T)                                                                                               \
    T::Word *table, float *state1, float *state2, u64 run_key, u32 number, u32 table_rows, u32 dim
#define TARGET(T) Target<T>{table, state1, state2, run_key, number, table_rows, dim}
#define PLAN_PARAMS const u32 *unique, const u32 *starts, const u32 *positions, const float *scales
#define GRADIENTS_PARAMS                                                                                               \
    const float *g0, const float *g1, const float *g2, const float *g3, const float *g4, const float *g5,              \
        const float *g6, const float *g7, u32 s0, u32 s1, u32 s2, u32 s3, u32 s4, u32 s5, u32 s6, u32 s7, u32 f1,      \
        u32 f2, u32 f3, u32 f4, u32 f5, u32 f6, u32 f7, u32 gradient_rows
#define GRADIENTS                                                                                                      \
    Gradients {                                                                                                        \
        {g0, g1, g2, g3, g4, g5, g6, g7}, {s0, s1, s2, s3, s4, s5, s6, s7}, {0, f1, f2, f3, f4, f5, f6, f7},           \
            gradient_rows                                                                                              \
    }

#define CHUNKS_STEP(NAME, T, N, KIND, LIMIT, BLOCKS)                                                                   \
    extern "C" __global__ void __launch_bounds__(LIMIT, BLOCKS) embedding_bag_bwd_step_##NAME(                         \
        TARGET_PARAMS(T), RULE_PARAMS, u32 kind, PLAN_PARAMS, GRADIENTS_PARAMS, float* partials, u32* straddling,      \
        u64* status, u32 uniques, u32 lookups, u32 log_lanes) {                                                        \
        step_chunks<T, N, KIND>(TARGET(T), GRADIENTS, RULE, kind, unique, starts, positions, scales, partials,         \
                                straddling, status, uniques, lookups, log_lanes);                                      \
    }
// One for each optimizer; where rows are not aligned, one for all.
#define CHUNKS_STEPS(NAME, T)                                                                                          \
    CHUNKS_STEP(sgd_##NAME, T, 4, SGD, THREADS, 4)                                                                     \
    CHUNKS_STEP(adagrad_##NAME, T, 4, ADAGRAD, THREADS, 4)                                                             \
    CHUNKS_STEP(adam_##NAME, T, 4, ADAM, THREADS, 4)                                                                   \
    CHUNKS_STEP(rowwise_##NAME, T, 4, ROWWISE, THREADS, 3)                                                             \
    CHUNKS_STEP(NAME##_v1, T, 1, -1, 1024, 1)

CHUNKS_STEPS(f32, F32)
CHUNKS_STEPS(bf16, Bf16)
CHUNKS_STEPS(f16, F16)

#define STRADDLING_STEP(NAME, T, N, LIMIT, BLOCKS)                                                                     \
    extern "C" __global__ void __launch_bounds__(LIMIT, BLOCKS) embedding_bag_bwd_straddling_##NAME(                   \
        TARGET_PARAMS(T), RULE_PARAMS, u32 kind, const u32* unique, const u32* starts, const float* partials,          \
        const u32* straddling, u32 lookups, u32 log_lanes) {                                                           \
        step_straddling<T, N>(TARGET(T), RULE, kind, unique, starts, partials, straddling, lookups, log_lanes);        \
    }
#define STRADDLING_STEPS(NAME, T)                                                                                      \
    STRADDLING_STEP(NAME, T, 4, THREADS, 4)                                                                            \
    STRADDLING_STEP(NAME##_v1, T, 1, 1024, 1)

STRADDLING_STEPS(f32, F32)
STRADDLING_STEPS(bf16, Bf16)
STRADDLING_STEPS(f16, F16)
