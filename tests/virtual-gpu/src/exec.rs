//! Runs a grid.

mod access;
mod async_copy;
mod atomic;
mod barrier;
mod bits;
mod block;
mod bulk_copy;
mod clocks;
mod collective;
mod compare;
mod convert;
pub(crate) mod decode;
mod float;
mod global;
mod half_float;
mod int;
mod ldmatrix;
mod ledger;
mod local;
mod mbarrier;
mod meeting;
mod mma;
mod movement;
mod ordered;
pub(crate) mod program;
mod race;
mod release;
mod rounding;
mod schedule;
mod setmaxnreg;
mod sfu;
mod shadow;
mod shared;
mod traffic;
pub(crate) mod warp;
mod wgmma;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::memory::Memory;
use crate::ptx::{Kernel, Module};
use crate::report::{Counters, Fault, Place, Report, Touched, Warning};
use block::{Block, Grid, Note, coordinates};
use schedule::BlockFault;
pub(crate) use setmaxnreg::REGISTERS;
use shadow::Shadow;
use warp::Warp;

/// In which order blocks start. A correct kernel does not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By block index.
    Forward,
    /// By falling block index.
    Reverse,
    /// Shuffled by a seed.
    Random(u64),
}

/// When bulk copies arrive and asynchronous products read their operands. A correct kernel does not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// Copies when no warp can go on without one, products at the wait for them.
    Late,
    /// At the instruction itself.
    Early,
    /// Some at the instruction, the others late and out of order, by a seed.
    Random(u64),
}

/// How to run a launch.
#[derive(Clone, Debug)]
pub struct Options {
    /// Order of the blocks.
    pub block_order: Order,
    /// Host threads. A kernel whose result depends on the order of blocks (it uses the value of an atomic on global
    /// memory, or adds floats atomically) runs on one, so that results do not depend on this number. Reports do not
    /// either, but for races between blocks: which of the two accesses is named follows the order they came in.
    pub threads: usize,
    /// Instructions one warp may issue before it counts as stuck.
    pub instruction_budget: u64,
    /// Whether races and unwritten memory are looked for (bounds and alignment always are).
    pub checks: bool,
    /// When asynchronous copies and products happen.
    pub landing: Landing,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            block_order: Order::Forward,
            threads: 1,
            instruction_budget: 1 << 32,
            checks: true,
            landing: Landing::Late,
        }
    }
}

/// One launch.
pub struct Launch<'a> {
    /// What to run.
    pub kernel: &'a Kernel,
    /// The module the kernel is from.
    pub module: &'a Module,
    /// Blocks (x, y, z).
    pub grid: [u32; 3],
    /// Threads per block (x, y, z).
    pub block: [u32; 3],
    /// Dynamic shared memory, bytes.
    pub dynamic_shared: u32,
    /// The parameter block, laid out as [`Kernel::params`] says.
    pub params: &'a [u8],
    /// Device memory.
    pub memory: &'a Memory,
    /// How to run it.
    pub options: &'a Options,
}

/// Shared memory that a block can have, bytes.
const MAX_SHARED: u32 = 227 * 1024;

/// Runs the launch to its end or to its first fault.
pub fn run(launch: &Launch<'_>) -> Report {
    let refuse = |detail: String| {
        let place = Place { kernel: launch.kernel.name.clone(), ..Place::default() };
        Report { fault: Some(Fault { kind: "invalid launch".into(), place, detail }), ..Report::default() }
    };
    if let Err(detail) = valid(launch) {
        return refuse(detail);
    }
    let globals = match launch.module.addresses(launch.memory) {
        Ok(globals) => globals,
        Err(e) => return refuse(e.to_string()),
    };
    let view = launch.memory.snapshot();
    let shadows: Vec<Shadow> = view.iter().map(|a| Shadow::new(a.size)).collect();
    let program = &launch.kernel.program;
    let grid = Grid {
        program,
        memory: launch.memory,
        view: &view,
        shadows: &shadows,
        globals: &globals,
        params: launch.params,
        grid: launch.grid,
        block: launch.block,
        shared_bytes: program.static_shared + launch.dynamic_shared,
        dynamic_shared: launch.dynamic_shared,
        checks: launch.options.checks,
        budget: launch.options.instruction_budget,
        registers: launch.kernel.registers(),
        landing: launch.options.landing,
        released: release::Released::default(),
    };
    let blocks: u64 = launch.grid.iter().map(|&n| u64::from(n)).product();
    let order = block_order(blocks as u32, launch.options.block_order);
    let threads = if program.ordered { 1 } else { launch.options.threads.max(1).min(order.len()) };
    let next = AtomicUsize::new(0);
    let faulted_at = AtomicUsize::new(usize::MAX);
    let outcome = Mutex::new(Outcome::default());
    let work = || worker(&grid, &order, &next, &faulted_at, &outcome);
    if threads == 1 {
        work();
    } else {
        std::thread::scope(|s| {
            for _ in 0..threads {
                s.spawn(work);
            }
        });
    }
    let outcome = outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    report(launch, &grid, outcome)
}

