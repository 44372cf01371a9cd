//! Files that are not ours: nothing of them is deleted or overwritten; modes and links are honoured.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{Run, finish, run};
use super::tally::{Finding, Tally};
use super::tree::{Entry, Tree};
use super::world::{Place, SPLIT, TRAINING, night, world};

/// The world with foreign files in it.
fn with(files: &[&str]) -> Tree {
    let mut tree = world().clone();
    for file in files {
        assert!(!tree.0.contains_key(Path::new(file)), "{file} is ours");
        tree.0.insert(file.into(), Entry::File(format!("somebody's {file}").into_bytes()));
        let folders = Path::new(file).ancestors().skip(1).filter(|folder| *folder != Path::new(""));
        tree.0.extend(folders.map(|folder| (folder.to_owned(), Entry::Folder)));
    }
    tree
}

fn train(out: &str) -> Vec<&str> {
    [&["train", "--data", "ds", "--out", out, "--seed", "3"], &TRAINING[..]].concat()
}

fn ingest(out: &str) -> Vec<&str> {
    [&["ingest", "next.csv", "--out", out], &SPLIT[..]].concat()
}

/// Runs a command that is to be refused in a line with `word` in it, and to change nothing.
fn refused(tally: &Tally, tree: &Tree, args: &[&str], word: &str) {
    let place = Place::of(tree);
    let done = run(&place.at(), args, None);
    tally.case();
    let case = args[..5.min(args.len())].join(" ");
    if tally.death(&case, &done) {
        return;
    }
    if !done.refused_input() || !done.stderr.contains(word) {
        tally.note(Finding::State, format_args!("{case}: not refused with `{word}`: {}", done.ending()));
    }
    if !Tree::read(&place.at()).is(tree) {
        let words = Tree::read(&place.at()).differences(tree);
        tally.note(Finding::State, format_args!("{case}: what is not ours, or was there before, changed: {words}"));
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let tally = Tally::new("foreign");
    for (files, args, word) in [
        (&["README.md", "config.json"][..], train("."), "."),
        (&["notes/README.md"], train("notes"), "README.md"),
        (&["notes/todo.txt"], train("notes"), "todo.txt"),
        (&["notes/config.json"], train("notes"), "config.json"),
        (&["m/todo.txt"], train("m"), "todo.txt"),
        (&["m/deep/er/todo.txt"], train("m"), "deep"),
        (&["notes/todo.txt"], ingest("notes"), "todo.txt"),
        (&["notes/dataset.json"], ingest("notes"), "dataset.json"),
        (&["ds/todo.txt"], ingest("ds"), "todo.txt"),
        (&["ds/train-00009.arrow"], ingest("ds"), "train-00009.arrow"),
        (&[], ingest("m"), "m"),
        (&[], train("ds"), "ds"),
        (&["run/model/todo.txt"], night("next.csv", "run"), "todo.txt"),
        (&["run/dataset/todo.txt"], night("next.csv", "run"), "todo.txt"),
        (&["notes/model/README.md"], night("next.csv", "notes"), "README.md"),
    ] {
        refused(&tally, &with(files), &args, word);
    }
    // A link in an output is not ours either, nor what it points to.
    for (link, target, args) in [("m/more", "../in.csv", train("m")), ("ds/more", "../in.csv", ingest("ds"))] {
        let mut tree = world().clone();
        tree.0.insert(link.into(), Entry::Link(target.into()));
        refused(&tally, &tree, &args, "more");
    }
    sweeping(&tally);
    tally.finish();
}

/// `doctor --sweep` removes what killed runs left, not what merely has such a name.
fn sweeping(tally: &Tally) {
    let names =
        [".todo.tmp", ".todo.lock", ".todo.training/todo.txt", ".todo.ingest/todo.txt", ".todo.tercel-old/todo.txt"];
    let tree = with(&names);
    let place = Place::of(&tree);
    let done = run(&place.at(), &["doctor", "--sweep", "."], None);
    tally.case();
    if !done.succeeded() {
        tally.note(Finding::State, format_args!("doctor --sweep .: {}", done.ending()));
    }
    let found = Tree::read(&place.at());
    if !found.is(&tree) {
        tally.note(Finding::State, format_args!("doctor --sweep .: what is not ours: {}", found.differences(&tree)));
    }
}

/// Each command that writes, and its outputs.
fn writers() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let threads = ["--threads", "1"];
    let with = |args: &[&'static str]| [args, &threads].concat();
    vec![
        (ingest("ds"), vec!["ds"]),
        (train("m"), vec!["m"]),
        (with(&["index", "--model", "other", "--out", "x.index"]), vec!["x.index"]),
        (with(&["recommend", "--model", "other", "--out", "p.csv"]), vec!["p.csv"]),
        (with(&["recommend", "--model", "other", "--out", "p.parquet"]), vec!["p.parquet"]),
        (with(&["export", "--model", "other", "--items", "v.npy"]), vec!["v.npy", "v.npy.ids.jsonl"]),
        (with(&["export", "--model", "other", "--items", "v.arrow"]), vec!["v.arrow"]),
        (with(&["export", "--model", "other", "--items", "v.usearch"]), vec!["v.usearch", "v.usearch.ids.jsonl"]),
        (night("next.csv", "run"), vec!["run/dataset", "run/model", "run/top.csv"]),
    ]
}

#[test]
fn an_output_link_is_followed() {
    let tally = Tally::new("links");
    for (args, outputs) in writers() {
        let plain = Place::of(world());
        let unlinked = run(&plain.at(), &args, None);
        assert!(unlinked.succeeded(), "{}", unlinked.ending());
        for output in outputs.iter().filter(|output| !output.starts_with("run/")) {
            // The output lies elsewhere, and its name is a link.
            let place = Place::of(world());
            let (link, target) = (place.at().join(output), place.at().join("elsewhere").join(output));
            fs::create_dir(place.at().join("elsewhere")).expect("made");
            fs::rename(&link, &target).expect("moved");
            symlink(Path::new("elsewhere").join(output), &link).expect("linked");
            let done = run(&place.at(), &args, None);
            tally.case();
            let case = format!("{} over a link at {output}", args[0]);
            if tally.death(&case, &done) {
                continue;
            }
            let is_link = link.symlink_metadata().is_ok_and(|about| about.is_symlink());
            if !is_link {
                tally.note(Finding::State, format_args!("{case}: the link was replaced ({})", done.ending()));
            } else if done.succeeded() {
                let (found, expected) = (Tree::read(&place.at()), Tree::read(&plain.at()));
                let moved = found.part(&Path::new("elsewhere").join(output));
                let inside = |tree: Tree, root: PathBuf| -> Vec<_> {
                    let entries = tree.0.into_iter();
                    entries.map(|(path, entry)| (path.strip_prefix(&root).map(Path::to_owned), entry)).collect()
                };
                let made = inside(moved, Path::new("elsewhere").join(output));
                if made != inside(expected.part(Path::new(output)), output.into()) {
                    tally.note(Finding::State, format_args!("{case}: the target is not what it should be"));
                }
                if !found.hidden().is_empty() {
                    tally.note(Finding::State, format_args!("{case}: left {:?}", found.hidden()));
                }
            } else if !done.refused() {
                tally.note(Finding::State, format_args!("{case}: {}", done.ending()));
            }
        }
        // A link to nothing is refused and stays.
        let output = outputs[0];
        if !output.starts_with("run/") {
            let mut tree = world().clone();
            tree.0.retain(|path, _| !path.starts_with(output) || path.starts_with("m") && output != "m");
            tree.0.insert(output.into(), Entry::Link("nowhere".into()));
            refused(&tally, &tree, &args, output);
        }
    }
    relative_links(&tally);
    tally.finish();
}

/// A dataset whose files are relative links into a cache, as DVC lays them out, is read as any other.
fn relative_links(tally: &Tally) {
    let plain = Place::of(world());
    let linked = Place::of(world());
    fs::create_dir(linked.at().join("cache")).expect("made");
    for entry in fs::read_dir(linked.at().join("ds")).expect("listed") {
        let entry = entry.expect("read");
        let cached = linked.at().join("cache").join(entry.file_name());
        fs::rename(entry.path(), &cached).expect("moved");
        symlink(Path::new("../cache").join(entry.file_name()), entry.path()).expect("linked");
    }
    let evaluate = ["evaluate", "--model", "m", "--data", "ds", "--k", "5"];
    for args in [train("made"), evaluate.to_vec(), vec!["inspect", "ds"]] {
        let [one, two] = [&plain, &linked].map(|place| run(&place.at(), &args, None));
        tally.case();
        if !(one.succeeded() && two.succeeded()) {
            tally.note(Finding::State, format_args!("{} of a dataset of links: {}", args[0], two.ending()));
        }
    }
    let made = |place: &Place| Tree::read(&place.at()).part(Path::new("made"));
    if made(&plain) != made(&linked) {
        tally.note(Finding::Wrong, "train on a dataset of links: another model");
    }
}

/// Runs a command under an umask.
fn masked(at: &Path, mask: &str, args: &[&str]) -> Run {
    let mut command = Command::new("sh");
    command.args(["-c", r#"umask "$0"; exec "$@""#, mask, env!("CARGO_BIN_EXE_tercel")]).args(args).arg("--quiet");
    command.current_dir(at).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    finish(command.spawn().expect("a shell"))
}

fn mode(path: &Path) -> u32 {
    path.metadata().map_or(0, |about| about.permissions().mode() & 0o7777)
}

#[test]
fn modes_are_those_of_any_program() {
    let tally = Tally::new("modes");
    for (args, outputs) in writers() {
        for (mask, file, folder) in
            [("022", 0o644, 0o755), ("027", 0o640, 0o750), ("077", 0o600, 0o700), ("002", 0o664, 0o775)]
        {
            // New outputs have what the umask leaves.
            let mut tree = world().clone();
            let old = |path: &PathBuf| outputs.iter().any(|output| path.starts_with(output));
            tree.0.retain(|path, _| !old(path) && !path.ends_with("nightly.json"));
            let place = Place::of(&tree);
            let done = masked(&place.at(), mask, &args);
            tally.case();
            if !done.succeeded() {
                tally.note(Finding::State, format_args!("{} under umask {mask}: {}", args[0], done.ending()));
                continue;
            }
            for (path, entry) in Tree::read(&place.at()).0.iter().filter(|(path, _)| old(path)) {
                let (found, expected) =
                    (mode(&place.at().join(path)), if *entry == Entry::Folder { folder } else { file });
                if found != expected {
                    let words = format!(
                        "{} under umask {mask}: {} has mode {found:o}, not {expected:o}",
                        args[0],
                        path.display()
                    );
                    tally.note(Finding::State, words);
                }
            }
        }
        // What is replaced keeps its mode.
        for (file, folder) in [(0o640, 0o750), (0o600, 0o700), (0o664, 0o775)] {
            let place = Place::of(world());
            for output in &outputs {
                let path = place.at().join(output);
                let mode = if path.is_dir() { folder } else { file };
                fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
            }
            let done = masked(&place.at(), "022", &args);
            tally.case();
            for output in &outputs {
                let path = place.at().join(output);
                let expected = if path.is_dir() { folder } else { file };
                if !done.succeeded() || mode(&path) != expected {
                    let words = format!(
                        "{} over {output} of mode {expected:o}: mode {:o}, {}",
                        args[0],
                        mode(&path),
                        done.ending()
                    );
                    tally.note(Finding::State, words);
                }
            }
        }
    }
    tally.finish();
}
