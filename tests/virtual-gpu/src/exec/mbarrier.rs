//! `mbarrier`: barriers in shared memory that count arrivals and the bytes of bulk copies.
//!
//! What a barrier counts is kept beside shared memory, by its offset; the 8 bytes themselves hold nothing.

use std::collections::BTreeMap;

use super::access;
use super::block::Block;
use super::program::{Action, Mem, Stop};
use super::shared::Access;
use super::warp::{LANES, Pred, R32, R64, Reg, Row, Wait, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::{Address, Context};

type Result<T> = std::result::Result<T, PtxError>;

/// Bytes of a barrier.
const BYTES: u32 = 8;
/// The greatest count of arrivals.
const MAX_COUNT: u32 = (1 << 20) - 1;

/// One barrier.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mbarrier {
    /// Arrivals that end a phase.
    pub count: u32,
    /// Arrivals that the phase still waits for.
    pub pending: u32,
    /// Bytes that the phase still waits for; below zero where copies came before they were expected.
    pub bytes: i64,
    /// Phases that have ended.
    pub phase: u64,
}

/// A block's barriers.
#[derive(Default)]
pub(crate) struct Mbarriers {
    pub list: BTreeMap<u32, Mbarrier>,
    /// Counts ended phases of all barriers: who waits for a phase looks again when this has changed.
    pub version: u64,
}

impl Mbarriers {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.list.clear();
    }
}

/// `mbarrier.try_wait` and `mbarrier.test_wait`.
pub(crate) struct Await {
    address: Address,
    generic: bool,
    wanted: Wanted,
    result: Pred,
    /// `try_wait`: gives way until a phase has ended.
    blocks: bool,
}

/// Which phase is waited for.
#[derive(Clone, Copy)]
enum Wanted {
    Parity(R32),
    State(R64),
}

/// Takes the state space of a barrier; whether the address is generic.
fn space(cx: &mut Context<'_, '_>) -> Result<bool> {
    if cx.inst.opcode.contains("shared::cluster") {
        return cx.fail("barriers of other blocks of a cluster are not supported");
    }
    Ok(cx.pick(&["shared", "shared::cta"]).is_none())
}

/// Takes what orders memory: it is always ordered here.
fn order(cx: &mut Context<'_, '_>) {
    while cx.pick(&["release", "acquire", "relaxed", "cta", "cluster"]).is_some() {}
}

/// Decodes operations on barriers.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    let operations = ["init", "inval", "arrive", "expect_tx", "try_wait", "test_wait"];
    let Some(operation) = cx.pick(&operations) else { return cx.fail("this operation on an mbarrier is not supported") };
    order(cx);
    let expects = operation == "expect_tx" || cx.has("expect_tx");
    order(cx);
    let generic = space(cx)?;
    cx.has("b64");
    match operation {
        "init" => {
            cx.count(2)?;
            let (address, count) = (cx.address(0)?, cx.r32(1)?);
            Ok(each_lane(address, generic, Some(count), |b, w, lane, at, count| b.init_mbarrier(w, lane, at, count)))
        }
        "inval" => {
            cx.count(1)?;
            let address = cx.address(0)?;
            Ok(each_lane(address, generic, None, |b, _, lane, at, _| {
                b.mbarrier(lane, at)?;
                b.mbarriers.list.remove(&at);
                Ok(())
            }))
        }
        "expect_tx" => {
            cx.count(2)?;
            let (address, bytes) = (cx.address(0)?, cx.r32(1)?);
            Ok(each_lane(address, generic, Some(bytes), |b, _, lane, at, bytes| {
                b.mbarrier(lane, at)?.bytes += i64::from(bytes);
                Ok(())
            }))
        }
        "arrive" => arrive(cx, expects, generic),
        _ => {
            let parity = cx.has("parity");
            let address = cx.address(1)?;
            let dest = cx.arg(0)?;
            let result = cx.dest_pred(dest)?;
            let wanted = if parity { Wanted::Parity(cx.r32(2)?) } else { Wanted::State(cx.r64(2)?) };
            let blocks = operation == "try_wait";
            if cx.inst.args.len() > if blocks { 4 } else { 3 } {
                return cx.fail("too many operands");
            }
            Ok(Action::Await(Box::new(Await { address, generic, wanted, result, blocks })))
        }
    }
}

fn arrive(cx: &mut Context<'_, '_>, expects: bool, generic: bool) -> Result<Action> {
    let dest = cx.arg(0)?;
    let Reg::W64(state) = cx.any_dest(dest, 8)? else { return cx.fail("a 64-bit state is needed") };
    let address = cx.address(1)?;
    let operand = match (cx.inst.args.len(), expects) {
        (2, false) => cx.lower.constant32(1),
        (3, _) => cx.r32(2)?,
        _ => return cx.fail("another number of operands is needed"),
    };
    let run: Mem = Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let at = b.barrier_offsets(w, address, generic)?;
        let value = *operand.row(w);
        let mut states = [0; LANES];
        for i in lanes(w.mask) {
            let (arrivals, bytes) = if expects { (1, value[i]) } else { (value[i], 0) };
            states[i] = b.arrive(w, i as u32, at[i], arrivals, bytes)?;
        }
        w.put(state, states);
        Ok(())
    });
    Ok(Action::Mem(run))
}

