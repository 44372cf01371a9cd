//! Bit operations, byte permutes and dot products of bytes.

use super::program::{Action, map1, map2, map3};
use super::warp::{LANES, R32, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// Decodes a bit operation.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "shf" => return funnel(cx),
        "prmt" => return permute(cx),
        "dp4a" | "dp2a" => return dot(cx),
        "lop3" => return lop3(cx),
        "bmsk" => return mask(cx),
        _ => {}
    }
    let ty = cx.ty()?;
    if ty == "pred" {
        return predicates(cx);
    }
    let bits: u32 = match ty {
        "b32" | "u32" | "s32" => 32,
        "b64" | "u64" | "s64" => 64,
        "b16" | "u16" | "s16" => 16,
        _ => return cx.fail("unknown type"),
    };
    let signed = ty.starts_with('s');
    Ok(match cx.base() {
        "and" | "or" | "xor" => {
            cx.count(3)?;
            match (cx.base(), bits) {
                ("and", 64) => map2(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, |a, b| a & b),
                ("or", 64) => map2(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, |a, b| a | b),
                ("xor", 64) => map2(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, |a, b| a ^ b),
                // A 16-bit constant such as -1 has high bits that a 16-bit register must not get.
                ("and", 16) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| a & b & 0xffff),
                ("or", 16) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| (a | b) & 0xffff),
                ("xor", 16) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| (a ^ b) & 0xffff),
                ("and", _) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| a & b),
                ("or", _) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| a | b),
                _ => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| a ^ b),
            }
        }
        "not" => match bits {
            64 => map1(cx.d64(0)?, cx.r64(1)?, |a| !a),
            16 => map1(cx.d32(0)?, cx.r32(1)?, |a| !a & 0xffff),
            _ => map1(cx.d32(0)?, cx.r32(1)?, |a| !a),
        },
        "cnot" => match bits {
            64 => map1(cx.d64(0)?, cx.r64(1)?, |a| u64::from(a == 0)),
            _ => map1(cx.d32(0)?, cx.r32(1)?, |a| u32::from(a == 0)),
        },
        // Shift amounts beyond the width are clamped.
        "shl" => match bits {
            64 => map2(cx.d64(0)?, cx.r64(1)?, cx.r32(2)?, |a, n| a.checked_shl(n).unwrap_or(0)),
            16 => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| a.checked_shl(n).unwrap_or(0) & 0xffff),
            _ => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| if n < 32 { a << n } else { 0 }),
        },
        "shr" => match (bits, signed) {
            (64, true) => map2(cx.d64(0)?, cx.r64(1)?, cx.r32(2)?, |a, n| (a as i64 >> n.min(63)) as u64),
            (64, false) => map2(cx.d64(0)?, cx.r64(1)?, cx.r32(2)?, |a, n| a.checked_shr(n).unwrap_or(0)),
            (16, true) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| u32::from((a as i16 >> n.min(15)) as u16)),
            (16, false) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| (a & 0xffff).checked_shr(n).unwrap_or(0)),
            (_, true) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| (a as i32 >> n.min(31)) as u32),
            (_, false) => map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, n| if n < 32 { a >> n } else { 0 }),
        },
        "brev" => match bits {
            64 => map1(cx.d64(0)?, cx.r64(1)?, u64::reverse_bits),
            _ => map1(cx.d32(0)?, cx.r32(1)?, u32::reverse_bits),
        },
        "popc" => match bits {
            64 => map1(cx.d32(0)?, cx.r64(1)?, u64::count_ones),
            _ => map1(cx.d32(0)?, cx.r32(1)?, u32::count_ones),
        },
        "clz" => match bits {
            64 => map1(cx.d32(0)?, cx.r64(1)?, u64::leading_zeros),
            _ => map1(cx.d32(0)?, cx.r32(1)?, u32::leading_zeros),
        },
        "bfind" => {
            let shift = cx.has("shiftamt");
            let find = move |v: u64| match v {
                0 => u32::MAX,
                v if shift => bits - 1 - (63 - v.leading_zeros()),
                v => 63 - v.leading_zeros(),
            };
            // A negative number's highest bit is the highest that differs from its sign.
            match (bits, signed) {
                (64, true) => map1(cx.d32(0)?, cx.r64(1)?, move |a| find(a ^ (a as i64 >> 63) as u64)),
                (64, false) => map1(cx.d32(0)?, cx.r64(1)?, find),
                (_, true) => map1(cx.d32(0)?, cx.r32(1)?, move |a| find((a ^ (a as i32 >> 31) as u32).into())),
                (_, false) => map1(cx.d32(0)?, cx.r32(1)?, move |a| find(a.into())),
            }
        }
        "bfe" => {
            cx.count(4)?;
            if bits == 64 {
                map3(cx.d64(0)?, cx.r64(1)?, cx.r32(2)?, cx.r32(3)?, move |a, p, n| extract(a, p, n, 64, signed))
            } else {
                map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, move |a, p, n| {
                    extract(a.into(), p, n, 32, signed) as u32
                })
            }
        }
        "bfi" => insert(cx, bits)?,
        "szext" => {
            let wrap = cx.pick(&["clamp", "wrap"]) == Some("wrap");
            map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, move |a, n| {
                let n = if wrap { n & 31 } else { n.min(32) };
                extract(a.into(), 0, n, 32, signed) as u32
            })
        }
        "fns" => find_nth(cx)?,
        _ => return cx.fail("unknown bit operation"),
    })
}

