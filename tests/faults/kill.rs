//! Killed before every directory operation, and in the middle of every write.

use std::path::{Component, Path, PathBuf};

use super::command::run;
use super::jobs::{Known, known};
use super::state::Judge;
use super::tally::{Finding, Tally, long, points};
use super::tree::Tree;
use super::world::Place;

/// Runs the job, killed where `fault` says; judges what is left, goes on, sweeps. Says whether the kill was met.
fn killed(known: &Known, judge: &Judge, tally: &Tally, fault: &str, sweep: bool) -> bool {
    let job = &known.job;
    let place = Place::of(&job.old);
    let first = run(&place.at(), &job.args, Some(fault));
    tally.case();
    if first.signal != Some(9) {
        // A run may take another way than the one that was counted, and end before.
        if !first.succeeded() {
            tally.note(Finding::Death, format_args!("{} {fault}: {}", job.name, first.ending()));
        }
        return false;
    }
    let left = Tree::read(&place.at());
    judge.judge(fault, &place.at());
    if sweep {
        swept(known, tally, fault, &left);
    }
    judge.again(fault, &place);
    true
}

/// Where the command is not run again, `doctor --sweep` removes what it left, and nothing else.
fn swept(known: &Known, tally: &Tally, case: &str, left: &Tree) {
    let place = Place::of(left);
    let mut folders = vec!["."];
    for folder in ["run", "fresh"] {
        if place.at().join(folder).is_dir() && known.job.name.contains("night") {
            folders.push(folder);
        }
    }
    for folder in folders {
        let done = run(&place.at(), &["doctor", "--sweep", folder], None);
        tally.case();
        if !done.succeeded() {
            let words = format!("{} {case}: doctor --sweep {folder}: {}", known.job.name, done.ending());
            return tally.note(if done.died() { Finding::Death } else { Finding::State }, words);
        }
    }
    let tree = Tree::read(&place.at());
    // An unfinished training or search is work that can be gone on with.
    let kept = |path: &&&Path| !["training", "tuning"].iter().any(|end| path.to_string_lossy().ends_with(end));
    let litter: Vec<_> =
        tree.hidden().into_iter().filter(|path| kept(&path)).map(|path| path.display().to_string()).collect();
    if !litter.is_empty() {
        tally.note(Finding::State, format_args!("{} {case}: swept, and there is still {litter:?}", known.job.name));
    }
    let visible = |tree: &Tree| tree.part(Path::new(""));
    if !visible(&tree).is(&visible(left)) {
        let words = visible(&tree).differences(&visible(left));
        tally
            .note(Finding::State, format_args!("{} {case}: doctor --sweep changed an output: {words}", known.job.name));
    }
}

/// What of a command's operations would not survive a power cut: files that get their place without having been made
/// durable, and places that are not made durable themselves.
fn not_durable(operations: &[String]) -> Vec<String> {
    let words =
        |operation: &String| operation.split_once(' ').map(|(call, path)| (call.to_owned(), PathBuf::from(path)));
    let operations: Vec<(String, PathBuf)> = operations.iter().filter_map(words).collect();
    let after = |at: usize, call: &str, path: &Path| {
        let relative: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
        operations[at..].iter().any(|(name, at)| name == call && at.ends_with(&relative))
    };
    let mut found = Vec::new();
    for (at, (call, path)) in operations.iter().enumerate() {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("w"));
        match call.as_str() {
            // What is removed again needs no durability; neither does what only tells whose a draft is.
            "create" if path.ends_with(".tercel-draft") => {}
            "create" if !after(at, "fsync", path) && !after(at, "unlink", path) => {
                found.push(format!("{} is not made durable", path.display()));
            }
            "rename" if !after(at, "fsync", folder) => found.push(format!("the place of {} is not", path.display())),
            _ => {}
        }
    }
    found
}

#[test]
fn what_is_not_durable_is_seen() {
    let of = |lines: &[&str]| not_durable(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
    let whole = ["create ./a/.x.tmp", "fsync /t/w/a/.x.tmp", "rename a/x", "fsync /t/w/a"];
    assert!(of(&whole).is_empty(), "{:?}", of(&whole));
    assert_eq!(of(&whole[..3]), ["the place of a/x is not"]);
    assert_eq!(of(&[whole[0], whole[2], whole[3]]), ["./a/.x.tmp is not made durable"]);
    assert!(of(&["create a.lock", "unlink a.lock"]).is_empty());
}

#[test]
fn what_is_in_its_place_is_durable() {
    let tally = Tally::new("durable");
    for known in known().iter() {
        tally.case();
        for words in not_durable(&known.calls.operations) {
            tally.note(Finding::State, format_args!("{}: {words}", known.job.name));
        }
    }
    tally.finish();
}

#[test]
fn killed_anywhere_a_command_leaves_old_or_new() {
    let tally = Tally::new("kill");
    let (mut points_seen, mut kills) = (0, 0);
    for known in known().iter() {
        let judge = Judge::new(known, &tally);
        for (place, point) in points(known.calls.operations.len() as u64, 6, &known.job.name).into_iter().enumerate() {
            points_seen += 1;
            kills += u64::from(killed(known, &judge, &tally, &format!("kill:{point}"), long() || place % 3 == 0));
        }
        for point in points(known.calls.writes, 2, &known.job.name) {
            points_seen += 1;
            kills += u64::from(killed(known, &judge, &tally, &format!("kill-write:{point}"), false));
        }
    }
    assert!(kills * 10 >= points_seen * 9, "{kills} of {points_seen} kills were met: the library is not preloaded");
    tally.finish();
}
