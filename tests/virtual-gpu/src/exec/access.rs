//! `ld`, `st` and the hints about caches.

use super::block::Block;
use super::global::Flavour;
use super::movement::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES};
use super::program::{Action, Stop};
use super::warp::{LANES, Reg, Row, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::{Address, Context};
use crate::ptx::lower::FRAME;
use crate::ptx::syntax::Arg;

type Result<T> = std::result::Result<T, PtxError>;

/// A state space of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Const,
    Shared,
    Local,
    Param,
}

/// Takes the state space of an access.
pub(crate) fn space(cx: &mut Context<'_, '_>) -> Space {
    let names =
        ["global", "const", "shared", "shared::cta", "local", "param", "param::entry", "param::func", "generic"];
    match cx.pick(&names) {
        Some("global") => Space::Global,
        Some("const") => Space::Const,
        Some("shared" | "shared::cta") => Space::Shared,
        Some("local") => Space::Local,
        Some("param" | "param::entry" | "param::func") => Space::Param,
        _ => Space::Generic,
    }
}

/// Takes modifiers that only advise caches, or name a scope.
pub(crate) fn hints(cx: &mut Context<'_, '_>) {
    let names = [
        "ca",
        "cg",
        "cs",
        "lu",
        "cv",
        "wb",
        "wt",
        "L1::evict_normal",
        "L1::evict_unchanged",
        "L1::evict_first",
        "L1::evict_last",
        "L1::no_allocate",
        "L2::64B",
        "L2::128B",
        "L2::256B",
        "L2::evict_first",
        "L2::evict_last",
        "L2::evict_normal",
        "L2::cache_hint",
        "cta",
        "cluster",
        "gpu",
        "sys",
        "weak",
    ];
    while cx.pick(&names).is_some() {}
}

/// The addresses of a warp's lanes.
#[inline(always)]
pub(crate) fn addresses(w: &Warp, address: Address) -> [u64; LANES] {
    match address.base {
        Reg::W64(r) => r.row(w).map(|a| a.wrapping_add(address.offset as u64)),
        // 32-bit addresses wrap in 32 bits.
        Reg::W32(r) => r.row(w).map(|a| u64::from(a.wrapping_add(address.offset as u32))),
    }
}

/// Where a generic address points, and the address in that space.
fn split(address: u64) -> (Space, u64) {
    let inside = |base: u64| address.wrapping_sub(base) < WINDOW_BYTES;
    if inside(SHARED_WINDOW) {
        (Space::Shared, address - SHARED_WINDOW)
    } else if inside(LOCAL_WINDOW) {
        (Space::Local, address - LOCAL_WINDOW)
    } else if inside(PARAM_WINDOW) {
        (Space::Param, address - PARAM_WINDOW)
    } else {
        (Space::Global, address)
    }
}

/// Calls `f` for each state space among a warp's generic addresses.
pub(crate) fn by_space(
    address: &[u64; LANES],
    mask: u32,
    mut f: impl FnMut(Space, &[u64; LANES], u32) -> std::result::Result<(), Stop>,
) -> std::result::Result<(), Stop> {
    let mut left = mask;
    while left != 0 {
        let (space, _) = split(address[left.trailing_zeros() as usize]);
        let mut inner = [0; LANES];
        let mut part = 0;
        for i in lanes(left) {
            let (s, a) = split(address[i]);
            if s == space {
                inner[i] = a;
                part |= 1 << i;
            }
        }
        f(space, &inner, part)?;
        left &= !part;
    }
    Ok(())
}

/// The element type of an access.
#[derive(Clone, Copy)]
struct Element {
    width: u32,
    signed: bool,
}

