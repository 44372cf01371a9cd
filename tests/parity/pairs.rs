//! Pairs of bf16 values: rounding and the double product, lane by lane.

use half::bf16;

use super::*;
use crate::backend::cpu::simd::{Op, Simd, rows};

/// `to = pairs of first and second`, then `c = c + to . to` lane by lane.
struct Pairs<'a> {
    to: &'a mut [f32],
    c: &'a mut [f32],
    first: &'a [f32],
    second: &'a [f32],
}

impl Op for Pairs<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        rows::pairs(s, self.to, self.first, self.second);
        for (c, x) in self.c.chunks_mut(S::LANES).zip(self.to.chunks(S::LANES)) {
            s.put(c, s.dot2(s.get(x), s.get(x), s.get(c)));
        }
    }
}

#[test]
fn round_to_the_nearest_and_ties_to_even() {
    let mut random = Random(3);
    let mut first: Vec<f32> = (0..10_000).map(|_| f32::from_bits(random.bits() as u32)).collect();
    // Subnormal values may be flushed: not compared.
    first.retain(|x| !x.is_subnormal());
    let ends = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN, f32::MIN_POSITIVE, 1.0];
    first.extend(ends);
    // Halfway between two neighbours, up and down.
    first.extend((0..64).map(|n| f32::from_bits(0x3f80_8000 + (n << 16))));
    first.extend([0x3f80_7fff, 0x3f80_8001, 0x7f7f_ffff, 0x7f80_0001, 0xffff_ffff].map(f32::from_bits));
    let second: Vec<f32> = first.iter().rev().copied().collect();
    for (isa, _) in cpus(1) {
        let (mut to, mut c) = (vec![0.0; first.len()], vec![0.0; first.len()]);
        isa.run(Pairs { to: &mut to, c: &mut c, first: &first, second: &second });
        for (i, pair) in to.iter().map(|x| x.to_bits()).enumerate() {
            for (found, x) in [(pair as u16, first[i]), ((pair >> 16) as u16, second[i])] {
                let (found, expected) = (bf16::from_bits(found), bf16::from_f32(x));
                let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                assert!(same, "{isa:?}: {x:e} gives {found:?}, expected {expected:?}");
            }
        }
    }
}

#[test]
fn multiply_both_values() {
    let mut random = Random(4);
    let (first, second) = (random.vec(100, 3.0), random.vec(100, 3.0));
    let start = random.vec(100, 1.0);
    for (isa, _) in cpus(1) {
        let (mut to, mut c) = (vec![0.0; 100], start.clone());
        isa.run(Pairs { to: &mut to, c: &mut c, first: &first, second: &second });
        let square = |x: f32| bf16::from_f32(x).to_f64().powi(2);
        let expected: Vec<f64> = (0..100).map(|i| f64::from(start[i]) + square(first[i]) + square(second[i])).collect();
        ELEMENTWISE.check(&format!("{isa:?}"), &c, &expected);
    }
}

#[test]
fn a_short_row_goes_on_with_zeros() {
    for (isa, _) in cpus(1) {
        for len in [1, 7, 8, 15, 16, 33] {
            let (mut to, mut c) = (vec![f32::NAN; len], vec![0.0; len]);
            let (first, second) = (vec![1.0; len], vec![2.0; len / 2]);
            isa.run(Pairs { to: &mut to, c: &mut c, first: &first, second: &second });
            let expected: Vec<f32> = (0..len).map(|i| if i < len / 2 { 5.0 } else { 1.0 }).collect();
            assert_eq!(c, expected, "{isa:?}: {len}");
        }
    }
}