/// What the workers of a launch found.
#[derive(Default)]
struct Outcome {
    counters: Counters,
    notes: BTreeMap<(u32, &'static str), Note>,
    /// The fault of the earliest block in the order: position, block, fault.
    fault: Option<(usize, u32, BlockFault)>,
}

/// Takes blocks in order until there are none, or one before has faulted. Every block before the faulting one runs,
/// so the reported fault does not depend on the number of threads.
fn worker(grid: &Grid<'_>, order: &[u32], next: &AtomicUsize, faulted_at: &AtomicUsize, outcome: &Mutex<Outcome>) {
    let threads: u32 = grid.block.iter().product();
    let mut block = Block::new(grid);
    let mut warps: Vec<Warp> = (0..threads.div_ceil(32)).map(|i| Warp::new(grid, i)).collect();
    let mut fault = None;
    loop {
        let at = next.fetch_add(1, Relaxed);
        if at >= order.len() || at > faulted_at.load(Relaxed) {
            break;
        }
        let linear = order[at];
        block.reset(linear);
        warps.iter_mut().for_each(|w| w.reset(grid, linear));
        block.counters.blocks += 1;
        block.counters.threads += u64::from(threads);
        if let Err(f) = block.run(&mut warps) {
            faulted_at.fetch_min(at, Relaxed);
            fault = Some((at, linear, f));
            break;
        }
    }
    let mut all = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.counters += block.counters;
    for (key, note) in block.notes {
        let first = |n: &Note| (n.block, n.thread) <= (note.block, note.thread);
        if !all.notes.get(&key).is_some_and(first) {
            all.notes.insert(key, note);
        }
    }
    if let Some(f) = fault
        && all.fault.as_ref().is_none_or(|g| f.0 < g.0)
    {
        all.fault = Some(f);
    }
}

fn report(launch: &Launch<'_>, grid: &Grid<'_>, outcome: Outcome) -> Report {
    let place = |pc: u32, block: u32, thread: u32| {
        let line = &grid.program.lines[grid.program.steps[pc as usize].line as usize];
        let file = grid.program.files.iter().find(|(i, _)| *i == line.file);
        Place {
            kernel: launch.kernel.name.clone(),
            file: file.map(|(_, f)| f.clone()).unwrap_or_default(),
            line: line.source,
            instruction: line.text.clone(),
            block: coordinates(block, grid.grid),
            thread: coordinates(thread, grid.block),
        }
    };
    let fault = outcome.fault.map(|(_, block, f)| Fault {
        kind: f.stop.kind.into(),
        place: place(f.pc, block, f.warp * 32 + f.stop.lane),
        detail: f.stop.detail,
    });
    let warnings_total = outcome.notes.len() as u64;
    let notes = outcome.notes.into_values();
    let mut warnings: Vec<Warning> = notes
        .map(|n| Warning { kind: n.kind.into(), place: place(n.pc, n.block, n.thread), detail: n.detail })
        .collect();
    warnings.sort_by(|a, b| (a.place.line, a).cmp(&(b.place.line, b)));
    warnings.truncate(Report::MAX_WARNINGS);
    let mut counters = outcome.counters;
    let mut touched = Vec::new();
    for (shadow, a) in grid.shadows.iter().zip(grid.view) {
        let (read, written) = shadow.sectors();
        counters.distinct_sectors_read += read;
        counters.distinct_sectors_written += written;
        let (read, written) = shadow.ranges();
        let address = |r: std::ops::Range<u64>| a.base + r.start..a.base + r.end.min(a.size);
        if read.is_some() || written.is_some() {
            touched.push(Touched { allocation: a.base, read: read.map(address), written: written.map(address) });
        }
    }
    Report { fault, warnings, warnings_total, counters, touched }
}

/// What a driver checks before it launches.
fn valid(launch: &Launch<'_>) -> Result<(), String> {
    let kernel = launch.kernel;
    let threads: u64 = launch.block.iter().map(|&n| u64::from(n)).product();
    let shared = kernel.program.static_shared.saturating_add(launch.dynamic_shared);
    let [gx, gy, gz] = launch.grid;
    if threads == 0 || gx == 0 || gy == 0 || gz == 0 {
        return Err(format!("grid {:?} of blocks {:?} has no threads", launch.grid, launch.block));
    }
    if gx > i32::MAX as u32 || gy > 65535 || gz > 65535 || u64::from(gx) * u64::from(gy) * u64::from(gz) > 1 << 31 {
        return Err(format!("grid {:?} is too large", launch.grid));
    }
    if threads > u64::from(kernel.max_threads.min(1024)) || launch.block[2] > 64 {
        return Err(format!("blocks of {threads} threads, the kernel allows {}", kernel.max_threads.min(1024)));
    }
    if shared > MAX_SHARED {
        return Err(format!("{shared} bytes of shared memory, a block can have {MAX_SHARED}"));
    }
    if launch.params.len() != kernel.param_bytes() as usize {
        return Err(format!("{} bytes of parameters, the kernel has {}", launch.params.len(), kernel.param_bytes()));
    }
    Ok(())
}

/// The order in which blocks start.
fn block_order(blocks: u32, order: Order) -> Vec<u32> {
    let mut list: Vec<u32> = (0..blocks).collect();
    match order {
        Order::Forward => {}
        Order::Reverse => list.reverse(),
        Order::Random(seed) => {
            // Fisher-Yates with splitmix64.
            let mut state = seed;
            for i in (1..list.len()).rev() {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^= z >> 31;
                list.swap(i, (z % (i as u64 + 1)) as usize);
            }
        }
    }
    list
}
