//! Kernels with seeded bugs (`ptx/seeded.cu`), from both compilers' PTX: each bug must be found, with the right words,
//! line, block and thread; the correct kernels must report nothing, in any order of blocks and with any number of
//! host threads.

#[path = "support/compiler.rs"]
mod compiler;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/programs.rs"]
mod programs;

use machine::{launch, memory, parse, words};
use programs::{KERNELS, Prepare, Program, gather, product};
use virtual_gpu::exec::Order;
use virtual_gpu::ptx::Module;
use virtual_gpu::report::{Place, Report};

const SOURCE: &str = include_str!("ptx/seeded.cu");
/// The PTX of the older and of the newer compiler.
const PTX: [&str; 2] = [include_str!("ptx/seeded_80.ptx"), include_str!("ptx/seeded_100.ptx")];

fn prepare(name: &str) -> Prepare {
    KERNELS.iter().find(|(n, _)| *n == name).unwrap().1
}

/// Runs a kernel with a bug; its report, its results, and whether they are right.
fn run(module: &Module, name: &str, bug: u64, order: Order, threads: usize) -> (Report, Vec<u32>, bool) {
    let memory = memory();
    let mut program = prepare(name)(&memory);
    program.shape.options.block_order = order;
    program.shape.options.threads = threads;
    program.args.push(bug);
    let report = launch(module, name, &memory, &program.shape, &program.args);
    let got: Vec<u32> = program.results.iter().flat_map(|&(at, n)| words(&memory, at, n)).collect();
    let right = got == program.expected;
    (report, got, right)
}

#[test]
fn correct_kernels_report_nothing() {
    PTX.into_iter().for_each(correct);
}

fn correct(text: &str) {
    let module = parse(text);
    for (name, _) in KERNELS {
        let mut first = None;
        for order in [Order::Forward, Order::Reverse, Order::Random(1), Order::Random(2), Order::Random(3)] {
            for threads in [1, 2] {
                let (report, got, right) = run(&module, name, 0, order, threads);
                machine::clean(&report);
                assert!(right, "{name} {order:?} {threads} threads: {got:?}");
                // Counters too depend on neither.
                let report = format!("{report:?}");
                let first = first.get_or_insert(report.clone());
                assert_eq!(*first, report, "{name} {order:?} {threads} threads");
            }
        }
    }
}

/// What must be found: kernel, number of the bug, kind, block, thread.
type Found = (&'static str, u64, &'static str, [u32; 3], [u32; 3]);

const SHARED_RACE: &str = "shared memory race";
const GLOBAL_RACE: &str = "global memory race";
const LATE_COPY: &str = "shared memory read before cp.async completed";
const ZERO: [u32; 3] = [0; 3];

