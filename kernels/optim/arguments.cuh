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

// The constants of a step, which come with its batch.
struct StepRules {
    // The part of rounding's random bits that all rows share.
    u64 run_key;
    Rule decayed;
    // Without weight decay.
    Rule plain;
};
static_assert(sizeof(StepRules) == 72, "the size of StepRules on the host");

// Dense parameters: `len` values each, 16-byte aligned; m and v are null where the optimizer keeps none.
struct DenseParam {
    float* w;
    float* m;
    float* v;
    const float* dw;
    u64 len;
    // The first of its blocks.
    u32 first_block;
    // Whether its weights decay.
    u32 decays;
};
static_assert(sizeof(DenseParam) == 48, "the size of DenseParam on the host");

// The step of all dense parameters.
struct DenseStepsArgs {
    const DenseParam* params;
    const StepRules* rules;
    // What scales all gradients; null: the rule's.
    const float* grad_scale;
    u32 count;
    u32 unused;
};
static_assert(sizeof(DenseStepsArgs) == 32, "the size of DenseStepsArgs on the host");

// Values whose squares are summed, 16-byte aligned, in pieces of 16,384.
struct NormPart {
    const float* x;
    u64 len;
    u32 first_piece;
    u32 pieces;
};
static_assert(sizeof(NormPart) == 24, "the size of NormPart on the host");

// sums: one for each piece.
struct SquaredNormsArgs {
    double* sums;
    const NormPart* parts;
    u32 count;
    u32 unused;
};
static_assert(sizeof(SquaredNormsArgs) == 24, "the size of SquaredNormsArgs on the host");

// What clips gradients whose norm is that of all parts to `limit`.
struct ClipArgs {
    float* grad_scale;
    const double* sums;
    const NormPart* parts;
    u32 count;
    float limit;
};
static_assert(sizeof(ClipArgs) == 32, "the size of ClipArgs on the host");
