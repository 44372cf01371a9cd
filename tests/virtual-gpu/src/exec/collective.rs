//! Instructions of a whole warp: shuffles, votes, matches, reductions.

use super::bits::invert;
use super::block::Block;
use super::program::{Action, Mem};
use super::warp::{LANES, Row, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// Decodes a collective instruction.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "activemask" => {
            cx.ty()?;
            let d = cx.d32(0)?;
            Ok(Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [w.mask; LANES]))))
        }
        "elect" => {
            cx.has("sync");
            let (first, second) = cx.pair(0)?;
            let d = cx.any_dest(first, 4)?;
            let super::warp::Reg::W32(d) = d else { return cx.fail("a 32-bit destination is needed") };
            let p = second.map(|p| cx.dest_pred(p)).transpose()?;
            let run: Mem = Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
                let leader = w.mask.trailing_zeros();
                w.put(d, [leader; LANES]);
                if let Some(p) = p {
                    w.put_pred(p, 1 << leader);
                }
                Ok(())
            });
            Ok(Action::Collective { members: cx.r32(1)?, run })
        }
        "shfl" => shuffle(cx),
        "vote" => vote(cx),
        "match" => matching(cx),
        _ => reduce(cx),
    }
}

fn sync(cx: &mut Context<'_, '_>) -> Result<()> {
    if cx.has("sync") { Ok(()) } else { cx.fail("only the .sync form is supported") }
}

fn shuffle(cx: &mut Context<'_, '_>) -> Result<Action> {
    sync(cx)?;
    let Some(mode) = cx.pick(&["up", "down", "bfly", "idx"]) else { return cx.fail("unknown shuffle") };
    cx.ty()?;
    cx.count(5)?;
    let (dest, pred) = cx.pair(0)?;
    let super::warp::Reg::W32(d) = cx.any_dest(dest, 4)? else { return cx.fail("a 32-bit destination is needed") };
    let p = pred.map(|p| cx.dest_pred(p)).transpose()?;
    let (a, b, c, members) = (cx.r32(1)?, cx.r32(2)?, cx.r32(3)?, cx.r32(4)?);
    let mode = mode.as_bytes()[0];
    let run: Mem = Box::new(move |w: &mut Warp, block: &mut Block<'_>| {
        block.counters.shuffles += 1;
        let (x, b, c) = (*a.row(w), *b.row(w), *c.row(w));
        let mut out = x;
        let (mut valid, mut bad) = (0u32, 0u32);
        for i in 0..LANES as u32 {
            let (bv, cv) = (b[i as usize] & 31, c[i as usize]);
            let (clamp, segment) = (cv & 31, cv >> 8 & 31);
            let high = (i & segment) | (clamp & !segment);
            let low = i & segment;
            let (from, ok) = match mode {
                b'u' => (i.wrapping_sub(bv), i as i32 - bv as i32 >= high as i32),
                b'd' => (i + bv, i + bv <= high),
                b'b' => (i ^ bv, i ^ bv <= high),
                _ => {
                    let j = low | (bv & !segment);
                    (j, j <= high)
                }
            };
            let from = if ok { from } else { i };
            valid |= u32::from(ok) << i;
            out[i as usize] = x[from as usize & 31];
            bad |= u32::from(w.mask >> (from & 31) & 1 == 0) << i;
        }
        if bad & w.mask != 0 {
            let lane = (bad & w.mask).trailing_zeros();
            let mask = w.mask;
            block.warn("shuffle from an inactive lane", w, lane, || format!("active lanes {mask:#010x}"));
        }
        w.put(d, out);
        if let Some(p) = p {
            w.put_pred(p, valid);
        }
        Ok(())
    });
    Ok(Action::Collective { members, run })
}

