// Steps of dense parameters, and the scale that clips gradients.
#include "core/reduce.cuh"
#include "core/shared_words.cuh"
#include "optim/rule.cuh"

#define THREADS 256
#define PIECE 16384

// All parameters in one launch: a block works for one of them, four values a thread. The wrapper checks lengths and
// alignment.
template <int KIND>
__device__ __forceinline__ void dense_steps(const DenseStepsArgs& args) {
    // One warp looks for it, and reads what describes it.
    u32 at = 0, high = threadIdx.x < WARP ? args.count : 0;
    while (high > at + 1) {
        const u32 middle = at + (high - at) / 2;
        if (__ldg(&args.params[middle].first_block) <= blockIdx.x) {
            at = middle;
        } else {
            high = middle;
        }
    }
    __shared__ __align__(16) DenseParam param;
    __shared__ Rule rule;
    if (threadIdx.x < WARP) {
        copy_words(&param, args.params + at);
        __syncwarp();
        copy_words(&rule, param.decays ? &args.rules->decayed : &args.rules->plain);
        __syncwarp();
        if (threadIdx.x == 0 && args.grad_scale) rule.grad_scale = *args.grad_scale;
    }
    __syncthreads();
    const u64 i = u64(blockIdx.x - param.first_block) * THREADS + threadIdx.x;
    if (i * 4 + 4 <= param.len) {
        const float4 g = reinterpret_cast<const float4*>(param.dw)[i];
        float4 x = reinterpret_cast<const float4*>(param.w)[i];
        float4 a = make_float4(0.0f, 0.0f, 0.0f, 0.0f), b = a;
        if (KIND != SGD) a = reinterpret_cast<const float4*>(param.m)[i];
        if (KIND == ADAM) b = reinterpret_cast<const float4*>(param.v)[i];
        step_value(KIND, rule, x.x, g.x, a.x, b.x);
        step_value(KIND, rule, x.y, g.y, a.y, b.y);
        step_value(KIND, rule, x.z, g.z, a.z, b.z);
        step_value(KIND, rule, x.w, g.w, a.w, b.w);
        reinterpret_cast<float4*>(param.w)[i] = x;
        if (KIND != SGD) reinterpret_cast<float4*>(param.m)[i] = a;
        if (KIND == ADAM) reinterpret_cast<float4*>(param.v)[i] = b;
        return;
    }
    for (u64 last = i * 4; last < param.len; ++last) {
        float x = param.w[last], a = 0.0f, b = 0.0f;
        if (KIND != SGD) a = param.m[last];
        if (KIND == ADAM) b = param.v[last];
        step_value(KIND, rule, x, param.dw[last], a, b);
        param.w[last] = x;
        if (KIND != SGD) param.m[last] = a;
        if (KIND == ADAM) param.v[last] = b;
    }
}

#define DENSE_STEPS(NAME, KIND)                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS, 4)                                                   \
        dense_steps_##NAME(const __grid_constant__ DenseStepsArgs args) {                                      \
        dense_steps<KIND>(args);                                                                               \
    }

DENSE_STEPS(sgd, SGD)
DENSE_STEPS(adagrad, ADAGRAD)
DENSE_STEPS(adam, ADAM)

// sums[p] = the sum of x^2 over piece p. One block a piece; every thread adds every 256th group of four, so that the
// order depends on nothing but the length.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    squared_norms(const __grid_constant__ SquaredNormsArgs args) {
    u32 at = 0;
    while (at + 1 < args.count && args.parts[at + 1].first_piece <= blockIdx.x) ++at;
    const NormPart part = args.parts[at];
    const u64 first = u64(blockIdx.x - part.first_piece) * PIECE;
    const float* x = part.x + first;
    const u64 count = part.len - first < PIECE ? part.len - first : PIECE;
    double sum = 0.0;
#pragma unroll 4
    for (u32 i = threadIdx.x; i < count / 4; i += THREADS) {
        const float4 y = reinterpret_cast<const float4*>(x)[i];
        sum += double(y.x) * y.x;
        sum += double(y.y) * y.y;
        sum += double(y.z) * y.z;
        sum += double(y.w) * y.w;
    }
    const u64 last = count / 4 * 4 + threadIdx.x;
    if (last < count) sum += double(x[last]) * x[last];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) args.sums[blockIdx.x] = sum;
}

// One block: the sums of each part, then over the parts in order.
extern "C" __global__ void __launch_bounds__(THREADS, 4) clip_scale(const __grid_constant__ ClipArgs args) {
    double square = 0.0;
    for (u32 at = 0; at < args.count; ++at) {
        const NormPart part = args.parts[at];
        double sum = 0.0;
        for (u32 i = threadIdx.x; i < part.pieces; i += THREADS) sum += args.sums[part.first_piece + i];
        square += block_sum<THREADS>(sum);
    }
    if (threadIdx.x == 0) *args.grad_scale = float(fmin(__ddiv_rn(double(args.limit), __dsqrt_rn(square)), 1.0));
}
