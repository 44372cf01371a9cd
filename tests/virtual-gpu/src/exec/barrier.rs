//! Control flow, barriers and fences.

use super::block::Block;
use super::program::{Action, BarrierStep, Mem, Reduce, Stop};
use super::warp::{R32, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// Decodes control flow, barriers and fences.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    match cx.base() {
        "bra" => {
            cx.has("uni");
            cx.count(1)?;
            Ok(Action::Branch(cx.label(0)?))
        }
        "brx" => {
            cx.has("idx");
            cx.has("uni");
            cx.count(2)?;
            Ok(Action::Table(cx.r32(0)?, cx.targets(1)?))
        }
        "trap" | "brkpt" => {
            let stop: Mem = Box::new(|w: &mut Warp, _| {
                Err(Stop { kind: "trap", lane: w.mask.trailing_zeros(), detail: "the kernel stopped itself".into() })
            });
            Ok(Action::Mem(stop))
        }
        // Memory is stronger than a fence could make it: fences only tell who knows of what. Time does not pass.
        "membar" | "fence" => {
            let kind = fence_kind(&cx.inst.opcode);
            let names = [
                "cta",
                "gl",
                "sys",
                "gpu",
                "cluster",
                "sc",
                "acq_rel",
                "acquire",
                "release",
                "proxy",
                "async",
                "alias",
                "async::global",
                "sync_restrict",
                "async.shared::cta",
                "shared::cta",
                "shared::cluster",
                "async::generic",
                "mbarrier_init",
            ];
            while cx.pick(&names).is_some() {}
            Ok(match kind {
                Fence::Block => Action::Alu(Box::new(|_| {})),
                Fence::Device => Action::Mem(Box::new(|w: &mut Warp, b: &mut Block<'_>| {
                    b.memory_fence(w);
                    Ok(())
                })),
                kind => Action::Mem(Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
                    b.proxy_fence(w, kind == Fence::Proxy);
                    Ok(())
                })),
            })
        }
        "nanosleep" => {
            cx.ty()?;
            Ok(Action::Alu(Box::new(|_| {})))
        }
        "griddepcontrol" => {
            cx.pick(&["wait", "launch_dependents"]);
            Ok(Action::Alu(Box::new(|_| {})))
        }
        "setmaxnreg" => super::setmaxnreg::decode(cx),
        "bar" | "barrier" => barrier(cx),
        _ => cx.fail("not supported"),
    }
}

/// What a fence orders beside memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fence {
    /// Memory, for the block.
    Block,
    /// Memory, for all blocks.
    Device,
    /// Generic accesses of shared memory and asynchronous ones.
    Proxy,
    /// The initialisation of mbarriers and asynchronous accesses.
    MbarrierInit,
}

fn fence_kind(opcode: &str) -> Fence {
    match opcode {
        "fence.proxy.async" | "fence.proxy.async.shared::cta" | "fence.proxy.async.shared::cluster" => Fence::Proxy,
        _ if opcode.starts_with("fence.mbarrier_init") => Fence::MbarrierInit,
        _ if opcode.contains(".proxy") => Fence::Block,
        _ if [".gl", ".gpu", ".sys"].iter().any(|scope| opcode.contains(scope)) => Fence::Device,
        _ => Fence::Block,
    }
}

fn barrier(cx: &mut Context<'_, '_>) -> Result<Action> {
    if cx.has("warp") {
        cx.has("sync");
        cx.count(1)?;
        return Ok(Action::WarpSync(cx.r32(0)?));
    }
    cx.has("cta");
    cx.has("aligned");
    let Some(kind) = cx.pick(&["sync", "arrive", "red"]) else { return cx.fail("unknown barrier") };
    let arrive = kind == "arrive";
    if kind == "red" {
        return reduction(cx);
    }
    let id = cx.r32(0)?;
    let threads: Option<R32> = if cx.given(1) { Some(cx.r32(1)?) } else { None };
    cx.lower.program.asynchronous |= threads.is_some();
    if arrive && threads.is_none() {
        return cx.fail("bar.arrive needs a count of threads");
    }
    Ok(Action::Barrier(Box::new(BarrierStep { id, threads, arrive, reduce: Reduce::None, input: None })))
}

/// `bar.red.op d, id {, threads}, {!}p`.
fn reduction(cx: &mut Context<'_, '_>) -> Result<Action> {
    let Some(op) = cx.pick(&["popc", "and", "or"]) else { return cx.fail("unknown reduction") };
    cx.types();
    let last = cx.inst.args.len() - 1;
    if last < 2 {
        return cx.fail("an operand is missing");
    }
    let id = cx.r32(1)?;
    cx.lower.program.asynchronous |= last == 3;
    let threads = if last == 3 { Some(cx.r32(2)?) } else { None };
    let input = Some(cx.pred(last)?);
    let dest = cx.arg(0)?;
    let reduce = match op {
        "popc" => Reduce::Popc(cx.d32(0)?),
        "and" => Reduce::And(cx.dest_pred(dest)?),
        _ => Reduce::Or(cx.dest_pred(dest)?),
    };
    Ok(Action::Barrier(Box::new(BarrierStep { id, threads, arrive: false, reduce, input })))
}
