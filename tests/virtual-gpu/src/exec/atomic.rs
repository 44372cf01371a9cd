//! Atomics: `atom` and `red` on global and shared memory.

use std::sync::atomic::Ordering::Relaxed;

use super::access::{self, Space, by_space};
use super::block::Block;
use super::global::Flavour;
use super::half_float::Format;
use super::program::{Action, Mem, Stop};
use super::release::Fences;
use super::shared::Access;
use super::warp::{LANES, Reg, Row, Warp, lanes};
use crate::memory::allocation::Allocation;
use crate::ptx::PtxError;
use crate::ptx::context::Context;
use crate::ptx::syntax::Arg;

/// New value from old value and operands.
type Update = fn(u64, u64, u64) -> u64;

/// Decodes an atomic.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    let result = cx.base() == "atom";
    let order = cx.pick(&["relaxed", "acquire", "release", "acq_rel", "sc"]);
    let wide = !cx.inst.opcode.contains(".cta");
    let fences = Fences {
        before: wide && matches!(order, Some("release" | "acq_rel" | "sc")),
        after: wide && matches!(order, Some("acquire" | "acq_rel" | "sc")),
    };
    let space = access::space(cx);
    access::hints(cx);
    let ops = ["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"];
    let Some(op) = cx.pick(&ops) else { return cx.fail("unknown atomic") };
    cx.has("noftz");
    let ty = cx.ty()?;
    let Some(update) = update(op, ty) else { return cx.fail(format!("atomic {op} of {ty} is not supported")) };
    let width = super::convert::width(ty) / 8;
    let first = usize::from(result);
    cx.count(first + if op == "cas" { 3 } else { 2 })?;
    let address = cx.address(first)?;
    let source = cx.arg(first + 1)?;
    let b = cx.any_source(source, width)?;
    let c = match op {
        "cas" => {
            let source = cx.arg(first + 2)?;
            cx.any_source(source, width)?
        }
        _ => b,
    };
    let sink = !result || *cx.arg(0)? == Arg::Sink;
    let dest = if sink {
        None
    } else {
        let arg = cx.arg(0)?;
        Some(cx.any_dest(arg, width)?)
    };
    if space != Space::Shared && (!sink || ty.contains('f')) {
        cx.lower.program.ordered = true;
    }
    let reads = op != "exch";
    let run: Mem = Box::new(move |w: &mut Warp, block: &mut Block<'_>| {
        let at = access::addresses(w, address);
        let row = |r: Reg| match r {
            Reg::W32(r) => r.row(w).map(u64::from),
            Reg::W64(r) => *r.row(w),
        };
        let (x, y) = (row(b), row(c));
        let mut old = [0u64; LANES];
        let mut each = |s: Space, at: &[u64; LANES], mask: u32| match s {
            Space::Shared => block.shared_atomic(w, at, mask, width, &x, &y, update, &mut old),
            Space::Global => block.global_atomic(w, at, mask, width, &x, &y, update, reads, fences, &mut old),
            _ => Err(Stop { kind: "atomic on local memory", lane: mask.trailing_zeros(), detail: String::new() }),
        };
        match space {
            Space::Generic => by_space(&at, w.mask, each)?,
            s => each(s, &at, w.mask)?,
        }
        match dest {
            Some(Reg::W32(d)) => w.put(d, old.map(|v| v as u32)),
            Some(Reg::W64(d)) => w.put(d, old),
            None => {}
        }
        Ok(())
    });
    Ok(Action::Mem(run))
}

