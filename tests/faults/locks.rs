//! Two writers of one output.

use std::path::Path;

use super::command::{Stepped, run};
use super::jobs::{Known, known};
use super::tally::{Finding, Tally, points};
use super::tree::Tree;
use super::world::{Place, SPLIT, TRAINING};

/// The operations between which a job holds its lock: from the one after its lock file's creation to its removal.
fn held(known: &Known) -> Option<(u64, u64)> {
    let operations = &known.calls.operations;
    let is_lock = |operation: &&String| operation.ends_with("lock");
    let from = operations.iter().position(|operation| operation.starts_with("create ") && is_lock(&operation))?;
    let to = operations.iter().rposition(|operation| operation.starts_with("unlink ") && is_lock(&operation));
    // Numbers are counted from 1. The lock is taken after its file is there, and before what follows.
    Some((from as u64 + 2, to.map_or(operations.len(), |to| to + 1) as u64))
}

fn second(known: &Known, tally: &Tally, point: u64) {
    let job = &known.job;
    let place = Place::of(&job.old);
    let mut first = Stepped::start(&place.at(), &job.args, &format!("stop:{point}"));
    let Some(at) = first.next() else { return };
    let process = first.process().to_string();
    let second = run(&place.at(), &job.args, None);
    tally.case();
    let case = format!("{} twice, the first stopped at {point} ({at})", job.name);
    if !tally.death(&case, &second) {
        if second.code != Some(3) || !second.refused() {
            tally.note(Finding::State, format_args!("{case}: the second is not refused: {}", second.ending()));
        } else if !at.contains(" ftruncate ") && ![&process, "since"].iter().all(|word| second.stderr.contains(*word)) {
            // Between the lock and the word of who holds it there is a moment.
            tally.note(Finding::State, format_args!("{case}: not said who since when: {}", second.ending()));
        }
    }
    let done = first.finish();
    if !done.succeeded() {
        let finding = if done.died() { Finding::Death } else { Finding::State };
        tally.note(finding, format_args!("{case}: the first: {}", done.ending()));
    } else if !Tree::read(&place.at()).is(&known.new) {
        let words = Tree::read(&place.at()).differences(&known.new);
        tally.note(Finding::State, format_args!("{case}: left: {words}"));
    }
}

/// A night is stopped; another command writes to a place of it. One of the two is refused, or both are right.
fn other(known: &Known, tally: &Tally, args: &[&str], point: u64) {
    let job = &known.job;
    let place = Place::of(&job.old);
    let mut first = Stepped::start(&place.at(), &job.args, &format!("stop:{point}"));
    let Some(at) = first.next() else { return };
    let second = run(&place.at(), args, None);
    tally.case();
    let case = format!("{} beside {} stopped at {point} ({at})", args.join(" "), job.name);
    let done = first.finish();
    for (who, run) in [("the first", &done), ("the second", &second)] {
        if !tally.death(&case, run) && !run.succeeded() && !run.refused() {
            tally.note(Finding::State, format_args!("{case}: {who}: not one line: {}", run.ending()));
        }
    }
    // The lists are those of the night, whoever else trained in its folder.
    let lists = |tree: &Tree| tree.part(Path::new("run/top.csv"));
    // Where it gives its lock back it is over.
    let over = at.contains("unlink run/.nightly.json.tercel-lock");
    if done.succeeded() && !over && lists(&Tree::read(&place.at())) != lists(&known.new) {
        tally.note(Finding::Wrong, format_args!("{case}: the night ends with exit 0 and others' lists"));
    }
}

#[test]
fn a_night_is_not_mixed_with_others() {
    let tally = Tally::new("nights beside");
    let train = [&["train", "--data", "ds", "--out", "run/model", "--seed", "9"], &TRAINING[..]].concat();
    let ingest = [&["ingest", "in.csv", "--out", "run/dataset"], &SPLIT[..]].concat();
    let recommend = vec!["recommend", "--model", "other", "--out", "run/top.csv", "--threads", "1"];
    for known in known().iter().filter(|known| known.job.name == "a second night") {
        for args in [&train, &ingest, &recommend] {
            for point in points(known.calls.operations.len() as u64, 8, args[0]) {
                other(known, &tally, args, point);
            }
        }
    }
    tally.finish();
}

#[test]
fn a_second_writer_is_refused() {
    let tally = Tally::new("two writers");
    for known in known().iter() {
        // Two sweeps remove what there is; two acceptances accept the same texts, one after the other.
        if known.job.name.starts_with("doctor") || known.job.name.starts_with("inspect") {
            continue;
        }
        let Some((from, to)) = held(known) else {
            tally.note(Finding::State, format_args!("{} takes no lock", known.job.name));
            continue;
        };
        for point in points(to + 1 - from, 3, &known.job.name) {
            second(known, &tally, from + point - 1);
        }
    }
    tally.finish();
}
