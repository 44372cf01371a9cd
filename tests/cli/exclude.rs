//! `recommend --exclude`: what users have in which splits is left out, through the command and the night.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{event, events, fails, folder, item_id, lists, small_model, tercel, two_tastes, user_id, write};

/// The items that user `number` of [`two_tastes`] has after `steps` of its twelve steps.
fn bought(number: usize, steps: usize) -> Vec<String> {
    (0..steps).map(|step| item_id((number % 2) + 2 * ((number / 2 + step * 3) % 20))).collect()
}

/// For how many of the first `steps` steps something comes back, in the lists of all users.
fn repeated(lists: &BTreeMap<String, Vec<String>>, steps: usize) -> usize {
    let of = |number| lists[&user_id(number)].iter().filter(|item| bought(number, steps).contains(item)).count();
    (0..40).map(of).sum()
}

#[test]
fn what_users_have_in_which_splits() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    // The last two of the twelve steps are the validation and the test split.
    let with = |rest: &[&'static str]| {
        let all = ["recommend", "--model", "model", "--out", "top.csv", "--k", "28"];
        events(at, &[&all[..], rest].concat());
        lists(&at.join("top.csv"))
    };
    let data = ["--exclude-seen", "data"];
    let all = with(&data);
    assert!(all.values().all(|list| list.len() == 28) && repeated(&all, 12) == 0);
    assert_eq!(with(&[&data[..], &["--exclude", "all"]].concat()), all);
    let train = with(&[&data[..], &["--exclude", "train"]].concat());
    assert!(repeated(&train, 10) == 0 && repeated(&train, 12) > 0);
    assert_eq!(with(&["--exclude", "train"]), train, "the model has the training rows too");
    let none = with(&[&data[..], &["--exclude", "none"]].concat());
    assert!(repeated(&none, 10) > 0);
    assert_eq!(with(&["--include-seen"]), none);
    assert_eq!(with(&["--include-seen", "--exclude", "none"]), none);
}

#[test]
fn what_contradicts_itself_and_what_is_not_known_is_said() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    let recommend = ["recommend", "--model", "model", "--out", "top.csv"];
    let with = |rest: &[&'static str]| [&recommend[..], rest].concat();
    for other in ["all", "train"] {
        fails(at, &with(&["--include-seen", "--exclude", other]), 2, &["--exclude: ", other, "--include-seen"]);
    }
    fails(at, &with(&["--exclude", "test"]), 2, &["--exclude", "test", "all, train, none"]);
    fails(at, &with(&["--k", "1025"]), 2, &["--k: 1025", "1 to 1024"]);
    assert!(!at.join("top.csv").exists());
    // Without a dataset one line says what is not known; with it, or where it is not asked for, none does.
    let says = |rest: &[&'static str]| {
        let run = tercel(at, &with(rest));
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stderr.lines().filter(|line| line.contains("--exclude-seen DATASET")).count()
    };
    assert_eq!(says(&[]), 1);
    assert_eq!(says(&["--exclude", "all"]), 1);
    for rest in [&["--exclude-seen", "data"][..], &["--exclude", "train"], &["--include-seen"]] {
        assert_eq!(says(rest), 0, "{rest:?}");
    }
}

fn night(at: &Path, recommend: &str) -> (Vec<Value>, BTreeMap<String, Vec<String>>) {
    let text = "input = [\"in.csv\"]\nout = \"run\"\n[ingest]\nsplit = \"last-per-user:1\"\n[model]\ndim = 8\n[train]\n\
                epochs = 5\nbatch_size = 32\n[recommend]\nfile = \"top.csv\"\nk = 28\n";
    write(at, "night.toml", text.to_owned() + recommend);
    let found = events(at, &["nightly", "--config", "night.toml"]);
    (found, lists(&at.join("run/top.csv")))
}

#[test]
fn a_night_recommends_for_tomorrow() {
    let folder = folder();
    let at = folder.path();
    two_tastes(at, "in.csv");
    let (_, all) = night(at, "");
    assert_eq!(repeated(&all, 12), 0, "what was bought in the test week is bought");
    let (found, train) = night(at, "exclude = \"train\"\n");
    assert!(repeated(&train, 10) == 0 && repeated(&train, 12) > 0);
    assert_eq!(event(&found, "recommend")["users"], 40, "the setting is part of the stage's key");
    let (_, none) = night(at, "exclude = \"none\"\n");
    assert!(repeated(&none, 10) > 0);
    assert_eq!(night(at, "include_seen = true\n").1, none);
    fs::write(
        at.join("night.toml"),
        "input = [\"in.csv\"]\nout = \"run\"\n[recommend]\nexclude = \"all\"\ninclude_seen = true\n",
    )
    .expect("written");
    fails(at, &["nightly", "--config", "night.toml"], 2, &["recommend.exclude", "all"]);
    // The flag is over the file.
    night(at, "exclude = \"train\"\n");
    events(at, &["nightly", "--config", "night.toml", "--include-seen"]);
    assert_eq!(lists(&at.join("run/top.csv")), none);
}
