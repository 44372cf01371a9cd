//! Kernels with Hopper's instructions and seeded bugs in them (`ptx/hopper.cu`): each bug must be found with kind, line,
//! block and thread; the correct kernels must report nothing, whenever copies arrive and products read their operands.

#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/machine.rs"]
mod machine;
#[path = "hopper/programs.rs"]
mod programs;

use machine::{launch, memory, parse, words};
use programs::KERNELS;
use virtual_gpu::exec::Landing;
use virtual_gpu::ptx::Module;
use virtual_gpu::report::{Place, Report};

const SOURCE: &str = include_str!("ptx/hopper.cu");
const PTX: &str = include_str!("ptx/hopper_90a.ptx");

const LANDINGS: [Landing; 5] =
    [Landing::Late, Landing::Early, Landing::Random(1), Landing::Random(2), Landing::Random(3)];

/// Runs a kernel with a bug; its report, and whether its results are right.
fn run(module: &Module, name: &str, bug: u64, landing: Landing) -> (Report, bool) {
    let memory = memory();
    let mut program = KERNELS.iter().find(|(n, _)| *n == name).unwrap().1(&memory);
    program.shape.options.landing = landing;
    program.args.push(bug);
    let report = launch(module, name, &memory, &program.shape, &program.args);
    let right = words(&memory, program.result, program.expected.len()) == program.expected;
    (report, right)
}

#[test]
fn correct_kernels_report_nothing() {
    correct(&parse(PTX));
}

fn correct(module: &Module) {
    for (name, _) in KERNELS {
        for landing in LANDINGS {
            let (report, right) = run(module, name, 0, landing);
            assert!(report.fault.is_none(), "{name} {landing:?}: {}", report.fault.as_ref().unwrap());
            assert!(report.warnings.is_empty(), "{name} {landing:?}: {:#?}", report.warnings);
            assert!(right, "{name} {landing:?}");
        }
    }
}

/// What must be found: kernel, number of the bug, kind, thread.
type Found = (&'static str, u64, &'static str, u32);

const RACE: &str = "shared memory race";
const EARLY: &str = "shared memory read before its bulk copy was waited for";
const IN_USE: &str = "bulk copy over memory in use";
const NO_PROXY: &str = "no fence.proxy.async before an asynchronous access";
const NO_FENCE: &str = "no wgmma.fence between a register's use and wgmma";
const READ: &str = "accumulator of a wgmma under way read";
const DESCRIPTOR: &str = "wrong wgmma descriptor";
const DIFFERENT: &str = "warps of a warpgroup begin different products";
const MISALIGNED: &str = "misaligned bulk copy";
const COUNTS: &str = "one barrier with different counts";

const BUGS: &[Found] = &[
    // The proxy fence, the barrier, the fence of registers dropped.
    ("multiply", 1, NO_PROXY, 0),
    ("multiply", 2, RACE, 32),
    ("multiply", 3, NO_FENCE, 0),
    // Accumulators are read with no wait, before the group is committed, and with one group too many left under way.
    ("multiply", 4, READ, 0),
    ("multiply", 5, READ, 0),
    ("multiply", 6, READ, 0),
    // A descriptor one group of rows off: behind the block's memory, and on rows that nobody wrote.
    ("multiply", 7, "out of bounds wgmma operand", 0),
    // A tile that does not begin at a multiple of 1,024 bytes; a descriptor without the swizzle.
    ("multiply", 8, DESCRIPTOR, 0),
    ("multiply", 9, DESCRIPTOR, 0),
    // B is overwritten before the wait.
    ("multiply", 10, "operand of a wgmma under way overwritten", 0),
    ("multiply", 11, "uninitialised shared read", 96),
    // A warp leaves the loop early.
    ("multiply", 12, DIFFERENT, 96),
    // An accumulator is written before the wait.
    ("multiply", 13, "accumulator of a wgmma under way written", 0),
    // A product that nobody waits for.
    ("multiply", 14, "wgmma under way at the end of the block", 0),
    // A's registers are loaded with no fence behind; changed before the wait; changed between fence and product.
    ("multiply_registers", 1, NO_FENCE, 0),
    ("multiply_registers", 2, "register operand of a wgmma under way written", 0),
    ("multiply_registers", 3, NO_FENCE, 0),
    // The consumers wait for the phase before, or not at all.
    ("pipeline", 1, EARLY, 32),
    ("pipeline", 2, EARLY, 32),
    // The barrier is not told of the bytes; of too many; of too few.
    ("pipeline", 3, EARLY, 32),
    ("pipeline", 4, "mbarrier waits for bytes that no copy brings", 32),
    ("pipeline", 5, "copies bring more bytes than the mbarrier expects", 32),
    // A size and an address that are no multiples of 16.
    ("pipeline", 6, MISALIGNED, 0),
    ("pipeline", 7, MISALIGNED, 0),
    // Stages are never released.
    ("pipeline", 8, "deadlock", 0),
    // The producer does not wait for the stage; waits for more warps than there are; for too few.
    ("pipeline", 9, "more arrivals than the mbarrier counts", 0),
    ("pipeline", 10, "deadlock", 0),
    ("pipeline", 11, IN_USE, 0),
    // Consumers release a stage before they read it; without waiting for the warp's other lanes.
    ("pipeline", 12, IN_USE, 0),
    ("pipeline", 13, IN_USE, 0),
    // No barrier, no fence behind mbarrier.init.
    ("pipeline", 14, "mbarrier used before its initialisation was ordered", 32),
    ("pipeline", 15, "no fence between mbarrier.init and a bulk copy", 0),
    // A copy behind the block's memory, and from behind the allocation.
    ("pipeline", 16, "out of bounds shared store", 0),
    ("pipeline", 17, "out of bounds global load", 0),
    // A copy that nobody waits for.
    ("pipeline", 18, "bulk copy under way at the end of the block", 0),
    // The consumers clear the stage, and the next copy is made with no proxy fence between.
    ("pipeline", 19, NO_PROXY, 0),
    // A warp writes what another reads.
    ("pipeline", 20, RACE, 128),
    // The phase ends at an arrival that expects nothing, behind the copy.
    ("pipeline", 21, "bulk copy that its mbarrier's phase did not expect", 0),
    // More registers than there are; by three warps of four; fewer, by the name of more.
    ("roles", 1, "setmaxnreg.inc beyond the block's registers", 96),
    ("roles", 2, "setmaxnreg by part of a warpgroup", 96),
    ("roles", 3, "setmaxnreg.inc to fewer registers", 0),
    // Counts of a barrier: different ones, too few, no multiple of 32.
    ("roles", 4, COUNTS, 128),
    ("roles", 5, "more threads at a barrier than it counts", 128),
    ("roles", 6, "barrier number above 15 or a count that is no multiple of 32", 0),
    // Nobody arrives.
    ("roles", 7, "deadlock", 128),
    // Written after the arrival.
    ("roles", 8, RACE, 128),
    // Each group waits for itself: barriers of part of a block order only that part.
    ("roles", 9, RACE, 128),
    ("roles", 10, RACE, 0),
];

