//! Files of another run in the place of ours, well formed and of the same size.

use std::fs;
use std::path::PathBuf;

use super::damage::judge;
use super::readers::{Reader, Seen};
use super::tally::{Tally, long};
use super::tree::{Entry, Tree};
use super::world::{Place, SPLIT, must, world};

/// The world with a second dataset, of another night's input.
fn two() -> Tree {
    let place = Place::of(world());
    must(&place.at(), &[&["ingest", "next.csv", "--out", "ds2"], &SPLIT[..]].concat());
    Tree::read(&place.at())
}

/// Files of one folder that another has under the same name, with other bytes.
fn swappable(tree: &Tree, ours: &str, theirs: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let inside = tree.0.iter().filter(|(path, _)| path.starts_with(ours));
    let other = |path: &PathBuf| match tree.0.get(&PathBuf::from(theirs).join(path.strip_prefix(ours).ok()?))? {
        Entry::File(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let both = inside.filter_map(|(path, entry)| {
        other(path).filter(|bytes| *entry != Entry::File(bytes.clone())).map(|bytes| (path.clone(), bytes))
    });
    both.collect()
}

#[test]
fn a_file_of_another_run_is_refused() {
    let tally = Tally::new("swap");
    let tree = two();
    let model = vec![Reader::recommend("m"), Reader::evaluate("m", "ds"), Reader::inspect("m"), Reader::export("m")];
    let dataset = vec![Reader::evaluate("m", "ds"), Reader::inspect("ds"), Reader::train("ds")];
    for (ours, theirs, readers) in [("ds", "ds2", dataset), ("m", "other", model)] {
        let files = swappable(&tree, ours, theirs);
        assert!(files.len() > 1, "{ours} and {theirs} differ in {} files", files.len());
        // What the whole other folder gives is what the folder gives in which every file was swapped.
        let whole = Place::of(&tree);
        for (path, bytes) in &files {
            fs::write(whole.at().join(path), bytes).expect("written");
        }
        let expected: Vec<[Option<Seen>; 2]> = readers
            .iter()
            .map(|reader| [reader.read(&Place::of(&tree), None).1, reader.read(&whole, None).1])
            .collect();
        let singles = (0..files.len()).map(|at| vec![at]);
        let pairs = (0..files.len()).flat_map(|a| (a + 1..files.len()).map(move |b| vec![a, b]));
        for (number, set) in singles.chain(pairs).enumerate() {
            let names: Vec<String> = set.iter().map(|at| files[*at].0.display().to_string()).collect();
            for (which, reader) in readers.iter().enumerate() {
                if set.len() > 1 && !long() && (number + which) % readers.len() != 0 {
                    continue;
                }
                let place = Place::of(&tree);
                for at in &set {
                    fs::write(place.at().join(&files[*at].0), &files[*at].1).expect("written");
                }
                let [old, new] = &expected[which];
                // With the other's manifest, which names its files by what is in them, it may be the other as a whole.
                let manifest = names.iter().any(|name| name.ends_with("config.json") || name.ends_with("dataset.json"));
                let allowed: &[&Option<Seen>] = if manifest { &[old, new] } else { &[old] };
                judge(&tally, &format!("{} of {theirs}", names.join(" and ")), &place, reader, allowed);
            }
        }
    }
    tally.finish();
}
