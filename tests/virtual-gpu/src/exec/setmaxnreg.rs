//! `setmaxnreg`: warpgroups give registers back and take more.

use super::block::Block;
use super::program::{Action, Stop};
use super::warp::{Wait, Warp};
use crate::ptx::PtxError;
use crate::ptx::context::Context;

/// Registers of a multiprocessor.
pub(crate) const REGISTERS: u32 = 65536;

/// A block's registers, per thread and warp.
#[derive(Default)]
pub(crate) struct Registers {
    /// What each warp's threads have; none where the kernel does not say.
    warps: Vec<u32>,
    /// Given back and not taken.
    free: u32,
    /// Counts what was given back.
    version: u64,
    /// How often each warp has asked, for what last, and where.
    asked: Vec<(u32, u32, u32)>,
}

impl Registers {
    /// Begins a block.
    pub fn reset(&mut self, each: Option<u32>, warps: usize) {
        self.warps = each.map_or(Vec::new(), |each| vec![each; warps]);
        self.free = 0;
        self.asked = vec![(0, 0, 0); warps];
    }

    /// A warp that asked otherwise than the first of its warpgroup, and where one of them did.
    pub fn uneven(&self) -> Option<(usize, u32)> {
        let asked = &self.asked;
        let what = |w: usize| (asked[w].0, asked[w].1);
        let uneven = (0..asked.len()).find(|&w| what(w) != what(w / 4 * 4))?;
        Some((uneven, asked[if asked[uneven].0 > 0 { uneven } else { uneven / 4 * 4 }].2))
    }
}

/// Decodes `setmaxnreg`.
pub(crate) fn decode(cx: &mut Context<'_, '_>) -> Result<Action, PtxError> {
    let Some(way) = cx.pick(&["inc", "dec"]) else { return cx.fail("setmaxnreg needs .inc or .dec") };
    if !cx.has("sync") || !cx.has("aligned") {
        return cx.fail("setmaxnreg is .sync.aligned");
    }
    cx.ty()?;
    cx.count(1)?;
    let count = cx.int(0)? as u32;
    if !(24..=256).contains(&count) || !count.is_multiple_of(8) {
        return cx.fail("24 to 256 registers in steps of 8 can be asked for");
    }
    cx.lower.program.asynchronous = true;
    Ok(Action::Registers { more: way == "inc", count })
}

impl Block<'_> {
    /// Gives registers back or takes more; waits where there are none.
    pub fn set_registers(&mut self, w: &mut Warp, more: bool, count: u32) -> Result<(), Stop> {
        let at = w.index as usize;
        let Some(&have) = self.registers.warps.get(at) else {
            let lane = w.mask.trailing_zeros();
            self.warn("setmaxnreg in a kernel without a bound on its registers", w, lane, || {
                "neither .maxnreg nor .maxntid says how many there are at the start".into()
            });
            w.pc += 1;
            return Ok(());
        };
        if more != (count >= have) && count != have {
            let detail = format!("{count} registers, the warp has {have}");
            let kind = if more { "setmaxnreg.inc to fewer registers" } else { "setmaxnreg.dec to more registers" };
            return Err(Stop { kind, lane: w.mask.trailing_zeros(), detail });
        }
        if more && count - have > self.registers.free {
            let mask = w.mask;
            w.wait(mask, Wait::Registers { seen: self.registers.version });
            return Ok(());
        }
        self.registers.free = self.registers.free + have - count;
        self.registers.version += u64::from(count < have);
        self.registers.warps[at] = count;
        let pc = self.pc;
        let asked = &mut self.registers.asked[at];
        *asked = (asked.0 + 1, count, pc);
        w.pc += 1;
        Ok(())
    }

    /// Lets those try again who wait for registers, if any have been given back since.
    pub fn release_registers(&mut self, warps: &mut [Warp]) -> bool {
        let mut moved = false;
        let version = self.registers.version;
        for g in warps.iter_mut().filter(|w| w.alive != 0).flat_map(|w| w.groups.iter_mut()) {
            if matches!(g.wait, Wait::Registers { seen } if seen != version) {
                g.wait = Wait::Ready;
                moved = true;
            }
        }
        moved
    }
}
