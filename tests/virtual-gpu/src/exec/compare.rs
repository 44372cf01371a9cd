//! Comparisons and selections.

use super::bits::invert;
use super::half_float::Format;
use super::program::{Action, map2, test2};
use super::warp::{LANES, Pred, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;
/// The lanes for which a comparison holds.
type Test = Box<dyn Fn(&Warp) -> u32 + Send + Sync>;

/// Decodes a comparison or selection.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "setp" | "set" => compare(cx),
        "selp" => select(cx),
        "slct" => select_by_sign(cx),
        "testp" => classify(cx),
        _ => copy_sign(cx),
    }
}

const COMPARISONS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan",
];

fn compare(cx: &mut Context<'_, '_>) -> Result<Action> {
    let Some(op) = cx.pick(&COMPARISONS) else { return cx.fail("unknown comparison") };
    let combine = cx.pick(&["and", "or", "xor"]);
    let ftz = cx.has("ftz");
    let types = cx.types();
    if cx.base() == "set" {
        let [dest, source] = types.as_slice() else { return cx.fail("two types are needed") };
        let test = test(cx, op, source, ftz, 1)?;
        let d = cx.d32(0)?;
        let yes = match *dest {
            "f32" => 0x3f80_0000,
            "u32" | "s32" | "b32" => u32::MAX,
            "f16" => 0x3c00,
            _ => return cx.fail("unknown result type of set"),
        };
        let with = combination(cx, combine, 3)?;
        return Ok(Action::Alu(Box::new(move |w: &mut Warp| {
            let bits = with(w, test(w));
            w.put(d, std::array::from_fn(|i| if bits >> i & 1 != 0 { yes } else { 0 }));
        })));
    }
    let [source] = types.as_slice() else { return cx.fail("one type is needed") };
    let (first, second) = cx.pair(0)?;
    let d = cx.dest_pred(first)?;
    let test = test(cx, op, source, ftz, 1)?;
    if second.is_none() && combine.is_none() {
        cx.count(3)?;
        return Ok(Action::Alu(Box::new(move |w: &mut Warp| {
            let bits = test(w);
            w.put_pred(d, bits);
        })));
    }
    let q = second.map(|q| cx.dest_pred(q)).transpose()?;
    let with = combination(cx, combine, 3)?;
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let bits = test(w);
        let (p, other) = (with(w, bits), with(w, !bits));
        w.put_pred(d, p);
        if let Some(q) = q {
            w.put_pred(q, other);
        }
    })))
}

/// `.and`, `.or`, `.xor` with the predicate operand `at`.
fn combination(
    cx: &mut Context<'_, '_>,
    op: Option<&str>,
    at: usize,
) -> Result<impl Fn(&Warp, u32) -> u32 + Send + Sync + 'static> {
    let (pred, inverted) = match op {
        Some(_) => cx.pred(at)?,
        None => (Pred(0), false),
    };
    let op = op.map(|o| o.as_bytes()[0]);
    Ok(move |w: &Warp, bits: u32| {
        let c = w.pred(pred) ^ invert(inverted);
        match op {
            Some(b'a') => bits & c,
            Some(b'o') => bits | c,
            Some(_) => bits ^ c,
            None => bits,
        }
    })
}

/// A test of two rows, each lane read through `$cast`.
macro_rules! with {
    ($a:ident, $b:ident, |$x:ident| $cast:expr, |$p:ident, $q:ident| $e:expr) => {
        Box::new(move |w: &Warp| {
            test2(w, $a, $b, |x, y| {
                let read = |$x| $cast;
                let ($p, $q) = (read(x), read(y));
                $e
            })
        })
    };
}

/// Every comparison of one operand type. Unordered comparisons are the negated opposite.
macro_rules! tests {
    ($cx:ident, $op:ident, $at:ident, $reg:ident, |$x:ident| $cast:expr) => {{
        let (a, b) = ($cx.$reg($at)?, $cx.$reg($at + 1)?);
        #[allow(clippy::neg_cmp_op_on_partial_ord, clippy::eq_op)]
        let test: Test = match $op {
            "eq" => with!(a, b, |$x| $cast, |p, q| p == q),
            "ne" => with!(a, b, |$x| $cast, |p, q| p != q && p == p && q == q),
            "lt" | "lo" => with!(a, b, |$x| $cast, |p, q| p < q),
            "le" | "ls" => with!(a, b, |$x| $cast, |p, q| p <= q),
            "gt" | "hi" => with!(a, b, |$x| $cast, |p, q| p > q),
            "ge" | "hs" => with!(a, b, |$x| $cast, |p, q| p >= q),
            "equ" => with!(a, b, |$x| $cast, |p, q| p == q || p != p || q != q),
            "neu" => with!(a, b, |$x| $cast, |p, q| p != q),
            "ltu" => with!(a, b, |$x| $cast, |p, q| !(p >= q)),
            "leu" => with!(a, b, |$x| $cast, |p, q| !(p > q)),
            "gtu" => with!(a, b, |$x| $cast, |p, q| !(p <= q)),
            "geu" => with!(a, b, |$x| $cast, |p, q| !(p < q)),
            "num" => with!(a, b, |$x| $cast, |p, q| p == p && q == q),
            _ => with!(a, b, |$x| $cast, |p, q| p != p || q != q),
        };
        test
    }};
}

