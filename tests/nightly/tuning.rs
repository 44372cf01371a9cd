//! The night's search for settings: when it runs, that it goes on after a kill, and who has the last word.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{stages, top};
use crate::support::{self, command, event, events, fails, tercel, two_tastes, write};

const CONFIG: &str = r#"
input = ["in.csv"]
out = "run"

[ingest]
split = "last-per-user:1"

[model]
dim = 8

[train]
batch_size = 16
# The same figures on every processor.
instructions = "portable"

[tune]
every = 2
metric = "ndcg@5"
trials = 3
space = "space.toml"
parallel = 1

[evaluate]
k = [5]
view = "both"

[recommend]
file = "top.csv"
k = 5
"#;

/// Rates of which the default is not one: with a single epoch the larger ones learn more.
const BETTER: &str = "[optimizer]\nlr = [0.1, 0.2]\n[train]\nepochs = [20, 30]\n";
/// Nothing is learnt with these.
const WORSE: &str = "[optimizer]\nlr = [1e-9, 2e-9, 3e-9]\n[train]\nepochs = [1]\n";

const NIGHT: [&str; 3] = ["nightly", "--config", "night.toml"];

fn folder(space: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temp folder");
    two_tastes(folder.path(), "in.csv");
    write(folder.path(), "night.toml", CONFIG);
    write(folder.path(), "space.toml", space);
    folder
}

/// One more purchase: another night's data.
fn another_day(at: &Path, day: usize) {
    let mut text = fs::read_to_string(at.join("in.csv")).expect("the input");
    for user in 0..40 {
        let item = support::item_id((user % 2) + 2 * ((user + day) % 20));
        text.push_str(&format!("{},{item},{}\n", support::user_id(user), 1_600_000_000 + day * 86_400));
    }
    write(at, "in.csv", text);
}

fn record(at: &Path) -> Value {
    let text = fs::read_to_string(at.join("run/nightly.json")).expect("the record");
    serde_json::from_str::<Value>(&text).expect("JSON")["tuning"].clone()
}

fn searched(events: &[Value]) -> bool {
    events.iter().any(|event| event["event"] == "tune")
}

fn skipped(events: &[Value]) -> Option<&str> {
    let skip = events.iter().find(|event| event["event"] == "skip" && event["stage"] == "tune");
    skip.and_then(|event| event["reason"].as_str())
}

#[test]
fn a_search_is_done_every_so_many_nights_and_holds_in_those_between() {
    let folder = folder(BETTER);
    let at = folder.path();
    let found = events(at, &NIGHT);
    assert!(searched(&found), "never one before: {found:#?}");
    assert_eq!(event(&found, "due")["reason"], "there has been none yet");
    let tuned = event(&found, "tuned");
    assert_eq!((&tuned["night"], &tuned["metric"]), (&1.into(), &"ndcg@5".into()));
    assert!(tuned["value"].as_f64() > Some(0.0) && tuned["interval"].is_array(), "{tuned}");
    assert_eq!(tuned["date"].as_str().map(str::len), Some(10));
    let text = fs::read_to_string(at.join("run/tuned.toml")).expect("the settings");
    let head = format!("found in night 1 ({}): ndcg@5 ", tuned["date"].as_str().expect("a date"));
    assert!(text.starts_with("# Settings that `tercel nightly` trains with,") && text.contains(&head), "{text}");
    assert!(!text.contains("dim") && !text.contains("batch_size"), "what was told is no finding: {text}");
    for part in ["tuned.toml", "trials.parquet", "report.html", "tune.json", "model/config.json"] {
        assert!(at.join("run/tuning").join(part).is_file(), "{part}");
    }
    let config = |run: &str| {
        let text = fs::read_to_string(at.join(run).join("model/config.json")).expect("a model");
        serde_json::from_str::<Value>(&text).expect("JSON")["config"].clone()
    };
    let lr = tuned["chosen"]["optimizer.lr"].as_f64().expect("a rate");
    assert!((config("run")["optimizer"]["lr"].as_f64().expect("a rate") - lr).abs() < 1e-6);
    // Whoever looks at the model sees where its settings come from.
    let metrics: Value =
        serde_json::from_slice(&fs::read(at.join("run/model/metrics.json")).expect("figures")).expect("JSON");
    assert_eq!(metrics["settings"]["tuned"], record(at)["kept"]);
    assert!(metrics["test_discovery"].is_object(), "beside the figures of the evaluation: {metrics}");
    let card = fs::read_to_string(at.join("run/model/README.md")).expect("a card");
    assert!(card.contains("## Settings") && card.contains("found in night 1"), "{card}");

    // The same night once more, and the next one: the settings stay.
    let again = events(at, &NIGHT);
    assert_eq!(stages(&again).0, [] as [&str; 0], "nothing is due: {again:#?}");
    assert_eq!(skipped(&again), Some("the last search was tonight; it runs every 2 nights"));
    another_day(at, 1);
    let next = events(at, &NIGHT);
    assert_eq!((stages(&next).0.len(), searched(&next)), (4, false));
    assert_eq!(skipped(&next), Some("the last search was a night ago; it runs every 2 nights"));
    assert_eq!((&event(&next, "tuned")["night"], &event(&next, "tuned")["chosen"]), (&1.into(), &tuned["chosen"]));
    assert!((config("run")["optimizer"]["lr"].as_f64().expect("a rate") - lr).abs() < 1e-6);
    // What is given since holds, and is said.
    let found = events(at, &[&NIGHT[..], &["--epochs", "2", "--lr", "0.05"]].concat());
    assert_eq!((&event(&found, "train")["epochs"], searched(&found)), (&2.into(), false));
    assert_eq!(event(&found, "tuned")["given_instead"], serde_json::json!(["optimizer.lr", "train.epochs"]));
    let said = tercel(at, &[&NIGHT[..], &["--epochs", "2"]].concat()).stdout;
    assert!(said.contains("set explicitly since then, and overriding the tuned values: train.epochs"), "{said}");
    // The settings' file is for people: one that is gone is written again.
    fs::remove_file(at.join("run/tuned.toml")).expect("removed");
    another_day(at, 2);
    let third = events(at, &NIGHT);
    assert!(searched(&third), "two nights ago: {third:#?}");
    assert_eq!(event(&third, "due")["reason"], "the last one was 2 nights ago");
    let first = third.iter().find(|event| event["event"] == "trial" && event["trial"] == 1).expect("a trial");
    assert_eq!(first["chosen"], tuned["chosen"], "what is kept is tried before anything new");
    assert_eq!((&record(at)["night"], &record(at)["searched"]["night"]), (&3.into(), &3.into()));
    assert!(at.join("run/tuned.toml").is_file());
    // Another question is asked at once.
    write(at, "space.toml", BETTER.replace("0.2", "0.3"));
    let found = events(at, &NIGHT);
    assert_eq!(event(&found, "due")["reason"], "its settings differ from those of the last one");
    assert!(searched(&found));
    // What is given is not searched, though the space names it.
    write(at, "space.toml", BETTER.replace("0.2", "0.25"));
    let found = events(at, &[&NIGHT[..], &["--lr", "0.05"]].concat());
    assert_eq!(event(&found, "search")["space"], serde_json::json!({ "train.epochs": [20, 30] }));
    let found = events(at, &["inspect", "run"]);
    let kinds: Vec<_> = found.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["dataset", "model", "search"]);
}

