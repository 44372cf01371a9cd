//! `tercel tune`: what it refuses, and what `tercel inspect` says of a search.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, event, events, fails, tercel, two_tastes, write};

const TUNE: [&str; 20] = [
    "tune",
    "--data",
    "data",
    "--out",
    "found",
    "--trials",
    "3",
    "--space",
    "space.toml",
    "--metric",
    "ndcg@5",
    "--dim",
    "8",
    "--batch-size",
    "16",
    "--threads",
    "1",
    "--parallel",
    "1",
    "--quiet",
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temp folder");
    two_tastes(folder.path(), "in.csv");
    write(folder.path(), "space.toml", "[optimizer]\nlr = [0.05, 0.1]\n[train]\nepochs = [2, 4]\n");
    events(folder.path(), &["ingest", "in.csv", "--out", "data", "--split", "last-per-user:1"]);
    folder
}

/// What `inspect` says of the one search that it finds.
fn inspected(at: &Path, path: &str) -> Value {
    let found = events(at, &["inspect", path]);
    found.iter().find(|event| event["kind"] == "search").expect("a search").clone()
}

#[test]
fn inspect_says_what_a_search_has_found_so_far_and_at_its_end() {
    let folder = folder();
    let at = folder.path();
    fails(at, &["inspect", "found"], 3, &["found"]);
    let asked = [&TUNE[..], &["--json"]].concat();
    let mut child = command(at, &asked).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut events_seen = lines.map(|line| serde_json::from_str::<Value>(&line.expect("text")).expect("JSON"));
    assert!(events_seen.any(|event| event["event"] == "trial"));
    child.kill().expect("it was started");
    child.wait().expect("it ends");

    let so_far = inspected(at, "found");
    assert_eq!(
        (&so_far["finished"], &so_far["metric"], &so_far["failed"]),
        (&false.into(), &"ndcg@5".into(), &0.into())
    );
    assert!(so_far["best"]["value"].is_f64() && so_far["date"].is_string(), "{so_far}");
    assert_eq!(inspected(at, ".found.tuning")["trials"], so_far["trials"], "where it works");
    let said = tercel(at, &["inspect", "found"]).stdout;
    assert!(said.contains("unfinished") && said.contains("--resume") && said.contains("best so far"), "{said}");
    let done = events(at, &[&TUNE[..], &["--resume"]].concat());
    let summary = event(&done, "tune");
    let found = inspected(at, "found");
    assert_eq!((&found["finished"], &found["trials"], &found["planned"]), (&true.into(), &3.into(), &3.into()));
    let best = &found["best"];
    assert_eq!(
        [&best["trial"], &best["value"], &best["chosen"], &best["gain"], &best["interval"]],
        [&summary["winner"], &summary["value"], &summary["chosen"], &summary["gain"], &summary["interval"]]
    );
    assert_eq!(found["searched"], serde_json::json!(["optimizer.lr", "train.epochs"]));
    assert!(events(at, &["inspect", "found"]).iter().any(|event| event["kind"] == "model"), "and of its model");
    // Finished, it is left as it is.
    let again = events(at, &[&TUNE[..], &["--resume"]].concat());
    assert!(
        event(&again, "tune")["winner"] == summary["winner"] && !again.iter().any(|event| event["event"] == "trial")
    );
    // Damage is named.
    for name in ["tuned.toml", "trials.parquet", "tune.json", "model/model.safetensors"] {
        let path = at.join("found").join(name);
        let whole = fs::read(&path).expect("a file");
        let mut bytes = whole.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("written");
        fails(at, &["inspect", "found"], 3, &[name]);
        fs::write(&path, whole).expect("written");
    }
}

#[test]
fn what_cannot_be_searched_or_waited_for_is_refused_by_the_settings_own_words() {
    let folder = folder();
    let at = folder.path();
    for minutes in ["-1", "0", "nan", "-0.5", "inf"] {
        let words = format!("{} is not a number above 0", minutes.replace("nan", "NaN"));
        fails(at, &["tune", "--data", "data", "--out", "found", "--minutes", minutes], 2, &["minutes: ", &words]);
    }
    for key in ["train.seed", "train.device", "train.threads", "train.instructions", "train.checkpoint_every"] {
        let name = key.strip_prefix("train.").expect("a table");
        write(at, "space.toml", format!("[train]\n{name} = [1, 2]\n"));
        fails(at, &TUNE[..19], 2, &[key, "settings that can be searched", "model.temperature", "train.epochs"]);
    }
    write(at, "space.toml", "[train]\nbatch_size = [16, 32]\n");
    fails(at, &TUNE[..19], 2, &["train.batch_size: is both set and in the search space"]);
    assert!(!at.join("found").exists() && !at.join(".found.tuning").exists());
}
