//! Allocations that fail.

use std::path::Path;

use super::command::{Run, count, run};
use super::jobs::{Known, known};
use super::state::Judge;
use super::tally::{Finding, Tally, long, points};
use super::tree::Tree;
use super::world::Place;

/// Whether it ended as a program does that was told that there is no memory.
fn said_so(tally: &Tally, case: &str, run: &Run) -> bool {
    if run.succeeded() {
        return true;
    }
    if !matches!(run.code, Some(1 | 3)) {
        tally.note(Finding::Death, format_args!("{case}: {}", run.ending()));
    } else if !run.refused() {
        tally.note(Finding::State, format_args!("{case}: not one line: {}", run.ending()));
    } else {
        return true;
    }
    false
}

fn write(known: &Known, judge: &Judge, tally: &Tally, fault: &str) {
    let job = &known.job;
    let place = Place::of(&job.old);
    let first = run(&place.at(), &job.args, Some(fault));
    tally.case();
    if !said_so(tally, &format!("{} {fault}", job.name), &first) {
        return;
    }
    // A trial that lacks memory is a row of the search's table, which says so; another one may win.
    let said = |text: &str| text.lines().any(|line| line.contains("trial ") && line.contains(" failed: "));
    if job.name.starts_with("tune") && first.succeeded() && (said(&first.stdout) || said(&first.stderr)) {
        return;
    }
    let visible = |tree: &Tree| tree.part(Path::new(""));
    if first.succeeded() && !visible(&Tree::read(&place.at())).is(&visible(&known.new)) {
        let words = visible(&Tree::read(&place.at())).differences(&visible(&known.new));
        tally.note(Finding::Wrong, format_args!("{} {fault}: exit 0, but {words}", job.name));
    }
    judge.outputs(fault, &Tree::read(&place.at()));
}

fn read(known: &Known, judge: &Judge, tally: &Tally) {
    for (which, reader) in known.job.readers.iter().enumerate() {
        let (_, calls) = count(&Place::of(&known.new).at(), &reader.args);
        for fault in faults(calls.large_allocations, calls.allocations, &reader.name()) {
            let place = Place::of(&known.new);
            let (run, seen) = reader.read(&place, Some(&fault));
            tally.case();
            if said_so(tally, &format!("{} {fault}", reader.name()), &run) && run.succeeded() {
                judge.reader(&format!("{} {fault}", known.job.name), which, &run, seen);
            }
        }
    }
}

/// Large allocations, each alone and with all that follow, and some of any size that the C library does not need itself.
fn faults(large: u64, all: u64, salt: &str) -> Vec<String> {
    let mut faults: Vec<String> = points(large, 4, salt).iter().map(|point| format!("alloc:{point}:65536")).collect();
    faults.extend(points(large, 1, salt).iter().map(|point| format!("alloc:{point}:65536:on")));
    let (parts, mut random) = (if long() { 150 } else { 2 }, super::tally::Random::new(0, salt));
    for part in 0..parts {
        let (from, to) = (part * all / parts, (part + 1) * all / parts);
        let on = if part % 4 == 3 { ":on" } else { "" };
        faults.push(format!("alloc:{}:64{on}", 1 + from + random.below(to - from)));
    }
    faults
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let tally = Tally::new("memory");
    for known in known().iter() {
        let judge = Judge::new(known, &tally);
        for fault in faults(known.calls.large_allocations, known.calls.allocations, &known.job.name) {
            write(known, &judge, &tally, &fault);
        }
        // Files have no readers of ours, and the same readers come with other jobs.
        if known.job.name == "train over a model" || known.job.name.starts_with("ingest over") {
            read(known, &judge, &tally);
        }
    }
    tally.finish();
}
