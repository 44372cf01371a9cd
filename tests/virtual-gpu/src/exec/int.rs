//! Integer arithmetic.

use super::program::{Action, map1, map2, map3};
use super::warp::{LANES, Pred, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// The carry flag.
const CARRY: Pred = Pred(0);

/// Decodes a function over one of the integer types: the closure body is compiled for each.
macro_rules! over_ints {
    ($cx:ident, $ty:expr, |$($x:ident),+| $e:expr) => {
        match $ty {
            "u32" | "b32" => over_ints!(@ $cx, u32, u32, d32, r32, |$($x),+| $e),
            "s32" => over_ints!(@ $cx, i32, u32, d32, r32, |$($x),+| $e),
            "u64" | "b64" => over_ints!(@ $cx, u64, u64, d64, r64, |$($x),+| $e),
            "s64" => over_ints!(@ $cx, i64, u64, d64, r64, |$($x),+| $e),
            "u16" | "b16" => over_ints!(@ $cx, u16, u16, d32, r32, |$($x),+| $e),
            "s16" => over_ints!(@ $cx, i16, u16, d32, r32, |$($x),+| $e),
            other => return $cx.fail(format!("type {other} is not supported here")),
        }
    };
    (@ $cx:ident, $t:ty, $u:ty, $d:ident, $r:ident, |$a:ident| $e:expr) => {{
        $cx.count(2)?;
        map1($cx.$d(0)?, $cx.$r(1)?, |x| { let $a = x as $t; ($e) as $u as _ })
    }};
    (@ $cx:ident, $t:ty, $u:ty, $d:ident, $r:ident, |$a:ident, $b:ident| $e:expr) => {{
        $cx.count(3)?;
        map2($cx.$d(0)?, $cx.$r(1)?, $cx.$r(2)?, |x, y| { let ($a, $b) = (x as $t, y as $t); ($e) as $u as _ })
    }};
    (@ $cx:ident, $t:ty, $u:ty, $d:ident, $r:ident, |$a:ident, $b:ident, $c:ident| $e:expr) => {{
        $cx.count(4)?;
        map3($cx.$d(0)?, $cx.$r(1)?, $cx.$r(2)?, $cx.$r(3)?, |x, y, z| {
            let ($a, $b, $c) = (x as $t, y as $t, z as $t);
            ($e) as $u as _
        })
    }};
}

/// Decodes integer arithmetic of type `ty`.
pub(crate) fn decode(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    let (signed, wide) = (ty.starts_with('s'), ty.ends_with("64"));
    if cx.inst.opcode.contains(".cc") || matches!(cx.base(), "addc" | "subc" | "madc") {
        return carry(cx, ty);
    }
    Ok(match cx.base() {
        "add" if cx.has("sat") => match ty {
            "s32" => over_ints!(cx, ty, |a, b| a.saturating_add(b)),
            _ => return cx.fail("only add.sat.s32 saturates"),
        },
        "sub" if cx.has("sat") => match ty {
            "s32" => over_ints!(cx, ty, |a, b| a.saturating_sub(b)),
            _ => return cx.fail("only sub.sat.s32 saturates"),
        },
        "add" => over_ints!(cx, ty, |a, b| a.wrapping_add(b)),
        "sub" => over_ints!(cx, ty, |a, b| a.wrapping_sub(b)),
        "mul" => match cx.pick(&["lo", "hi", "wide"]) {
            Some("lo") => over_ints!(cx, ty, |a, b| a.wrapping_mul(b)),
            Some("hi") => multiply_high(cx, ty)?,
            Some(_) => multiply_wide(cx, ty)?,
            None => return cx.fail("mul needs .lo, .hi or .wide"),
        },
        "mad" => match cx.pick(&["lo", "hi", "wide"]) {
            Some("lo") => over_ints!(cx, ty, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            Some("hi") => multiply_high(cx, ty)?,
            Some(_) => multiply_wide(cx, ty)?,
            None => return cx.fail("mad needs .lo, .hi or .wide"),
        },
        "mul24" | "mad24" => multiply_24(cx, signed)?,
        // Division by zero gives all ones, as the hardware's sequence does.
        "div" => over_ints!(cx, ty, |a, b| if b == 0 { !b } else { a.wrapping_div(b) }),
        "rem" => over_ints!(cx, ty, |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
        "min" => over_ints!(cx, ty, |a, b| a.min(b)),
        "max" => over_ints!(cx, ty, |a, b| a.max(b)),
        "neg" => over_ints!(cx, ty, |a| a.wrapping_neg()),
        "abs" if wide => map1(cx.d64(0)?, cx.r64(1)?, |x| (x as i64).unsigned_abs()),
        "abs" if ty == "s16" => map1(cx.d32(0)?, cx.r32(1)?, |x| u32::from((x as i16).unsigned_abs())),
        "abs" => map1(cx.d32(0)?, cx.r32(1)?, |x| (x as i32).unsigned_abs()),
        "sad" => match ty {
            "u32" | "s32" | "u64" | "s64" | "u16" | "s16" => {
                over_ints!(cx, ty, |a, b, c| c.wrapping_add(a.max(b).wrapping_sub(a.min(b))))
            }
            _ => return cx.fail("unknown type of sad"),
        },
        _ => return cx.fail("this opcode has no integer form"),
    })
}

fn multiply_high(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    let add = cx.base() == "mad";
    let saturate = cx.has("sat");
    if saturate && (ty != "s32" || !add) {
        return cx.fail("only mad.hi.sat.s32 saturates");
    }
    cx.count(if add { 4 } else { 3 })?;
    if ty.ends_with("64") {
        let (d, a, b) = (cx.d64(0)?, cx.r64(1)?, cx.r64(2)?);
        let c = if add { cx.r64(3)? } else { cx.lower.constant64(0) };
        return Ok(match ty {
            "s64" => map3(d, a, b, c, |x, y, z| {
                ((i128::from(x as i64) * i128::from(y as i64)) >> 64).wrapping_add(z.into()) as u64
            }),
            _ => map3(d, a, b, c, |x, y, z| ((u128::from(x) * u128::from(y)) >> 64).wrapping_add(z.into()) as u64),
        });
    }
    let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    let c = if add { cx.r32(3)? } else { cx.lower.constant32(0) };
    Ok(match ty {
        "s32" if saturate => map3(d, a, b, c, |x, y, z| {
            let high = ((i64::from(x as i32) * i64::from(y as i32)) >> 32) as i32;
            high.saturating_add(z as i32) as u32
        }),
        "s32" => {
            map3(d, a, b, c, |x, y, z| (((i64::from(x as i32) * i64::from(y as i32)) >> 32) as u32).wrapping_add(z))
        }
        "u32" => map3(d, a, b, c, |x, y, z| (((u64::from(x) * u64::from(y)) >> 32) as u32).wrapping_add(z)),
        "s16" => map3(d, a, b, c, |x, y, z| {
            let high = (i32::from(x as i16) * i32::from(y as i16)) >> 16;
            u32::from((high as u16).wrapping_add(z as u16))
        }),
        "u16" => map3(d, a, b, c, |x, y, z| {
            let high = (u32::from(x as u16) * u32::from(y as u16)) >> 16;
            u32::from((high as u16).wrapping_add(z as u16))
        }),
        _ => return cx.fail("unknown type of .hi"),
    })
}

fn multiply_wide(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    let add = cx.base() == "mad";
    cx.count(if add { 4 } else { 3 })?;
    if ty.ends_with("16") {
        let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
        let c = if add { cx.r32(3)? } else { cx.lower.constant32(0) };
        return Ok(match ty {
            "s16" => {
                map3(d, a, b, c, |x, y, z| (i32::from(x as i16) * i32::from(y as i16)).wrapping_add(z as i32) as u32)
            }
            _ => map3(d, a, b, c, |x, y, z| (u32::from(x as u16) * u32::from(y as u16)).wrapping_add(z)),
        });
    }
    let (d, a, b) = (cx.d64(0)?, cx.r32(1)?, cx.r32(2)?);
    let c = if add { cx.r64(3)? } else { cx.lower.constant64(0) };
    Ok(match ty {
        "s32" => map3(d, a, b, c, |x, y, z| (i64::from(x as i32) * i64::from(y as i32)).wrapping_add(z as i64) as u64),
        "u32" => map3(d, a, b, c, |x, y, z| (u64::from(x) * u64::from(y)).wrapping_add(z)),
        _ => return cx.fail("unknown type of .wide"),
    })
}

/// `mul24` and `mad24`, low and high 32 bits of the 48-bit product.
fn multiply_24(cx: &mut Context<'_, '_>, signed: bool) -> Result<Action> {
    let add = cx.base() == "mad24";
    cx.count(if add { 4 } else { 3 })?;
    let shift = match cx.pick(&["lo", "hi"]) {
        Some("lo") => 0,
        Some(_) => 16,
        None => return cx.fail(".lo or .hi is needed"),
    };
    let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    let c = if add { cx.r32(3)? } else { cx.lower.constant32(0) };
    let extend = move |v: u32| if signed { i64::from((v << 8) as i32 >> 8) } else { i64::from(v & 0xff_ffff) };
    Ok(map3(d, a, b, c, move |x, y, z| (((extend(x) * extend(y)) >> shift) as u32).wrapping_add(z)))
}

/// The forms that read or write the carry flag: `x = a op b (op c)` in twice the width.
fn carry(cx: &mut Context<'_, '_>, ty: &str) -> Result<Action> {
    let out = cx.has("cc");
    let base = cx.base();
    let multiply = matches!(base, "mad" | "madc");
    let high = multiply && cx.pick(&["lo", "hi"]) == Some("hi");
    let take = matches!(base, "addc" | "subc" | "madc");
    let minus = matches!(base, "sub" | "subc");
    let signed = ty == "s32" || ty == "s64";
    cx.count(if multiply { 4 } else { 3 })?;
    // Low or high half of a product, or the operand itself; then one addition with carry in and out.
    macro_rules! build {
        ($d:expr, $a:expr, $b:expr, $c:expr, $t:ty, $wide:ty, $iwide:ty, $itype:ty) => {{
            let (d, a, b, c) = ($d, $a, $b, $c);
            Ok(Action::Alu(Box::new(move |w: &mut Warp| {
                use super::warp::Row;
                let cc = w.pred(CARRY);
                let (x, y, z) = (*a.row(w), *b.row(w), *c.row(w));
                let mut carries = 0u32;
                let mut values = [0; LANES];
                for i in 0..LANES {
                    let flag = take && cc >> i & 1 != 0;
                    let (left, right) = if multiply {
                        let product = if signed {
                            (<$iwide>::from(x[i] as $itype) * <$iwide>::from(y[i] as $itype)) as $wide
                        } else {
                            <$wide>::from(x[i]) * <$wide>::from(y[i])
                        };
                        (if high { (product >> <$t>::BITS) as $t } else { product as $t }, z[i])
                    } else {
                        (x[i], y[i])
                    };
                    let (first, o1) = if minus { left.overflowing_sub(right) } else { left.overflowing_add(right) };
                    let (value, o2) = if minus {
                        first.overflowing_sub(<$t>::from(flag))
                    } else {
                        first.overflowing_add(<$t>::from(flag))
                    };
                    values[i] = value;
                    carries |= u32::from(o1 | o2) << i;
                }
                w.put(d, values);
                if out {
                    w.put_pred(CARRY, carries);
                }
            })))
        }};
    }
    if ty.ends_with("64") {
        let c = if multiply { cx.r64(3)? } else { cx.lower.constant64(0) };
        build!(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, c, u64, u128, i128, i64)
    } else {
        let c = if multiply { cx.r32(3)? } else { cx.lower.constant32(0) };
        build!(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, c, u32, u64, i64, i32)
    }
}
