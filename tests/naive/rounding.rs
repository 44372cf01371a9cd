//! Stochastic rounding to bf16 and fp16: up with the probability of the part that is cut off.

/// One step of splitmix64 from `x`.
pub fn splitmix64(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The random bits for one value of a table: lane `lane` of row `row`, at a step.
pub fn bits(seed: u64, step: u64, table: u32, row: u32, lane: usize) -> u32 {
    let run = splitmix64(splitmix64(seed) ^ step);
    let key = splitmix64(run ^ (u64::from(table) << 32 | u64::from(row)));
    // xorshift64* from a state that differs from lane to lane.
    let mut x = key ^ (lane as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
}

/// The two neighbours among a format's values, and the rounding between them. `step` is the distance of neighbours at
/// |x|, `random` in [0, 1) and `largest` the largest finite value.
fn round(x: f64, step: f64, random: f64, largest: f64) -> f64 {
    let below = (x.abs() / step).floor();
    let part = x.abs() / step - below;
    let up = if random + part >= 1.0 { 1.0 } else { 0.0 };
    ((below + up) * step).min(largest).copysign(x)
}

/// Rounds a finite value to one of bf16: 8 bits of precision. The low 16 of the random bits are used.
pub fn to_bf16(x: f32, bits: u32) -> f64 {
    let x = f64::from(x);
    let exponent = if x == 0.0 { -126.0 } else { x.abs().log2().floor().max(-126.0) };
    round(x, f64::exp2(exponent - 7.0), f64::from(bits & 0xffff) / 65536.0, 3.3895313892515355e38)
}

/// Rounds a finite value to one of fp16: 11 bits of precision, down to 2^-24. As many low random bits are used as
/// bits of the value are cut off, 31 at most; of a value below 2^-32 the bits beyond are cut off first.
pub fn to_f16(x: f32, bits: u32) -> f64 {
    let x = f64::from(x);
    let power = if x == 0.0 { -126.0 } else { x.abs().log2().floor().max(-126.0) };
    let step = f64::exp2(power.max(-14.0) - 10.0);
    let cut = (13.0 + (-14.0 - power).max(0.0)).min(31.0);
    let unit = step * f64::exp2(-cut);
    let x = ((x.abs() / unit).floor() * unit).copysign(x);
    let random = f64::from(bits & ((1u32 << cut as u32) - 1)) / f64::exp2(cut);
    round(x, step, random, 65504.0)
}