/// The test of two operands from index `at` on.
fn test(cx: &mut Context<'_, '_>, op: &str, ty: &str, ftz: bool, at: usize) -> Result<Test> {
    let unsigned = matches!(op, "lo" | "ls" | "hi" | "hs");
    Ok(match ty {
        "s32" if !unsigned => tests!(cx, op, at, r32, |x| x as i32),
        "u32" | "b32" | "s32" => tests!(cx, op, at, r32, |x| x),
        "s64" if !unsigned => tests!(cx, op, at, r64, |x| x as i64),
        "u64" | "b64" | "s64" => tests!(cx, op, at, r64, |x| x),
        "s16" if !unsigned => tests!(cx, op, at, r32, |x| x as i16),
        "u16" | "b16" | "s16" => tests!(cx, op, at, r32, |x| x as u16),
        "f32" if ftz => tests!(cx, op, at, r32, |x| super::rounding::flush(f32::from_bits(x))),
        "f32" => tests!(cx, op, at, r32, |x| f32::from_bits(x)),
        "f64" => tests!(cx, op, at, r64, |x| f64::from_bits(x)),
        "f16" => tests!(cx, op, at, r32, |x| Format::F16.widen(x as u16)),
        "bf16" => tests!(cx, op, at, r32, |x| Format::Bf16.widen(x as u16)),
        _ => return cx.fail(format!("comparison of {ty} is not supported")),
    })
}

fn select(cx: &mut Context<'_, '_>) -> Result<Action> {
    let ty = cx.ty()?;
    cx.count(4)?;
    let (p, inverted) = cx.pred(3)?;
    fn build<R: Row>(d: R, a: R, b: R, p: Pred, inverted: bool) -> Action {
        Action::Alu(Box::new(move |w: &mut Warp| {
            let bits = w.pred(p) ^ invert(inverted);
            let (x, y) = (a.row(w), b.row(w));
            let out: [R::Lane; LANES] = std::array::from_fn(|i| if bits >> i & 1 != 0 { x[i] } else { y[i] });
            w.put(d, out);
        }))
    }
    if ty.ends_with("64") {
        Ok(build(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, p, inverted))
    } else if ty.ends_with("16") {
        // A 16-bit constant may have high bits, which a 16-bit register must not get.
        let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
        Ok(Action::Alu(Box::new(move |w: &mut Warp| {
            let bits = w.pred(p) ^ invert(inverted);
            let (x, y) = (a.row(w), b.row(w));
            let out = std::array::from_fn(|i| if bits >> i & 1 != 0 { x[i] } else { y[i] } & 0xffff);
            w.put(d, out);
        })))
    } else {
        Ok(build(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, p, inverted))
    }
}

fn select_by_sign(cx: &mut Context<'_, '_>) -> Result<Action> {
    let ftz = cx.has("ftz");
    let types = cx.types();
    let [ty, by] = types.as_slice() else { return cx.fail("two types are needed") };
    let float = *by == "f32";
    cx.count(4)?;
    let c = cx.r32(3)?;
    let first = move |x: u32| {
        if float {
            let x = f32::from_bits(x);
            (if ftz { super::rounding::flush(x) } else { x }) >= 0.0
        } else {
            x as i32 >= 0
        }
    };
    if ty.ends_with("64") {
        let (d, a, b) = (cx.d64(0)?, cx.r64(1)?, cx.r64(2)?);
        return Ok(super::program::map3(d, a, b, c, move |x, y, z| if first(z) { x } else { y }));
    }
    let (d, a, b) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    Ok(super::program::map3(d, a, b, c, move |x, y, z| if first(z) { x } else { y }))
}

fn classify(cx: &mut Context<'_, '_>) -> Result<Action> {
    let classes = ["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
    let Some(class) = cx.pick(&classes) else { return cx.fail("unknown class") };
    let kind = classes.iter().position(|c| *c == class).unwrap_or(0);
    let ty = cx.ty()?;
    cx.count(2)?;
    let dest = cx.arg(0)?;
    let d = cx.dest_pred(dest)?;
    macro_rules! build {
        ($reg:ident, $f:ty) => {{
            let a = cx.$reg(1)?;
            Action::Alu(Box::new(move |w: &mut Warp| {
                let hit = |v| {
                    let x = <$f>::from_bits(v);
                    match kind {
                        0 => x.is_finite(),
                        1 => x.is_infinite(),
                        2 => !x.is_nan(),
                        3 => x.is_nan(),
                        4 => x.is_normal(),
                        _ => x.is_subnormal(),
                    }
                };
                let bits = test2(w, a, a, |x, _| hit(x));
                w.put_pred(d, bits);
            }))
        }};
    }
    Ok(if ty == "f64" { build!(r64, f64) } else { build!(r32, f32) })
}

/// `copysign d, a, b`: the sign of a, the magnitude of b.
fn copy_sign(cx: &mut Context<'_, '_>) -> Result<Action> {
    let ty = cx.ty()?;
    cx.count(3)?;
    if ty == "f64" {
        let sign = 1u64 << 63;
        return Ok(map2(cx.d64(0)?, cx.r64(1)?, cx.r64(2)?, move |a, b| (a & sign) | (b & !sign)));
    }
    Ok(map2(cx.d32(0)?, cx.r32(1)?, cx.r32(2)?, |a, b| (a & 0x8000_0000) | (b & 0x7fff_ffff)))
}