fn vote(cx: &mut Context<'_, '_>) -> Result<Action> {
    sync(cx)?;
    let Some(kind) = cx.pick(&["all", "any", "uni", "ballot"]) else { return cx.fail("unknown vote") };
    cx.types();
    cx.count(3)?;
    let (p, inverted) = cx.pred(1)?;
    let members = cx.r32(2)?;
    let run: Mem = if kind == "ballot" {
        let d = cx.d32(0)?;
        Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
            let bits = (w.pred(p) ^ invert(inverted)) & w.mask;
            w.put(d, [bits; LANES]);
            Ok(())
        })
    } else {
        let dest = cx.arg(0)?;
        let d = cx.dest_pred(dest)?;
        let (all, any) = (kind == "all", kind == "any");
        Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
            let bits = (w.pred(p) ^ invert(inverted)) & w.mask;
            let yes = if all {
                bits == w.mask
            } else if any {
                bits != 0
            } else {
                bits == 0 || bits == w.mask
            };
            w.put_pred(d, if yes { !0 } else { 0 });
            Ok(())
        })
    };
    Ok(Action::Collective { members, run })
}

fn matching(cx: &mut Context<'_, '_>) -> Result<Action> {
    let all = match cx.pick(&["any", "all"]) {
        Some(k) => k == "all",
        None => return cx.fail("unknown match"),
    };
    sync(cx)?;
    let wide = cx.ty()?.ends_with("64");
    cx.count(3)?;
    let (dest, pred) = cx.pair(0)?;
    let super::warp::Reg::W32(d) = cx.any_dest(dest, 4)? else { return cx.fail("a 32-bit destination is needed") };
    let p = pred.map(|p| cx.dest_pred(p)).transpose()?;
    let source = cx.arg(1)?;
    let a = if wide { super::warp::Reg::W64(cx.r64(1)?) } else { cx.any_source(source, 4)? };
    let members = cx.r32(2)?;
    let run: Mem = Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
        let x: [u64; LANES] = match a {
            super::warp::Reg::W64(r) => *r.row(w),
            super::warp::Reg::W32(r) => r.row(w).map(u64::from),
        };
        let mut out = [0u32; LANES];
        for i in lanes(w.mask) {
            out[i] = lanes(w.mask).filter(|&j| x[j] == x[i]).map(|j| 1 << j).sum();
        }
        let mut same = !0;
        if all {
            let first = w.mask.trailing_zeros() as usize;
            if out[first] != w.mask {
                out = [0; LANES];
                same = 0;
            }
        }
        w.put(d, out);
        if let Some(p) = p {
            w.put_pred(p, same);
        }
        Ok(())
    });
    Ok(Action::Collective { members, run })
}

fn reduce(cx: &mut Context<'_, '_>) -> Result<Action> {
    sync(cx)?;
    let Some(op) = cx.pick(&["add", "min", "max", "and", "or", "xor"]) else { return cx.fail("unknown reduction") };
    let (abs, nan) = (cx.has("abs"), cx.has("NaN"));
    let ty = cx.ty()?;
    cx.count(3)?;
    let (d, a, members) = (cx.d32(0)?, cx.r32(1)?, cx.r32(2)?);
    let f: fn(u32, u32) -> u32 = match (op, ty) {
        ("add", "u32" | "s32") => u32::wrapping_add,
        ("min", "u32") => u32::min,
        ("max", "u32") => u32::max,
        ("min", "s32") => |x, y| (x as i32).min(y as i32) as u32,
        ("max", "s32") => |x, y| (x as i32).max(y as i32) as u32,
        ("and", "b32") => |x, y| x & y,
        ("or", "b32") => |x, y| x | y,
        ("xor", "b32") => |x, y| x ^ y,
        ("min", "f32") if nan => |x, y| extreme(x, y, false, true),
        ("max", "f32") if nan => |x, y| extreme(x, y, true, true),
        ("min", "f32") => |x, y| extreme(x, y, false, false),
        ("max", "f32") => |x, y| extreme(x, y, true, false),
        _ => return cx.fail("unknown reduction"),
    };
    let run: Mem = Box::new(move |w: &mut Warp, _: &mut Block<'_>| {
        let x = a.row(w);
        let value = lanes(w.mask).map(|i| if abs { x[i] & 0x7fff_ffff } else { x[i] }).reduce(f).unwrap_or(0);
        w.put(d, [value; LANES]);
        Ok(())
    });
    Ok(Action::Collective { members, run })
}

fn extreme(x: u32, y: u32, max: bool, nan: bool) -> u32 {
    super::float::extreme(f32::from_bits(x), f32::from_bits(y), max, nan).to_bits()
}
