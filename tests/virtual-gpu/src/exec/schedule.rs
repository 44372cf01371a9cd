//! Runs a block: each warp until it waits, in turn, until all have exited or nothing moves.

use super::block::Block;
use super::meeting::{Gathered, NOTHING};
use super::program::{Action, Guard, Mem, Stop};
use super::warp::{Row, Wait, Warp, lanes};

/// A fault of a block: where, and why.
pub(crate) struct BlockFault {
    pub stop: Stop,
    pub pc: u32,
    pub warp: u32,
}

/// How often all warps may look at mbarriers in turn while nothing else happens, before that is a deadlock.
const IDLE_TURNS: u32 = 1000;

impl Block<'_> {
    /// Runs the block to its end.
    pub fn run(&mut self, warps: &mut [Warp]) -> Result<(), BlockFault> {
        let mut gathered = [NOTHING; 16];
        let mut idle = 0;
        loop {
            for w in warps.iter_mut() {
                if w.alive != 0 && (w.active != 0 || w.regroup()) {
                    self.run_warp(w, &mut gathered).map_err(|stop| BlockFault { stop, pc: self.pc, warp: w.index })?;
                }
            }
            if warps.iter().all(|w| w.alive == 0) {
                self.check_end(warps);
                return Ok(());
            }
            let moved = self.release_members(warps)
                | self.release_barriers(warps, &mut gathered)
                | self.release_phases(warps)
                | self.release_registers(warps);
            if moved || warps.iter_mut().any(|w| w.alive != 0 && w.regroup()) {
                idle = 0;
                continue;
            }
            // Nothing moves by itself: the copy that has been under way longest arrives, then pollers look again.
            if self.land_one()? {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle > IDLE_TURNS || !release_turns(warps) {
                return Err(self.deadlock(warps));
            }
        }
    }

    /// Runs a warp until none of its lanes can go on.
    fn run_warp(&mut self, w: &mut Warp, gathered: &mut [Gathered; 16]) -> Result<(), Stop> {
        let program = self.grid.program;
        let steps = &program.steps;
        let budget = self.grid.budget;
        let watch = self.checks && !program.touched.is_empty();
        let (mut issued, mut lane_issued) = (0u64, 0u64);
        let result = loop {
            if (w.active == 0 || w.pc >= w.limit) && !w.regroup() {
                break Ok(());
            }
            let step = &steps[w.pc as usize];
            let mask = match step.guard {
                Guard::Always => w.active,
                Guard::If(p) => w.active & w.pred(p),
                Guard::Unless(p) => w.active & !w.pred(p),
            };
            issued += 1;
            w.issued += 1;
            if mask == 0 {
                w.pc += 1;
                continue;
            }
            let count = u64::from(mask.count_ones());
            lane_issued += count;
            if step.weight != super::program::Weight::default() {
                self.counters.fp32_flops += count * u64::from(step.weight.fp32);
                self.counters.fp64_flops += count * u64::from(step.weight.fp64);
                self.counters.mufu += count * u64::from(step.weight.mufu);
            }
            w.mask = mask;
            if watch {
                self.watch(w);
            }
            match &step.action {
                Action::Alu(f) => {
                    f(w);
                    w.pc += 1;
                }
                Action::Mem(f) => {
                    self.pc = w.pc;
                    if let Err(stop) = f(w, self) {
                        break Err(stop);
                    }
                    w.pc += 1;
                }
                Action::Branch(target) => {
                    self.counters.divergent_branches += u64::from(mask != w.active);
                    if w.issued > budget {
                        self.pc = w.pc;
                        let detail = format!("the warp has issued {} instructions and not ended", w.issued);
                        break Err(Stop { kind: "instruction budget", lane: mask.trailing_zeros(), detail });
                    }
                    w.branch(mask, *target);
                }
                Action::Table(index, targets) => {
                    self.pc = w.pc;
                    if let Err(stop) = self.table(w, *index, targets) {
                        break Err(stop);
                    }
                }
                Action::Exit => w.exit(mask),
                Action::Barrier(step) => {
                    self.pc = w.pc;
                    if let Err(stop) = self.barrier(w, step, gathered) {
                        break Err(stop);
                    }
                }
                Action::Collective { members, run } => {
                    self.pc = w.pc;
                    if let Err(stop) = self.collective(w, *members, Some(run)) {
                        break Err(stop);
                    }
                }
                Action::WarpSync(members) => {
                    self.pc = w.pc;
                    if let Err(stop) = self.collective(w, *members, None) {
                        break Err(stop);
                    }
                }
                Action::Registers { more, count } => {
                    self.pc = w.pc;
                    if let Err(stop) = self.set_registers(w, *more, *count) {
                        break Err(stop);
                    }
                }
                Action::Await(step) => {
                    self.pc = w.pc;
                    if let Err(stop) = self.await_phase(w, step) {
                        break Err(stop);
                    }
                }
            }
        };
        self.counters.warp_instructions += issued;
        self.counters.lane_instructions += lane_issued;
        result
    }

    /// A collective instruction (`None`: a warp barrier) of the executing lanes. Lanes with different member masks
    /// are different collectives: each runs when its members are here, and waits otherwise.
    fn collective(&mut self, w: &mut Warp, members: super::warp::R32, run: Option<&Mem>) -> Result<(), Stop> {
        let row = *members.row(w);
        let came = w.mask;
        let pc = w.pc;
        let mut left = came;
        let mut waiting = 0;
        while left != 0 {
            let lane = left.trailing_zeros();
            let mask = row[lane as usize];
            let same: u32 = lanes(left).filter(|&i| row[i] == mask).map(|i| 1 << i).sum();
            left &= !same;
            if same & !mask != 0 {
                let i = (same & !mask).trailing_zeros();
                self.warn("lane outside its member mask", w, i, || format!("lane {i}, mask {mask:#010x}"));
            }
            if let Some(i) = lanes(came & !same).find(|&i| row[i] & mask != 0) {
                let other = row[i];
                self.warn("member masks overlap", w, lane, || {
                    format!("{mask:#010x} in lane {lane}, {other:#010x} in lane {i}")
                });
            }
            let need = mask & w.alive;
            if need & !same != 0 {
                let wait = Wait::Members { members: need, warp_sync: run.is_none() };
                w.groups.push(super::warp::Group { pc, lanes: same, wait });
                waiting |= same;
                continue;
            }
            w.mask = same;
            match run {
                Some(run) => run(w, self)?,
                None => self.warp_sync(w),
            }
        }
        w.active &= !waiting;
        w.pc = pc + 1;
        Ok(())
    }

    fn table(&mut self, w: &mut Warp, index: super::warp::R32, targets: &[u32]) -> Result<(), Stop> {
        let row = *index.row(w);
        let rest = w.active & !w.mask;
        let mut left = w.mask;
        let pc = w.pc;
        if rest != 0 {
            w.groups.push(super::warp::Group { pc: pc + 1, lanes: rest, wait: Wait::Ready });
        }
        let mut ways = 0;
        while left != 0 {
            let lane = left.trailing_zeros();
            let value = row[lane as usize];
            let Some(&target) = targets.get(value as usize) else {
                let detail = format!("index {value} of {} targets", targets.len());
                return Err(Stop { kind: "branch outside its table", lane, detail });
            };
            let same: u32 = lanes(left).filter(|&i| row[i] == value).map(|i| 1 << i).sum();
            w.groups.push(super::warp::Group { pc: target, lanes: same, wait: Wait::Ready });
            left &= !same;
            ways += 1;
        }
        self.counters.divergent_branches += u64::from(ways > 1 || rest != 0);
        w.active = 0;
        w.regroup();
        Ok(())
    }

    /// Lets go lanes whose missing partners have exited, and warp barriers reached at different places.
    fn release_members(&mut self, warps: &mut [Warp]) -> bool {
        let mut moved = false;
        for w in warps.iter_mut().filter(|w| w.alive != 0) {
            for i in 0..w.groups.len() {
                let Wait::Members { members, warp_sync } = w.groups[i].wait else { continue };
                let need = members & w.alive;
                if need & !w.groups[i].lanes == 0 {
                    w.groups[i].wait = Wait::Ready;
                    moved = true;
                } else if warp_sync {
                    let same = |g: &&mut super::warp::Group| g.wait == Wait::Members { members, warp_sync };
                    let all = w.groups.iter().filter(|g| g.wait == Wait::Members { members, warp_sync });
                    if need & !all.fold(0, |m, g| m | g.lanes) == 0 {
                        w.groups.iter_mut().filter(same).for_each(|g| {
                            g.wait = Wait::Ready;
                            g.pc += 1;
                        });
                        self.warp_sync(w);
                        moved = true;
                    }
                }
            }
        }
        moved
    }

    /// The lanes of a warp have met.
    fn warp_sync(&mut self, w: &mut Warp) {
        w.epoch += 1;
        if self.precise {
            self.clocks.warp_sync(w.index as usize);
        }
    }

    fn deadlock(&mut self, warps: &[Warp]) -> BlockFault {
        let program = self.grid.program;
        let mut waits: Vec<String> = Vec::new();
        let mut first = None;
        let (mut kind, mut reason) = ("deadlock", None);
        for w in warps.iter().filter(|w| w.alive != 0) {
            for g in &w.groups {
                first.get_or_insert((g.pc, w.index, g.lanes.trailing_zeros()));
                let line = &program.lines[program.steps[g.pc as usize].line as usize];
                let mut text =
                    format!("warp {} lanes {:#010x} at line {} `{}`", w.index, g.lanes, line.source, line.text);
                if matches!(g.wait, Wait::Phase { .. }) {
                    let (what, state) = self.missing_of_phase(w, g.pc, g.lanes);
                    reason = reason.or(what);
                    text += &state;
                } else if matches!(g.wait, Wait::Registers { .. }) {
                    reason = reason.or(Some("setmaxnreg.inc beyond the block's registers"));
                }
                // The lanes that cannot go on for a reason of their own stand for the others.
                if let (Some(what), "deadlock") = (reason, kind) {
                    kind = what;
                    first = Some((g.pc, w.index, g.lanes.trailing_zeros()));
                }
                if waits.len() < 32 {
                    waits.push(text);
                }
            }
        }
        let (pc, warp, lane) = first.unwrap_or_default();
        self.pc = pc;
        BlockFault { stop: Stop { kind, lane, detail: waits.join("; ") }, pc, warp }
    }
}

/// Lets pollers look again; whether there are any.
fn release_turns(warps: &mut [Warp]) -> bool {
    let mut any = false;
    for g in warps.iter_mut().filter(|w| w.alive != 0).flat_map(|w| w.groups.iter_mut()) {
        if g.wait == Wait::Turn {
            g.wait = Wait::Ready;
            any = true;
        }
    }
    any
}