const BUGS: &[Found] = &[
    // Row bound too large.
    ("gather", 1, "out of bounds global load", [3, 0, 0], [0, 1, 0]),
    // The ragged edge's guard dropped: columns that are the next row's.
    ("gather", 2, GLOBAL_RACE, ZERO, [0, 1, 0]),
    // Two threads write one row.
    ("gather", 3, GLOBAL_RACE, ZERO, [0, 1, 0]),
    // The kernel reads its own output.
    ("gather", 4, GLOBAL_RACE, ZERO, [0, 3, 0]),
    ("gather", 5, "misaligned global store", ZERO, ZERO),
    ("gather", 6, "ld.global.nc of memory that the launch writes", ZERO, ZERO),
    // The segment behind the last.
    ("segment_sum", 1, "out of bounds global load", [4, 0, 0], ZERO),
    ("segment_sum", 2, "shuffle from an inactive lane", ZERO, ZERO),
    // A shuffle and a ballot that name lanes which go elsewhere.
    ("segment_sum", 3, "deadlock", ZERO, ZERO),
    ("segment_sum", 4, "deadlock", ZERO, ZERO),
    ("segment_sum", 5, "uninitialised shared read", ZERO, ZERO),
    // Barriers under conditions: within a warp, and between warps.
    ("segment_sum", 6, "lanes of one warp wait at different barriers", ZERO, [100, 0, 0]),
    ("segment_sum", 7, "warps wait at different barriers", ZERO, [64, 0, 0]),
    // The barrier dropped.
    ("segment_sum", 8, SHARED_RACE, ZERO, [32, 0, 0]),
    // `+=` for atomicAdd.
    ("segment_sum", 9, GLOBAL_RACE, [1, 0, 0], ZERO),
    ("product", 1, "uninitialised shared read", ZERO, [9, 0, 0]),
    // A shared index past the end.
    ("product", 2, "out of bounds shared store", ZERO, [0, 15, 0]),
    ("product", 3, "out of bounds global load", [1, 0, 0], [0, 5, 0]),
    // Each of the two barriers dropped.
    ("product", 4, SHARED_RACE, ZERO, ZERO),
    ("product", 5, SHARED_RACE, ZERO, ZERO),
    ("product", 6, "out of bounds global store", [0, 2, 0], [0, 5, 0]),
    // Two lanes write one word.
    ("product", 7, GLOBAL_RACE, ZERO, [1, 0, 0]),
    ("spill", 1, "uninitialised local read", ZERO, ZERO),
    ("spill", 2, "out of bounds local access", ZERO, ZERO),
    // The copy's zero fill dropped: it reads behind the matrix.
    ("tensor_product", 1, "out of bounds global load", ZERO, [31, 0, 0]),
    // The wait for the wrong group, and no wait.
    ("tensor_product", 2, LATE_COPY, ZERO, ZERO),
    ("tensor_product", 3, LATE_COPY, ZERO, ZERO),
    // Each of the two barriers dropped.
    ("tensor_product", 4, SHARED_RACE, ZERO, [32, 0, 0]),
    ("tensor_product", 5, SHARED_RACE, ZERO, [1, 0, 0]),
    ("tensor_product", 6, "misaligned shared load", ZERO, ZERO),
    ("sort", 1, SHARED_RACE, ZERO, ZERO),
    // The wrong partner.
    ("sort", 2, SHARED_RACE, ZERO, [48, 0, 0]),
    ("sort", 3, SHARED_RACE, ZERO, ZERO),
    // The bins are not zeroed; zeroed, but with no barrier after.
    ("histogram", 1, "uninitialised shared read", ZERO, ZERO),
    ("histogram", 2, SHARED_RACE, ZERO, [1, 0, 0]),
    ("histogram", 3, SHARED_RACE, ZERO, ZERO),
    // A barrier in a loop whose length differs.
    ("histogram", 4, "lanes of one warp wait at different barriers", [1, 0, 0], [40, 0, 0]),
    ("histogram", 5, SHARED_RACE, ZERO, ZERO),
    // A loop that waits for what never comes.
    ("histogram", 6, "instruction budget", ZERO, ZERO),
    ("histogram", 7, GLOBAL_RACE, [1, 0, 0], ZERO),
    // No barrier before the ticket; no fence before it, one for the block alone; none after.
    ("join", 1, GLOBAL_RACE, [3, 0, 0], [1, 0, 0]),
    ("join", 2, GLOBAL_RACE, [3, 0, 0], ZERO),
    ("join", 3, GLOBAL_RACE, [3, 0, 0], ZERO),
    ("join", 4, GLOBAL_RACE, [3, 0, 0], ZERO),
    // The last but one goes on; tickets that nobody has set to zero.
    ("join", 5, "uninitialised global read", [2, 0, 0], ZERO),
    ("join", 6, "uninitialised global read", ZERO, ZERO),
];

