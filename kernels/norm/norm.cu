// L2 norms of rows: y = x / max(|x|, 1e-12), and dx = (dy - y <y, dy>) / max(|x|, 1e-12).
//
// `lanes` neighbouring threads (a power of two, at most a warp) share a row and keep it in registers: one read, one
// write. A launch takes up to two matrices, one a row of blocks. Rows are dense, so a warp's accesses are whole sectors. Sums run in a fixed order: a lane's own values
// ascending, then over the lanes.
#include "core/reduce.cuh"
#include "norm/arguments.cuh"

// Shorter rows count as this long.
#define SHORTEST 1e-12f

// Whether `yes` holds in any lane that shares this row.
__device__ __forceinline__ bool any_of(bool yes, u32 lanes) {
    const u32 lane = threadIdx.x % WARP, all = __ballot_sync(FULL, yes);
    return all >> (lane & ~(lanes - 1)) & (FULL >> (WARP - lanes));
}

// A row spread over `lanes` threads: this one holds float4 number `lane`, `lane + lanes`, .. `N` in all. dim is a
// multiple of 4 and at most 4 N lanes.
template <int N>
struct Quads {
    float4 v[N];
    __device__ __forceinline__ void read(const float* row, u32 lane, u32 lanes, u32 dim) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const u32 at = (lane + i * lanes) * 4;
            v[i] = at < dim ? *reinterpret_cast<const float4*>(row + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
    }
    __device__ __forceinline__ void write(float* row, u32 lane, u32 lanes, u32 dim) const {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const u32 at = (lane + i * lanes) * 4;
            if (at < dim) *reinterpret_cast<float4*>(row + at) = v[i];
        }
    }
    template <typename F>
    __device__ __forceinline__ void each(F f) {
#pragma unroll
        for (int i = 0; i < N; ++i) f(v[i].x), f(v[i].y), f(v[i].z), f(v[i].w);
    }
    template <typename F>
    __device__ __forceinline__ void each(const Quads& other, F f) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            f(v[i].x, other.v[i].x), f(v[i].y, other.v[i].y), f(v[i].z, other.v[i].z), f(v[i].w, other.v[i].w);
        }
    }
};

// 1 / max(|row|, 1e-12) of a row whose sum of squares is `squares`, NaN where that is NaN. `exact` gives this lane's
// part of the sum in f64: all lanes of the warp go there together when a row's squares left f32.
template <typename F>
__device__ __forceinline__ float inverse_of(float squares, u32 lanes, F exact) {
    float norm = sqrtf(squares);
    const bool beyond = squares == -neg_inf();
    if (__any_sync(FULL, beyond)) {
        const double all = group_sum(exact(), lanes);
        if (beyond) norm = float(sqrt(all));
    }
    return 1.0f / (norm < SHORTEST ? SHORTEST : norm);
}

// The row of this thread; false past the last (the lanes still take part in the warp's sums).
struct Row {
    u64 row;
    u32 lane;
    bool there;
    __device__ __forceinline__ Row(u64 rows, u32 lanes) {
        row = (u64(blockIdx.x) * blockDim.x + threadIdx.x) / lanes;
        lane = threadIdx.x & (lanes - 1), there = row < rows;
    }
};

template <int N>
__device__ __forceinline__ void forward(const NormForwardArgs& args) {
    const NormForwardRows of = args.of[blockIdx.y];
    float *y = of.y, *inverse = of.inverse;
    const float* x = of.x;
    const u32 dim = args.dim, lanes = args.lanes;
    const Row at(of.rows, lanes);
    Quads<N> v;
    v.read(x + at.row * dim, at.lane, lanes, at.there ? dim : 0);
    float squares = 0.0f;
    v.each([&](float a) { squares += a * a; });
    const float factor = inverse_of(group_sum(squares, lanes), lanes, [&] {
        double sum = 0.0;
        v.each([&](float a) { sum += double(a) * double(a); });
        return sum;
    });
    if (!at.there) return;
    v.each([&](float& a) { a *= factor; });
    v.write(y + at.row * dim, at.lane, lanes, dim);
    if (at.lane == 0) inverse[at.row] = factor;
}

