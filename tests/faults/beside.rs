//! Readers beside writers, at every interleaving of their calls: no clock decides.

use std::collections::BTreeSet;
use std::path::Path;

use super::command::{Stepped, count, run};
use super::jobs::{Known, known};
use super::state::Judge;
use super::tally::{Finding, Tally, long, points};
use super::tree::Tree;
use super::world::Place;

/// The writer stops before each of its operations; meanwhile every reader reads.
fn reads_beside_a_stopped_writer(known: &Known, judge: &Judge, tally: &Tally) {
    let job = &known.job;
    let place = Place::of(&job.old);
    let mut writer = Stepped::start(&place.at(), &job.args, "stop:1");
    let mut visible = BTreeSet::new();
    let mut number = 0;
    while let Some(operation) = writer.next() {
        number += 1;
        tally.case();
        let tree = Tree::read(&place.at());
        let case = format!("beside operation {number} ({operation})");
        judge.outputs(&case, &tree);
        // The writer's own draft changes with every call; what readers are to see changes once or twice.
        if visible.insert(tree.part(Path::new("")).digest()) || long() {
            for (which, reader) in job.readers.iter().enumerate().filter(|(_, reader)| !reader.writes) {
                let (run, seen) = reader.read(&place, None);
                tally.case();
                judge.reader(&format!("{} {case}", job.name), which, &run, seen);
            }
        }
        writer.go();
    }
    let done = writer.finish();
    if !done.succeeded() {
        let finding = if done.died() { Finding::Death } else { Finding::State };
        tally.note(finding, format_args!("{}: stopped and let go on: {}", job.name, done.ending()));
    } else if !Tree::read(&place.at()).is(&known.new) {
        let words = Tree::read(&place.at()).differences(&known.new);
        tally.note(Finding::State, format_args!("{}: stopped and let go on: {words}", job.name));
    }
}

/// A reader stops before one of its reads; meanwhile the writer runs to its end.
fn writes_beside_a_stopped_reader(known: &Known, judge: &Judge, tally: &Tally) {
    let job = &known.job;
    for (which, reader) in job.readers.iter().enumerate() {
        let place = Place::of(&job.old);
        let (undisturbed, calls) = count(&place.at(), &reader.args);
        if !undisturbed.succeeded() {
            // There is nothing to read before.
            continue;
        }
        // What a reader that leaves something would leave in the new state.
        let after = Place::of(&known.new);
        reader.read(&after, None);
        let after = Tree::read(&after.at());
        for point in points(calls.reads, 4, &reader.name()) {
            let place = Place::of(&job.old);
            let mut stopped = Stepped::start(&place.at(), &reader.args, &format!("stop-read:{point}"));
            let at = stopped.next().unwrap_or_default();
            let written = run(&place.at(), &job.args, None);
            let ended = stopped.finish();
            tally.case();
            let case = format!("{} while {} stops at read {point} ({at})", job.name, reader.name());
            // A reader that is keeping its figures holds what it writes; then the writer waits for it, or comes again.
            if reader.writes && written.refused() && written.stderr.contains("has been writing") {
                judge.again(&case, &place);
                continue;
            }
            if !written.succeeded() {
                let finding = if written.died() { Finding::Death } else { Finding::State };
                tally.note(finding, format_args!("{case}: the writer: {}", written.ending()));
                continue;
            }
            let seen = reader.seen(&place, &ended);
            let saw_new = judge.is_new(which, &seen);
            // Figures belong to the model that they are kept in: they are not put into another.
            if reader.writes && ended.code == Some(3) && ended.stderr.contains("was replaced while") {
                continue;
            }
            judge.reader(&case, which, &ended, seen);
            let tree = Tree::read(&place.at());
            let is_right = tree.is(&known.new) || reader.writes && saw_new && tree.is(&after);
            if !is_right {
                let words = tree.differences(&known.new);
                tally.note(Finding::State, format_args!("{case}: left behind: {words}"));
            }
        }
    }
}

#[test]
fn a_reader_beside_a_writer_sees_old_or_new() {
    let tally = Tally::new("beside");
    for known in known().iter() {
        let judge = Judge::new(known, &tally);
        reads_beside_a_stopped_writer(known, &judge, &tally);
        writes_beside_a_stopped_reader(known, &judge, &tally);
    }
    tally.finish();
}
