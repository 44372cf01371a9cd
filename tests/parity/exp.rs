//! The vector exponential.

use super::*;
use crate::backend::cpu::simd::{Op, Simd};

/// `y = e^x`; with `down` by the function for x up to 0.
struct Exp<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    down: bool,
}

impl Op for Exp<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (y, x) in self.y.chunks_mut(S::LANES).zip(self.x.chunks(S::LANES)) {
            s.put(y, if self.down { s.exp_down(s.get(x)) } else { s.exp(s.get(x)) });
        }
    }
}

fn exp(isa: Isa, x: &[f32], down: bool) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    isa.run(Exp { y: &mut y, x, down });
    y
}

#[test]
fn within_two_units_of_the_last_place() {
    let x: Vec<f32> = (0..400_000).map(|i| (i as f32 - 199_000.0) / 2290.0).collect();
    for (isa, _) in cpus(1) {
        for (&x, &y) in x.iter().zip(&exp(isa, &x, false)) {
            let expected = f64::from(x).exp();
            let error = (f64::from(y) - expected).abs();
            assert!(error <= 2e-7 * expected + 2e-45, "{isa:?}: e^{x} is {expected:e}, found {y:e}");
        }
    }
}

#[test]
fn ends() {
    for (isa, _) in cpus(1) {
        let y = exp(
            isa,
            &[0.0, -0.0, f32::NEG_INFINITY, -1e30, -120.0, f32::INFINITY, 1e30, 89.0, f32::NAN, -f32::NAN],
            false,
        );
        assert_eq!(y[..8], [1.0, 1.0, 0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY], "{isa:?}");
        assert!(y[8].is_nan() && y[9].is_nan(), "{isa:?}");
    }
}

#[test]
fn down_from_one() {
    let x: Vec<f32> = (0..400_000).map(|i| i as f32 / -4000.0).collect();
    for (isa, _) in cpus(1) {
        for (&x, &y) in x.iter().zip(&exp(isa, &x, true)) {
            let expected = f64::from(x).exp();
            let error = (f64::from(y) - expected).abs();
            // Below -87 it may be 0.
            let allowed = if x < -87.0 { 1.7e-38 } else { 2e-7 * expected };
            assert!(error <= allowed, "{isa:?}: e^{x} is {expected:e}, found {y:e}");
        }
        let y = exp(isa, &[0.0, -0.0, f32::NEG_INFINITY, -1e30, -120.0, f32::NAN, -f32::NAN], true);
        assert_eq!(y[..5], [1.0, 1.0, 0.0, 0.0, 0.0], "{isa:?}");
        assert!(y[5].is_nan() && y[6].is_nan(), "{isa:?}");
    }
}
