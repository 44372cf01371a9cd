//! Whether a folder holds the old state or the new one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use super::command::{Run, run};
use super::jobs::Known;
use super::readers::{Reader, Seen};
use super::tally::{Finding, Tally};
use super::tree::Tree;
use super::world::Place;

/// Judges what faults left of a job's outputs.
pub struct Judge<'a> {
    known: &'a Known,
    tally: &'a Tally,
    /// What readers see in the old state and in the new one.
    expected: Vec<[Option<Seen>; 2]>,
    /// States that readers were shown already.
    shown: Mutex<BTreeMap<u64, ()>>,
}

impl<'a> Judge<'a> {
    pub fn new(known: &'a Known, tally: &'a Tally) -> Judge<'a> {
        let in_state = |reader: &Reader, tree: &Tree| {
            let place = Place::of(tree);
            let (run, seen) = reader.read(&place, None);
            assert!(seen.is_some(), "{}: {}", reader.name(), run.ending());
            seen
        };
        let see = |reader| [in_state(reader, &known.job.old), in_state(reader, &known.new)];
        let expected: Vec<_> = known.job.readers.iter().map(see).collect();
        Judge { known, tally, expected, shown: Mutex::default() }
    }

    /// Judges a folder, and what every reader makes of it.
    pub fn judge(&self, case: &str, at: &Path) {
        let tree = Tree::read(at);
        self.outputs(case, &tree);
        let new = self.shown.lock().expect("no case failed").insert(tree.digest(), ()).is_none();
        if new {
            self.show(case, &tree);
        }
    }

    /// Every output is the old one or the new one, and all else is as it was.
    pub fn outputs(&self, case: &str, tree: &Tree) {
        let (old, new, job) = (&self.known.job.old, &self.known.new, &self.known.job);
        let part = |tree: &Tree, output: &str| {
            let mut part = tree.part(Path::new(output));
            // A night trains a model, then says where its settings come from, and measures it.
            let later = |path: &Path| path.ends_with("metrics.json") || path.ends_with("README.md");
            part.0.retain(|path, _| !(output.ends_with("/model") && later(path)));
            part
        };
        let states: Vec<(bool, bool, bool)> = job
            .outputs
            .iter()
            .map(|output| {
                let found = part(tree, output);
                (found.is(&part(old, output)), found.is(&part(new, output)), found.0.is_empty())
            })
            .collect();
        for (output, (is_old, is_new, gone)) in job.outputs.iter().zip(&states) {
            // A night's notes say how far it is.
            let notes = output.ends_with("nightly.json") || output.ends_with("nightly.lock");
            let ids = job.pair && output.ends_with(".ids.jsonl") && *gone;
            if !(*is_old || *is_new || notes || ids) {
                let (from, to) = (part(tree, output), part(old, output));
                let words = format!("{} {case}: {output} is neither old nor new: {}", job.name, from.differences(&to));
                self.tally.note(Finding::State, words);
            }
        }
        if job.pair {
            let [vectors, ids] = [states[0], states[1]];
            let fits = ids.2 || vectors.0 && ids.0 || vectors.1 && ids.1;
            if !fits {
                self.tally.note(Finding::Wrong, format_args!("{} {case}: ids beside others' vectors", job.name));
            }
        }
        let others = |tree: &Tree| {
            let inside = |path: &Path| job.outputs.iter().any(|output| path.starts_with(output));
            let visible = tree.part(Path::new(""));
            // The folder that outputs lie in may be there or not.
            let holds = |path: &Path| job.outputs.iter().any(|output| Path::new(output).starts_with(path));
            Tree(visible.0.into_iter().filter(|(path, _)| !inside(path) && !holds(path)).collect())
        };
        if !others(tree).is(&others(old)) {
            let words = others(tree).differences(&others(old));
            self.tally.note(Finding::State, format_args!("{} {case}: what is no output changed: {words}", job.name));
        }
    }

    /// Shows a state to every reader.
    fn show(&self, case: &str, tree: &Tree) {
        for (number, reader) in self.known.job.readers.iter().enumerate() {
            let place = Place::of(tree);
            let (run, seen) = reader.read(&place, None);
            self.tally.case();
            self.reader(&format!("{} {case}", self.known.job.name), number, &run, seen);
        }
    }

    /// What a reader may see: old, new, or a refusal where there was nothing before.
    pub fn reader(&self, case: &str, number: usize, run: &Run, seen: Option<Seen>) {
        let reader = &self.known.job.readers[number];
        let expected = &self.expected[number];
        if self.tally.death(format_args!("{case}, {}", reader.name()), run) || expected.contains(&seen) {
            return;
        }
        let finding = if run.succeeded() { Finding::Wrong } else { Finding::State };
        self.tally.note(finding, format_args!("{case}: {} sees neither old nor new: {}", reader.name(), run.ending()));
    }

    /// The same command, run again, ends where the unbroken one ends, and leaves nothing else.
    pub fn again(&self, case: &str, place: &Place) {
        let job = &self.known.job;
        let more: Vec<String> = job.again.iter().map(|word| (*word).to_owned()).collect();
        let mut second = run(&place.at(), &[&job.args[..], &more].concat(), None);
        if !second.succeeded() && !more.is_empty() && second.refused() {
            // It had not come far enough: there is nothing to go on with.
            second = run(&place.at(), &job.args, None);
        }
        let visible = |tree: &Tree| tree.part(Path::new(""));
        if second.refused_input() && second.stderr.contains("already exists; remove it") {
            // Killed when all was done: what is never written over is there, whole.
            if visible(&Tree::read(&place.at())).is(&visible(&self.known.new)) {
                return;
            }
        }
        if !second.succeeded() {
            let finding = if second.died() { Finding::Death } else { Finding::State };
            self.tally.note(finding, format_args!("{} {case}: run again: {}", job.name, second.ending()));
            return;
        }
        let tree = Tree::read(&place.at());
        if !tree.is(&self.known.new) {
            let words = tree.differences(&self.known.new);
            self.tally.note(Finding::State, format_args!("{} {case}: run again: {words}", job.name));
        }
    }

    /// Whether a reader's values are those of the new state.
    pub fn is_new(&self, number: usize, seen: &Option<Seen>) -> bool {
        self.expected[number][1] == *seen
    }
}
