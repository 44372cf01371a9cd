//! Additions, subtractions and products in chains: the carry flag.

use super::instruction::check;
use super::values::Kind::{I32, I64};

fn low(v: u64) -> u64 {
    v & 0xffff_ffff
}

#[test]
fn sums_of_two_words() {
    // A 64-bit sum from 32-bit halves: the low sum's carry goes into the high one.
    for ty in ["u32", "s32"] {
        let text = format!(
            "mov.b64 {{%r0, %r1}}, %a; mov.b64 {{%r2, %r3}}, %b;
             add.cc.{ty} %r4, %r0, %r2; addc.{ty} %r5, %r1, %r3; mov.b64 %d, {{%r4, %r5}};"
        );
        check(&text, I64, &[I64, I64], &|v| v[0].wrapping_add(v[1]));
    }
    check(
        "mov.b64 {%r0, %r1}, %a; mov.b64 {%r2, %r3}, %b;
         sub.cc.u32 %r4, %r0, %r2; subc.u32 %r5, %r1, %r3; mov.b64 %d, {%r4, %r5};",
        I64,
        &[I64, I64],
        &|v| v[0].wrapping_sub(v[1]),
    );
}

#[test]
fn the_flag_comes_out_of_the_last_step_too() {
    // addc.cc passes the carry on: the carry out of 64 bits.
    check(
        "mov.b64 {%r0, %r1}, %a; mov.b64 {%r2, %r3}, %b;
         add.cc.u32 %r4, %r0, %r2; addc.cc.u32 %r5, %r1, %r3; addc.u32 %d, 0, 0;",
        I32,
        &[I64, I64],
        &|v| v[0].overflowing_add(v[1]).1.into(),
    );
    // A borrow out of 64 bits: 0 - 0 - borrow.
    check(
        "mov.b64 {%r0, %r1}, %a; mov.b64 {%r2, %r3}, %b;
         sub.cc.u32 %r4, %r0, %r2; subc.cc.u32 %r5, %r1, %r3; subc.u32 %d, 0, 0;",
        I32,
        &[I64, I64],
        &|v| if v[0] < v[1] { 0xffff_ffff } else { 0 },
    );
}

#[test]
fn sums_of_two_long_words() {
    check("add.cc.u64 %q0, %a, %b; addc.u64 %d, 0, 0;", I64, &[I64, I64], &|v| v[0].overflowing_add(v[1]).1.into());
    check("sub.cc.u64 %q0, %a, %b; subc.u64 %d, %c, 0;", I64, &[I64, I64, I64], &|v| {
        v[2].wrapping_sub(u64::from(v[0] < v[1]))
    });
}

#[test]
fn an_operation_without_cc_leaves_the_flag() {
    check("add.cc.u32 %r0, %a, %b; add.u32 %r1, %a, %a; addc.u32 %d, 0, 0;", I32, &[I32, I32], &|v| {
        (v[0] + v[1]) >> 32
    });
}

#[test]
fn products_of_two_words() {
    // a * b + c of 32-bit factors in 64 bits, by the low and the high half.
    check(
        "mov.b64 {%r2, %r3}, %c;
         mad.lo.cc.u32 %r4, %a, %b, %r2; madc.hi.u32 %r5, %a, %b, %r3; mov.b64 %d, {%r4, %r5};",
        I64,
        &[I32, I32, I64],
        &|v| (v[0] * v[1]).wrapping_add(v[2]),
    );
    check(
        "mov.b64 {%r2, %r3}, %c;
         mad.lo.cc.s32 %r4, %a, %b, %r2; madc.hi.s32 %r5, %a, %b, %r3; mov.b64 %d, {%r4, %r5};",
        I64,
        &[I32, I32, I64],
        &|v| {
            let product = i64::from(low(v[0]) as i32) * i64::from(low(v[1]) as i32);
            (product as u64).wrapping_add(v[2])
        },
    );
    check("mad.hi.cc.u32 %r0, %a, %b, %c; madc.lo.u32 %d, %a, %b, 0;", I32, &[I32, I32, I32], &|v| {
        let high = ((v[0] * v[1]) >> 32) + v[2];
        low(low(v[0] * v[1]) + (high >> 32))
    });
    check("mad.lo.cc.u64 %q0, %a, %b, %c; madc.hi.u64 %d, %a, %b, 0;", I64, &[I64, I64, I64], &|v| {
        ((u128::from(v[0]) * u128::from(v[1]) + u128::from(v[2])) >> 64) as u64
    });
    check(
        "mad.lo.cc.u32 %r0, %a, %b, %c; madc.lo.cc.u32 %r1, %a, %b, %c; addc.u32 %d, %a, 0;",
        I32,
        &[I32, I32, I32],
        &|v| {
            let first = low(v[0] * v[1]) + v[2];
            let second = low(v[0] * v[1]) + v[2] + (first >> 32);
            low(v[0] + (second >> 32))
        },
    );
}

#[test]
fn a_chain_begins_without_the_last_ones_flag() {
    let all = "add.cc.u32 %r0, %a, 0xffffffff;";
    check(&format!("{all} add.cc.u32 %d, %a, %b;"), I32, &[I32, I32], &|v| low(v[0] + v[1]));
    check(&format!("{all} sub.cc.u32 %d, %a, %b;"), I32, &[I32, I32], &|v| low(v[0].wrapping_sub(v[1])));
    check(&format!("{all} mad.lo.cc.u32 %d, %a, %b, %a;"), I32, &[I32, I32], &|v| low(v[0] * v[1] + v[0]));
}
