// The weights of rows under SoftmaxLoss@K: a warp a row.
#pragma once
#include "core/reduce.cuh"
#include "loss/arguments.cuh"

// A positive that is no column is refused by the loss; its weight is 0.
extern "C" __global__ void __launch_bounds__(256) loss_top_k_weights(const __grid_constant__ TopKWeightsArgs args) {
    float* out = args.out;
    const u32 dim = args.dim;
    const u64 row = (u64(blockIdx.x) * 256 + threadIdx.x) / WARP;
    if (row >= args.rows) return;
    const u32 lane = threadIdx.x % WARP;
    const u64 positive = args.positives ? args.positives[row] : row;
    if (positive >= args.columns) {
        if (lane == 0) out[row] = 0.0f;
        return;
    }
    const float *u = args.users + row * dim, *v = args.candidates + positive * dim;
    float score = 0.0f;
    for (u32 c = lane; c < dim; c += WARP) score += u[c] * v[c];
    score = warp_sum(score);
    if (lane > 0) return;
    if (args.popularity) score += expf(-*args.log_scale) * args.popularity[row];
    const float weight = args.weights ? args.weights[row] : 1.0f;
    out[row] = weight / (1.0f + expf((args.thresholds[row] - score) / args.width));
}
