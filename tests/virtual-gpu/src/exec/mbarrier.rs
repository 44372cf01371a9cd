//! `mbarrier`: barriers in shared memory that count arrivals and the bytes of bulk copies.
//!
//! What a barrier counts is kept beside shared memory, by its offset; the 8 bytes themselves hold nothing.

use std::collections::BTreeMap;

use super::access;
use super::block::Block;
use super::clocks::Clock;
use super::ledger::Writer;
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
    /// Its number among the clocks' agents.
    pub slot: usize,
    /// Who initialised it.
    init: Writer,
    /// Whether a fence made the initialisation visible to copies.
    pub fenced: bool,
    /// What the arrivals of this phase told, and those of all phases before.
    told: Clock,
    ended: Clock,
}

/// A block's barriers.
#[derive(Default)]
pub(crate) struct Mbarriers {
    pub list: BTreeMap<u32, Mbarrier>,
    /// Counts ended phases of all barriers: who waits for a phase looks again when this has changed.
    pub version: u64,
    /// How many there have been.
    slots: usize,
}

impl Mbarriers {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.list.clear();
        self.slots = 0;
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
    cx.lower.program.asynchronous = true;
    let operations = ["init", "inval", "arrive", "expect_tx", "try_wait", "test_wait"];
    let Some(operation) = cx.pick(&operations) else {
        return cx.fail("this operation on an mbarrier is not supported");
    };
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
            Ok(each_lane(address, generic, None, |b, w, lane, at, _| {
                b.used_mbarrier(w, lane, at)?;
                b.mbarriers.list.remove(&at);
                Ok(())
            }))
        }
        "expect_tx" => {
            cx.count(2)?;
            let (address, bytes) = (cx.address(0)?, cx.r32(1)?);
            Ok(each_lane(address, generic, Some(bytes), |b, w, lane, at, bytes| {
                b.used_mbarrier(w, lane, at)?.bytes += i64::from(bytes);
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
        let told = b.precise.then(|| b.clocks.tell(w.index as usize, w.mask, w.mask == w.alive));
        for i in lanes(w.mask) {
            let (arrivals, bytes) = if expects { (1, value[i]) } else { (value[i], 0) };
            states[i] = b.arrive(w, i as u32, at[i], arrivals, bytes, told.as_ref())?;
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
    fn barrier_offsets(&self, w: &Warp, address: Address, generic: bool) -> std::result::Result<[u32; LANES], Stop> {
        self.offsets_of(w, w.mask, address, generic)
    }

    fn offsets_of(
        &self,
        w: &Warp,
        mask: u32,
        address: Address,
        generic: bool,
    ) -> std::result::Result<[u32; LANES], Stop> {
        let mut at = access::addresses(w, address);
        if generic {
            at = at.map(|a| a.wrapping_sub(super::movement::SHARED_WINDOW));
        }
        self.shared_offsets(&at, mask, BYTES, Access::Atomic)
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

    /// The barrier at an offset, for a lane of a warp that must know of its initialisation.
    pub fn used_mbarrier(&mut self, w: &Warp, lane: u32, at: u32) -> std::result::Result<&mut Mbarrier, Stop> {
        let init = self.mbarrier(lane, at)?.init;
        if self.precise && init.thread() != w.index * 32 + lane && !init.known(self.clocks.clock(w.index as usize)) {
            let thread = init.thread();
            self.warn("mbarrier used before its initialisation was ordered", w, lane, || {
                format!("offset {at}: initialised by thread {thread} with no barrier between")
            });
        }
        self.mbarrier(lane, at)
    }

    fn init_mbarrier(&mut self, w: &Warp, lane: u32, at: u32, count: u32) -> std::result::Result<(), Stop> {
        if count == 0 || count > MAX_COUNT {
            return Err(Stop { kind: "mbarrier count out of range", lane, detail: format!("{count} arrivals") });
        }
        let slot = self.mbarriers.slots;
        self.mbarriers.slots += 1;
        let time = if self.precise { self.clocks.time(w.index as usize) } else { 0 };
        let init = Writer::lane(w.index, lane, time, 0xf, false);
        self.mbarriers.list.insert(at, Mbarrier { count, pending: count, slot, init, ..Mbarrier::default() });
        self.mark_shared(at, BYTES);
        Ok(())
    }

    /// Arrives, expecting `bytes` more; the state before.
    fn arrive(
        &mut self,
        w: &Warp,
        lane: u32,
        at: u32,
        arrivals: u32,
        bytes: u32,
        told: Option<&Clock>,
    ) -> std::result::Result<u64, Stop> {
        let barrier = self.used_mbarrier(w, lane, at)?;
        let state = barrier.phase;
        if let Some(told) = told {
            barrier.told.join(told);
        }
        barrier.bytes += i64::from(bytes);
        if arrivals > barrier.pending {
            let detail =
                format!("{arrivals} arrivals where the phase waits for {} of {}", barrier.pending, barrier.count);
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
            let told = std::mem::take(&mut barrier.told);
            barrier.ended.join(&told);
            self.mbarriers.version += 1;
            // Records of global memory know only epochs of the block.
            self.epoch += 1;
            let (slot, ended) = (barrier.slot, barrier.phase - 1);
            if self.checks && !self.bulk.queue.is_empty() {
                self.check_ended_phase(slot, ended);
            }
        }
    }

    /// Tests a phase. Where it is under way for all lanes, they wait (`try_wait`) or give way once (`test_wait`).
    pub fn await_phase(&mut self, w: &mut Warp, step: &Await) -> std::result::Result<(), Stop> {
        let at = self.barrier_offsets(w, step.address, step.generic)?;
        let mut ended = 0u32;
        for i in lanes(w.mask) {
            let phase = self.used_mbarrier(w, i as u32, at[i])?.phase;
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
        if self.precise {
            for i in lanes(ended) {
                if let Some(barrier) = self.mbarriers.list.get(&at[i]) {
                    self.clocks.learn(w.index as usize, &barrier.ended);
                    self.clocks.saw_phases(w.index as usize, barrier.slot, barrier.phase);
                }
                // Nearly always all lanes ask for one.
                if lanes(ended).all(|j| at[j] == at[i]) {
                    break;
                }
            }
        }
        w.put_pred(step.result, ended);
        if ended == 0 {
            w.groups.push(super::warp::Group { pc: w.pc + 1, lanes: mask, wait: Wait::Turn });
            w.active &= !mask;
        }
        w.pc += 1;
        Ok(())
    }

    /// A fence between generic accesses and asynchronous ones, or (`!proxy`) behind the initialisation of barriers.
    pub fn proxy_fence(&mut self, w: &Warp, proxy: bool) {
        if !self.precise {
            return;
        }
        if proxy {
            self.clocks.proxy_fence(w.index as usize, w.mask, w.mask == w.alive);
        }
        for barrier in self.mbarriers.list.values_mut() {
            let thread = barrier.init.thread();
            barrier.fenced |= thread / 32 == w.index && w.mask >> (thread % 32) & 1 != 0;
        }
    }

    /// What the phase that a group of lanes waits for lacks, in words, and what that is called if copies are the reason.
    pub fn missing_of_phase(&self, w: &Warp, pc: u32, group: u32) -> (Option<&'static str>, String) {
        let Action::Await(step) = &self.grid.program.steps[pc as usize].action else { return (None, String::new()) };
        let at = self.offsets_of(w, group, step.address, step.generic);
        let barrier = at.ok().and_then(|at| self.mbarriers.list.get(&at[group.trailing_zeros() as usize]));
        let Some(b) = barrier else { return (None, String::new()) };
        let kind = match (b.pending, b.bytes) {
            (0, 1..) => Some("mbarrier waits for bytes that no copy brings"),
            (_, ..=-1) => Some("copies bring more bytes than the mbarrier expects"),
            _ => None,
        };
        (kind, format!(" ({} of {} arrivals and {} bytes missing)", b.pending, b.count, b.bytes))
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
