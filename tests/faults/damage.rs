//! Damaged files: an error, or unchanged values.

use std::fs;
use std::path::{Path, PathBuf};

use super::command::run;
use super::readers::{Reader, Seen};
use super::tally::{Finding, Random, Tally, long};
use super::tree::{Entry, Tree};
use super::world::{Place, SPLIT, TRAINING, must, night, world};

/// Damages bytes; says how.
pub fn damaged(bytes: &[u8], random: &mut Random) -> (Vec<u8>, String) {
    let mut bytes = bytes.to_vec();
    let length = bytes.len() as u64;
    let at = random.below(length) as usize;
    let how = match random.below(if bytes.first() == Some(&b'{') { 9 } else { 6 }) {
        0 | 1 => {
            let bit = random.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            bytes[at] = bytes[at].wrapping_add(1 + random.below(255) as u8);
            format!("byte {at} changed")
        }
        3 => {
            bytes.truncate(at);
            format!("cut to {at} bytes")
        }
        4 => {
            bytes.extend(std::iter::repeat_n(random.next() as u8, 1 + random.below(64) as usize));
            "extended".to_owned()
        }
        5 => {
            let end = bytes.len().min(at + 64);
            bytes[at..end].fill(0);
            format!("bytes {at} to {end} zeroed")
        }
        6 | 7 => digit(&mut bytes, at, random),
        _ => key(&mut bytes, random),
    };
    (bytes, how)
}

/// Another digit in JSON: still well formed, still plausible.
fn digit(bytes: &mut [u8], from: usize, random: &mut Random) -> String {
    let found = (from..bytes.len()).chain(0..from).find(|at| bytes[*at].is_ascii_digit());
    let Some(at) = found else { return "no digit to change".to_owned() };
    let before = bytes[at];
    bytes[at] = b'0' + (bytes[at] - b'0' + 1 + random.below(9) as u8) % 10;
    format!("digit {at} changed from {} to {}", before as char, bytes[at] as char)
}

/// JSON without one of its keys, at any depth.
fn key(bytes: &mut Vec<u8>, random: &mut Random) -> String {
    fn remove(value: &mut serde_json::Value, random: &mut Random) -> Option<String> {
        let fields = value.as_object_mut()?;
        let names: Vec<String> = fields.keys().cloned().collect();
        let name = names.get(random.below(names.len() as u64) as usize)?;
        if random.below(2) == 0 && fields[name].is_object() {
            return remove(&mut fields[name], random).map(|inner| format!("{name}.{inner}"));
        }
        fields.remove(name).map(|_| name.clone())
    }
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return "no JSON".to_owned() };
    let name = remove(&mut value, random).unwrap_or_default();
    *bytes = serde_json::to_vec_pretty(&value).expect("JSON can be written");
    format!("key {name} removed")
}

/// A file of ours, and who reads it.
struct Kind {
    file: PathBuf,
    readers: Vec<Reader>,
}

fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (path, entry) in &world().0 {
        let readers = match path.iter().next().and_then(|folder| folder.to_str()) {
            Some("ds") => vec![Reader::evaluate("m", "ds"), Reader::inspect("ds"), Reader::train("ds")],
            Some("m") => {
                let mut readers = vec![
                    Reader::recommend("m"),
                    Reader::evaluate("m", "ds"),
                    Reader::inspect("m"),
                    Reader::export("m"),
                ];
                if path.ends_with("items.index") {
                    readers = vec![Reader::approximate("m"), Reader::inspect("m/items.index")];
                }
                readers
            }
            _ if path.as_os_str() == "x.index" => vec![Reader::inspect("x.index")],
            _ => continue,
        };
        if matches!(entry, Entry::File(_)) {
            kinds.push(Kind { file: path.clone(), readers });
        }
    }
    kinds
}

/// Judges what a reader saw of damaged files.
pub fn judge(tally: &Tally, case: &str, place: &Place, reader: &Reader, allowed: &[&Option<Seen>]) {
    let (run, seen) = reader.read(place, None);
    tally.case();
    let case = format!("{case}, {}", reader.name());
    if tally.death(&case, &run) {
        return;
    }
    match &seen {
        Some(Seen::Refused) if matches!(run.code, Some(2 | 3)) => {}
        Some(Seen::Values(_)) if allowed.contains(&&seen) => {}
        Some(Seen::Values(_)) => tally.note(Finding::Wrong, format_args!("{case}: other values, exit 0")),
        _ => tally.note(Finding::State, format_args!("{case}: not exit 3 with one line: {}", run.ending())),
    }
}

#[test]
fn damage_is_an_error() {
    let tally = Tally::new("damage");
    let mut random = Random::new(0, "damage");
    for kind in kinds() {
        let Some(Entry::File(bytes)) = world().0.get(&kind.file) else { continue };
        let expected: Vec<Option<Seen>> =
            kind.readers.iter().map(|reader| reader.read(&Place::of(world()), None).1).collect();
        let is_json = bytes.first() == Some(&b'{');
        for number in 0..if long() {
            150
        } else if is_json {
            14
        } else {
            6
        } {
            let (bytes, how) = damaged(bytes, &mut random);
            let case = format!("{}: {how}", kind.file.display());
            // In a short run each damage is shown to one of the readers, in turn.
            let each = kind.readers.iter().zip(&expected).enumerate();
            for (_, (reader, expected)) in each.filter(|(which, _)| long() || number % kind.readers.len() == *which) {
                let place = Place::of(world());
                fs::write(place.at().join(&kind.file), &bytes).expect("written");
                judge(&tally, &case, &place, reader, &[expected]);
            }
        }
    }
    tally.finish();
}

