//! Plain loops over 8 values; the compiler's baseline vectors.

use super::{Op, Simd};

/// Every processor.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

const LANES: usize = 8;
type F = [f32; LANES];

#[inline(always)]
fn map2(a: F, b: F, f: impl Fn(f32, f32) -> f32) -> F {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o = f(*o, b);
    }
    out
}

/// Adding it rounds to a whole number and leaves that in the low bits.
const ROUND: f32 = 12_582_912.0;

/// The bits of the nearest bf16 value; a NaN stays one.
#[inline(always)]
fn bf16_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (if x.is_nan() { bits | 0x40_0000 } else { rounded }) >> 16
}

impl Simd for Portable {
    type F = F;
    type I = [i32; LANES];
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;
    const TILE_VECTORS: usize = 1;
    const CODE_ROWS: usize = 4;
    const FAST_CODES: bool = false;

    fn run<O: Op>(self, op: O) -> O::Output {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> F {
        // SAFETY: the caller vouches for LANES values; arrays of f32 have its alignment.
        unsafe { from.cast::<F>().read() }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, n: usize) -> F {
        let mut out = [0.0; LANES];
        // SAFETY: the caller vouches for n values.
        out[..n].copy_from_slice(unsafe { std::slice::from_raw_parts(from, n) });
        out
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: F) {
        // SAFETY: the caller vouches for LANES values; arrays of f32 have its alignment.
        unsafe { to.cast::<F>().write(v) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: F, n: usize) {
        // SAFETY: the caller vouches for n values.
        unsafe { std::slice::from_raw_parts_mut(to, n) }.copy_from_slice(&v[..n]);
    }
    #[inline(always)]
    fn widen_bf16(self, from: &[u16]) -> F {
        let mut out = [0.0; LANES];
        for (o, &x) in out.iter_mut().zip(&from[..LANES]) {
            *o = f32::from_bits(u32::from(x) << 16);
        }
        out
    }
    #[inline(always)]
    fn widen_f16(self, from: &[u16]) -> F {
        let mut out = [0.0; LANES];
        for (o, &x) in out.iter_mut().zip(&from[..LANES]) {
            *o = half::f16::from_bits(x).to_f32_const();
        }
        out
    }

    #[inline(always)]
    fn add(self, a: F, b: F) -> F {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: F, b: F) -> F {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: F, b: F) -> F {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div_or_zero(self, a: F, b: F) -> F {
        map2(a, b, |a, b| if b == 0.0 { 0.0 } else { a / b })
    }
    #[inline(always)]
    fn fma(self, a: F, b: F, c: F) -> F {
        // Not `mul_add`: without the instruction that is a call.
        let mut out = c;
        for l in 0..LANES {
            out[l] += a[l] * b[l];
        }
        out
    }
    #[inline(always)]
    fn fma_one(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn pairs(self, first: F, second: F) -> F {
        map2(first, second, |first, second| f32::from_bits(bf16_bits(first) | bf16_bits(second) << 16))
    }
    #[inline(always)]
    fn dot2(self, a: F, b: F, c: F) -> F {
        let first = |x: f32| f32::from_bits(x.to_bits() << 16);
        let second = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
        let mut out = c;
        for l in 0..LANES {
            out[l] += second(a[l]) * second(b[l]);
            out[l] += first(a[l]) * first(b[l]);
        }
        out
    }
    #[inline(always)]
    fn sqrt(self, a: F) -> F {
        map2(a, a, |a, _| a.sqrt())
    }
    #[inline(always)]
    fn max(self, a: F, b: F) -> F {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: F, b: F) -> F {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn round(self, a: F) -> F {
        map2(a, a, |a, _| (a + ROUND) - ROUND)
    }
    #[inline(always)]
    fn scale2(self, a: F, n: F) -> F {
        map2(a, n, |a, n| {
            let n = ((n + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
            // In two factors, so that neither leaves the normal numbers.
            let (first, second) = (n >> 1, n.wrapping_sub(n >> 1));
            let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
            a * power(first) * power(second)
        })
    }
    #[inline(always)]
    fn sum(self, a: F) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn max_lane(self, a: F) -> f32 {
        let mut max = a[0];
        for x in a {
            max = if x > max { x } else { max };
        }
        max
    }
    #[inline(always)]
    fn at_least(self, a: F, b: F) -> u32 {
        let mut bits = 0;
        for l in 0..LANES {
            bits |= u32::from(a[l] >= b[l]) << l;
        }
        bits
    }
    #[inline(always)]
    fn zeros_int(self) -> [i32; LANES] {
        [0; LANES]
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> [i32; LANES] {
        // SAFETY: the caller vouches for 4 bytes a lane; the read needs no alignment.
        unsafe { from.cast::<[i32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat_bytes(self, from: *const i8) -> [i32; LANES] {
        // SAFETY: the caller vouches for 4 bytes; the read needs no alignment.
        [unsafe { from.cast::<i32>().read_unaligned() }; LANES]
    }
    #[inline(always)]
    fn dot8(self, mut sum: [i32; LANES], a: [[i32; LANES]; 2], b: [[i32; LANES]; 2]) -> [i32; LANES] {
        for (a, b) in a.into_iter().zip(b) {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                for (a, b) in a.to_ne_bytes().into_iter().zip(b.to_ne_bytes()) {
                    *sum += i32::from(a) * i32::from(b as i8);
                }
            }
        }
        sum
    }
    #[inline(always)]
    fn max_int(self, mut a: [i32; LANES], b: [i32; LANES]) -> [i32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = b.max(*a);
        }
        a
    }
    #[inline(always)]
    fn to_float(self, a: [i32; LANES]) -> F {
        a.map(|a| a as f32)
    }
    #[inline(always)]
    fn prefetch<T>(self, _: &[T]) {}
    #[inline(always)]
    fn touch(self, _: *const f32) {}
}
