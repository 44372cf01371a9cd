//! `tercel nightly`: one go, killed and run again, changed and run again.

mod changes;
mod counts;
mod tuning;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{command, event, events, fails, tercel, two_tastes, write};

const CONFIG: &str = r#"
input = ["in.csv"]
out = "run"

[ingest]
split = "last-per-user:1"

[model]
dim = 8

[train]
epochs = 40
batch_size = 16
checkpoint_every = 7
early_stop = "off"

[evaluate]
k = [5]
view = "both"

[recommend]
file = "top.csv"
k = 5
"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temp folder");
    two_tastes(folder.path(), "in.csv");
    write(folder.path(), "night.toml", CONFIG);
    folder
}

/// The stages that a run did, and those that it left out.
fn stages(events: &[Value]) -> (Vec<&str>, Vec<&str>) {
    let names = ["ingest", "train", "evaluate", "recommend"];
    let done = names.into_iter().filter(|name| events.iter().any(|event| event["event"] == *name)).collect();
    let skipped = events.iter().filter(|event| event["event"] == "skip").filter_map(|event| event["stage"].as_str());
    (done, skipped.collect())
}

fn top(at: &Path, run: &str) -> String {
    fs::read_to_string(at.join(run).join("top.csv")).expect("the predictions")
}

#[test]
fn finished_stages_are_not_run_again_unless_something_changed() {
    let folder = folder();
    let at = folder.path();
    let all = ["ingest", "train", "evaluate", "recommend"];
    let night = ["nightly", "--config", "night.toml"];
    let found = events(at, &night);
    assert_eq!(stages(&found), (all.to_vec(), vec![]));
    let evaluations: Vec<_> = found.iter().filter(|event| event["event"] == "evaluate").collect();
    assert_eq!(evaluations.len(), 2, "seen items excluded, and included");
    assert_eq!((&evaluations[0]["include_seen"], &evaluations[1]["include_seen"]), (&false.into(), &true.into()));
    assert_eq!(event(&found, "recommend")["users"], 40);
    let first = top(at, "run");

    assert_eq!(stages(&events(at, &night)), (vec![], all.to_vec()));
    let threads = [&night[..], &["--threads", "1"]].concat();
    assert_eq!(stages(&events(at, &threads)), (vec![], all.to_vec()), "threads change no result");
    let longer = [&night[..], &["--k", "6"]].concat();
    assert_eq!(stages(&events(at, &longer)), (vec!["recommend"], all[..3].to_vec()));
    let other = [&night[..], &["--epochs", "2"]].concat();
    assert_eq!(stages(&events(at, &other)), (all[1..].to_vec(), vec!["ingest"]));
    assert_ne!(top(at, "run"), first);
    fs::remove_file(at.join("run/top.csv")).expect("removed");
    assert_eq!(stages(&events(at, &other)), (vec!["recommend"], all[..3].to_vec()), "what is gone is made again");

    let mut text = fs::read_to_string(at.join("in.csv")).expect("the input");
    text.push_str("0041,kvß-001,1600000000\n0041,kvß-003,1600000001\n");
    write(at, "in.csv", text);
    assert_eq!(stages(&events(at, &night)), (all.to_vec(), vec![]), "another input is another run");
}

#[test]
fn a_killed_run_goes_on_and_ends_where_the_unbroken_one_ends() {
    let folder = folder();
    let at = folder.path();
    events(at, &["nightly", "--config", "night.toml", "--out", "unbroken", "--epochs", "300"]);

    let broken = ["nightly", "--config", "night.toml", "--out", "broken", "--epochs", "300", "--json"];
    for _ in 0..3 {
        let mut child = command(at, &broken).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        // Until there is a checkpoint, and then a little: the kill may fall anywhere in the loop.
        while child.try_wait().expect("its state").is_none() && !at.join("broken/model/trainer.json").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(30));
        child.kill().expect("it was started");
        child.wait().expect("it ends");
    }
    events(at, &broken[..broken.len() - 1]);
    assert_eq!(top(at, "broken"), top(at, "unbroken"));
    let model = |run: &str| fs::read(at.join(run).join("model/model.safetensors")).expect("the model");
    assert!(model("broken") == model("unbroken"), "bit for bit");
}

/// Killed in every stage, right after the events that come before it.
#[test]
fn killed_in_any_stage_it_goes_on_from_there() {
    let folder = folder();
    let at = folder.path();
    events(at, &["nightly", "--config", "night.toml", "--out", "unbroken"]);
    let broken = ["nightly", "--config", "night.toml", "--out", "broken", "--json"];
    // The events after which it is killed, and the stages that are then behind it.
    for (event, times, behind) in [
        ("device", 1, &[][..]),
        ("ingest", 1, &["ingest"]),
        ("train", 1, &["ingest", "train"]),
        ("evaluate", 2, &["ingest", "train"]),
    ] {
        let mut child = command(at, &broken).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            seen += usize::from(line["event"] == event);
            if seen == times {
                break;
            }
        }
        assert_eq!(seen, times, "{event}");
        child.kill().expect("it was started");
        child.wait().expect("it ends");
        let state = fs::read_to_string(at.join("broken/nightly.json")).unwrap_or_default();
        assert!(behind.iter().all(|stage| state.contains(stage)), "killed after {event}: {state}");
    }
    let rest = events(at, &broken[..broken.len() - 1]);
    let (done, skipped) = stages(&rest);
    assert!(skipped.starts_with(&["ingest", "train"]) && done.contains(&"recommend"), "{done:?}, left out {skipped:?}");
    assert_eq!(top(at, "broken"), top(at, "unbroken"));
}

#[test]
fn a_run_can_be_told_by_flags_alone() {
    let folder = folder();
    let at = folder.path();
    let found = events(at, &["nightly", "in.csv", "--out", "flags", "--dim", "8", "--epochs", "1", "--k", "3"]);
    assert_eq!(stages(&found), (vec!["ingest", "train", "recommend"], vec!["evaluate"]), "no split, no evaluation");
    assert!(at.join("flags/predictions.parquet").is_file());
    let found = events(at, &["inspect", "flags"]);
    assert_eq!(found.iter().filter(|event| event["event"] == "inspect").count(), 2, "its dataset and its model");
}

#[test]
fn what_cannot_work_is_found_before_the_work() {
    let folder = folder();
    let at = folder.path();
    let night = ["nightly", "--config", "night.toml"];
    fails(at, &[&night[..], &["--predictions", "top.xls"]].concat(), 2, &["top.xls"]);
    fails(at, &[&night[..], &["--users", "missing.txt"]].concat(), 3, &["missing.txt"]);
    fails(at, &[&night[..], &["--eval-k", "0"]].concat(), 2, &["evaluate.k"]);
    assert!(!at.join("run").exists(), "nothing was begun");
}

#[test]
fn the_demo_runs_on_the_shipped_data() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let at = folder.path();
    let demo = ["demo", "--out", "demo", "--epochs", "1", "--dim", "8", "--quiet"];
    let run = tercel(at, &demo);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for words in
        ["seen in training excluded", "seen in training included", "of 28 days", "item-kNN", "household ", "popularity"]
    {
        assert!(run.stdout.contains(words), "no `{words}` in {}", run.stdout);
    }
    assert!(at.join("demo/predictions.parquet").is_file());
    let found = events(at, &demo);
    assert_eq!(stages(&found), (vec![], vec!["ingest", "train", "evaluate", "recommend"]), "it is finished");
    fails(at, &["demo", "--out", "other", "--data", "nowhere"], 3, &["nowhere", "--data"]);
}
