//! The special function unit, within the errors that the PTX ISA states for the approximate forms.

use super::instruction::{check, check_near, results};
use super::reals::{bf16, f16};
use super::values::Kind::{self, Bf16, Bf16x2, F16, F16x2, F32};
use super::values::inputs;

/// One unit in the last place of an f32, relative.
const ULP: f64 = 1.0 / 8_388_608.0;

fn power(e: f64) -> f64 {
    e.exp2()
}

/// The f32 as f64; `.ftz` and hardware read subnormals as zeros of their sign.
fn flushed(x: f32) -> f64 {
    super::reals::flush_f32(x).into()
}

#[test]
fn reciprocals_and_roots() {
    for (ftz, read) in [(".ftz", flushed as fn(f32) -> f64), ("", |x| x.into())] {
        check_near(&format!("rcp.approx{ftz}.f32"), &[F32], ULP, 0.0, &|v| 1.0 / read(v[0]));
        check_near(&format!("sqrt.approx{ftz}.f32"), &[F32], ULP, 0.0, &|v| read(v[0]).sqrt());
        check_near(&format!("rsqrt.approx{ftz}.f32"), &[F32], power(-22.9), 0.0, &|v| {
            let x = read(v[0]);
            // -0 gives minus infinity.
            if x == 0.0 { f64::INFINITY.copysign(x) } else { 1.0 / x.sqrt() }
        });
    }
}

#[test]
fn exponential_and_logarithm() {
    for (ftz, read) in [(".ftz", flushed as fn(f32) -> f64), ("", |x| x.into())] {
        check_near(&format!("ex2.approx{ftz}.f32"), &[F32], power(-22.5), 0.0, &|v| read(v[0]).exp2());
        check_near(&format!("lg2.approx{ftz}.f32"), &[F32], power(-22.0), power(-22.0), &|v| {
            let x = read(v[0]);
            if x == 0.0 { f64::NEG_INFINITY } else { x.log2() }
        });
    }
}

#[test]
fn trigonometry() {
    for ftz in ["", ".ftz"] {
        // The stated error holds near zero: without bit 30 the inputs are in (-2, 2).
        let near_zero = "and.b32 %a, %a, 0xBFFFFFFF;";
        let cut = |v: f32| f64::from(f32::from_bits(v.to_bits() & 0xbfff_ffff));
        for (op, f) in [("sin", f64::sin as fn(f64) -> f64), ("cos", f64::cos)] {
            let text = format!("{near_zero} {op}.approx{ftz}.f32 %d, %a;");
            check_near(&text, &[F32], 0.0, power(-20.9), &|v| f(cut(v[0])));
        }
        check_near(&format!("tanh.approx{ftz}.f32"), &[F32], power(-10.9), 0.0, &|v| f64::from(v[0]).tanh());
    }
}

#[test]
fn approximate_quotients() {
    for form in ["approx", "approx.ftz", "full", "full.ftz"] {
        // The fast forms are stated for divisors of moderate size: 2^-126 to 2^126.
        let text = format!("and.b32 %b, %b, 0xBFFFFFFF; or.b32 %b, %b, 0x20000000; div.{form}.f32 %d, %a, %b;");
        let ftz = form.ends_with("ftz");
        check_near(&text, &[F32, F32], 2.0 * ULP, 0.0, &|v| {
            let b = f32::from_bits(v[1].to_bits() & 0xbfff_ffff | 0x2000_0000);
            let a = if ftz { flushed(v[0]) } else { v[0].into() };
            a / f64::from(b)
        });
    }
}

#[test]
fn rounded_forms_are_no_approximation() {
    check("sqrt.rn.f32", F32, &[F32], &|v| f32::from_bits(v[0] as u32).sqrt().to_bits().into());
    check("rcp.rn.f32", F32, &[F32], &|v| (1.0 / f32::from_bits(v[0] as u32)).to_bits().into());
}

/// Compares 16-bit results within a relative error.
fn near_half(text: &str, kind: Kind, read: fn(u64) -> f32, relative: f64, f: fn(f64) -> f64) {
    let values = inputs(&[kind]);
    let got = results(text, kind, &[kind], &values);
    let halves: &[u32] = if kind.bytes() == 4 { &[0, 16] } else { &[0] };
    for (&x, &y) in values[0].iter().zip(&got) {
        for shift in halves {
            let (x, y) = (read(x >> shift), f64::from(read(y >> shift)));
            let want = f(x.into());
            let close = (y - want).abs() <= relative * want.abs() + 1e-7;
            let beyond = y.is_infinite() && want.abs() > 65_000.0 && y.is_sign_negative() == want.is_sign_negative();
            assert!(close || beyond || y == want || (y.is_nan() && want.is_nan()), "{text}: {x} gives {y}, not {want}");
        }
    }
}

#[test]
fn forms_of_16_bits() {
    near_half("ex2.approx.f16", F16, f16, power(-9.9), f64::exp2);
    near_half("ex2.approx.f16x2", F16x2, f16, power(-9.9), f64::exp2);
    near_half("tanh.approx.f16", F16, f16, power(-10.9), f64::tanh);
    near_half("tanh.approx.f16x2", F16x2, f16, power(-10.9), f64::tanh);
    near_half("ex2.approx.ftz.bf16", Bf16, bf16, power(-7.0), f64::exp2);
    near_half("ex2.approx.ftz.bf16x2", Bf16x2, bf16, power(-7.0), f64::exp2);
    near_half("tanh.approx.bf16", Bf16, bf16, power(-8.0), f64::tanh);
    near_half("tanh.approx.bf16x2", Bf16x2, bf16, power(-8.0), f64::tanh);
}
