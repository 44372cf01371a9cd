// Embedding tables: all lookups of a batch, and the step of the rows that it touched. Tables are V x D in fp32, bf16 or
// fp16; everything else is fp32.
#include "embedding/fwd.cuh"
#include "embedding/step.cuh"

#define THREADS 256

extern "C" __global__ void __launch_bounds__(THREADS, 4) embedding_pools(const __grid_constant__ PoolsArgs args) {
    pools(args);
}

template <int N, int KIND>
__device__ __forceinline__ void step_chunks(const StepArgs& args) {
    __shared__ __align__(16) Work work;
    if (!find_work(args, work)) return;
    switch (work.to.stored) {
    case STORED_BF16: return step_chunk<Bf16, N, KIND>(args, work);
    case STORED_F16: return step_chunk<F16, N, KIND>(args, work);
    default: return step_chunk<F32, N, KIND>(args, work);
    }
}

// One for each optimizer, for rows that are aligned; one for all others.
#define STEP_CHUNKS(NAME, N, KIND, LIMIT, BLOCKS)                                                              \
    extern "C" __global__ void __launch_bounds__(LIMIT, BLOCKS)                                                \
        embedding_step_##NAME(const __grid_constant__ StepArgs args) {                                         \
        step_chunks<N, KIND>(args);                                                                            \
    }

STEP_CHUNKS(sgd, 4, SGD, THREADS, 3)
STEP_CHUNKS(adagrad, 4, ADAGRAD, THREADS, 3)
STEP_CHUNKS(adam, 4, ADAM, THREADS, 2)
STEP_CHUNKS(rowwise, 4, ROWWISE, THREADS, 3)
STEP_CHUNKS(unaligned, 1, -1, 1024, 1)

template <int N>
__device__ __forceinline__ void straddling_of(const StepArgs& args, const Work& work) {
    switch (work.to.stored) {
    case STORED_BF16: return step_straddling<Bf16, N>(args, work);
    case STORED_F16: return step_straddling<F16, N>(args, work);
    default: return step_straddling<F32, N>(args, work);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 3)
    embedding_straddling(const __grid_constant__ StepArgs args) {
    __shared__ __align__(16) Work work;
    if (find_work(args, work)) straddling_of<4>(args, work);
}

extern "C" __global__ void __launch_bounds__(1024, 1)
    embedding_straddling_any(const __grid_constant__ StepArgs args) {
    __shared__ __align__(16) Work work;
    if (!find_work(args, work)) return;
    if (work.to.vector == 4) {
        straddling_of<4>(args, work);
    } else {
        straddling_of<1>(args, work);
    }
}
