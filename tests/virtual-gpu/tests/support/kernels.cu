// Kernels of the driver's own tests. kernels.ptx is what NVRTC 11.8 makes of this file with
// --gpu-architecture=compute_75 -lineinfo, committed so that the tests need no compiler.
extern "C" __global__ void scale(float* x, float k, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= k;
}
extern "C" __global__ void add(float* y, const float* x, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += x[i];
}
extern "C" __global__ void wild(float* x, unsigned n) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    x[n + i] = 0.0f;
}
extern "C" __global__ void skewed(float* x) {
    *(float*)((char*)x + 2) = 0.0f;
}
extern "C" __global__ void staged(float* x, unsigned n) {
    extern __shared__ float s[];
    unsigned i = threadIdx.x;
    s[i] = i < n ? x[i] : 0.0f;
    __syncthreads();
    if (i < n) x[i] = s[n - 1 - i];
}
__device__ float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
extern "C" __global__ void look(float* x, unsigned n) {
    unsigned i = threadIdx.x;
    if (i < n) x[i] = table[i & 3];
}
