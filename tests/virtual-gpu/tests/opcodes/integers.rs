//! Integer arithmetic.

use super::instruction::check;
use super::values::Kind::{self, I16, I32, I64};

/// Bits as a signed number.
fn signed(v: u64, bits: u32) -> i128 {
    i128::from((v << (64 - bits)) as i64 >> (64 - bits))
}

/// Bits as a number of a type such as `s32` or `u16`.
pub fn value(ty: &str, v: u64) -> i128 {
    let bits = ty[1..].parse().unwrap();
    if ty.starts_with('s') { signed(v, bits) } else { i128::from(v & (u64::MAX >> (64 - bits))) }
}

fn kind(ty: &str) -> Kind {
    match &ty[1..] {
        "16" => I16,
        "32" => I32,
        _ => I64,
    }
}

fn wrap(ty: &str, v: i128) -> u64 {
    let bits: u32 = ty[1..].parse().unwrap();
    v as u64 & (u64::MAX >> (64 - bits))
}

const TYPES: [&str; 6] = ["s16", "u16", "s32", "u32", "s64", "u64"];

/// A function of two numbers for all integer types; results are cut to the type's bits.
fn for_all_types(op: &str, expected: fn(i128, i128) -> i128) {
    for ty in TYPES {
        let k = kind(ty);
        check(&format!("{op}.{ty}"), k, &[k, k], &|v| wrap(ty, expected(value(ty, v[0]), value(ty, v[1]))));
    }
}

#[test]
fn add_sub_min_max() {
    for_all_types("add", |a, b| a + b);
    for_all_types("sub", |a, b| a - b);
    for_all_types("min", |a, b| a.min(b));
    for_all_types("max", |a, b| a.max(b));
}

#[test]
fn saturating_add_and_sub() {
    let clamp = |v: i128| wrap("s32", v.clamp(i32::MIN.into(), i32::MAX.into()));
    check("add.sat.s32", I32, &[I32, I32], &|v| clamp(value("s32", v[0]) + value("s32", v[1])));
    check("sub.sat.s32", I32, &[I32, I32], &|v| clamp(value("s32", v[0]) - value("s32", v[1])));
}

#[test]
fn low_products() {
    // The low half of a product does not depend on the sign.
    for_all_types("mul.lo", |a, b| a.wrapping_mul(b));
    for ty in TYPES {
        let k = kind(ty);
        check(&format!("mad.lo.{ty}"), k, &[k, k, k], &|v| {
            wrap(ty, value(ty, v[0]).wrapping_mul(value(ty, v[1])).wrapping_add(value(ty, v[2])))
        });
    }
}

/// The high half of the product in twice the bits.
fn high(ty: &str, a: u64, b: u64) -> i128 {
    let bits: u32 = ty[1..].parse().unwrap();
    match ty {
        "u64" => ((u128::from(a) * u128::from(b)) >> 64) as i128,
        _ => (value(ty, a) * value(ty, b)) >> bits,
    }
}

#[test]
fn high_products() {
    for ty in TYPES {
        let k = kind(ty);
        check(&format!("mul.hi.{ty}"), k, &[k, k], &|v| wrap(ty, high(ty, v[0], v[1])));
        check(&format!("mad.hi.{ty}"), k, &[k, k, k], &|v| wrap(ty, high(ty, v[0], v[1]) + value(ty, v[2])));
    }
    check("mad.hi.sat.s32", I32, &[I32, I32, I32], &|v| {
        wrap("s32", (high("s32", v[0], v[1]) + value("s32", v[2])).clamp(i32::MIN.into(), i32::MAX.into()))
    });
}

#[test]
fn wide_products() {
    for (ty, wide) in [("s16", "s32"), ("u16", "u32"), ("s32", "s64"), ("u32", "u64")] {
        let (k, w) = (kind(ty), kind(wide));
        check(&format!("mul.wide.{ty}"), w, &[k, k], &|v| wrap(wide, value(ty, v[0]) * value(ty, v[1])));
        check(&format!("mad.wide.{ty}"), w, &[k, k, w], &|v| {
            wrap(wide, value(ty, v[0]) * value(ty, v[1]) + value(wide, v[2]))
        });
    }
}