/// Exported vectors keep their width from night to night, unless the night's own space says otherwise.
#[test]
fn a_search_of_the_night_leaves_the_width_of_vectors() {
    let folder = folder("[model]\ndim = [4, 8, 16]\n");
    let at = folder.path();
    // Twelve tastes: a user's items tell far more than popularity, which is where wider embeddings are tried.
    let row = |n: usize| format!("u{},i{},{}\n", n % 60, n % 12 * 10 + n / 60 * 7 % 10, 1_600_000_000 + n);
    write(at, "in.csv", "user,item,time\n".to_owned() + &(0..480).map(row).collect::<String>());
    let open = CONFIG.replace("[model]\ndim = 8\n", "").replace("space = \"space.toml\"\n", "");
    write(at, "night.toml", &open);
    let space = |arguments: &[&str]| event(&events(at, arguments), "search")["space"].clone();
    let of_night = space(&NIGHT);
    assert!(of_night["model.temperature"].is_object() && of_night["model.dim"].is_null(), "{of_night}");
    let by_hand = space(&["tune", "--data", "run/dataset", "--out", "tuned", "--trials", "3"]);
    assert_eq!(by_hand["model.dim"], serde_json::json!([64, 128, 256]));
    write(at, "night.toml", open.replace("trials = 3", "trials = 3\nspace = \"space.toml\""));
    assert_eq!(space(&NIGHT), serde_json::json!({ "model.dim": [4, 8, 16] }));
}

/// Killed after the first trial, after the second rung, and right after the search: one run goes on with the other.
#[test]
fn a_search_that_is_killed_goes_on_to_the_same_bits() {
    let folder = folder(BETTER);
    let at = folder.path();
    events(at, &[&NIGHT[..], &["--out", "unbroken"]].concat());
    let broken = [&NIGHT[..], &["--out", "run", "--json"]].concat();
    for (name, times) in [("ingest", 1), ("trial", 1), ("trial", 1), ("rung", 1), ("final", 1), ("tune", 1)] {
        let mut child = command(at, &broken).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            seen += usize::from(line["event"] == name);
            if seen == times {
                break;
            }
        }
        assert_eq!(seen, times, "{name}");
        child.kill().expect("it was started");
        child.wait().expect("it ends");
    }
    events(at, &broken[..broken.len() - 1]);
    assert_eq!(top(at, "run"), top(at, "unbroken"));
    for file in
        ["model/model.safetensors", "tuning/tuned.toml", "tuning/trials.parquet", "tuning/model/model.safetensors"]
    {
        let of = |run: &str| fs::read(at.join(run).join(file)).expect("a file");
        // The page and the file's head name the dataset's place.
        let of = |run: &str| String::from_utf8_lossy(&of(run)).replace("unbroken/", "run/");
        assert!(of("run") == of("unbroken"), "{file}");
    }
    let kept = |run: &str| {
        let text = fs::read_to_string(at.join(run).join("nightly.json")).expect("the record");
        serde_json::from_str::<Value>(&text).expect("JSON")["tuning"]["kept"]["chosen"].clone()
    };
    assert_eq!(kept("run"), kept("unbroken"));
    let left = fs::read_dir(at.join("run")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with("tuning") || name == "tuning"));
}

