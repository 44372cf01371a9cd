//! Moves: registers, packing, addresses, special registers, state space conversion.

use super::program::{Action, map1};
use super::warp::{LANES, R32, Reg, Row, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;
use crate::ptx::lower::FRAME;
use crate::ptx::syntax::Arg;

type Result<T> = std::result::Result<T, PtxError>;

/// Generic addresses of shared memory: window plus offset.
pub(crate) const SHARED_WINDOW: u64 = 0x5000_0000_0000_0000;
/// Generic addresses of local memory.
pub(crate) const LOCAL_WINDOW: u64 = 0x6000_0000_0000_0000;
/// Generic addresses of kernel parameters.
pub(crate) const PARAM_WINDOW: u64 = 0x7000_0000_0000_0000;
/// Bytes of a window.
pub(crate) const WINDOW_BYTES: u64 = 1 << 40;

/// Decodes a move.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "cvta" => address(cx),
        "isspacep" => is_space(cx),
        _ => mov(cx),
    }
}

fn copy<R: Row>(d: R, a: R) -> Action {
    map1(d, a, |x| x)
}

fn mov(cx: &mut Context<'_, '_>) -> Result<Action> {
    let ty = cx.ty()?;
    cx.count(2)?;
    let (dest, source) = (cx.arg(0)?, cx.arg(1)?);
    match (dest, source) {
        _ if ty == "pred" => {
            let d = cx.dest_pred(dest)?;
            let (a, inverted) = cx.pred(1)?;
            return Ok(Action::Alu(Box::new(move |w| w.put_pred(d, w.pred(a) ^ super::bits::invert(inverted)))));
        }
        (Arg::Vector(parts), _) => return unpack(cx, ty, parts),
        (_, Arg::Vector(parts)) => return pack(cx, ty, parts),
        (_, Arg::Name(name)) if name.starts_with('%') && cx.lower.symbol(name).is_none() => {
            if let Some(action) = clock(cx, name)? {
                return Ok(action);
            }
        }
        _ => {}
    }
    if ty.ends_with("64") {
        return match (cx.any_dest(dest, 8)?, cx.any_source(source, 8)?) {
            (Reg::W64(d), Reg::W64(a)) => Ok(copy(d, a)),
            // A special register such as %clock64's low word, read wide.
            (Reg::W64(d), Reg::W32(a)) => Ok(map1(d, a, u64::from)),
            _ => cx.fail("the widths differ"),
        };
    }
    let (d, a) = (cx.d32(0)?, cx.r32(1)?);
    Ok(if ty.ends_with("16") { map1(d, a, |x| x & 0xffff) } else { copy(d, a) })
}

/// Clocks count the instructions of the warp: monotonic, and the same in every run.
fn clock(cx: &mut Context<'_, '_>, name: &str) -> Result<Option<Action>> {
    Ok(Some(match name {
        "%clock" => {
            let d = cx.d32(0)?;
            Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [w.issued as u32; LANES])))
        }
        "%clock_hi" | "%globaltimer_hi" => {
            let d = cx.d32(0)?;
            Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [(w.issued >> 32) as u32; LANES])))
        }
        "%globaltimer_lo" => {
            let d = cx.d32(0)?;
            Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [w.issued as u32; LANES])))
        }
        "%clock64" | "%globaltimer" => {
            let d = cx.d64(0)?;
            Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [w.issued; LANES])))
        }
        _ => return Ok(None),
    }))
}

/// `mov.b64 {a, b}, c`: low parts first.
fn unpack(cx: &mut Context<'_, '_>, ty: &str, parts: &[Arg]) -> Result<Action> {
    let total = super::convert::width(ty);
    let bits = total / parts.len() as u32;
    let source = cx.arg(1)?;
    let source = cx.any_source(source, total / 8)?;
    let mut dests = Vec::new();
    for part in parts {
        dests.push(match part {
            Arg::Sink => None,
            p => match cx.any_dest(p, bits / 8)? {
                Reg::W32(r) if bits <= 32 => Some(r),
                _ => return cx.fail("the widths differ"),
            },
        });
    }
    let low = if bits >= 32 { u32::MAX } else { (1 << bits) - 1 };
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let wide: [u64; LANES] = match source {
            Reg::W64(r) => *r.row(w),
            Reg::W32(r) => r.row(w).map(u64::from),
        };
        for (k, d) in dests.iter().enumerate() {
            if let Some(d) = d {
                w.put(*d, wide.map(|v| (v >> (k as u32 * bits)) as u32 & low));
            }
        }
    })))
}

/// `mov.b64 c, {a, b}`.
fn pack(cx: &mut Context<'_, '_>, ty: &str, parts: &[Arg]) -> Result<Action> {
    let total = super::convert::width(ty);
    let bits = total / parts.len() as u32;
    let mut sources: Vec<R32> = Vec::new();
    for part in parts {
        sources.push(cx.source32(part)?);
    }
    let low = if bits >= 32 { u64::from(u32::MAX) } else { (1 << bits) - 1 };
    let dest = cx.arg(0)?;
    let dest = cx.any_dest(dest, total / 8)?;
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let mut wide = [0u64; LANES];
        for (k, s) in sources.iter().enumerate() {
            for (v, &x) in wide.iter_mut().zip(s.row(w)) {
                *v |= (u64::from(x) & low) << (k as u32 * bits);
            }
        }
        match dest {
            Reg::W64(d) => w.put(d, wide),
            Reg::W32(d) => w.put(d, wide.map(|v| v as u32)),
        }
    })))
}

fn window(space: &str) -> Option<u64> {
    Some(match space {
        "global" | "const" => 0,
        "shared" => SHARED_WINDOW,
        "local" => LOCAL_WINDOW,
        "param" => PARAM_WINDOW,
        _ => return None,
    })
}

/// `cvta`: generic addresses are the space's address plus its window.
fn address(cx: &mut Context<'_, '_>) -> Result<Action> {
    let to = cx.has("to");
    let space = cx.pick(&["global", "const", "shared", "local", "param", "shared::cta", "param::entry"]);
    let Some(base) = space.map(|s| s.split(':').next().unwrap_or(s)).and_then(window) else {
        return cx.fail("unknown state space");
    };
    cx.ty()?;
    cx.count(2)?;
    let (d, a) = (cx.d64(0)?, cx.r64(1)?);
    Ok(match (base, to) {
        (0, _) => copy(d, a),
        (PARAM_WINDOW, false) => {
            // A call's parameter lies in local memory.
            map1(d, a, |x| if x >= FRAME { LOCAL_WINDOW + (x - FRAME) } else { PARAM_WINDOW + x })
        }
        (_, true) => map1(d, a, move |x| x.wrapping_sub(base)),
        (_, false) => map1(d, a, move |x| x.wrapping_add(base)),
    })
}

fn is_space(cx: &mut Context<'_, '_>) -> Result<Action> {
    let space = cx.pick(&["global", "const", "shared", "local", "param", "shared::cta"]).unwrap_or("");
    let Some(base) = space.split(':').next().and_then(window) else { return cx.fail("unknown state space") };
    cx.count(2)?;
    let dest = cx.arg(0)?;
    let d = cx.dest_pred(dest)?;
    let a = cx.r64(1)?;
    let global = space == "global";
    Ok(Action::Alu(Box::new(move |w: &mut Warp| {
        let inside = |x: u64| if global { x < SHARED_WINDOW } else { base != 0 && x.wrapping_sub(base) < WINDOW_BYTES };
        let bits = super::program::test2(w, a, a, |x, _| inside(x));
        w.put_pred(d, bits);
    })))
}