/// The lines of a kernel's source that say they find a bug.
fn lines_of(name: &str, bug: u64) -> Vec<u32> {
    let mut inside = false;
    let mut out = Vec::new();
    for (number, line) in (1..).zip(SOURCE.lines()) {
        if line.starts_with("KERNEL ") {
            inside = line.starts_with(&format!("KERNEL {name}("));
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
    PTX.into_iter().for_each(found);
}

#[test]
fn this_machines_compiler() {
    // All NVRTC versions that we support compile for 80; the text they write differs.
    if let Some(text) = compiler::compile(SOURCE, "compute_80") {
        correct(&text);
        found(&text);
    }
}

fn found(text: &str) {
    let mut missed = Vec::new();
    let version = text.lines().find(|l| l.starts_with(".version")).unwrap_or_default();
    let module = parse(text);
    for &(name, bug, kind, block, thread) in BUGS {
        let lines = lines_of(name, bug);
        for (order, threads) in [(Order::Forward, 1), (Order::Forward, 2), (Order::Reverse, 1), (Order::Random(1), 2)] {
            let (report, _, _) = run(&module, name, bug, order, threads);
            // Which of two blocks comes first, and so who is reported and for what, depends on their order.
            let exact = order == Order::Forward && threads == 1;
            let hit = findings(&report).into_iter().any(|(k, p)| {
                let here = p.kernel == name && p.file.ends_with("seeded.cu") && lines.contains(&p.line);
                here && (!exact || (k == kind && p.block == block && p.thread == thread))
            });
            if !hit {
                let place = |(k, p): (&str, &Place)| format!("  {k}, line {}, {:?} {:?}", p.line, p.block, p.thread);
                let found: Vec<String> = findings(&report).into_iter().map(place).collect();
                let setting = format!("{version}, {order:?}, {threads} threads");
                missed.push(format!("{name} {bug}, {setting}: {kind} at {lines:?}\n{}", found.join("\n")));
            }
        }
    }
    assert!(missed.is_empty(), "{} missed\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn the_list_is_complete() {
    // Every bug that the source mentions is in the list, and the other way round.
    let mentioned: usize = SOURCE
        .lines()
        .scan(String::new(), |kernel, line| {
            if line.starts_with("KERNEL ") {
                *kernel = line.into();
            }
            Some((kernel.clone(), line))
        })
        .flat_map(|(kernel, line)| {
            let list = line.split_once("// finds ").map_or("", |(_, list)| list);
            list.split(", ").filter_map(move |n| n.parse::<u64>().ok()).map(|n| (kernel.clone(), n)).collect::<Vec<_>>()
        })
        .collect::<std::collections::BTreeSet<_>>()
        .len();
    assert_eq!(mentioned, BUGS.len());
}

#[test]
fn freed_memory_is_found() {
    for text in PTX {
        let module = parse(text);
        let memory = memory();
        let mut program = gather(&memory);
        memory.free(program.args[1]).unwrap();
        program.args.push(0);
        let report = launch(&module, "gather", &memory, &program.shape, &program.args);
        let fault = report.fault.unwrap();
        assert_eq!((fault.kind.as_str(), fault.place.block, fault.place.thread), ("use after free", ZERO, ZERO));
        assert!(fault.detail.contains("byte 0 of the freed 4000-byte allocation"), "{}", fault.detail);
    }
}

#[test]
fn wrong_pointers_are_found() {
    for text in PTX {
        let module = parse(text);
        for (pointer, words) in [(0, "bytes before the 2600-byte allocation"), (0x7fff_0000_1000, "bytes before")] {
            let memory = memory();
            let mut program = gather(&memory);
            program.args[1] = pointer;
            program.args.push(0);
            let report = launch(&module, "gather", &memory, &program.shape, &program.args);
            let fault = report.fault.unwrap();
            assert_eq!(fault.kind, "out of bounds global load");
            assert!(fault.detail.contains(words), "{}", fault.detail);
        }
    }
}

#[test]
fn unwritten_memory_is_found() {
    for text in PTX {
        let module = parse(text);
        let memory = memory();
        let mut program = gather(&memory);
        let fresh = memory.alloc(4000).unwrap();
        // All but row 11, column 7 are written.
        memory.copy_in(fresh, &vec![0; 4 * (11 * 50 + 7)]).unwrap();
        memory.copy_in(fresh + 4 * (11 * 50 + 8), &vec![0; 4000 - 4 * (11 * 50 + 8)]).unwrap();
        program.args[1] = fresh;
        program.args.push(0);
        let report = launch(&module, "gather", &memory, &program.shape, &program.args);
        let [warning] = &report.warnings[..] else { panic!("{report:?}") };
        assert_eq!(warning.kind, "uninitialised global read");
        assert_eq!((warning.place.block, warning.place.thread), (ZERO, [7, 1, 0]));
        assert!(warning.detail.starts_with("4 unwritten bytes from byte 2228 of the 4000-byte"), "{}", warning.detail);
    }
}

#[test]
fn without_checks_only_bounds_are_looked_at() {
    let module = parse(PTX[0]);
    for (bug, fault) in [(1, true), (3, false), (4, false)] {
        let memory = memory();
        let mut program = gather(&memory);
        program.shape.options.checks = false;
        program.args.push(bug);
        let report = launch(&module, "gather", &memory, &program.shape, &program.args);
        assert_eq!((report.fault.is_some(), report.warnings.len()), (fault, 0));
    }
}

#[test]
fn launches_that_a_driver_refuses() {
    let module = parse(PTX[0]);
    let refused = |change: &dyn Fn(&mut Program)| {
        let memory = memory();
        let mut program = product(&memory);
        program.args.push(0);
        change(&mut program);
        let fault = launch(&module, "product", &memory, &program.shape, &program.args).fault.unwrap();
        assert_eq!(fault.kind, "invalid launch");
        fault.detail
    };
    assert!(refused(&|p| p.shape.block = [32, 33, 1]).contains("1056 threads"));
    assert!(refused(&|p| p.shape.block = [4, 1, 65]).contains("260 threads"));
    assert!(refused(&|p| p.shape.grid = [0, 1, 1]).contains("no threads"));
    assert!(refused(&|p| p.shape.grid = [1, 65536, 1]).contains("too large"));
    assert!(refused(&|p| p.shape.dynamic_shared = 228 * 1024).contains("shared memory"));
    assert!(refused(&|p| p.args.truncate(6)).contains("parameters"));
}

#[test]
fn warnings_are_capped_and_counted() {
    // 20 stores of which each is a race: 16 are kept, all are counted.
    let stores: String = (0..20).map(|i| format!("st.global.u32 [%out+{}], %tid;\n", 4 * i)).collect();
    let (report, _) = machine::run_body("", &stores, 32, &[0], 20);
    assert_eq!((report.warnings.len(), report.warnings_total), (16, 20));
}