/// The lines of a kernel's source that say they find a bug.
fn lines_of(name: &str, bug: u64) -> Vec<u32> {
    let mut inside = false;
    let mut out = Vec::new();
    for (number, line) in (1..).zip(SOURCE.lines()) {
        if line.starts_with("KERNEL ") {
            inside = line.contains(&format!(" {name}("));
        }
        let finds = line.split_once("// finds ").map_or("", |(_, list)| list);
        if inside && finds.split(", ").any(|n| n.parse() == Ok(bug)) {
            out.push(number);
        }
    }
    assert!(!out.is_empty(), "{name} {bug} has no line");
    out
}

/// Everything that was found, as kind and place.
fn findings(report: &Report) -> Vec<(&str, &Place)> {
    let warnings = report.warnings.iter().map(|w| (w.kind.as_str(), &w.place));
    report.fault.iter().map(|f| (f.kind.as_str(), &f.place)).chain(warnings).collect()
}

#[test]
fn every_bug_is_found() {
    found(&parse(PTX));
}

#[test]
fn this_machines_compiler() {
    if (1..12).contains(&compiler::version()) {
        println!("skipped: NVRTC before 12 does not know these instructions");
    } else if let Some(text) = compiler::compile(SOURCE, "compute_90a") {
        let module = parse(&text);
        correct(&module);
        found(&module);
    }
}

fn found(module: &Module) {
    let mut missed = Vec::new();
    for &(name, bug, kind, thread) in BUGS {
        let lines = lines_of(name, bug);
        for landing in LANDINGS {
            let (report, _) = run(module, name, bug, landing);
            // When a copy arrives decides what goes wrong first, and to whom; something must be found.
            let exact = landing == Landing::Late;
            let hit = findings(&report).into_iter().any(|(k, p)| {
                let here = p.kernel == name && p.file.ends_with(".cu") && lines.contains(&p.line);
                !exact || (here && k == kind && p.block == [0; 3] && p.thread == [thread, 0, 0])
            });
            if !hit {
                let place = |(k, p): (&str, &Place)| format!("  {k}, line {}, {:?}", p.line, p.thread);
                let found: Vec<String> = findings(&report).into_iter().map(place).collect();
                missed.push(format!("{name} {bug}, {landing:?}: {kind} at {lines:?}\n{}", found.join("\n")));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn the_list_is_complete() {
    let mut mentioned = std::collections::BTreeSet::new();
    let mut kernel = "";
    for line in SOURCE.lines() {
        if line.starts_with("KERNEL ") {
            kernel = line;
        }
        let list = line.split_once("// finds ").map_or("", |(_, list)| list);
        mentioned.extend(list.split(", ").filter_map(|n| n.parse::<u64>().ok()).map(|n| (kernel, n)));
    }
    assert_eq!(mentioned.len(), BUGS.len());
}
