//! `cp.async.bulk`: copies between global and shared memory by one thread, which an mbarrier counts.

use std::collections::VecDeque;

use super::Landing;
use super::access;
use super::block::Block;
use super::program::{Action, Mem, Stop};
use super::schedule::BlockFault;
use super::shared::Access;
use super::warp::{LANES, Row, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

type Result<T> = std::result::Result<T, PtxError>;

/// One copy to shared memory.
#[derive(Clone, Debug)]
pub(crate) struct BulkCopy {
    pub to: u32,
    pub from: u64,
    pub bytes: u32,
    /// The offset of the barrier that counts the bytes.
    pub barrier: u32,
    /// Which barrier stood there, and the phase it was in.
    pub slot: usize,
    pub phase: u64,
    /// Where it was issued.
    pub pc: u32,
    pub warp: u32,
    pub lane: u32,
}

/// A block's copies under way, the oldest first.
#[derive(Default)]
pub(crate) struct BulkCopies {
    pub queue: VecDeque<BulkCopy>,
    random: u64,
}

impl BulkCopies {
    /// Forgets the block before.
    pub fn reset(&mut self, block: u32) {
        self.queue.clear();
        self.random = u64::from(block);
    }

    /// Splitmix64.
    fn next(&mut self, seed: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random ^ seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Decodes `cp.async.bulk`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action> {
    cx.has("async");
    cx.has("bulk");
    cx.lower.program.asynchronous = true;
    if cx.has("commit_group") || cx.has("wait_group") {
        return cx.fail("only bulk copies that an mbarrier counts are supported");
    }
    let policy = cx.has("L2::cache_hint");
    let out_of_shared = cx.inst.opcode.find(".global") < cx.inst.opcode.find(".shared");
    if cx.pick(&["shared::cluster", "shared::cta"]).is_none() || !cx.has("global") || out_of_shared {
        return cx.fail("only bulk copies from global to shared memory are supported");
    }
    if !cx.has("mbarrier::complete_tx::bytes") {
        return cx.fail("only bulk copies that an mbarrier counts are supported");
    }
    cx.count(if policy { 5 } else { 4 })?;
    let (to, from, bytes, barrier) = (cx.address(0)?, cx.address(1)?, cx.r32(2)?, cx.address(3)?);
    let run: Mem = Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let (to, from) = (access::addresses(w, to), access::addresses(w, from));
        let (bytes, barrier) = (*bytes.row(w), access::addresses(w, barrier));
        for i in lanes(w.mask) {
            b.begin_bulk_copy(w, i as u32, to[i], from[i], bytes[i], barrier[i])?;
        }
        Ok(())
    });
    Ok(Action::Mem(run))
}

impl Block<'_> {
    /// Checks a copy, counts it, poisons its target, and lets it land or queues it.
    fn begin_bulk_copy(
        &mut self,
        w: &Warp,
        lane: u32,
        to: u64,
        from: u64,
        bytes: u32,
        barrier: u64,
    ) -> std::result::Result<(), Stop> {
        if bytes == 0 || !bytes.is_multiple_of(16) || !to.is_multiple_of(16) || !from.is_multiple_of(16) {
            let detail = format!("{bytes} bytes from {from:#x} to offset {to}: all must be multiples of 16");
            return Err(Stop { kind: "misaligned bulk copy", lane, detail });
        }
        let size = u64::from(self.grid.shared_bytes);
        if to > size || to + u64::from(bytes) > size {
            let detail = format!("{bytes} bytes at offset {to} of {size} bytes of shared memory");
            return Err(Stop { kind: "out of bounds shared store", lane, detail });
        }
        let mut first = [0; LANES];
        let mut last = [0; LANES];
        (first[lane as usize], last[lane as usize]) = (from, from + u64::from(bytes) - 16);
        // Both ends in one allocation: it is contiguous.
        let place = self.global_allocations(&first, 1 << lane, 16, Access::Load)?;
        let end = self.global_allocations(&last, 1 << lane, 16, Access::Load)?;
        if place.of(lane as usize) != end.of(lane as usize) {
            let detail = format!("{bytes} bytes at {from:#x} reach into another allocation");
            return Err(Stop { kind: "out of bounds global load", lane, detail });
        }
        let mut at = [0; LANES];
        at[lane as usize] = barrier;
        let barrier = self.shared_offsets(&at, 1 << lane, 8, Access::Atomic)?[lane as usize];
        let counts = self.used_mbarrier(w, lane, barrier)?;
        let (slot, phase, fenced) = (counts.slot, counts.phase, counts.fenced);
        if self.precise && !fenced {
            self.warn("no fence between mbarrier.init and a bulk copy", w, lane, || {
                format!("the mbarrier at offset {barrier} may not be seen by copies")
            });
        }
        let sectors = (from + u64::from(bytes)).div_ceil(32) - from / 32;
        self.counters.global_load_requests += 1;
        self.counters.global_load_sectors += sectors;
        self.counters.global_load_sectors_ideal += u64::from(bytes).div_ceil(32);
        self.counters.bulk_copies += 1;
        self.counters.bulk_copy_sectors += sectors;
        let to = to as u32;
        if self.precise {
            self.ledger_copy(w, lane, to, bytes, slot, phase);
        }
        self.shared.poison(to, bytes);
        let copy = BulkCopy { to, from, bytes, barrier, slot, phase, pc: self.pc, warp: w.index, lane };
        let now = match self.grid.landing {
            Landing::Early => true,
            Landing::Late => false,
            Landing::Random(seed) => self.bulk.next(seed).is_multiple_of(2),
        };
        if now {
            return self.land(&copy);
        }
        self.bulk.queue.push_back(copy);
        Ok(())
    }

    /// Looks for copies that belong to a phase which has ended without them.
    pub fn check_ended_phase(&mut self, slot: usize, phase: u64) {
        for at in 0..self.bulk.queue.len() {
            let copy = &self.bulk.queue[at];
            if (copy.slot, copy.phase) == (slot, phase) {
                let (pc, thread, barrier, bytes) = (copy.pc, copy.warp * 32 + copy.lane, copy.barrier, copy.bytes);
                self.warn_of("bulk copy that its mbarrier's phase did not expect", pc, thread, || {
                    format!("the mbarrier at offset {barrier} ended phase {phase} without these {bytes} bytes")
                });
            }
        }
    }

    /// Lets one copy arrive; whether there was one.
    pub fn land_one(&mut self) -> std::result::Result<bool, BlockFault> {
        let pending = self.bulk.queue.len();
        let at = match self.grid.landing {
            Landing::Random(seed) if pending > 0 => (self.bulk.next(seed) % pending as u64) as usize,
            _ => 0,
        };
        let Some(copy) = self.bulk.queue.remove(at) else { return Ok(false) };
        self.pc = copy.pc;
        self.land(&copy).map_err(|stop| BlockFault { stop, pc: copy.pc, warp: copy.warp })?;
        Ok(true)
    }

    /// Makes a copy.
    fn land(&mut self, copy: &BulkCopy) -> std::result::Result<(), Stop> {
        let mut from = [0; LANES];
        from[copy.lane as usize] = copy.from;
        let place = self.global_allocations(&from, 1 << copy.lane, 16, Access::Load)?;
        let grid = self.grid;
        let at = place.of(copy.lane as usize);
        let a = &grid.view[at];
        let offset = copy.from - a.base;
        let to = copy.to as usize..(copy.to + copy.bytes) as usize;
        a.read(offset, &mut self.shared.bytes[to]);
        let mut sector = offset & !31;
        while sector < offset + u64::from(copy.bytes) {
            grid.shadows[at].page(sector).sector_read(sector);
            sector += 32;
        }
        self.mark_shared(copy.to, copy.bytes);
        self.complete_bytes(copy.barrier, copy.bytes);
        Ok(())
    }
}

impl Block<'_> {
    /// What a block leaves behind: copies and products under way, registers asked for by part of a warpgroup.
    pub fn check_end(&mut self, warps: &[Warp]) {
        if !self.checks {
            return;
        }
        while let Some(copy) = self.bulk.queue.pop_front() {
            self.pc = copy.pc;
            self.warn("bulk copy under way at the end of the block", &warps[copy.warp as usize], copy.lane, || {
                format!("{} bytes to offset {}: nobody waited for them", copy.bytes, copy.to)
            });
        }
        self.check_products(warps);
        if let Some((uneven, pc)) = self.registers.uneven() {
            self.pc = pc;
            self.warn("setmaxnreg by part of a warpgroup", &warps[uneven], 0, || {
                format!("warp {uneven} asked otherwise than warp {}", uneven / 4 * 4)
            });
        }
    }
}
