// Written from Rust (src/backend/cuda/arguments.rs): change it there, then `just arguments`.
#pragma once
#include "core/types.cuh"

// A step's constants, worked out by the host in f64.
struct Rule {
    // The optimizer: see enum Kind.
    u32 kind;
    float grad_scale;
    // 1 - lr weight_decay.
    float keep;
    // The learning rate; for Adam over 1 - beta1^t.
    float rate;
    float beta1;
    float beta2;
    // 1 / sqrt(1 - beta2^t).
    float root;
    float eps;
};
static_assert(sizeof(Rule) == 32, "the size of Rule on the host");

// w, m, v, dw: `len` values, 16-byte aligned; m and v are null where the optimizer keeps none.
struct DenseStepArgs {
    float* w;
    float* m;
    float* v;
    const float* dw;
    u64 len;
    Rule rule;
};
static_assert(sizeof(DenseStepArgs) == 72, "the size of DenseStepArgs on the host");

// sums: one for each piece of 16,384 of the `len` values of x, 16-byte aligned.
struct SquaredNormPiecesArgs {
    double* sums;
    const float* x;
    u64 len;
};
static_assert(sizeof(SquaredNormPiecesArgs) == 24, "the size of SquaredNormPiecesArgs on the host");

// total = the sum of `count` values.
struct SquaredNormTotalArgs {
    double* total;
    const double* sums;
    u64 count;
};
static_assert(sizeof(SquaredNormTotalArgs) == 24, "the size of SquaredNormTotalArgs on the host");
