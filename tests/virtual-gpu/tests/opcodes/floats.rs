//! f32 and f64 arithmetic, bit for bit.

use super::instruction::check;
use super::reals::{self, DOUBLE, Format, ROUNDINGS, Rounding, SINGLE, flush_f32, saturate};
use super::values::Kind::{F32, F64};

type Binary = fn(Format, u64, u64, Rounding, bool) -> u64;

fn sat(on: bool, bits: u64) -> u64 {
    if on { saturate(f32::from_bits(bits as u32)).to_bits().into() } else { bits }
}

/// Every rounding mode, with and without `.ftz` and `.sat`.
fn every_form(mut form: impl FnMut(&str, Rounding, bool, bool)) {
    for (name, rounding) in ROUNDINGS {
        for (flush, saturated) in [(false, false), (true, false), (false, true), (true, true)] {
            let ftz = if flush { ".ftz" } else { "" };
            let sat = if saturated { ".sat" } else { "" };
            form(&format!(".{name}{ftz}{sat}"), rounding, flush, saturated);
        }
    }
    form("", Rounding::Nearest, false, false);
}

#[test]
fn sums_and_products_of_f32() {
    for (op, f) in [("add", reals::add as Binary), ("sub", reals::sub), ("mul", reals::mul)] {
        every_form(|form, rounding, flush, saturated| {
            check(&format!("{op}{form}.f32"), F32, &[F32, F32], &|v| {
                sat(saturated, f(SINGLE, v[0], v[1], rounding, flush))
            });
        });
    }
}

#[test]
fn fused_f32() {
    every_form(|form, rounding, flush, saturated| {
        let op = if form.is_empty() { "fma.rn".to_string() } else { format!("fma{form}") };
        check(&format!("{op}.f32"), F32, &[F32, F32, F32], &|v| {
            sat(saturated, reals::fma(SINGLE, v[0], v[1], v[2], rounding, flush))
        });
    });
    // From sm_20 on mad.f32 is fused too.
    check("mad.rn.f32", F32, &[F32, F32, F32], &|v| reals::fma(SINGLE, v[0], v[1], v[2], Rounding::Nearest, false));
}

#[test]
fn quotients_of_f32() {
    for (name, rounding) in ROUNDINGS {
        check(&format!("div.{name}.f32"), F32, &[F32, F32], &|v| reals::div(SINGLE, v[0], v[1], rounding, false));
        check(&format!("div.{name}.ftz.f32"), F32, &[F32, F32], &|v| reals::div(SINGLE, v[0], v[1], rounding, true));
        check(&format!("rcp.{name}.f32"), F32, &[F32], &|v| reals::div(SINGLE, 0x3f80_0000, v[0], rounding, false));
        check(&format!("rcp.{name}.ftz.f32"), F32, &[F32], &|v| reals::div(SINGLE, 0x3f80_0000, v[0], rounding, true));
        check(&format!("sqrt.{name}.f32"), F32, &[F32], &|v| reals::sqrt(SINGLE, v[0], rounding, false));
        check(&format!("sqrt.{name}.ftz.f32"), F32, &[F32], &|v| reals::sqrt(SINGLE, v[0], rounding, true));
    }
}

#[test]
fn f64() {
    let f = f64::from_bits;
    for form in ["", ".rn"] {
        check(&format!("add{form}.f64"), F64, &[F64, F64], &|v| (f(v[0]) + f(v[1])).to_bits());
        check(&format!("sub{form}.f64"), F64, &[F64, F64], &|v| (f(v[0]) - f(v[1])).to_bits());
        check(&format!("mul{form}.f64"), F64, &[F64, F64], &|v| (f(v[0]) * f(v[1])).to_bits());
    }
    check("fma.rn.f64", F64, &[F64, F64, F64], &|v| f(v[0]).mul_add(f(v[1]), f(v[2])).to_bits());
    check("div.rn.f64", F64, &[F64, F64], &|v| (f(v[0]) / f(v[1])).to_bits());
    check("rcp.rn.f64", F64, &[F64], &|v| (1.0 / f(v[0])).to_bits());
    check("sqrt.rn.f64", F64, &[F64], &|v| f(v[0]).sqrt().to_bits());
    check("neg.f64", F64, &[F64], &|v| v[0] ^ 1 << 63);
    check("abs.f64", F64, &[F64], &|v| v[0] & !(1 << 63));
    check("add.f64 %d, %a, 0d3FF0000000000000;", F64, &[F64], &|v| (f(v[0]) + 1.0).to_bits());
    // The host's own operations are IEEE 754 too; the exact arithmetic here agrees with them.
    check("mov.b64 %d, %a;", F64, &[F64], &|v| reals::convert(DOUBLE, DOUBLE, v[0], Rounding::Nearest, false));
}