impl Block<'_> {
    #[allow(clippy::too_many_arguments)]
    fn shared_atomic(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        x: &[u64; LANES],
        y: &[u64; LANES],
        update: Update,
        old: &mut [u64; LANES],
    ) -> Result<(), Stop> {
        let offset = self.shared_offsets(address, mask, width, Access::Atomic)?;
        self.counters.atomics_shared += u64::from(mask.count_ones());
        let who = self.who(w).atomic();
        for i in lanes(mask) {
            if self.checks {
                self.check_shared_atomic(w, i as u32, who.lane(i as u32), offset[i], width);
            }
            old[i] = self.shared.load(offset[i], width);
            self.shared.store(offset[i], width, update(old[i], x[i], y[i]));
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn global_atomic(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        x: &[u64; LANES],
        y: &[u64; LANES],
        update: Update,
        reads: bool,
        fences: Fences,
        old: &mut [u64; LANES],
    ) -> Result<(), Stop> {
        let bytes = u64::from(width);
        let place = self.global_allocations(address, mask, bytes, Access::Atomic)?;
        self.counters.atomics_global += u64::from(mask.count_ones());
        let who = self.who(w).atomic();
        let grid = self.grid;
        for i in lanes(mask) {
            let at = place.of(i);
            let a: &Allocation = &grid.view[at];
            let offset = address[i] - a.base;
            if a.constant {
                let detail = format!("a constant variable at {:#x}", a.base);
                return Err(Stop { kind: "store to constant memory", lane: i as u32, detail });
            }
            let page = grid.shadows[at].page(offset);
            page.sector_read(offset);
            page.sector_written(offset);
            if self.checks {
                if reads {
                    let flavour = Flavour { strong: true, ..Flavour::default() };
                    self.check_global_read(w, i as u32, self.who(w).lane(i as u32), a, page, offset, bytes, flavour);
                }
                self.check_global_write(w, i as u32, who.lane(i as u32), a, page, offset, bytes, false);
                self.release_and_acquire(self.who(w).lane(i as u32), address[i], fences);
            } else {
                a.mark(offset, bytes);
            }
            old[i] = exchange(a, offset, width, |v| update(v, x[i], y[i]));
        }
        Ok(())
    }
}

/// One indivisible update; the value before it.
fn exchange(a: &Allocation, offset: u64, width: u32, f: impl Fn(u64) -> u64) -> u64 {
    // The closures never give `None`, so the update cannot fail.
    match width {
        8 => a.word64(offset).fetch_update(Relaxed, Relaxed, |v| Some(f(v))).unwrap_or_default(),
        4 => a.word32(offset).fetch_update(Relaxed, Relaxed, |v| Some(f(v.into()) as u32)).unwrap_or_default().into(),
        _ => a.word16(offset).fetch_update(Relaxed, Relaxed, |v| Some(f(v.into()) as u16)).unwrap_or_default().into(),
    }
}

fn update(op: &str, ty: &str) -> Option<Update> {
    fn halves(old: u64, x: u64, f: impl Fn(u16, u16) -> u16) -> u64 {
        let low = f(old as u16, x as u16);
        let high = f((old >> 16) as u16, (x >> 16) as u16);
        u64::from(high) << 16 | u64::from(low)
    }
    fn add16(f: Format, a: u16, b: u16) -> u16 {
        f.narrow32(f.widen(a) + f.widen(b))
    }
    fn extreme16(f: Format, a: u16, b: u16, max: bool) -> u16 {
        f.narrow32(super::float::extreme(f.widen(a), f.widen(b), max, false))
    }
    Some(match (op, ty) {
        ("add", "u32" | "s32" | "u64" | "s64") => |o, x, _| o.wrapping_add(x),
        ("add", "f32") => |o, x, _| (f32::from_bits(o as u32) + f32::from_bits(x as u32)).to_bits().into(),
        ("add", "f64") => |o, x, _| (f64::from_bits(o) + f64::from_bits(x)).to_bits(),
        ("add", "f16") => |o, x, _| add16(Format::F16, o as u16, x as u16).into(),
        ("add", "bf16") => |o, x, _| add16(Format::Bf16, o as u16, x as u16).into(),
        ("add", "f16x2") => |o, x, _| halves(o, x, |a, b| add16(Format::F16, a, b)),
        ("add", "bf16x2") => |o, x, _| halves(o, x, |a, b| add16(Format::Bf16, a, b)),
        ("min", "f16x2") => |o, x, _| halves(o, x, |a, b| extreme16(Format::F16, a, b, false)),
        ("max", "f16x2") => |o, x, _| halves(o, x, |a, b| extreme16(Format::F16, a, b, true)),
        ("min", "bf16x2") => |o, x, _| halves(o, x, |a, b| extreme16(Format::Bf16, a, b, false)),
        ("max", "bf16x2") => |o, x, _| halves(o, x, |a, b| extreme16(Format::Bf16, a, b, true)),
        ("min", "u32") => |o, x, _| (o as u32).min(x as u32).into(),
        ("max", "u32") => |o, x, _| (o as u32).max(x as u32).into(),
        ("min", "s32") => |o, x, _| ((o as i32).min(x as i32) as u32).into(),
        ("max", "s32") => |o, x, _| ((o as i32).max(x as i32) as u32).into(),
        ("min", "u64") => |o, x, _| o.min(x),
        ("max", "u64") => |o, x, _| o.max(x),
        ("min", "s64") => |o, x, _| (o as i64).min(x as i64) as u64,
        ("max", "s64") => |o, x, _| (o as i64).max(x as i64) as u64,
        ("and", "b32" | "b64") => |o, x, _| o & x,
        ("or", "b32" | "b64") => |o, x, _| o | x,
        ("xor", "b32" | "b64") => |o, x, _| o ^ x,
        ("exch", "b32" | "b64" | "u32" | "s32" | "f32" | "u64") => |_, x, _| x,
        ("cas", "b16" | "b32" | "u32" | "s32") => |o, x, y| if o as u32 == x as u32 { y } else { o },
        ("cas", "b64" | "u64") => |o, x, y| if o == x { y } else { o },
        ("inc", "u32") => |o, x, _| if o as u32 >= x as u32 { 0 } else { o + 1 },
        ("dec", "u32") => |o, x, _| if o as u32 == 0 || o as u32 > x as u32 { x } else { o - 1 },
        _ => return None,
    })
}
