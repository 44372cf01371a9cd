// A reference for all scores of a call, in place of each row's largest one.
#pragma once
#include "loss/common.cuh"

// What the extremes say of the call. Every score in powers of 2, its bias included, lies within `bound` of `top` on one side
// and `bound` and the biases' span on the other. Where that range fits the powers that fp32 has, a fixed reference serves in
// place of each row's largest score; the range is cut so that no sum of 2^32 columns overflows above, and what underflows
// below is less than 2^-26 of any row's sum.
struct Reference {
    float value;  // what is taken from every score
    float top;    // the largest bias
    u32 fixed;
};

// `users`, `candidates`: the largest squared lengths; `top`: the largest bias, `lowest`: the least finite one, negated, in powers
// of 2.
__device__ __forceinline__ Reference reference_of(float scale2, float users, float candidates, float top, float lowest) {
    // No bias, or none that is finite.
    if (lowest == neg_inf()) top = 0.0f, lowest = 0.0f;
    const float span = top + lowest, bound = scale2 * sqrtf(users) * sqrtf(candidates) * 1.0001f;
    const float range = 2.0f * bound + span;
    // Not for NaN and infinities: those take the way of the running maximum. Nor for a scale of 0, by which -inf is no score.
    if (!(range <= 190.0f && span <= 100.0f && scale2 > 0.0f)) return Reference{0.0f, 0.0f, 0};
    const float above = fminf(fmaxf(range - 100.0f, 0.0f), 90.0f);
    return Reference{top + bound - above, top, 1};
}