fn extract(a: u64, position: u32, length: u32, bits: u32, signed: bool) -> u64 {
    let (p, n) = (position & 0xff, length & 0xff);
    if n == 0 {
        return 0;
    }
    let a = if signed && bits == 32 { a as u32 as i32 as i64 as u64 } else { a };
    let top = (p + n - 1).min(bits - 1);
    let sign = if signed && a >> top & 1 != 0 { !0u64 } else { 0 };
    let field = if p >= bits { 0 } else { a >> p };
    let have = bits.saturating_sub(p).min(n);
    let low = if have >= 64 { !0 } else { (1u64 << have) - 1 };
    (field & low) | (sign & !low)
}

fn insert(cx: &mut Context<'_, '_>, bits: u32) -> Result<Action> {
    cx.count(5)?;
    let (p, n) = (cx.r32(3)?, cx.r32(4)?);
    let field = move |p: u32, n: u32| {
        let (p, n) = (p & 0xff, n & 0xff);
        let low = if n >= 64 { !0u64 } else { (1 << n) - 1 };
        low.checked_shl(p).unwrap_or(0)
    };
    let place = |a: u64, p: u32| a.checked_shl(p & 0xff).unwrap_or(0);
    if bits == 64 {
        let (d, a, b) = (cx.d64(0)?, cx.r64(1)?, cx.r64(2)?);
        return Ok(Action::Alu(Box::new(move |w: &mut Warp| {
            let (a, b, p, n) = (a.row(w), b.row(w), p.row(w), n.row(w));
            let out = std::array::from_fn(|i| {
                let f = field(p[i], n[i]);
                (b[i] & !f) | (place(a[i], p[i]) & f)
            });
            w.put(d, out);
        })));
    }
    let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let (a, b, p, n) = (a.row(w), b.row(w), p.row(w), n.row(w));
        let out = std::array::from_fn(|i| {
            let f = field(p[i], n[i]) as u32;
            (b[i] & !f) | (place(a[i].into(), p[i]) as u32 & f)
        });
        w.put(d, out);
    })))
}

fn predicates(cx: &mut Context<'_, '_>) -> Result<Action> {
    let dest = cx.arg(0)?;
    let d = cx.dest_pred(dest)?;
    let (a, na) = cx.pred(1)?;
    if cx.base() == "not" {
        return Ok(Action::Alu(Box::new(move |w| w.put_pred(d, !w.pred(a) ^ invert(na)))));
    }
    let (b, nb) = cx.pred(2)?;
    let f: fn(u32, u32) -> u32 = match cx.base() {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        "xor" => |a, b| a ^ b,
        _ => return cx.fail("unknown operation on predicates"),
    };
    Ok(Action::Alu(Box::new(move |w| w.put_pred(d, f(w.pred(a) ^ invert(na), w.pred(b) ^ invert(nb))))))
}

/// All ones for an inverted predicate.
pub(crate) fn invert(inverted: bool) -> u32 {
    if inverted { !0 } else { 0 }
}

fn funnel(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.types();
    let left = match cx.pick(&["l", "r"]) {
        Some(d) => d == "l",
        None => return cx.fail("shf needs .l or .r"),
    };
    let wrap = match cx.pick(&["wrap", "clamp"]) {
        Some(m) => m == "wrap",
        None => return cx.fail("shf needs .wrap or .clamp"),
    };
    cx.count(4)?;
    Ok(map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, move |low, high, n| {
        let n = if wrap { n & 31 } else { n.min(32) };
        let both = u64::from(high) << 32 | u64::from(low);
        if left { ((both << n) >> 32) as u32 } else { (both >> n) as u32 }
    }))
}

