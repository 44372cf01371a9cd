//! Barriers of a block: who has come, and who goes on.

use super::block::Block;
use super::program::{Action, BarrierStep, Reduce, Stop};
use super::warp::{Row, Wait, Warp};

/// What `bar.red` has gathered at a barrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gathered {
    popc: u32,
    and: bool,
    or: bool,
}

pub(crate) const NOTHING: Gathered = Gathered { popc: 0, and: true, or: false };

impl Block<'_> {
    /// A warp's lanes come to a barrier.
    pub fn barrier(&mut self, w: &mut Warp, step: &BarrierStep, gathered: &mut [Gathered; 16]) -> Result<(), Stop> {
        let lane = w.mask.trailing_zeros();
        let id = step.id.row(w)[lane as usize];
        let threads = step.threads.map_or(0, |t| t.row(w)[lane as usize]);
        if id > 15 || (step.threads.is_some() && !(threads.is_multiple_of(32) && threads != 0)) {
            let detail = format!("barrier {id} of {threads} threads");
            return Err(Stop { kind: "barrier number above 15 or a count that is no multiple of 32", lane, detail });
        }
        if let Some((p, inverted)) = step.input {
            let bits = (w.pred(p) ^ super::bits::invert(inverted)) & w.mask;
            let g = &mut gathered[id as usize];
            g.popc += bits.count_ones();
            g.and &= bits == w.mask;
            g.or |= bits != 0;
        }
        if step.arrive {
            // Barriers count whole warps.
            let (before, counts) = self.arrived[id as usize];
            if before != 0 && counts != threads {
                self.mixed_counts(w, id, threads, counts);
            }
            self.arrived[id as usize] = (before + 32, threads);
            if self.precise {
                self.clocks.arrive(w.index as usize, id as usize);
            }
            w.pc += 1;
            return Ok(());
        }
        let mask = w.mask;
        w.wait(mask, Wait::Barrier { id, threads });
        Ok(())
    }

    /// Lets go the barriers that all their threads have reached.
    pub fn release_barriers(&mut self, warps: &mut [Warp], gathered: &mut [Gathered; 16]) -> bool {
        let mut moved = false;
        for id in 0..16u32 {
            let mut wanted = None;
            let (mut waiting, mut complete) = (0, true);
            for w in warps.iter().filter(|w| w.alive != 0) {
                let mut here = 0;
                for g in &w.groups {
                    if let Wait::Barrier { id: i, threads } = g.wait
                        && i == id
                    {
                        here |= g.lanes;
                        wanted = Some(wanted.unwrap_or(0).max(threads));
                    }
                }
                complete &= here == w.alive;
                // A warp has arrived when all its lanes have; the count is in whole warps.
                waiting += if here == w.alive { 32 } else { 0 };
            }
            let Some(threads) = wanted else { continue };
            let (arrived, _) = self.arrived[id as usize];
            let done = if threads == 0 { complete } else { waiting + arrived >= threads };
            if !done {
                continue;
            }
            moved = true;
            match threads {
                0 => self.check_places(warps, id),
                _ => self.check_counts(warps, id, threads, waiting + arrived),
            }
            if self.precise {
                let waits =
                    |w: &&Warp| w.groups.iter().any(|g| matches!(g.wait, Wait::Barrier { id: i, .. } if i == id));
                let at = |w: &Warp| w.index as usize;
                let waiting: Vec<usize> = warps.iter().filter(waits).map(at).collect();
                let gone: Vec<usize> = warps.iter().filter(|w| threads == 0 && w.alive == 0).map(at).collect();
                self.clocks.barrier(id as usize, &waiting, &gone);
            }
            self.release_barrier(warps, id, gathered[id as usize]);
            gathered[id as usize] = NOTHING;
            self.arrived[id as usize] = (0, 0);
        }
        moved
    }

    /// Warps that meet at a barrier of the whole block from different source lines. PTX only looks at the barrier's
    /// number; in CUDA they have missed each other's `__syncthreads`. (One line's barrier may stand at several places.)
    fn check_places(&mut self, warps: &[Warp], id: u32) {
        let program = self.grid.program;
        let source = |pc: u32| {
            let line = &program.lines[program.steps[pc as usize].line as usize];
            (line.file, line.source)
        };
        let at_barrier = |w: Wait| matches!(w, Wait::Barrier { id: i, .. } if i == id);
        let alive = warps.iter().filter(|w| w.alive != 0);
        let groups =
            alive.flat_map(|w| w.groups.iter().filter(|g| at_barrier(g.wait)).map(move |g| (g.pc, w, g.lanes)));
        let (first, last) = (groups.clone().min_by_key(|g| g.0), groups.rev().max_by_key(|g| g.0));
        if let (Some((a, v, _)), Some((b, w, lanes))) = (first, last)
            && v.index != w.index
            && source(a) != source(b)
        {
            self.pc = b;
            let (here, there) = (source(b).1, source(a).1);
            self.warn("warps wait at different barriers", w, lanes.trailing_zeros(), || {
                format!("barrier {id} at line {here}, warp {} is at line {there}", v.index)
            });
        }
    }

    fn mixed_counts(&mut self, w: &Warp, id: u32, threads: u32, other: u32) {
        self.warn("one barrier with different counts", w, w.mask.trailing_zeros(), || {
            format!("barrier {id} of {threads} threads, of {other} elsewhere")
        });
    }

    /// Warps that meet at a barrier of part of the block with other counts, or too many of them.
    fn check_counts(&mut self, warps: &[Warp], id: u32, threads: u32, came: u32) {
        let told = self.arrived[id as usize];
        for w in warps.iter().filter(|w| w.alive != 0) {
            for g in &w.groups {
                let Wait::Barrier { id: i, threads: wants } = g.wait else { continue };
                if i != id {
                    continue;
                }
                self.pc = g.pc;
                let lane = g.lanes.trailing_zeros();
                if wants != threads || (told.0 != 0 && told.1 != wants) {
                    let other = if wants != threads { threads } else { told.1 };
                    self.warn("one barrier with different counts", w, lane, || {
                        format!("barrier {id} of {wants} threads, of {other} elsewhere")
                    });
                } else if came > threads {
                    self.warn("more threads at a barrier than it counts", w, lane, || {
                        format!("barrier {id} of {threads} threads: {came} came")
                    });
                }
            }
        }
    }

    fn release_barrier(&mut self, warps: &mut [Warp], id: u32, gathered: Gathered) {
        let at_barrier = |w: Wait| matches!(w, Wait::Barrier { id: i, .. } if i == id);
        self.epoch += 1;
        self.counters.barriers += 1;
        let steps = &self.grid.program.steps;
        for w in warps.iter_mut().filter(|w| w.alive != 0) {
            let places = w.groups.iter().filter(|g| at_barrier(g.wait)).count();
            if places == 0 {
                continue;
            }
            if places > 1 {
                let g = w.groups.iter().filter(|g| at_barrier(g.wait)).max_by_key(|g| g.pc);
                let (pc, lane) = g.map_or((0, 0), |g| (g.pc, g.lanes.trailing_zeros()));
                self.pc = pc;
                self.warn("lanes of one warp wait at different barriers", w, lane, || {
                    format!("barrier {id} reached from {places} places of the program")
                });
            }
            w.epoch += 1;
            for i in 0..w.groups.len() {
                if !at_barrier(w.groups[i].wait) {
                    continue;
                }
                if let Action::Barrier(step) = &steps[w.groups[i].pc as usize].action {
                    w.mask = w.groups[i].lanes;
                    match step.reduce {
                        Reduce::None => {}
                        Reduce::Popc(d) => w.put(d, [gathered.popc; 32]),
                        Reduce::And(p) => w.put_pred(p, if gathered.and { !0 } else { 0 }),
                        Reduce::Or(p) => w.put_pred(p, if gathered.or { !0 } else { 0 }),
                    }
                }
                w.groups[i].wait = Wait::Ready;
                w.groups[i].pc += 1;
            }
        }
    }
}