#[test]
fn products_of_24_bits() {
    let cut = |ty: &str, v: u64| if ty == "s32" { signed(v, 24) } else { i128::from(v & 0xff_ffff) };
    for ty in ["s32", "u32"] {
        for (part, shift) in [("lo", 0), ("hi", 16)] {
            check(&format!("mul24.{part}.{ty}"), I32, &[I32, I32], &|v| {
                wrap(ty, (cut(ty, v[0]) * cut(ty, v[1])) >> shift)
            });
            check(&format!("mad24.{part}.{ty}"), I32, &[I32, I32, I32], &|v| {
                wrap(ty, ((cut(ty, v[0]) * cut(ty, v[1])) >> shift) + value(ty, v[2]))
            });
        }
    }
}

#[test]
fn quotients_and_remainders() {
    // What a division by zero gives is not specified: the divisor is made odd.
    for ty in TYPES {
        let (k, bits) = (kind(ty), &ty[1..]);
        let odd = |v: u64| value(ty, v | 1);
        let or = format!("or.b{bits} %b, %b, 1;");
        check(&format!("{or} div.{ty} %d, %a, %b;"), k, &[k, k], &|v| wrap(ty, value(ty, v[0]) / odd(v[1])));
        check(&format!("{or} rem.{ty} %d, %a, %b;"), k, &[k, k], &|v| wrap(ty, value(ty, v[0]) % odd(v[1])));
    }
}

#[test]
fn negation_and_magnitude() {
    for ty in ["s16", "s32", "s64"] {
        let k = kind(ty);
        check(&format!("neg.{ty}"), k, &[k], &|v| wrap(ty, -value(ty, v[0])));
        check(&format!("abs.{ty}"), k, &[k], &|v| wrap(ty, value(ty, v[0]).abs()));
    }
}

#[test]
fn sums_of_differences() {
    for ty in TYPES {
        let k = kind(ty);
        check(&format!("sad.{ty}"), k, &[k, k, k], &|v| {
            wrap(ty, (value(ty, v[0]) - value(ty, v[1])).abs() + value(ty, v[2]))
        });
    }
}

#[test]
fn constants_as_operands() {
    check("add.s32 %d, %a, -1;", I32, &[I32], &|v| wrap("s32", value("s32", v[0]) - 1));
    check("add.s64 %d, %a, -1;", I64, &[I64], &|v| v[0].wrapping_sub(1));
    check("add.s16 %d, %a, -1;", I16, &[I16], &|v| wrap("s16", value("s16", v[0]) - 1));
    check("mul.wide.s32 %d, %a, -4;", I64, &[I32], &|v| (value("s32", v[0]) * -4) as u64);
    check("mad.lo.s32 %d, %a, 0x10, 0b11;", I32, &[I32], &|v| wrap("s32", value("s32", v[0]) * 16 + 3));
    check("add.u32 %d, %a, 4294967295U;", I32, &[I32], &|v| wrap("u32", value("u32", v[0]) + 0xffff_ffff));
    check("add.u64 %d, %a, 0xfedcba9876543210;", I64, &[I64], &|v| v[0].wrapping_add(0xfedc_ba98_7654_3210));
    check("add.u32 %d, %a, 017;", I32, &[I32], &|v| wrap("u32", value("u32", v[0]) + 15));
}

#[test]
fn dot_products_of_bytes() {
    let byte = |ty: &str, v: u64, i: usize| {
        let b = (v >> (8 * i)) as u8;
        if ty == "s32" { i128::from(b as i8) } else { i128::from(b) }
    };
    let half = |ty: &str, v: u64, i: usize| {
        let h = (v >> (16 * i)) as u16;
        if ty == "s32" { i128::from(h as i16) } else { i128::from(h) }
    };
    for a in ["s32", "u32"] {
        for b in ["s32", "u32"] {
            check(&format!("dp4a.{a}.{b}"), I32, &[I32, I32, I32], &|v| {
                let sum: i128 = (0..4).map(|i| byte(a, v[0], i) * byte(b, v[1], i)).sum();
                wrap("u32", sum + i128::from(v[2]))
            });
            for (part, first) in [("lo", 0), ("hi", 2)] {
                check(&format!("dp2a.{part}.{a}.{b}"), I32, &[I32, I32, I32], &|v| {
                    let sum: i128 = (0..2).map(|i| half(a, v[0], i) * byte(b, v[1], i + first)).sum();
                    wrap("u32", sum + i128::from(v[2]))
                });
            }
        }
    }
}
