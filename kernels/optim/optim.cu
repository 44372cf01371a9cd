// Steps of dense parameters, and the squared norm of gradients.
#include "core/reduce.cuh"
#include "optim/rule.cuh"

#define THREADS 256

// The wrapper checks lengths and alignment. Four values a thread and turn.
template <int KIND>
__device__ __forceinline__ void dense_step(const DenseStepArgs& args) {
    float *w = args.w, *m = args.m, *v = args.v;
    const float* dw = args.dw;
    const Rule& rule = args.rule;
    const u64 step = u64(gridDim.x) * THREADS, thread = u64(blockIdx.x) * THREADS + threadIdx.x;
    const u64 whole = args.len / 4;
    for (u64 i = thread; i < whole; i += step) {
        const float4 g = reinterpret_cast<const float4*>(dw)[i];
        float4 x = reinterpret_cast<const float4*>(w)[i];
        float4 a = make_float4(0.0f, 0.0f, 0.0f, 0.0f), b = a;
        if (KIND != SGD) a = reinterpret_cast<const float4*>(m)[i];
        if (KIND == ADAM) b = reinterpret_cast<const float4*>(v)[i];
        step_value(KIND, rule, x.x, g.x, a.x, b.x);
        step_value(KIND, rule, x.y, g.y, a.y, b.y);
        step_value(KIND, rule, x.z, g.z, a.z, b.z);
        step_value(KIND, rule, x.w, g.w, a.w, b.w);
        reinterpret_cast<float4*>(w)[i] = x;
        if (KIND != SGD) reinterpret_cast<float4*>(m)[i] = a;
        if (KIND == ADAM) reinterpret_cast<float4*>(v)[i] = b;
    }
    const u64 last = whole * 4 + thread;
    if (last < args.len) {
        float x = w[last], a = 0.0f, b = 0.0f;
        if (KIND != SGD) a = m[last];
        if (KIND == ADAM) b = v[last];
        step_value(KIND, rule, x, dw[last], a, b);
        w[last] = x;
        if (KIND != SGD) m[last] = a;
        if (KIND == ADAM) v[last] = b;
    }
}

#define DENSE_STEP(NAME, KIND)                                                                                 \
    extern "C" __global__ void __launch_bounds__(THREADS, 4)                                                   \
        dense_step_##NAME(const __grid_constant__ DenseStepArgs args) {                                        \
        dense_step<KIND>(args);                                                                                \
    }

DENSE_STEP(sgd, SGD)
DENSE_STEP(adagrad, ADAGRAD)
DENSE_STEP(adam, ADAM)

// sums[p] = the sum of x^2 over piece p. One block a piece; every thread adds every
// 256th group of four, so that the order depends on nothing but `len`.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    squared_norm_pieces(const __grid_constant__ SquaredNormPiecesArgs args) {
    const float* x = args.x;
    const u64 first = u64(blockIdx.x) * 16384;
    const u64 count = args.len - first < 16384 ? args.len - first : 16384;
    double sum = 0.0;
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count / 4; i += THREADS) {
        const float4 y = reinterpret_cast<const float4*>(x + first)[i];
        sum += double(y.x) * y.x;
        sum += double(y.y) * y.y;
        sum += double(y.z) * y.z;
        sum += double(y.w) * y.w;
    }
    const u64 last = count / 4 * 4 + threadIdx.x;
    if (last < count) sum += double(x[first + last]) * x[first + last];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) args.sums[blockIdx.x] = sum;
}

// One block.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    squared_norm_total(const __grid_constant__ SquaredNormTotalArgs args) {
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < args.count; i += THREADS) sum += args.sums[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) *args.total = sum;
}
