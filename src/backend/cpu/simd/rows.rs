//! Kernels over the values of one row. Slices that are read or written side by side have the same length.

use super::Simd;

/// The largest value; NaN may be lost (sums find it).
#[inline(always)]
pub(crate) fn max<S: Simd>(s: S, x: &[f32]) -> f32 {
    let lowest = s.splat(f32::NEG_INFINITY);
    let (mut even, mut odd) = (lowest, lowest);
    let mut pairs = x.chunks_exact(2 * S::LANES);
    for pair in &mut pairs {
        even = s.max(s.get(pair), even);
        odd = s.max(s.get(&pair[S::LANES..]), odd);
    }
    let mut best = s.max_lane(s.max(even, odd));
    for &x in pairs.remainder() {
        best = if x > best { x } else { best };
    }
    best
}

/// `y = e^(y - shift)`, and the sum of that, in fp32. No value exceeds the shift.
#[inline(always)]
pub(crate) fn raise<S: Simd>(s: S, y: &mut [f32], shift: f32) -> f32 {
    let (shift, mut sum) = (s.splat(shift), s.splat(0.0));
    let mut whole = y.chunks_exact_mut(S::LANES);
    for y in &mut whole {
        let x = s.exp_down(s.sub(s.get(y), shift));
        s.put(y, x);
        sum = s.add(sum, x);
    }
    let rest = whole.into_remainder();
    if !rest.is_empty() {
        s.put(rest, s.exp_down(s.sub(s.get(rest), shift)));
        sum = s.add(sum, s.get(rest));
    }
    s.sum(sum)
}

/// Pairs of bf16 values of two rows (see [`Simd::pairs`]); a row that ends early goes on with zeros.
#[inline(always)]
pub(crate) fn pairs<S: Simd>(s: S, to: &mut [f32], first: &[f32], second: &[f32]) {
    for (n, to) in to.chunks_mut(S::LANES).enumerate() {
        let part = |row: &[f32]| s.get(row.get(n * S::LANES..).unwrap_or_default());
        s.put(to, s.pairs(part(first), part(second)));
    }
}

/// `y = y * factor`.
#[inline(always)]
pub(crate) fn scale<S: Simd>(s: S, y: &mut [f32], factor: f32) {
    let factor = s.splat(factor);
    for y in y.chunks_mut(S::LANES) {
        s.put(y, s.mul(s.get(y), factor));
    }
}

/// `y = y + factor * x`.
#[inline(always)]
pub(crate) fn add_scaled<S: Simd>(s: S, y: &mut [f32], x: &[f32], factor: f32) {
    let factor = s.splat(factor);
    for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
        s.put(y, s.fma(s.get(x), factor, s.get(y)));
    }
}

/// `y = y + x`.
#[inline(always)]
pub(crate) fn add<S: Simd>(s: S, y: &mut [f32], x: &[f32]) {
    for (y, x) in y.chunks_mut(S::LANES).zip(x.chunks(S::LANES)) {
        s.put(y, s.add(s.get(y), s.get(x)));
    }
}

/// The inner product.
#[inline(always)]
pub(crate) fn dot<S: Simd>(s: S, x: &[f32], y: &[f32]) -> f32 {
    let mut sum = s.splat(0.0);
    for (x, y) in x.chunks(S::LANES).zip(y.chunks(S::LANES)) {
        sum = s.fma(s.get(x), s.get(y), sum);
    }
    s.sum(sum)
}

/// `y = e^(y - shift) * factor`. No value exceeds the shift.
#[inline(always)]
pub(crate) fn exp_in_place<S: Simd>(s: S, y: &mut [f32], shift: f32, factor: f32) {
    let (shift, factor) = (s.splat(shift), s.splat(factor));
    for y in y.chunks_mut(S::LANES) {
        s.put(y, s.mul(s.exp_down(s.sub(s.get(y), shift)), factor));
    }
}