#[test]
fn without_anything_better_the_night_goes_on_with_what_it_has() {
    let folder = folder(WORSE);
    let at = folder.path();
    let said = tercel(at, &NIGHT);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let words = "no settings beat the defaults; the run continues with the defaults";
    assert!(said.stdout.contains(words), "{}", said.stdout);
    assert!(!at.join("run/tuned.toml").exists());
    assert_eq!(record(at)["searched"]["outcome"], "nothing_better");
    assert!(record(at)["decisions"].as_array().is_some_and(|made| !made.is_empty()), "{}", record(at));
    // The same as a night that never searches.
    let plain = CONFIG.split("[tune]").next().expect("a part").to_owned();
    let rest = &CONFIG[CONFIG.find("[evaluate]").expect("a part")..];
    write(at, "plain.toml", plain + rest);
    events(at, &["nightly", "--config", "plain.toml", "--out", "plain"]);
    assert_eq!(top(at, "run"), top(at, "plain"));
    let text = fs::read_to_string(at.join("plain/nightly.json")).expect("the record");
    assert!(!text.contains("tuning"), "{text}");
    assert!(!fs::read_to_string(at.join("plain/model/metrics.json")).expect("figures").contains("\"settings\""));
    // Not before it is due again.
    another_day(at, 1);
    assert!(!searched(&events(at, &NIGHT)));
}

#[test]
fn a_search_that_fails_does_not_keep_the_night() {
    let folder = folder("[optimizer]\nlr = [1e30, 2e30, 3e30]\n");
    let at = folder.path();
    // Every trial fails, that of the defaults too: its batch is out of every row.
    let config = CONFIG.replace("dim = 8", "dim = 8\nnormalize = false\ninit_std = 1e30");
    write(at, "night.toml", &config);
    let night = [&NIGHT[..], &["--split", "last-per-user:1"]].concat();
    let run = tercel(at, &night);
    // The training that follows has the same settings, and fails as it would without a search.
    assert!(run.stdout.contains("tune: the search failed (") && run.code == 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("the run continues with the defaults"), "{}", run.stdout);
    assert_eq!(record(at)["searched"]["outcome"], "failed");
    assert!(!at.join("run/.tuning.tuning").exists());
    // Not again in the same night; in the next one it is due.
    let run = tercel(at, &night);
    assert!(!run.stdout.contains("a search is due"), "{}", run.stdout);
    another_day(at, 1);
    assert!(tercel(at, &night).stdout.contains("a search is due, because the last one failed"));
    // With settings that can be learnt with the night ends well.
    write(at, "night.toml", CONFIG);
    write(at, "space.toml", BETTER);
    another_day(at, 2);
    let found = events(at, &NIGHT);
    assert!(searched(&found) && stages(&found).0.len() == 4);
}

#[test]
fn what_a_search_cannot_be_asked_is_found_before_the_work() {
    let folder = folder(BETTER);
    let at = folder.path();
    for (from, to, words) in [
        ("every = 2", "every = 0", &["tune.every", "0 is not a number from 1"][..]),
        ("trials = 3", "trials = 0", &["tune.trials"]),
        ("trials = 3", "minutes = -1.0", &["tune.minutes", "-1 is not a number above 0"]),
        ("metric = \"ndcg@5\"", "metric = \"fame@5\"", &["tune.metric", "fame@5"]),
        ("every = 2", "evry = 2", &["night.toml", "evry"]),
    ] {
        write(at, "night.toml", CONFIG.replace(from, to));
        fails(at, &NIGHT, 2, words);
    }
    write(at, "night.toml", CONFIG);
    write(at, "space.toml", "[train]\nseed = [1, 2]\n");
    fails(at, &NIGHT, 2, &["train.seed", "optimizer.lr"]);
    fs::remove_file(at.join("space.toml")).expect("removed");
    fails(at, &NIGHT, 3, &["space.toml"]);
    assert!(!at.join("run").exists(), "nothing was begun");
    // Nothing of anybody else's is replaced.
    write(at, "space.toml", BETTER);
    fs::create_dir(at.join("run")).expect("a folder");
    write(at, "run/tuned.toml", "[model]\ndim = 8\n");
    fails(at, &NIGHT, 3, &["run/tuned.toml", "move it elsewhere"]);
}