fn permute(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.types();
    let mode = cx.pick(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]);
    cx.count(4)?;
    let table: Option<[u32; 4]> = mode.map(|mode| match mode {
        "f4e" => [0x3210, 0x4321, 0x5432, 0x6543],
        "b4e" => [0x5670, 0x6701, 0x7012, 0x0123],
        "rc8" => [0x0000, 0x1111, 0x2222, 0x3333],
        "ecl" => [0x3210, 0x3211, 0x3222, 0x3333],
        "ecr" => [0x0000, 0x1110, 0x2210, 0x3210],
        _ => [0x1010, 0x3232, 0x1010, 0x3232],
    });
    let nibbles = move |c: u32| table.map_or(c, |t| t[(c & 3) as usize]);
    Ok(map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, move |a, b, c| {
        let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
        let control = nibbles(c);
        let byte = |i: u32| {
            let n = control >> (4 * i);
            let v = bytes[(n & 7) as usize];
            if n & 8 != 0 { (v as i8 >> 7) as u8 } else { v }
        };
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    }))
}

fn lop3(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.types();
    // The predicate form writes `d|p` and combines with a further predicate; NVRTC does not emit it.
    cx.count(5)?;
    let table = cx.int(4)? as u32;
    Ok(map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, move |a, b, c| {
        let mut out = 0;
        for i in 0..8 {
            let pick = |v: u32, bit: u32| if i >> bit & 1 != 0 { v } else { !v };
            if table >> i & 1 != 0 {
                out |= pick(a, 2) & pick(b, 1) & pick(c, 0);
            }
        }
        out
    }))
}

fn mask(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.types();
    let wrap = match cx.pick(&["wrap", "clamp"]) {
        Some(m) => m == "wrap",
        None => return cx.fail("bmsk needs .wrap or .clamp"),
    };
    cx.count(3)?;
    Ok(map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, move |p, n| {
        let (p, n) = if wrap { (p & 31, n & 31) } else { (p.min(32), n.min(32)) };
        ((1u64 << n) - 1).wrapping_shl(p) as u32
    }))
}

/// `fns`: the position of the n-th set bit from a base, upwards or downwards.
fn find_nth(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.count(4)?;
    Ok(map3(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, |m, base, n| {
        let n = n as i32;
        let set = |i: &u32| m >> i & 1 != 0;
        match n {
            0 if base < 32 && set(&base) => base,
            0 => u32::MAX,
            n if n > 0 => (base..32).filter(set).nth(n as usize - 1).unwrap_or(u32::MAX),
            n => (0..=base.min(31)).rev().filter(set).nth(n.unsigned_abs() as usize - 1).unwrap_or(u32::MAX),
        }
    }))
}

fn dot(cx: &mut Context<'_, '_>) -> Result<Action> {
    let four = cx.base() == "dp4a";
    let high = !four && cx.pick(&["lo", "hi"]) == Some("hi");
    let types = cx.types();
    let [ta, tb] = types.as_slice() else { return cx.fail("two types are needed") };
    let (sa, sb) = (*ta == "s32", *tb == "s32");
    cx.count(4)?;
    let (d, a, b, c): (R32, R32, R32, R32) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, cx.r32(3)?);
    let byte = |v: u32, i: usize, signed: bool| {
        let b = v.to_le_bytes()[i];
        if signed { i32::from(b as i8) } else { i32::from(b) }
    };
    let half = |v: u32, i: usize, signed: bool| {
        let h = (v >> (16 * i)) as u16;
        if signed { i32::from(h as i16) } else { i32::from(h) }
    };
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let (x, y, z) = (a.row(w), b.row(w), c.row(w));
        let mut out = [0; LANES];
        for i in 0..LANES {
            let mut sum = z[i] as i32;
            if four {
                for k in 0..4 {
                    sum = sum.wrapping_add(byte(x[i], k, sa) * byte(y[i], k, sb));
                }
            } else {
                for k in 0..2 {
                    sum = sum.wrapping_add(half(x[i], k, sa).wrapping_mul(byte(y[i], k + 2 * usize::from(high), sb)));
                }
            }
            out[i] = sum as u32;
        }
        w.put(d, out);
    })))
}
