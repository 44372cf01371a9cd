//! Files that are cut while a command reads them.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::command::{Stepped, count};
use super::jobs::known;
use super::readers::{Reader, Seen};
use super::tally::{Finding, Random, Tally, long, points};
use super::tree::{Entry, Tree};
use super::world::{Place, world};

/// Files of a folder of the world.
fn files(folder: &str) -> Vec<PathBuf> {
    let inside = world().0.iter().filter(|(path, entry)| path.starts_with(folder) && matches!(entry, Entry::File(_)));
    inside.map(|(path, _)| path.clone()).collect()
}

/// Cuts a file in place, to nothing, to a half, or by its last two bytes (the last of a text may be the end of its line);
/// where it is there.
fn cut(path: &Path, how: u64) -> u64 {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return 0 };
    let length = file.metadata().expect("its length").len();
    let left = [0, length / 2, length.saturating_sub(2)][(how % 3) as usize];
    file.set_len(left).expect("it can be cut");
    left
}

/// Stops a command at a call, cuts a file, and lets it go on.
fn at_a_stop(tally: &Tally, reader: &Reader, expected: &Option<Seen>, fault: &str, victim: &Path, how: u64) {
    let place = Place::of(world());
    let mut stopped = Stepped::start(&place.at(), &reader.args, fault);
    let at = stopped.next().unwrap_or_default();
    let left = cut(&place.at().join(victim), how);
    let ended = stopped.finish();
    tally.case();
    let case = format!("{} {fault} ({at}), {} cut to {left} bytes", reader.name(), victim.display());
    if tally.death(&case, &ended) {
        return;
    }
    let seen = reader.seen(&place, &ended);
    match &seen {
        Some(Seen::Refused) if ended.code == Some(3) => {}
        Some(Seen::Values(_)) if seen == *expected => {}
        Some(Seen::Values(_)) => tally.note(Finding::Wrong, format_args!("{case}: other values, exit 0")),
        _ => tally.note(Finding::State, format_args!("{case}: not exit 3 with one line: {}", ended.ending())),
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_an_error() {
    let tally = Tally::new("cut");
    let readers = [
        (Reader::evaluate("m", "ds"), ["ds", "m"]),
        (Reader::recommend("m"), ["m", "m"]),
        (Reader::approximate("m"), ["m", "m/items.index"]),
        (Reader::export("m"), ["m", "m"]),
        (Reader::inspect("ds"), ["ds", "ds"]),
        (Reader::inspect("m"), ["m", "m"]),
        (Reader::inspect("x.index"), ["x.index", "x.index"]),
        (Reader::train("ds"), ["ds", "ds"]),
    ];
    for (reader, folders) in readers {
        let place = Place::of(world());
        let (_, expected) = reader.read(&place, None);
        let (_, calls) = count(&Place::of(world()).at(), &reader.args);
        let mut victims: Vec<PathBuf> = folders.into_iter().flat_map(files).collect();
        victims.sort();
        victims.dedup();
        let mut random = Random::new(0, &reader.name());
        let stops = points(calls.reads, 9, &reader.name()).into_iter().map(|point| format!("stop-read:{point}"));
        let operations = points(calls.operations.len() as u64, 5, &reader.name());
        for fault in stops.chain(operations.into_iter().map(|point| format!("stop:{point}"))) {
            for _ in 0..if long() { 4 } else { 1 } {
                let victim = &victims[random.below(victims.len() as u64) as usize];
                at_a_stop(&tally, &reader, &expected, &fault, victim, random.next());
            }
        }
    }
    // A night reads what it has just written.
    for known in known().iter().filter(|known| known.job.name == "a second night") {
        let made = ["run/dataset/train-00000.arrow", "run/dataset/users.arrow", "run/model/model.safetensors"];
        for point in points(known.calls.reads, 9, "night") {
            let place = Place::of(&known.job.old);
            let mut stopped = Stepped::start(&place.at(), &known.job.args, &format!("stop-read:{point}"));
            let at = stopped.next().unwrap_or_default();
            let victim = made[(point % 3) as usize];
            cut(&place.at().join(victim), point);
            let ended = stopped.finish();
            tally.case();
            let case = format!("nightly stop-read:{point} ({at}), {victim} cut");
            if !tally.death(&case, &ended) && ended.succeeded() {
                let lists = |tree: &Tree| tree.part(Path::new("run/top.csv"));
                if lists(&Tree::read(&place.at())) != lists(&known.new) {
                    tally.note(Finding::Wrong, format_args!("{case}: other lists, exit 0"));
                }
            }
        }
    }
    tally.finish();
}
