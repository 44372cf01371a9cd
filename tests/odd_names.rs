//! Paths that are not UTF-8, through every subcommand.
#![cfg(target_os = "linux")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A name that is no text: a byte of Latin-1.
fn odd(name: &str) -> OsString {
    let mut bytes = name.as_bytes().to_vec();
    let end = bytes.iter().rposition(|byte| *byte == b'.').unwrap_or(bytes.len());
    bytes.insert(end, 0xe4);
    OsString::from_vec(bytes)
}

/// Runs the command; a word that begins with `@` is an odd name.
fn run(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
    let word = |word: &str| word.strip_prefix('@').map_or_else(|| OsString::from(word), odd);
    command.current_dir(folder).args(line.split(' ').map(word));
    command.output().unwrap()
}

/// Runs it with `--json` and without: both succeed, every line is JSON, and no event speaks of an error.
fn succeeds(folder: &Path, line: &str) -> Vec<Value> {
    let output = run(folder, &format!("{line} --json --quiet"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{line}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event.get("error").is_none()), "{line}: {text}");
    assert_eq!(events.last().unwrap()["event"], "done", "{line}");
    events
}

fn shown(events: &[Value], event: &str, field: &str) -> String {
    let found = events.iter().find(|found| found["event"] == event).unwrap_or_else(|| panic!("{event}: {events:?}"));
    found[field].as_str().unwrap_or_else(|| panic!("{field}: {found}")).to_owned()
}

#[test]
fn every_subcommand_takes_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..2000).map(|n| format!("{},{},{}\n", n % 40, n * 7 % 23, 1_500_000_000 + n)).collect();
    fs::write(at.join(odd("in.csv")), format!("user,item,time\n{rows}")).unwrap();
    let users: String = (0..40).map(|n| format!("{n},{}\n", n % 3)).collect();
    fs::write(at.join(odd("users.csv")), format!("user,kind\n{users}")).unwrap();
    fs::write(at.join(odd("some.csv")), "user\n1\n2\n").unwrap();
    fs::write(at.join(odd("items.txt")), "item\n7\n14\n3\n").unwrap();
    let there = |name: &str| at.join(odd(name)).exists();
    let lossy = |name: &str| odd(name).to_string_lossy().into_owned();

    let found = succeeds(at, "ingest @in.csv --out @data --split last-per-user:1 --user-features @users.csv");
    assert_eq!(shown(&found, "ingest", "dataset"), lossy("data"));
    let found = succeeds(at, "train --data @data --out @model --dim 8 --epochs 2 --batch-size 64");
    assert_eq!(shown(&found, "train", "model"), lossy("model"));
    succeeds(at, "train --data @data --out @model --dim 8 --epochs 2 --batch-size 64 --resume");
    succeeds(at, "evaluate --model @model --data @data");
    succeeds(at, "index --model @model");
    succeeds(at, "index --model @model --out @own.index");
    for (form, more) in [("csv", ""), ("jsonl", " --by-user"), ("parquet", ""), ("arrow", "")] {
        let line = format!("recommend --model @model --out @top.{form} --exclude-seen @data --users @some.csv{more}");
        assert_eq!(shown(&succeeds(at, &line), "recommend", "file"), lossy(&format!("top.{form}")));
        assert!(there(&format!("top.{form}")), "{form}");
    }
    succeeds(at, "recommend --model @model --out @few.csv --items @items.txt --index approx");
    for form in ["npy", "arrow", "safetensors", "usearch", "faiss"] {
        let found = succeeds(at, &format!("export --model @model --items @vectors.{form}"));
        assert_eq!(shown(&found, "export", "file"), lossy(&format!("vectors.{form}")));
    }
    fs::copy(at.join(odd("data")).join("train-00000.arrow"), at.join(odd("train.arrow"))).unwrap();
    for name in ["data", "model", "own.index", "train.arrow"] {
        let found = succeeds(at, &format!("inspect @{name}"));
        assert_eq!(shown(&found, "inspect", "path"), lossy(name));
    }
    assert_eq!(shown(&succeeds(at, "synth hm --out @hm --scale 0.0001"), "synth", "folder"), lossy("hm"));
    succeeds(at, "doctor");
    succeeds(at, "doctor --sweep @model");
}

#[test]
fn a_night_in_an_odd_folder_is_not_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..2000).map(|n| format!("{},{},{}\n", n % 40, n * 7 % 23, 1_500_000_000 + n)).collect();
    fs::write(at.join(odd("in.csv")), format!("user,item,time\n{rows}")).unwrap();
    fs::write(at.join(odd("some.csv")), "user\n1\n2\n").unwrap();
    let line = "nightly @in.csv --out @night --split last-per-user:1 --dim 8 --epochs 1 --batch-size 64 \
                --users @some.csv --predictions @top.csv";
    succeeds(at, line);
    assert!(at.join(odd("night")).join(odd("top.csv")).exists());
    let again = succeeds(at, line);
    assert!(again.iter().all(|event| event["event"] != "train" && event["event"] != "again"), "{again:?}");
    // It is told when what it read has changed.
    fs::write(at.join(odd("some.csv")), "user\n1\n3\n").unwrap();
    let changed = succeeds(at, line);
    assert!(shown(&changed, "again", "reason").contains(&*odd("some.csv").to_string_lossy()), "{changed:?}");
    succeeds(at, "inspect @night");
}

#[test]
fn errors_name_what_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        "inspect @none",
        "train --data @none --out @model",
        "ingest @none.csv --out @data",
        "evaluate --model @none --data @no",
    ] {
        let output = run(folder.path(), line);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), errors.lines().count()), (Some(3), 1), "{line}: {errors}");
        assert!(errors.contains('\u{fffd}') && !OsStr::from_bytes(&output.stderr).is_empty(), "{line}: {errors}");
    }
}
