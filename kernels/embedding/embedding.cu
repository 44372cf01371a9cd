// Embedding tables: lookups, and the step of the touched rows. Tables are V x D in fp32, bf16 or fp16; everything else
// is fp32. `_v4`, `_v8`: values of a lane, `_v1`: rows that are not 16-byte aligned.
#include "embedding/fwd.cuh"
#include "embedding/step.cuh"

#define THREADS 256

// A lookup of single rows.
#define ROWS_FWD(NAME, T, N)                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, 8)                                                   \
        embedding_rows_fwd_##NAME(const __grid_constant__ RowsForwardArgs args) {                              \
        gather_rows<T, N>(args);                                                                               \
    }

ROWS_FWD(f32_v4, F32, 4)
ROWS_FWD(bf16_v8, Bf16, 8)
ROWS_FWD(f16_v8, F16, 8)

// A lookup of bags; also single rows where gather_rows does not serve.
#define BAG_FWD(NAME, T, N)                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS, 6)                                                   \
        embedding_bag_fwd_##NAME(const __grid_constant__ BagForwardArgs args) {                                \
        pool_rows<T, N>(args);                                                                                 \
    }

BAG_FWD(f32_v4, F32, 4)
BAG_FWD(bf16_v8, Bf16, 8)
BAG_FWD(f16_v8, F16, 8)
BAG_FWD(bf16_v4, Bf16, 4)
BAG_FWD(f16_v4, F16, 4)
BAG_FWD(f32_v1, F32, 1)
BAG_FWD(bf16_v1, Bf16, 1)
BAG_FWD(f16_v1, F16, 1)

#define CHUNKS_STEP(NAME, T, N, KIND, LIMIT, BLOCKS)                                                           \
    extern "C" __global__ void __launch_bounds__(LIMIT, BLOCKS)                                                \
        embedding_bag_bwd_step_##NAME(const __grid_constant__ StepChunksArgs args) {                           \
        step_chunks<T, N, KIND>(args);                                                                         \
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

#define STRADDLING_STEP(NAME, T, N, LIMIT, BLOCKS)                                                             \
    extern "C" __global__ void __launch_bounds__(LIMIT, BLOCKS)                                                \
        embedding_bag_bwd_straddling_##NAME(const __grid_constant__ StepStraddlingArgs args) {                 \
        step_straddling<T, N>(args);                                                                           \
    }
#define STRADDLING_STEPS(NAME, T)                                                                                      \
    STRADDLING_STEP(NAME, T, 4, THREADS, 4)                                                                            \
    STRADDLING_STEP(NAME##_v1, T, 1, 1024, 1)

STRADDLING_STEPS(f32, F32)
STRADDLING_STEPS(bf16, Bf16)
STRADDLING_STEPS(f16, F16)