/// Decodes an access.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "ld" | "ldu" | "st" => {}
        _ => return hint(cx),
    }
    let load = cx.base() != "st";
    let space = space(cx);
    let strong = cx.pick(&["volatile", "relaxed", "acquire", "release", "mmio"]).is_some();
    let read_only = load && cx.has("nc");
    let policy = cx.inst.opcode.contains("L2::cache_hint");
    hints(cx);
    let n = match cx.pick(&["v2", "v4", "v8"]) {
        Some(v) => u32::from(v.as_bytes()[1] - b'0'),
        None => 1,
    };
    let ty = cx.ty()?;
    let width = super::convert::width(ty) / 8;
    if width > 8 {
        return cx.fail("128-bit registers are not supported");
    }
    cx.count(if policy { 3 } else { 2 })?;
    let element = Element { width, signed: ty.starts_with('s') };
    let flavour = Flavour { read_only, strong, constant: space == Space::Const };
    let (value_at, address_at) = if load { (0, 1) } else { (1, 0) };
    let address = cx.address(address_at)?;
    let args = cx.vector(value_at)?;
    if args.len() != n as usize {
        return cx.fail("the vector has another number of elements");
    }
    match (load, n) {
        (true, 1) => build_load::<1>(cx, space, address, args, element, flavour),
        (true, 2) => build_load::<2>(cx, space, address, args, element, flavour),
        (true, 4) => build_load::<4>(cx, space, address, args, element, flavour),
        (true, _) => build_load::<8>(cx, space, address, args, element, flavour),
        (false, 1) => build_store::<1>(cx, space, address, args, element, flavour),
        (false, 2) => build_store::<2>(cx, space, address, args, element, flavour),
        (false, 4) => build_store::<4>(cx, space, address, args, element, flavour),
        (false, _) => build_store::<8>(cx, space, address, args, element, flavour),
    }
}

/// A destination of a load.
#[derive(Clone, Copy)]
struct Dest {
    reg: Reg,
    narrow: bool,
}

/// Writes a loaded row into a register, extended to the register's width.
#[inline(always)]
fn write_back(w: &mut Warp, dest: Dest, row: &[u64; LANES], element: Element) {
    let shift = 64 - element.width * 8;
    match dest.reg {
        Reg::W32(d) if element.width == 4 || (!element.signed && element.width < 4) => w.put(d, row.map(|v| v as u32)),
        Reg::W32(d) if element.signed => {
            let keep = if dest.narrow { 0xffff } else { u32::MAX };
            w.put(d, row.map(|v| ((v << shift) as i64 >> shift) as u32 & keep));
        }
        Reg::W64(d) if element.signed => w.put(d, row.map(|v| ((v << shift) as i64 >> shift) as u64)),
        Reg::W64(d) => w.put(d, *row),
        Reg::W32(d) => w.put(d, row.map(|v| v as u32)),
    }
}

fn build_load<const N: usize>(
    cx: &mut Context<'_, '_>,
    space: Space,
    address: Address,
    args: &[Arg],
    element: Element,
    flavour: Flavour,
) -> Result<Action> {
    let mut dests = Vec::new();
    for arg in args {
        let reg = cx.any_dest(arg, element.width)?;
        if element.width == 8 && matches!(reg, Reg::W32(_)) {
            return cx.fail("the destination is narrower than the type");
        }
        dests.push(Dest { reg, narrow: matches!(reg, Reg::W32(r) if cx.lower.is_narrow(r)) });
    }
    let width = element.width;
    Ok(Action::Mem(Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let at = addresses(w, address);
        let mut rows = [[0u64; LANES]; N];
        load(b, w, space, &at, w.mask, width, N as u32, &mut rows, flavour)?;
        for (dest, row) in dests.iter().zip(rows.iter()) {
            write_back(w, *dest, row, element);
        }
        Ok(())
    })))
}

/// Loads from any space.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn load(
    b: &mut Block<'_>,
    w: &Warp,
    space: Space,
    at: &[u64; LANES],
    mask: u32,
    width: u32,
    n: u32,
    rows: &mut [[u64; LANES]],
    flavour: Flavour,
) -> std::result::Result<(), Stop> {
    match space {
        Space::Global | Space::Const => b.global_load(w, at, mask, width, n, rows, flavour),
        Space::Shared => b.shared_load(w, at, mask, width, n, rows),
        Space::Local => b.local_load(w, at, mask, width, n, rows),
        Space::Param => param_load(b, w, at, mask, width, n, rows),
        Space::Generic => by_space(at, mask, |s, at, part| load_part(b, w, s, at, part, width, n, rows, flavour)),
    }
}