/// An action that calls `f(block, warp, lane, offset, operand)` for each lane.
fn each_lane(
    address: Address,
    generic: bool,
    operand: Option<R32>,
    f: fn(&mut Block<'_>, &Warp, u32, u32, u32) -> std::result::Result<(), Stop>,
) -> Action {
    Action::Mem(Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let at = b.barrier_offsets(w, address, generic)?;
        let value = operand.map_or([0; LANES], |r| *r.row(w));
        lanes(w.mask).try_for_each(|i| f(b, w, i as u32, at[i], value[i]))
    }))
}

impl Block<'_> {
    /// The offsets of the executing lanes' barriers, bounds and alignment checked.
    fn barrier_offsets(
        &self,
        w: &Warp,
        address: Address,
        generic: bool,
    ) -> std::result::Result<[u32; LANES], Stop> {
        let mut at = access::addresses(w, address);
        if generic {
            at = at.map(|a| a.wrapping_sub(super::movement::SHARED_WINDOW));
        }
        self.shared_offsets(&at, w.mask, BYTES, Access::Atomic)
    }

    /// The barrier at an offset.
    pub fn mbarrier(&mut self, lane: u32, at: u32) -> std::result::Result<&mut Mbarrier, Stop> {
        match self.mbarriers.list.get_mut(&at) {
            Some(barrier) => Ok(barrier),
            None => Err(Stop {
                kind: "mbarrier used before it was initialised",
                lane,
                detail: format!("there is none at offset {at}"),
            }),
        }
    }

    fn init_mbarrier(&mut self, _w: &Warp, lane: u32, at: u32, count: u32) -> std::result::Result<(), Stop> {
        if count == 0 || count > MAX_COUNT {
            return Err(Stop { kind: "mbarrier count out of range", lane, detail: format!("{count} arrivals") });
        }
        self.mbarriers.list.insert(at, Mbarrier { count, pending: count, ..Mbarrier::default() });
        self.mark_shared(at, BYTES);
        Ok(())
    }

    /// Arrives, expecting `bytes` more; the state before.
    fn arrive(
        &mut self,
        _w: &Warp,
        lane: u32,
        at: u32,
        arrivals: u32,
        bytes: u32,
    ) -> std::result::Result<u64, Stop> {
        let barrier = self.mbarrier(lane, at)?;
        let state = barrier.phase;
        barrier.bytes += i64::from(bytes);
        if arrivals > barrier.pending {
            let detail = format!("{arrivals} arrivals where the phase waits for {} of {}", barrier.pending, barrier.count);
            return Err(Stop { kind: "more arrivals than the mbarrier counts", lane, detail });
        }
        barrier.pending -= arrivals;
        self.end_phase(at);
        Ok(state)
    }

    /// Counts bytes that a copy has brought.
    pub fn complete_bytes(&mut self, at: u32, bytes: u32) {
        if let Some(barrier) = self.mbarriers.list.get_mut(&at) {
            barrier.bytes -= i64::from(bytes);
            self.end_phase(at);
        }
    }

    /// Ends the phase of a barrier that waits for nothing any more.
    fn end_phase(&mut self, at: u32) {
        let Some(barrier) = self.mbarriers.list.get_mut(&at) else { return };
        if barrier.pending == 0 && barrier.bytes == 0 {
            barrier.pending = barrier.count;
            barrier.phase += 1;
            self.mbarriers.version += 1;
        }
    }

    /// Tests a phase. Where it is under way for all lanes, they wait (`try_wait`) or give way once (`test_wait`).
    pub fn await_phase(&mut self, w: &mut Warp, step: &Await) -> std::result::Result<(), Stop> {
        let at = self.barrier_offsets(w, step.address, step.generic)?;
        let mut ended = 0u32;
        for i in lanes(w.mask) {
            let phase = self.mbarrier(i as u32, at[i])?.phase;
            let over = match step.wanted {
                Wanted::Parity(r) => phase % 2 != u64::from(r.row(w)[i] & 1),
                Wanted::State(r) => phase > r.row(w)[i],
            };
            ended |= u32::from(over) << i;
        }
        let mask = w.mask;
        if ended == 0 && step.blocks {
            w.wait(mask, Wait::Phase { seen: self.mbarriers.version });
            return Ok(());
        }
        w.put_pred(step.result, ended);
        if ended == 0 {
            w.groups.push(super::warp::Group { pc: w.pc + 1, lanes: mask, wait: Wait::Turn });
            w.active &= !mask;
        }
        w.pc += 1;
        Ok(())
    }

    /// Lets those look again who wait for a phase, if any phase has ended since.
    pub fn release_phases(&mut self, warps: &mut [Warp]) -> bool {
        let mut moved = false;
        let version = self.mbarriers.version;
        for g in warps.iter_mut().filter(|w| w.alive != 0).flat_map(|w| w.groups.iter_mut()) {
            if matches!(g.wait, Wait::Phase { seen } if seen != version) {
                g.wait = Wait::Ready;
                moved = true;
            }
        }
        moved
    }
}
