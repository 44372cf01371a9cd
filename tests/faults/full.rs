//! Full disks, failing disks, and single calls that fail.

use std::path::Path;

use super::command::{count, run};
use super::jobs::{Known, known};
use super::state::Judge;
use super::tally::{Finding, Tally, points};
use super::tree::Tree;
use super::world::Place;

/// Runs a job with a fault: it succeeds with the right outputs, or says in a line why not and leaves the old ones.
fn failed(known: &Known, judge: &Judge, tally: &Tally, fault: &str) {
    let job = &known.job;
    let place = Place::of(&job.old);
    let first = run(&place.at(), &job.args, Some(fault));
    tally.case();
    if tally.death(format_args!("{} {fault}", job.name), &first) {
        return;
    }
    let tree = Tree::read(&place.at());
    if first.succeeded() {
        let visible = |tree: &Tree| tree.part(Path::new(""));
        if !visible(&tree).is(&visible(&known.new)) {
            let words = visible(&tree).differences(&visible(&known.new));
            tally.note(Finding::Wrong, format_args!("{} {fault}: exit 0, but {words}", job.name));
        }
    } else if !first.refused() {
        tally.note(Finding::State, format_args!("{} {fault}: not one line: {}", job.name, first.ending()));
    }
    judge.judge(fault, &place.at());
    judge.again(fault, &place);
}

/// Runs the readers of a job with a disk that cannot be read from the N-th read on.
fn unreadable(known: &Known, judge: &Judge, tally: &Tally) {
    for (which, reader) in known.job.readers.iter().enumerate() {
        let (_, calls) = count(&Place::of(&known.new).at(), &reader.args);
        for point in points(calls.reads, 3, &reader.name()) {
            let fault = format!("eio-read:{point}");
            let place = Place::of(&known.new);
            let (run, seen) = reader.read(&place, Some(&fault));
            tally.case();
            if run.refused() {
                continue;
            }
            judge.reader(&format!("{} {fault}", known.job.name), which, &run, seen);
        }
    }
}

#[test]
fn a_disk_that_fails_leaves_old_or_new_and_a_line() {
    let tally = Tally::new("full, broken");
    for known in known().iter() {
        let judge = Judge::new(known, &tally);
        let (name, calls) = (&known.job.name, &known.calls);
        for (kind, last, few) in [
            ("enospc", calls.writes, 3),
            ("eio-write", calls.writes, 2),
            ("eio-read", calls.reads, 3),
            ("fail", calls.operations.len() as u64, 4),
        ] {
            for point in points(last, few, &format!("{name} {kind}")) {
                failed(known, &judge, &tally, &format!("{kind}:{point}"));
            }
        }
        unreadable(known, &judge, &tally);
    }
    tally.finish();
}