#[allow(clippy::too_many_arguments)]
fn load_part(
    b: &mut Block<'_>,
    w: &Warp,
    space: Space,
    at: &[u64; LANES],
    mask: u32,
    width: u32,
    n: u32,
    rows: &mut [[u64; LANES]],
    flavour: Flavour,
) -> std::result::Result<(), Stop> {
    match space {
        Space::Shared => b.shared_load(w, at, mask, width, n, rows),
        Space::Local => b.local_load(w, at, mask, width, n, rows),
        Space::Param => param_load(b, w, at, mask, width, n, rows),
        _ => b.global_load(w, at, mask, width, n, rows, flavour),
    }
}

fn param_load(
    b: &mut Block<'_>,
    w: &Warp,
    at: &[u64; LANES],
    mask: u32,
    width: u32,
    n: u32,
    rows: &mut [[u64; LANES]],
) -> std::result::Result<(), Stop> {
    let first = at[mask.trailing_zeros() as usize];
    if first >= FRAME {
        return b.local_load(w, &at.map(|a| a.wrapping_sub(FRAME)), mask, width, n, rows);
    }
    let params = b.grid.params;
    let mut last = None;
    for i in lanes(mask) {
        // Nearly always all lanes read one parameter.
        if let Some(j) = last.filter(|&j: &usize| at[j] == at[i]) {
            rows.iter_mut().for_each(|row| row[i] = row[j]);
            continue;
        }
        last = Some(i);
        let from = at[i] as usize;
        let bytes = (width * n) as usize;
        let Some(part) = from.checked_add(bytes).and_then(|end| params.get(from..end)) else {
            let detail = format!("{bytes} bytes at offset {from} of {} bytes of parameters", params.len());
            return Err(Stop { kind: "out of bounds parameter load", lane: i as u32, detail });
        };
        for (row, bytes) in rows.iter_mut().zip(part.chunks_exact(width as usize)) {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            row[i] = u64::from_le_bytes(value);
        }
    }
    Ok(())
}

fn build_store<const N: usize>(
    cx: &mut Context<'_, '_>,
    space: Space,
    address: Address,
    args: &[Arg],
    element: Element,
    flavour: Flavour,
) -> Result<Action> {
    if space == Space::Const {
        return cx.fail("constant memory cannot be stored to");
    }
    let mut sources = Vec::new();
    for arg in args {
        let reg = cx.any_source(arg, element.width)?;
        if element.width == 8 && matches!(reg, Reg::W32(_)) {
            return cx.fail("the source is narrower than the type");
        }
        sources.push(reg);
    }
    let (width, n) = (element.width, N as u32);
    Ok(Action::Mem(Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let at = addresses(w, address);
        let mut rows = [[0u64; LANES]; N];
        for (row, source) in rows.iter_mut().zip(&sources) {
            *row = match *source {
                Reg::W32(r) => r.row(w).map(u64::from),
                Reg::W64(r) => *r.row(w),
            };
        }
        let rows = &rows;
        let mut store = |s: Space, at: &[u64; LANES], mask: u32| match s {
            Space::Shared => b.shared_store(w, at, mask, width, n, rows),
            Space::Local => b.local_store(w, at, mask, width, n, rows),
            Space::Param => {
                let first = at[mask.trailing_zeros() as usize];
                if first < FRAME {
                    let detail = format!("offset {first}");
                    return Err(Stop { kind: "store to kernel parameters", lane: mask.trailing_zeros(), detail });
                }
                b.local_store(w, &at.map(|a| a.wrapping_sub(FRAME)), mask, width, n, rows)
            }
            _ => b.global_store(w, at, mask, width, n, rows, flavour),
        };
        match space {
            Space::Generic => by_space(&at, w.mask, store),
            s => store(s, &at, w.mask),
        }
    })))
}

/// Hints: an address or policy that changes nothing but time.
fn hint(cx: &mut Context<'_, '_>) -> Result<Action> {
    space(cx);
    hints(cx);
    if cx.base() == "createpolicy" {
        cx.pick(&["fractional", "range"]);
        while cx.pick(&["L2::evict_unchanged", "L2::evict_first", "L2::evict_last", "L2::evict_normal"]).is_some() {}
        cx.ty()?;
        let d = cx.d64(0)?;
        return Ok(Action::Alu(Box::new(move |w: &mut Warp| w.put(d, [0; LANES]))));
    }
    while cx.pick(&["L1", "L2", "tensormap"]).is_some() {}
    Ok(Action::Alu(Box::new(|_| {})))
}
