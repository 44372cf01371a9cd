// Steps of dense parameters, and the squared norm of gradients.
#include "core/common.cuh"
#include "optim/rule.cuh"

#define THREADS 256

// w, m, v, dw: `len` values, 16-byte aligned; the wrapper checks the lengths. Four values a thread and turn.
template <int KIND>
__device__ __forceinline__ void dense_step(float* __restrict__ w, float* __restrict__ m, float* __restrict__ v,
                                           const float* __restrict__ dw, u64 len, const Rule& rule) {
    const u64 step = u64(gridDim.x) * THREADS, thread = u64(blockIdx.x) * THREADS + threadIdx.x;
    const u64 whole = len / 4;
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
    if (last < len) {
        float x = w[last], a = 0.0f, b = 0.0f;
        if (KIND != SGD) a = m[last];
        if (KIND == ADAM) b = v[last];
        step_value(KIND, rule, x, dw[last], a, b);
        w[last] = x;
        if (KIND != SGD) m[last] = a;
        if (KIND == ADAM) v[last] = b;
    }
}

#define DENSE_STEP(NAME, KIND)                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 4)                                                           \
        dense_step_##NAME(float* w, float* m, float* v, const float* dw, u64 len, RULE_PARAMS) {                       \
        dense_step<KIND>(w, m, v, dw, len, RULE);                                                                      \
    }

DENSE_STEP(sgd, SGD)
DENSE_STEP(adagrad, ADAGRAD)
DENSE_STEP(adam, ADAM)

// The sum of a block's values, in thread 0.
__device__ __forceinline__ double block_sum(double x) {
    __shared__ double sums[THREADS / WARP];
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = x;
    __syncthreads();
    double total = 0.0;
    if (threadIdx.x == 0) {
        for (int i = 0; i < THREADS / WARP; ++i) total += sums[i];
    }
    return total;
}

// sums[p] = the sum of x^2 over piece p of 16,384 values (16-byte aligned). One block a piece; every thread adds every
// 256th group of four, so that the order depends on nothing but `len`.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    squared_norm_pieces(double* __restrict__ sums, const float* __restrict__ x, u64 len) {
    const u64 first = u64(blockIdx.x) * 16384;
    const u64 count = len - first < 16384 ? len - first : 16384;
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
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// total = the sum of `count` values, by one block.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    squared_norm_total(double* __restrict__ total, const double* __restrict__ sums, u64 count) {
    double sum = 0.0;
    for (u64 i = threadIdx.x; i < count; i += THREADS) sum += sums[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) *total = sum;
}
