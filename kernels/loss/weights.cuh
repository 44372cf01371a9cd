// The weights of rows under SoftmaxLoss@K: a warp a row.
#pragma once
#include "core/common.cuh"

// out, thresholds, popularity, weights: rows; users: rows x dim; candidates: columns x dim; positives: rows. Absent
// popularity is 0, absent weights are 1, absent positives are the rows' numbers. A positive that is no column is
// refused by the loss; its weight is 0.
extern "C" __global__ void __launch_bounds__(256)
    loss_top_k_weights(float* __restrict__ out, const float* __restrict__ users, const float* __restrict__ candidates,
                       const float* __restrict__ log_scale, const float* __restrict__ thresholds,
                       const float* __restrict__ popularity, const float* __restrict__ weights,
                       const u32* __restrict__ positives, u64 rows, u64 columns, u32 dim, float width) {
    const u64 row = (u64(blockIdx.x) * 256 + threadIdx.x) / WARP;
    if (row >= rows) return;
    const u32 lane = threadIdx.x % WARP;
    const u64 positive = positives ? positives[row] : row;
    if (positive >= columns) {
        if (lane == 0) out[row] = 0.0f;
        return;
    }
    const float *u = users + row * dim, *v = candidates + positive * dim;
    float score = 0.0f;
    for (u32 c = lane; c < dim; c += WARP) score += u[c] * v[c];
    score = warp_sum(score);
    if (lane > 0) return;
    if (popularity) score += expf(-*log_scale) * popularity[row];
    const float weight = weights ? weights[row] : 1.0f;
    out[row] = weight / (1.0f + expf((thresholds[row] - score) / width));
}