/// What `train --resume` and `nightly` read to go on with: refused, or the same end.
#[test]
fn damage_is_not_gone_on_with() {
    let tally = Tally::new("damage, go on");
    let mut random = Random::new(0, "go on");
    let train = [&["train", "--data", "ds", "--out", "half", "--seed", "1"], &TRAINING[..]].concat();
    let place = Place::of(world());
    let (_, calls) = super::command::count(&Place::of(world()).at(), &train);
    let middle = format!("kill:{}", calls.operations.len() * 3 / 5);
    run(&place.at(), &train, Some(&middle));
    let half = Tree::read(&place.at());
    let resume = [&train[..], &["--resume"]].concat();
    must(&place.at(), &resume);
    let whole = Tree::read(&place.at());
    let drafts = half.0.keys().filter(|path| !world().0.contains_key(*path)).cloned();
    let drafts = drafts.map(|path| (path, &half, &whole, &resume)).collect::<Vec<_>>();
    let nightly = night("in.csv", "run");
    let parts = world().0.keys().filter(|path| path.starts_with("run")).cloned();
    let parts = parts.map(|path| (path, world(), world(), &nightly)).collect::<Vec<_>>();
    for (file, before, after, args) in drafts.into_iter().chain(parts) {
        let Some(Entry::File(bytes)) = before.0.get(&file) else { continue };
        if bytes.is_empty() {
            continue;
        }
        let times = if long() {
            60
        } else if file.ends_with("nightly.json") || file.ends_with("trainer.json") {
            10
        } else {
            2
        };
        for _ in 0..times {
            let (bytes, how) = damaged(bytes, &mut random);
            let place = Place::of(before);
            fs::write(place.at().join(&file), &bytes).expect("written");
            let done = run(&place.at(), args, None);
            tally.case();
            let case = format!("{}: {how}, {}", file.display(), args[0]);
            if tally.death(&case, &done) {
                continue;
            }
            if !done.succeeded() && !done.refused_input() {
                tally.note(Finding::State, format_args!("{case}: not exit 3 with one line: {}", done.ending()));
            }
            // A night that is finished is not read again as a whole: what it does not look at stays as it is.
            let mut tree = Tree::read(&place.at());
            if args[0] == "nightly" && tree.0.get(&file) == Some(&Entry::File(bytes)) {
                tree.0.insert(file.clone(), before.0[&file].clone());
            }
            let visible = |tree: &Tree| tree.part(Path::new(""));
            if done.succeeded() && !visible(&tree).is(&visible(after)) {
                let words = visible(&tree).differences(&visible(after));
                tally.note(Finding::Wrong, format_args!("{case}: exit 0, but {words}"));
            }
        }
    }
    tally.finish();
}

/// Foreign tables without checksums: what is damaged in them may be read as other values, but nothing dies of it.
#[test]
fn damaged_tables_kill_nobody() {
    let tally = Tally::new("foreign tables");
    let mut random = Random::new(0, "tables");
    for (name, columns) in
        [("p.arrow", ["user", "item"]), ("p.parquet", ["user", "item"]), ("in.csv", ["user_id", "item_id"])]
    {
        let Some(Entry::File(bytes)) = world().0.get(Path::new(name)) else { panic!("{name} is no file") };
        let args = ["ingest", name, "--out", "made", "--user", columns[0], "--item", columns[1]];
        for _ in 0..if long() { 1_000 } else { 15 } {
            let (bytes, how) = damaged(bytes, &mut random);
            let mut tree = Tree::default();
            tree.0.insert(name.into(), Entry::File(bytes));
            let place = Place::of(&tree);
            let done = run(&place.at(), &args, None);
            tally.case();
            let case = format!("{name}: {how}");
            if !tally.death(&case, &done) && !done.succeeded() && !done.refused_input() {
                tally.note(Finding::State, format_args!("{case}: not one line: {}", done.ending()));
            }
        }
    }
    tally.finish();
}

/// A foreign Parquet file with page checksums (written by pyarrow): refused, or read as it was.
#[test]
fn damaged_parquet_pages_are_refused() {
    let tally = Tally::new("parquet");
    let mut random = Random::new(0, "parquet");
    let bytes = include_bytes!("checked.parquet");
    let ingest = [&["ingest", "in.parquet", "--out", "made"], &SPLIT[..]].concat();
    let made = |bytes: &[u8]| {
        let mut tree = Tree::default();
        tree.0.insert("in.parquet".into(), Entry::File(bytes.to_vec()));
        let place = Place::of(&tree);
        let done = run(&place.at(), &ingest, None);
        (done, Tree::read(&place.at()).part(Path::new("made")))
    };
    let (done, expected) = made(bytes);
    assert!(done.succeeded(), "{}", done.ending());
    for _ in 0..if long() { 3_000 } else { 60 } {
        let mut bytes = bytes.to_vec();
        let (at, bit) = (random.below(bytes.len() as u64) as usize, random.below(8));
        bytes[at] ^= 1 << bit;
        let (done, tree) = made(&bytes);
        tally.case();
        let case = format!("bit {bit} of byte {at} of {} flipped", bytes.len());
        if tally.death(&case, &done) {
            continue;
        }
        if !done.succeeded() && !done.refused_input() {
            tally.note(Finding::State, format_args!("{case}: not one line: {}", done.ending()));
        } else if done.succeeded() && tree != expected {
            tally.note(Finding::Wrong, format_args!("{case}: exit 0, but {}", tree.differences(&expected)));
        }
    }
    tally.finish();
}