/// Which of two is returned: numbers win over NaN, +0 is larger than -0.
fn extreme<T: Copy>(a: (T, f64), b: (T, f64), max: bool) -> T {
    match (a.1.is_nan(), b.1.is_nan()) {
        (true, _) => return b.0,
        (_, true) => return a.0,
        _ => {}
    }
    let order = a.1.total_cmp(&b.1);
    let first = if max { order.is_ge() } else { order.is_le() };
    if first { a.0 } else { b.0 }
}

#[test]
fn extremes() {
    let f = |v: u64, ftz: bool| {
        let x = f32::from_bits(v as u32);
        let x = if ftz { flush_f32(x) } else { x };
        (u64::from(x.to_bits()), f64::from(x))
    };
    for (op, max) in [("min", false), ("max", true)] {
        for (form, ftz) in [("", false), (".ftz", true)] {
            let two = |v: &[u64]| extreme(f(v[0], ftz), f(v[1], ftz), max);
            check(&format!("{op}{form}.f32"), F32, &[F32, F32], &two);
            let or_nan = |v: &[u64]| {
                let nan = v.iter().any(|&x| f32::from_bits(x as u32).is_nan());
                if nan {
                    0x7fff_ffff
                } else {
                    v.iter().skip(1).fold(f(v[0], ftz).0, |m, &x| extreme(f(m, ftz), f(x, ftz), max))
                }
            };
            check(&format!("{op}{form}.NaN.f32"), F32, &[F32, F32], &or_nan);
            check(&format!("{op}{form}.f32"), F32, &[F32, F32, F32], &|v| extreme(f(two(v), ftz), f(v[2], ftz), max));
            check(&format!("{op}{form}.NaN.f32"), F32, &[F32, F32, F32], &or_nan);
        }
        let d = |v: u64| (v, f64::from_bits(v));
        check(&format!("{op}.f64"), F64, &[F64, F64], &|v| extreme(d(v[0]), d(v[1]), max));
    }
}

#[test]
fn signs_of_f32() {
    check("neg.f32", F32, &[F32], &|v| v[0] ^ 0x8000_0000);
    check("abs.f32", F32, &[F32], &|v| v[0] & 0x7fff_ffff);
    let flush = |v: u64| u64::from(flush_f32(f32::from_bits(v as u32)).to_bits());
    check("neg.ftz.f32", F32, &[F32], &|v| flush(v[0]) ^ 0x8000_0000);
    check("abs.ftz.f32", F32, &[F32], &|v| flush(v[0]) & 0x7fff_ffff);
}

#[test]
fn constants_of_f32() {
    let f = |v: u64| f32::from_bits(v as u32);
    check("add.f32 %d, %a, 0f3F800000;", F32, &[F32], &|v| (f(v[0]) + 1.0).to_bits().into());
    check("mul.f32 %d, %a, 0fC0000000;", F32, &[F32], &|v| (f(v[0]) * -2.0).to_bits().into());
    check("fma.rn.f32 %d, %a, 0f40000000, 0fFF800000;", F32, &[F32], &|v| {
        f(v[0]).mul_add(2.0, f32::NEG_INFINITY).to_bits().into()
    });
    check("add.f32 %d, %a, 1.5;", F32, &[F32], &|v| (f(v[0]) + 1.5).to_bits().into());
}
