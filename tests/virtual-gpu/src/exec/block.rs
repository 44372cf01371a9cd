//! A block under execution, and what all blocks of a launch share.

use std::collections::HashMap;
use std::sync::Arc;

use super::Landing;
use super::async_copy::Pending;
use super::bulk_copy::BulkCopies;
use super::clocks::Clocks;
use super::ledger::Ledger;
use super::local::LocalMemory;
use super::mbarrier::Mbarriers;
use super::program::{Program, Special};
use super::race::Who;
use super::release::{Released, Releases};
use super::setmaxnreg::Registers;
use super::shadow::Shadow;
use super::shared::SharedMemory;
use super::warp::{LANES, Warp};
use super::wgmma::{Flight, Warpgroup};
use crate::memory::Memory;
use crate::memory::allocation::Allocation;
use crate::report::Counters;

/// What all blocks of a launch share.
pub(crate) struct Grid<'l> {
    pub program: &'l Program,
    pub memory: &'l Memory,
    /// Live allocations by address.
    pub view: &'l [Arc<Allocation>],
    /// Records of each allocation of `view`.
    pub shadows: &'l [Shadow],
    /// Addresses of the module's variables.
    pub globals: &'l [u64],
    pub params: &'l [u8],
    pub grid: [u32; 3],
    pub block: [u32; 3],
    /// Static and dynamic shared memory, bytes.
    pub shared_bytes: u32,
    pub dynamic_shared: u32,
    pub checks: bool,
    pub budget: u64,
    /// Registers of a thread at the start, where the kernel says.
    pub registers: Option<u32>,
    /// When asynchronous copies and products happen.
    pub landing: Landing,
    /// What atomics left with words of global memory.
    pub released: Released,
}

/// A warning as it is noted: which instruction, and once per kind.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub kind: &'static str,
    pub pc: u32,
    pub block: u32,
    pub thread: u32,
    pub detail: String,
}

/// A block under execution.
pub(crate) struct Block<'l> {
    pub grid: &'l Grid<'l>,
    /// The block's index in the grid, x fastest.
    pub linear: u32,
    pub shared: SharedMemory,
    pub local: LocalMemory,
    pub counters: Counters,
    pub notes: HashMap<(u32, &'static str), Note>,
    /// The instruction under execution.
    pub pc: u32,
    /// Barriers passed.
    pub epoch: u32,
    /// Threads that `bar.arrive` counted at each barrier, and of how many.
    pub arrived: [(u32, u32); 16],
    /// Asynchronous copies under way, by warp.
    pub pending: Vec<Pending>,
    /// Whether shared memory is checked by `clocks` and `ledger`: some barriers are not the whole block's.
    pub precise: bool,
    pub clocks: Clocks,
    pub ledger: Ledger,
    /// What the warpgroups have done together.
    pub groups: Vec<Warpgroup>,
    /// Registers that `setmaxnreg` gives and takes.
    pub registers: Registers,
    /// Barriers in shared memory.
    pub mbarriers: Mbarriers,
    /// Bulk copies under way.
    pub bulk: BulkCopies,
    /// What fences and atomics told other blocks, and what they told this one.
    pub releases: Releases,
    pub last_allocation: usize,
    pub checks: bool,
}

