//! `wgmma`: products of a warpgroup, under way until they are waited for.
//!
//! Each of the four warps computes its 16 rows when it waits (its operands may be read when it begins, as [`super::Landing`] says), and its
//! accumulators hold NaN in between.

mod descriptor;
mod flight;
mod product;
mod run;

use std::sync::Arc;

use super::block::Block;
use super::half_float::Format;
use super::program::{Action, Mem};
use super::warp::{Pred, R32, R64, Reg, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;
pub(crate) use flight::{Flight, Warpgroup};

type Result<T> = std::result::Result<T, PtxError>;

/// How the inputs are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Half(Format),
    Byte { a_signed: bool, b_signed: bool, saturate: bool },
}

/// Where A comes from.
enum Rows {
    Registers(Vec<R32>),
    Shared(R64),
}

/// A decoded product.
pub(crate) struct Wgmma {
    n: usize,
    input: Input,
    d: Vec<R32>,
    a: Rows,
    b: R64,
    /// Whether the accumulators are added to.
    add: (Pred, bool),
    negate: (bool, bool),
    mn_major: (bool, bool),
}

/// Decodes `wgmma`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    let Some(kind) = cx.pick(&["mma_async", "fence", "commit_group", "wait_group"]) else {
        return cx.fail("unknown operation");
    };
    if !cx.has("sync") || !cx.has("aligned") {
        return cx.fail("wgmma is .sync.aligned");
    }
    cx.lower.program.asynchronous = true;
    cx.lower.program.asynchronous_products = true;
    let run: Mem = match kind {
        "fence" => Box::new(|w: &mut Warp, _: &mut Block<'_>| {
            w.flight.fence();
            Ok(())
        }),
        "commit_group" => Box::new(|w: &mut Warp, _: &mut Block<'_>| {
            w.flight.committed += 1;
            Ok(())
        }),
        "wait_group" => {
            cx.count(1)?;
            let keep = cx.int(0)?;
            Box::new(move |w: &mut Warp, b: &mut Block<'_>| b.wait_group(w, keep))
        }
        _ => {
            let step = Arc::new(product_of(cx)?);
            Box::new(move |w: &mut Warp, b: &mut Block<'_>| b.begin_product(w, &step))
        }
    };
    let members = cx.lower.constant32(!0);
    Ok(Action::Collective { members, run })
}

fn product_of(cx: &mut Context<'_, '_>) -> Result<Wgmma> {
    let shape = cx.inst.opcode.split('.').find(|m| m.starts_with("m64n"));
    let Some((shape, (n, k))) = shape.and_then(|s| Some((s, s.strip_prefix("m64n")?.split_once('k')?))) else {
        return cx.fail("unknown shape");
    };
    cx.has(shape);
    let saturate = cx.has("satfinite");
    let types = cx.types();
    let input = match types.as_slice() {
        ["f32", "bf16", "bf16"] => Input::Half(Format::Bf16),
        ["f32", "f16", "f16"] => Input::Half(Format::F16),
        ["s32", a @ ("s8" | "u8"), b @ ("s8" | "u8")] => {
            Input::Byte { a_signed: *a == "s8", b_signed: *b == "s8", saturate }
        }
        _ => return cx.fail("these types are not supported"),
    };
    let half = matches!(input, Input::Half(_));
    let n: usize = n.parse().unwrap_or(0);
    let bytes_skip = !half && n > 32 && !n.is_multiple_of(16);
    if !n.is_multiple_of(8) || n == 0 || n > 256 || bytes_skip || k != if half { "16" } else { "32" } {
        return cx.fail("this shape is not supported for these types");
    }
    let d = registers(cx, 0, n / 2, true)?;
    let in_registers = matches!(cx.arg(1)?, crate::ptx::syntax::Arg::Vector(_));
    let a = if in_registers { Rows::Registers(registers(cx, 1, 4, false)?) } else { Rows::Shared(cx.r64(1)?) };
    let b = cx.r64(2)?;
    let add = cx.pred(3)?;
    let mut scales = [1u64; 2];
    let mut trans = [0u64; 2];
    if half {
        cx.count(if in_registers { 7 } else { 8 })?;
        scales = [cx.int(4)?, cx.int(5)?];
        trans = if in_registers { [0, cx.int(6)?] } else { [cx.int(6)?, cx.int(7)?] };
    } else {
        cx.count(4)?;
    }
    if scales.iter().any(|&s| s != 1 && s != u64::MAX) || trans.iter().any(|&t| t > 1) {
        return cx.fail("scales are 1 or -1, transpositions 0 or 1");
    }
    let [negate, mn_major] = [scales.map(|s| s != 1), trans.map(|t| t == 1)].map(|[a, b]| (a, b));
    Ok(Wgmma { n, input, d, a, b, add, negate, mn_major })
}

fn registers(cx: &mut Context<'_, '_>, at: usize, count: usize, dest: bool) -> Result<Vec<R32>> {
    let args = cx.vector(at)?;
    if args.len() != count {
        return cx.fail(format!("operand {at} needs {count} registers"));
    }
    let mut out = Vec::new();
    for arg in args {
        out.push(match dest {
            true => match cx.any_dest(arg, 4)? {
                Reg::W32(r) => r,
                Reg::W64(_) => return cx.fail("32-bit registers are needed"),
            },
            false => cx.source32(arg)?,
        });
    }
    Ok(out)
}