template <int N>
__device__ __forceinline__ void backward(const NormBackwardArgs& args) {
    const NormBackwardRows of = args.of[blockIdx.y];
    float* dy = of.dy;
    const float *y = of.y, *inverse = of.inverse;
    const u32 dim = args.dim, lanes = args.lanes;
    const Row at(of.rows, lanes);
    Quads<N> d, v;
    v.read(y + at.row * dim, at.lane, lanes, at.there ? dim : 0);
    d.read(dy + at.row * dim, at.lane, lanes, at.there ? dim : 0);
    float dot = 0.0f;
    bool some = false;
    v.each(d, [&](float a, float b) { dot += a * b, some |= a != 0.0f; });
    dot = group_sum(dot, lanes), some = any_of(some, lanes);
    if (!at.there) return;
    const float factor = inverse[at.row];
    // A zero row has no direction, so no gradient.
    d.each(v, [&](float& a, float b) { a = some ? (a - b * dot) * factor : 0.0f; });
    d.write(dy + at.row * dim, at.lane, lanes, dim);
}

// dim is a multiple of 4, at most N x 4 lanes; the wrapper checks lengths.
#define FORWARD(NAME, N)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256) NAME(const __grid_constant__ NormForwardArgs args) {     \
        forward<N>(args);                                                                                      \
    }
FORWARD(l2_norm_fwd_f32_128, 1)
FORWARD(l2_norm_fwd_f32_256, 2)
FORWARD(l2_norm_fwd_f32_512, 4)
FORWARD(l2_norm_fwd_f32_1024, 8)

#define BACKWARD(NAME, N)                                                                                      \
    extern "C" __global__ void __launch_bounds__(256) NAME(const __grid_constant__ NormBackwardArgs args) {    \
        backward<N>(args);                                                                                     \
    }
BACKWARD(l2_norm_bwd_f32_128, 1)
BACKWARD(l2_norm_bwd_f32_256, 2)
BACKWARD(l2_norm_bwd_f32_512, 4)
BACKWARD(l2_norm_bwd_f32_1024, 8)

// Any dim, value by value; the second read comes from the caches.
extern "C" __global__ void __launch_bounds__(256) l2_norm_fwd_f32_any(const __grid_constant__ NormForwardArgs args) {
    const NormForwardRows of = args.of[blockIdx.y];
    const u32 dim = args.dim, lanes = args.lanes;
    const Row at(of.rows, lanes);
    const float* from = of.x + at.row * dim;
    const u32 end = at.there ? dim : 0;
    float squares = 0.0f;
    for (u32 c = at.lane; c < end; c += lanes) squares += from[c] * from[c];
    const float factor = inverse_of(group_sum(squares, lanes), lanes, [&] {
        double sum = 0.0;
        for (u32 c = at.lane; c < end; c += lanes) sum += double(from[c]) * double(from[c]);
        return sum;
    });
    for (u32 c = at.lane; c < end; c += lanes) of.y[at.row * dim + c] = __ldg(from + c) * factor;
    if (at.there && at.lane == 0) of.inverse[at.row] = factor;
}

extern "C" __global__ void __launch_bounds__(256) l2_norm_bwd_f32_any(const __grid_constant__ NormBackwardArgs args) {
    const NormBackwardRows of = args.of[blockIdx.y];
    const u32 dim = args.dim, lanes = args.lanes;
    const Row at(of.rows, lanes);
    float* to = of.dy + at.row * dim;
    const float* from = of.y + at.row * dim;
    const u32 end = at.there ? dim : 0;
    float dot = 0.0f;
    bool some = false;
    for (u32 c = at.lane; c < end; c += lanes) dot += from[c] * to[c], some |= from[c] != 0.0f;
    dot = group_sum(dot, lanes), some = any_of(some, lanes);
    const float factor = at.there ? of.inverse[at.row] : 0.0f;
    for (u32 c = at.lane; c < end; c += lanes) to[c] = some ? (to[c] - __ldg(from + c) * dot) * factor : 0.0f;
}