impl<'l> Block<'l> {
    pub fn new(grid: &'l Grid<'l>) -> Block<'l> {
        let threads: u32 = grid.block.iter().product();
        let warps = threads.div_ceil(32);
        let precise = grid.checks && grid.program.asynchronous;
        Block {
            grid,
            linear: 0,
            shared: SharedMemory::new(grid.shared_bytes),
            local: LocalMemory::new(warps * 32, grid.program.local_bytes),
            counters: Counters::default(),
            notes: HashMap::new(),
            pc: 0,
            epoch: 0,
            arrived: [(0, 0); 16],
            pending: (0..warps).map(|_| Pending::default()).collect(),
            precise,
            clocks: Clocks::new(if precise { warps as usize } else { 0 }),
            ledger: Ledger::new(if precise { grid.shared_bytes } else { 0 }),
            groups: (0..warps.div_ceil(4)).map(|_| Warpgroup::default()).collect(),
            registers: Registers::default(),
            mbarriers: Mbarriers::default(),
            bulk: BulkCopies::default(),
            releases: Releases::default(),
            last_allocation: 0,
            checks: grid.checks,
        }
    }

    /// Forgets the block before, begins block `linear`.
    pub fn reset(&mut self, linear: u32) {
        self.linear = linear;
        self.shared.reset();
        self.local.reset();
        self.epoch = 0;
        self.arrived = [(0, 0); 16];
        self.pending.iter_mut().for_each(Pending::reset);
        self.mbarriers.reset();
        if self.precise {
            self.clocks.reset();
            self.ledger.reset();
        }
        self.groups.iter_mut().for_each(Warpgroup::reset);
        self.registers.reset(self.grid.registers, self.pending.len());
        self.bulk.reset(linear);
        self.releases.reset();
    }

    /// The access record of a warp's first lane, now.
    #[inline(always)]
    pub fn who(&self, w: &Warp) -> Who {
        Who::new(self.linear, self.epoch, w.epoch, w.index * 32)
    }

    /// Notes a warning about a lane at the current instruction, once per instruction and kind of a launch.
    pub fn warn(&mut self, kind: &'static str, w: &Warp, lane: u32, detail: impl FnOnce() -> String) {
        self.warn_of(kind, self.pc, w.index * 32 + lane, detail);
    }

    /// Notes a warning about a thread at an instruction.
    pub fn warn_of(&mut self, kind: &'static str, pc: u32, thread: u32, detail: impl FnOnce() -> String) {
        let block = self.linear;
        let first = |n: &Note| (n.block, n.thread) <= (block, thread);
        if self.notes.get(&(pc, kind)).is_some_and(first) {
            return;
        }
        self.notes.insert((pc, kind), Note { kind, pc, block, thread, detail: detail() });
    }
}

/// An index along x, then y, then z.
pub(crate) fn coordinates(linear: u32, extent: [u32; 3]) -> [u32; 3] {
    let [x, y, _] = extent.map(|e| e.max(1));
    [linear % x, linear / x % y, linear / x / y]
}

impl Warp {
    /// A warp of a launch: constants are in place, registers zero.
    pub fn new(grid: &Grid<'_>, index: u32) -> Warp {
        let p = grid.program;
        let mut w = Warp {
            r32: vec![[0; LANES]; p.count32 as usize],
            r64: vec![[0; LANES]; p.count64 as usize],
            preds: vec![0; p.count_pred as usize],
            mask: 0,
            active: 0,
            pc: 0,
            limit: u32::MAX,
            groups: Vec::new(),
            alive: 0,
            index,
            epoch: 0,
            issued: 0,
            flight: Flight::default(),
        };
        for &(r, v) in &p.constants32 {
            w.r32[r.0 as usize] = [v; LANES];
        }
        for &(r, v) in &p.constants64 {
            w.r64[r.0 as usize] = [v; LANES];
        }
        for &(r, variable, offset) in &p.globals {
            w.r64[r.0 as usize] = [grid.globals[variable].wrapping_add(offset); LANES];
        }
        w
    }

    /// Begins a block: every lane at the first instruction.
    pub fn reset(&mut self, grid: &Grid<'_>, block: u32) {
        let threads: u32 = grid.block.iter().product();
        let count = (threads - self.index * 32).min(32);
        self.alive = if count == 32 { !0 } else { (1 << count) - 1 };
        (self.active, self.pc, self.limit) = (self.alive, 0, u32::MAX);
        self.groups.clear();
        (self.epoch, self.issued) = (0, 0);
        self.flight.reset();
        let ctaid = coordinates(block, grid.grid);
        let first = self.index * 32;
        for &(r, special) in &grid.program.specials {
            let row = &mut self.r32[r.0 as usize];
            for (lane, v) in (0u32..).zip(row.iter_mut()) {
                *v = match special {
                    Special::Tid(axis) => coordinates(first + lane, grid.block)[axis as usize],
                    Special::Ntid(axis) => grid.block[axis as usize],
                    Special::Ctaid(axis) => ctaid[axis as usize],
                    Special::Nctaid(axis) => grid.grid[axis as usize],
                    Special::LaneId => lane,
                    Special::WarpId => self.index,
                    Special::WarpCount => threads.div_ceil(32),
                    Special::LaneMaskEq => 1 << lane,
                    Special::LaneMaskLt => (1 << lane) - 1,
                    Special::LaneMaskLe => ((2u64 << lane) - 1) as u32,
                    Special::LaneMaskGt => !(((2u64 << lane) - 1) as u32),
                    Special::LaneMaskGe => !((1 << lane) - 1),
                    Special::DynamicShared => grid.dynamic_shared,
                    Special::TotalShared => grid.shared_bytes,
                    Special::Zero => 0,
                    Special::One => 1,
                };
            }
        }
    }
}
