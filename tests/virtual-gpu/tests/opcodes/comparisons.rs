//! Comparisons, selections, classes.

use super::instruction::check;
use super::integers::value;
use super::reals::{bf16, f16, flush_f32};
use super::values::Kind::{self, Bf16, F16, F32, F64, I16, I32, I64, Pred};

/// What a comparison says of an order; `None` is a comparison with NaN.
fn holds(op: &str, order: Option<std::cmp::Ordering>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let Some(order) = order else {
        // The forms with u, and nan, hold for unordered operands.
        return matches!(op, "equ" | "neu" | "ltu" | "leu" | "gtu" | "geu" | "nan");
    };
    match op {
        "eq" | "equ" => order == Equal,
        "ne" | "neu" => order != Equal,
        "lt" | "ltu" | "lo" => order == Less,
        "le" | "leu" | "ls" => order != Greater,
        "gt" | "gtu" | "hi" => order == Greater,
        "ge" | "geu" | "hs" => order != Less,
        "num" => true,
        _ => false,
    }
}

const ORDERED: [&str; 6] = ["eq", "ne", "lt", "le", "gt", "ge"];
const FLOAT: [&str; 14] = ["eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

#[test]
fn integers() {
    for (ty, k) in [("s16", I16), ("u16", I16), ("s32", I32), ("u32", I32), ("s64", I64), ("u64", I64)] {
        for op in ORDERED {
            check(&format!("setp.{op}.{ty}"), Pred, &[k, k], &|v| {
                holds(op, Some(value(ty, v[0]).cmp(&value(ty, v[1])))).into()
            });
        }
    }
    for (ty, k) in [("u16", I16), ("u32", I32), ("u64", I64)] {
        for op in ["lo", "ls", "hi", "hs"] {
            check(&format!("setp.{op}.{ty}"), Pred, &[k, k], &|v| holds(op, Some(v[0].cmp(&v[1]))).into());
        }
    }
    for (ty, k) in [("b16", I16), ("b32", I32), ("b64", I64)] {
        check(&format!("setp.eq.{ty}"), Pred, &[k, k], &|v| (v[0] == v[1]).into());
        check(&format!("setp.ne.{ty}"), Pred, &[k, k], &|v| (v[0] != v[1]).into());
    }
}

#[test]
fn floats() {
    let f = |v: u64| f32::from_bits(v as u32);
    for op in FLOAT {
        check(&format!("setp.{op}.f32"), Pred, &[F32, F32], &|v| holds(op, f(v[0]).partial_cmp(&f(v[1]))).into());
        check(&format!("setp.{op}.ftz.f32"), Pred, &[F32, F32], &|v| {
            holds(op, flush_f32(f(v[0])).partial_cmp(&flush_f32(f(v[1])))).into()
        });
        check(&format!("setp.{op}.f64"), Pred, &[F64, F64], &|v| {
            holds(op, f64::from_bits(v[0]).partial_cmp(&f64::from_bits(v[1]))).into()
        });
        check(&format!("setp.{op}.f16"), Pred, &[F16, F16], &|v| holds(op, f16(v[0]).partial_cmp(&f16(v[1]))).into());
        check(&format!("setp.{op}.bf16"), Pred, &[Bf16, Bf16], &|v| {
            holds(op, bf16(v[0]).partial_cmp(&bf16(v[1]))).into()
        });
    }
}

#[test]
fn combined_with_a_predicate() {
    for (name, combine) in
        [("and", (|a, b| a & b) as fn(bool, bool) -> bool), ("or", |a, b| a | b), ("xor", |a, b| a ^ b)]
    {
        let less = |v: &[u64]| (v[0] as u32 as i32) < v[1] as u32 as i32;
        check(&format!("setp.lt.{name}.s32"), Pred, &[I32, I32, Pred], &|v| combine(less(v), v[2] != 0).into());
        check(&format!("setp.lt.{name}.s32 %d, %a, %b, !%c;"), Pred, &[I32, I32, Pred], &|v| {
            combine(less(v), v[2] == 0).into()
        });
        // The second result is the opposite comparison with the same predicate.
        check(&format!("setp.lt.{name}.s32 %p0|%d, %a, %b, %c;"), Pred, &[I32, I32, Pred], &|v| {
            combine(!less(v), v[2] != 0).into()
        });
        check(&format!("setp.lt.{name}.s32 %d|%p0, %a, %b, %c;"), Pred, &[I32, I32, Pred], &|v| {
            combine(less(v), v[2] != 0).into()
        });
        check(&format!("set.lt.{name}.u32.s32"), I32, &[I32, I32, Pred], &|v| {
            if combine(less(v), v[2] != 0) { 0xffff_ffff } else { 0 }
        });
    }
    check("setp.eq.s32 %p0|%d, %a, %b;", Pred, &[I32, I32], &|v| (v[0] != v[1]).into());
    check("setp.eq.s32 _|%d, %a, %b;", Pred, &[I32, I32], &|v| (v[0] != v[1]).into());
    // NaN compares neither way, and the opposite of an ordered comparison is true for it.
    check("setp.lt.f32 %p0|%d, %a, %b;", Pred, &[F32, F32], &|v| {
        let (a, b) = (f32::from_bits(v[0] as u32), f32::from_bits(v[1] as u32));
        (a.partial_cmp(&b) != Some(std::cmp::Ordering::Less)).into()
    });
}

#[test]
fn results_in_registers() {
    let f = |v: u64| f32::from_bits(v as u32);
    for op in FLOAT {
        let yes = |v: &[u64]| holds(op, f(v[0]).partial_cmp(&f(v[1])));
        check(&format!("set.{op}.u32.f32"), I32, &[F32, F32], &|v| if yes(v) { 0xffff_ffff } else { 0 });
        check(&format!("set.{op}.s32.f32"), I32, &[F32, F32], &|v| if yes(v) { 0xffff_ffff } else { 0 });
        check(&format!("set.{op}.f32.f32"), I32, &[F32, F32], &|v| if yes(v) { 0x3f80_0000 } else { 0 });
    }
    for op in ORDERED {
        check(&format!("set.{op}.f32.s32"), I32, &[I32, I32], &|v| {
            let order = (v[0] as u32 as i32).cmp(&(v[1] as u32 as i32));
            if holds(op, Some(order)) { 0x3f80_0000 } else { 0 }
        });
    }
}

#[test]
fn selections() {
    for (ty, k) in [("b16", I16), ("b32", I32), ("b64", I64), ("s32", I32), ("u64", I64), ("f32", I32), ("f64", I64)] {
        check(&format!("selp.{ty}"), k, &[k, k, Pred], &|v| if v[2] != 0 { v[0] } else { v[1] });
        if !ty.starts_with('f') {
            check(&format!("selp.{ty} %d, %a, 7, %b;"), k, &[k, Pred], &|v| if v[1] != 0 { v[0] } else { 7 });
        }
    }
    for (ty, k) in [("b32", I32), ("s32", I32), ("b64", I64), ("f32", I32), ("f64", I64)] {
        check(&format!("slct.{ty}.s32"), k, &[k, k, I32], &|v| if v[2] as u32 as i32 >= 0 { v[0] } else { v[1] });
        check(&format!("slct.{ty}.f32"), k, &[k, k, F32], &|v| {
            if f32::from_bits(v[2] as u32) >= 0.0 { v[0] } else { v[1] }
        });
        check(&format!("slct.ftz.{ty}.f32"), k, &[k, k, F32], &|v| {
            if flush_f32(f32::from_bits(v[2] as u32)) >= 0.0 { v[0] } else { v[1] }
        });
    }
}

/// Whether a number, and whether it is small enough to be subnormal, is in a class.
type Class = fn(f64, bool) -> bool;

#[test]
fn classes() {
    let classes: [(&str, Class); 6] = [
        ("finite", |x, _| x.is_finite()),
        ("infinite", |x, _| x.is_infinite()),
        ("number", |x, _| !x.is_nan()),
        ("notanumber", |x, _| x.is_nan()),
        ("normal", |x, small| x.is_finite() && x != 0.0 && !small),
        ("subnormal", |x, small| x != 0.0 && small),
    ];
    for (class, is) in classes {
        check(&format!("testp.{class}.f32"), Pred, &[F32], &|v| {
            let x = f32::from_bits(v[0] as u32);
            is(x.into(), x.abs() < f32::MIN_POSITIVE).into()
        });
        check(&format!("testp.{class}.f64"), Pred, &[F64], &|v| {
            let x = f64::from_bits(v[0]);
            is(x, x.abs() < f64::MIN_POSITIVE).into()
        });
    }
}

#[test]
fn signs() {
    let k: [(&str, Kind, u64); 2] = [("f32", I32, 1 << 31), ("f64", I64, 1 << 63)];
    for (ty, k, sign) in k {
        check(&format!("copysign.{ty}"), k, &[k, k], &|v| (v[0] & sign) | (v[1] & (sign - 1)));
    }
}

#[test]
fn results_and_operands_of_16_bits() {
    for op in FLOAT {
        let yes = |v: &[u64]| holds(op, f16(v[0]).partial_cmp(&f16(v[1])));
        check(&format!("set.{op}.f16.f16"), I16, &[F16, F16], &|v| if yes(v) { 0x3c00 } else { 0 });
        check(&format!("set.{op}.u32.f16"), I32, &[F16, F16], &|v| if yes(v) { 0xffff_ffff } else { 0 });
    }
}
