//! `cp.async`: copies from global to shared memory that complete as late as the program allows.

use super::access;
use super::block::Block;
use super::global::Flavour;
use super::program::{Action, Mem, Stop};
use super::shared::Access;
use super::traffic;
use super::warp::{LANES, R32, Row, Warp, lanes};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

/// One instruction's copies.
struct Copies {
    to: [u32; LANES],
    from: [u64; LANES],
    /// Bytes written per lane.
    bytes: u32,
    /// Bytes read per lane; zeros fill the rest.
    size: [u32; LANES],
    /// Lanes whose copy has not been made.
    left: u32,
    /// The group each lane's copy belongs to.
    group: [u32; LANES],
}

/// A warp's copies under way.
#[derive(Default)]
pub(crate) struct Pending {
    copies: Vec<Copies>,
    /// Groups that each lane has committed.
    committed: [u32; LANES],
}

impl Pending {
    /// Forgets all: a block that ends without waiting never sees its copies.
    pub fn reset(&mut self) {
        self.copies.clear();
        self.committed = [0; LANES];
    }
}

/// Decodes `cp.async` and its waits.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    if !cx.has("async") {
        return cx.fail("not supported");
    }
    if cx.has("commit_group") {
        let run: Mem = Box::new(|w: &mut Warp, b: &mut Block<'_>| {
            let pending = &mut b.pending[w.index as usize];
            lanes(w.mask).for_each(|i| pending.committed[i] += 1);
            Ok(())
        });
        return Ok(Action::Mem(run));
    }
    if cx.has("wait_all") {
        return Ok(Action::Mem(Box::new(|w: &mut Warp, b: &mut Block<'_>| {
            let pending = &mut b.pending[w.index as usize];
            lanes(w.mask).for_each(|i| pending.committed[i] += 1);
            b.complete(w, 0)
        })));
    }
    if cx.has("wait_group") {
        cx.count(1)?;
        let keep = cx.int(0)? as u32;
        return Ok(Action::Mem(Box::new(move |w: &mut Warp, b: &mut Block<'_>| b.complete(w, keep))));
    }
    let policy = cx.has("L2::cache_hint");
    access::hints(cx);
    let out_of_shared = cx.inst.opcode.find(".global") < cx.inst.opcode.find(".shared");
    if !(cx.has("shared") || cx.has("shared::cta")) || !cx.has("global") || out_of_shared {
        return cx.fail("only copies from global to shared memory are supported");
    }
    let (to, from) = (cx.address(0)?, cx.address(1)?);
    let bytes = cx.int(2)? as u32;
    if !matches!(bytes, 4 | 8 | 16) {
        return cx.fail("4, 8 or 16 bytes can be copied");
    }
    let operands = cx.inst.args.len() - usize::from(policy);
    let size: R32 = match operands {
        3 => cx.lower.constant32(bytes),
        4 => cx.r32(3)?,
        _ => return cx.fail("3 or 4 operands are needed"),
    };
    let run: Mem = Box::new(move |w: &mut Warp, b: &mut Block<'_>| {
        let (to, from) = (access::addresses(w, to), access::addresses(w, from));
        let size = size.row(w).map(|s| s.min(bytes));
        b.begin_copy(w, &to, from, bytes, size)
    });
    Ok(Action::Mem(run))
}

impl Block<'_> {
    /// Checks a copy, counts it, and poisons its target.
    fn begin_copy(
        &mut self,
        w: &Warp,
        to: &[u64; LANES],
        from: [u64; LANES],
        bytes: u32,
        size: [u32; LANES],
    ) -> Result<(), Stop> {
        let to = self.shared_offsets(to, w.mask, bytes, Access::Store)?;
        // Lanes that read nothing may point anywhere.
        let reading: u32 = lanes(w.mask).filter(|&i| size[i] > 0).map(|i| 1 << i).sum();
        if reading != 0 {
            self.global_allocations_of_copy(&from, reading, bytes, &size)?;
            self.counters.global_load_requests += 1;
            self.counters.cp_async_requests += 1;
            let (sectors, ideal) = traffic::sectors(&from, reading, bytes.into());
            self.counters.global_load_sectors += sectors;
            self.counters.global_load_sectors_ideal += ideal;
            self.counters.cp_async_sectors += sectors;
            self.counters.cp_async_sectors_ideal += ideal;
        }
        self.counters.shared_store_requests += 1;
        self.count_shared(&to, w.mask, bytes);
        let who = self.who(w);
        for i in lanes(w.mask) {
            if self.checks {
                self.check_shared_write(w, i as u32, who.lane(i as u32), to[i], bytes, false);
            }
            self.shared.poison(to[i], bytes);
        }
        let pending = &mut self.pending[w.index as usize];
        let group = pending.committed;
        pending.copies.push(Copies { to, from, bytes, size, left: w.mask, group });
        Ok(())
    }

    /// Bounds of what is read: a short copy at the end of an allocation reads only its `size` bytes.
    fn global_allocations_of_copy(
        &mut self,
        from: &[u64; LANES],
        mask: u32,
        bytes: u32,
        size: &[u32; LANES],
    ) -> Result<(), Stop> {
        if let Some(i) = lanes(mask).find(|&i| !from[i].is_multiple_of(bytes.into())) {
            let detail = format!("{bytes} bytes at {:#x}", from[i]);
            return Err(Stop { kind: "misaligned global load", lane: i as u32, detail });
        }
        let full: u32 = lanes(mask).filter(|&i| size[i] == bytes).map(|i| 1 << i).sum();
        if full != 0 {
            self.global_allocations(from, full, bytes.into(), Access::Load)?;
        }
        for i in lanes(mask & !full) {
            // The last byte decides: allocations are contiguous.
            let mut last = *from;
            last[i] += u64::from(size[i]) - 1;
            self.global_allocations(from, 1 << i, 1, Access::Load)?;
            self.global_allocations(&last, 1 << i, 1, Access::Load)?;
        }
        Ok(())
    }

    /// Makes the copies of the executing lanes' groups, all but the last `keep` committed.
    fn complete(&mut self, w: &Warp, keep: u32) -> Result<(), Stop> {
        let mut pending = std::mem::take(&mut self.pending[w.index as usize]);
        let mut result = Ok(());
        for copies in &mut pending.copies {
            let due = |i: &usize| copies.group[*i] < pending.committed[*i].saturating_sub(keep);
            let ready: u32 = lanes(copies.left & w.mask).filter(due).map(|i| 1 << i).sum();
            for i in lanes(ready) {
                result = result.and(self.finish_copy(w, copies, i));
            }
            copies.left &= !ready;
        }
        pending.copies.retain(|c| c.left != 0);
        self.pending[w.index as usize] = pending;
        result
    }

    fn finish_copy(&mut self, w: &Warp, copies: &Copies, i: usize) -> Result<(), Stop> {
        let (to, size) = (copies.to[i], copies.size[i]);
        let who = self.who(w).lane(i as u32);
        let mut bytes = [0; 16];
        if size > 0 {
            let place = self.global_allocations(&copies.from, 1 << i, 1, Access::Load)?;
            let grid = self.grid;
            let at = place.of(i);
            let a = &grid.view[at];
            let offset = copies.from[i] - a.base;
            a.read(offset, &mut bytes[..size as usize]);
            let page = grid.shadows[at].page(offset);
            page.sector_read(offset);
            if self.checks {
                self.check_global_read(w, i as u32, who, a, page, offset, size.into(), Flavour::default());
            }
        }
        let all = to as usize..(to + copies.bytes) as usize;
        self.shared.bytes[all].copy_from_slice(&bytes[..copies.bytes as usize]);
        if self.checks {
            // The poisoning was recorded as a write when the copy began; this write is by the same thread.
            self.check_shared_write(w, i as u32, who, to, copies.bytes, false);
        } else {
            self.mark_shared(to, copies.bytes);
        }
        Ok(())
    }

    /// The thread with a copy under way into these bytes of shared memory.
    pub fn pending_copy(&self, offset: u32, bytes: u32) -> Option<u32> {
        for (warp, pending) in (0..).zip(&self.pending) {
            for c in &pending.copies {
                let hit = |&i: &usize| c.to[i] < offset + bytes && offset < c.to[i] + c.bytes;
                if let Some(i) = lanes(c.left).find(hit) {
                    return Some(warp * 32 + i as u32);
                }
            }
        }
        None
    }
}
