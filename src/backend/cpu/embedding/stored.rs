//! How table values are stored, and stochastic rounding.

use half::{bf16, f16};

use crate::backend::cpu::simd::Simd;
use crate::rng::mix;

/// A type of table values.
pub(crate) trait Stored: bytemuck::Pod + Send + Sync {
    /// Widens the front of a row; zeros where it ends early.
    fn get<S: Simd>(s: S, from: &[Self]) -> S::F;
    /// The values themselves, where they are stored as they are stepped.
    fn plain(row: &mut [Self]) -> Option<&mut [f32]>;
    /// Rounds up with the probability of the part that is cut off. Finite values stay finite.
    fn round(value: f32, bits: u32) -> Self;
}

impl Stored for f32 {
    #[inline(always)]
    fn get<S: Simd>(s: S, from: &[f32]) -> S::F {
        s.get(from)
    }
    #[inline(always)]
    fn plain(row: &mut [f32]) -> Option<&mut [f32]> {
        Some(row)
    }
    #[inline(always)]
    fn round(value: f32, _: u32) -> f32 {
        value
    }
}

/// The front of a row of 16-bit values, filled up with zeros.
#[inline(always)]
fn filled(from: &[u16]) -> [u16; 16] {
    let mut out = [0; 16];
    out[..from.len()].copy_from_slice(from);
    out
}

impl Stored for bf16 {
    #[inline(always)]
    fn get<S: Simd>(s: S, from: &[bf16]) -> S::F {
        let from: &[u16] = bytemuck::cast_slice(from);
        if from.len() >= S::LANES { s.widen_bf16(from) } else { s.widen_bf16(&filled(from)) }
    }
    #[inline(always)]
    fn plain(_: &mut [bf16]) -> Option<&mut [f32]> {
        None
    }
    /// Adds 16 random bits below the 16 that are kept.
    #[inline(always)]
    fn round(value: f32, bits: u32) -> bf16 {
        let x = value.to_bits();
        let rounded = (x.wrapping_add(bits & 0xffff) >> 16) as u16;
        // Beyond the largest finite value there is only infinity.
        let finite = if rounded & 0x7fff >= 0x7f80 { (rounded & 0x8000) | 0x7f7f } else { rounded };
        // A NaN keeps a bit of its mantissa.
        let nan = x & 0x7fff_ffff > 0x7f80_0000;
        let special = (x >> 16) as u16 | if nan { 0x40 } else { 0 };
        bf16::from_bits(if x & 0x7f80_0000 == 0x7f80_0000 { special } else { finite })
    }
}

impl Stored for f16 {
    #[inline(always)]
    fn get<S: Simd>(s: S, from: &[f16]) -> S::F {
        let from: &[u16] = bytemuck::cast_slice(from);
        if from.len() >= S::LANES { s.widen_f16(from) } else { s.widen_f16(&filled(from)) }
    }
    #[inline(always)]
    fn plain(_: &mut [f16]) -> Option<&mut [f32]> {
        None
    }
    /// Adds random bits below those that are kept: 13 are cut off a normal number, one more for each power of two
    /// below 2^-14.
    #[inline(always)]
    fn round(value: f32, bits: u32) -> f16 {
        let x = value.to_bits();
        let exponent = (x >> 23) & 0xff;
        let mantissa = (x & 0x7f_ffff) | if exponent > 0 { 0x80_0000 } else { 0 };
        let below = 113u32.saturating_sub(exponent.max(1));
        // 31 bits are cut off at most; what lies lower goes first.
        let lower = below.saturating_sub(18);
        let mantissa = if lower > 31 { 0 } else { mantissa >> (lower & 31) };
        let cut = 13 + below - lower;
        let kept = (mantissa + (bits & ((1 << cut) - 1))) >> cut;
        // A carry out of the mantissa moves the exponent by itself.
        let base = (exponent.max(113) - 113) << 10;
        let magnitude = if base + kept > 0x7bff { 0x7bff } else { base + kept };
        let special = 0x7c00 | if x & 0x7f_ffff != 0 { 0x200 } else { 0 };
        f16::from_bits(((x >> 16) & 0x8000) as u16 | if exponent == 0xff { special } else { magnitude } as u16)
    }
}

/// Rounds a stepped row into the table. The bits of lane l are the upper half of xorshift64* from
/// `splitmix64(run key ^ (table << 32 | row)) ^ (l + 1) * 0x9e3779b97f4a7c15`: whoever computes them gets the same.
#[inline(always)]
pub(super) fn round_row<T: Stored>(to: &mut [T], from: &[f32], run_key: u64, table: u32, row: u32) {
    let key = mix(run_key ^ (u64::from(table) << 32 | u64::from(row)));
    for (lane, (to, &x)) in to.iter_mut().zip(from).enumerate() {
        let mut state = key ^ (lane as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        *to = T::round(x, (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32);
    }
}
