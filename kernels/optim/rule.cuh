// Optimizer rules (backend/cpu/optim.rs): every operation is rounded as on a host with fused multiply-add, so that
// equal inputs step to equal values. A denominator of 0 means that no gradient ever came: no step. Anything not finite
// goes through.
#pragma once
#include "optim/arguments.cuh"

enum Kind { SGD = 0, ADAGRAD = 1, ADAM = 2, ROWWISE = 3 };

__device__ __forceinline__ float divide_or_zero(float a, float b) { return b == 0.0f ? 0.0f : __fdiv_rn(a, b); }

// Steps one value by its gradient. Adagrad keeps m (sum of squares), Adam m and v (moments).
__device__ __forceinline__ void step_value(int kind, const Rule& rule, float& w, float gradient, float& m, float& v) {
    const float g = __fmul_rn(gradient, rule.grad_scale);
    float step;
    if (kind == SGD) {
        step = __fmul_rn(rule.rate, g);
    } else if (kind == ADAGRAD) {
        m = __fmaf_rn(g, g, m);
        step = divide_or_zero(__fmul_rn(rule.rate, g), __fadd_rn(__fsqrt_rn(m), rule.eps));
    } else {
        m = __fmaf_rn(rule.beta1, m, __fmul_rn(1.0f - rule.beta1, g));
        v = __fmaf_rn(rule.beta2, v, __fmul_rn(1.0f - rule.beta2, __fmul_rn(g, g)));
        step = divide_or_zero(__fmul_rn(rule.rate, m), __fmaf_rn(__fsqrt_rn(v), rule.root, rule.eps));
    }
    w = __fsub_rn(__fmul_rn(w, rule.keep), step);
}

// Row-wise Adagrad: adds the mean of the squared gradients (`squares`: their unscaled sum) to the row's state, and
// returns what multiplies the unscaled gradients.
__device__ __forceinline__ float rowwise_rate(const Rule& rule, float squares, u32 dim, float& state) {
    squares = __fmul_rn(__fmul_rn(squares, rule.grad_scale), rule.grad_scale);
    state = __fadd_rn(state, __fdiv_rn(squares, float(dim)));
    const float rate = divide_or_zero(rule.rate, __fadd_rn(__fsqrt_rn(state), rule.eps));
    return __fmul_rn(rate, rule.grad_scale);
}

__device__ __forceinline__ float rowwise_value(const Rule& rule, float w, float gradient, float rate) {
    return __fsub_rn(__fmul_rn(w, rule.keep), __fmul_rn(rate, gradient));
}
