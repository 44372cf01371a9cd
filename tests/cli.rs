//! The command from outside: its output, its exit codes, its files.

#[path = "cli/exclude.rs"]
mod exclude;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/search.rs"]
mod search;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/views.rs"]
mod views;
#[path = "cli/written.rs"]
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{command, event, events, fails, item_id, sample, tercel, two_tastes, user_id, write};

const SUBCOMMANDS: [&str; 12] = [
    "ingest",
    "train",
    "tune",
    "evaluate",
    "index",
    "recommend",
    "export",
    "synth",
    "nightly",
    "inspect",
    "doctor",
    "demo",
];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temp folder")
}

/// Ingests and trains on [`two_tastes`] in `folder`: `data` and `model`.
fn small_model(folder: &Path) {
    two_tastes(folder, "in.csv");
    events(folder, &["ingest", "in.csv", "--out", "data", "--split", "last-per-user:1"]);
    events(
        folder,
        &[
            "train",
            "--data",
            "data",
            "--out",
            "model",
            "--dim",
            "8",
            "--epochs",
            "30",
            "--batch-size",
            "32",
            "--early-stop",
            "off",
        ],
    );
}

/// The items of each user in a predictions file in CSV, in the order of their ranks.
fn lists(path: &Path) -> BTreeMap<String, Vec<String>> {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut reader = csv::Reader::from_path(path).expect("the predictions are there");
    assert_eq!(reader.headers().expect("a header"), vec!["user", "rank", "item", "score"]);
    for row in reader.records() {
        let row = row.expect("a row");
        let list = lists.entry(row[0].to_owned()).or_default();
        list.push(row[2].to_owned());
        assert_eq!(row[1].parse(), Ok(list.len()), "ranks count from 1");
        row[3].parse::<f32>().expect("a score");
    }
    lists
}

#[test]
fn help_is_there_for_every_subcommand() {
    let folder = folder();
    for name in SUBCOMMANDS {
        let run = tercel(folder.path(), &[name, "--help"]);
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        assert!(run.stdout.contains("Examples") && run.stdout.contains("--json"), "{name}: {}", run.stdout);
        let examples = run.stdout.lines().filter(|line| line.trim_start().starts_with(&format!("tercel {name}")));
        assert!(examples.count() >= 2, "{name}: two examples at least");
    }
    assert!(tercel(folder.path(), &["--version"]).stdout.starts_with("tercel "));
    assert_eq!(tercel(folder.path(), &[]).code, 2);
}

#[test]
fn the_whole_chain_on_a_sample_of_real_purchases() {
    let folder = folder();
    let at = folder.path();
    sample(at, "t.csv.gz");
    let columns = ["--user", "household_id", "--item", "product_id", "--time", "t_dat"];
    let mut args = vec!["ingest", "t.csv.gz", "--out", "data", "--split", "time:2017-12-04,2017-12-11"];
    args.extend(columns);
    let found = events(at, &args);
    let ingested = event(&found, "ingest");
    for field in ["rows", "users", "items", "rejected", "seconds"] {
        assert!(ingested[field].is_number(), "{field}: {ingested}");
    }
    assert!(ingested["rows"].as_u64() > Some(10_000) && ingested["rejected"] == 0);
    // Everybody gets a list: also who came only after the training split.
    let count = |field: &str| ingested[field].as_u64().expect("a number");
    assert!(count("unseen_users") > 0);
    let users = count("users") + count("unseen_users");

    let found = events(at, &["inspect", "data"]);
    let inspected = event(&found, "inspect");
    assert_eq!(inspected["kind"], "dataset");
    assert!(inspected["test"]["rows"].as_u64() > Some(0));
    assert_eq!(inspected["shape"]["rows"], inspected["train"]["rows"]);
    assert!(inspected["shape"]["next"]["users"].as_u64() > Some(100), "{inspected}");
    let said = tercel(at, &["inspect", "data"]).stdout;
    assert!(["rows per user", "order: ", "next item, "].iter().all(|words| said.contains(words)), "{said}");

    let found = events(at, &["train", "--data", "data", "--out", "model", "--dim", "16", "--epochs", "2"]);
    let settings = event(&found, "settings");
    assert_eq!((settings["epochs"].as_u64(), settings["batch_size"].as_u64()), (Some(2), Some(512)));
    assert_eq!((&settings["temperature"], &settings["early_stop"]), (&0.2.into(), &"ndcg@20,5".into()));
    assert_eq!(settings["shape"]["rows"], settings["rows"]);
    let decisions = settings["decisions"].as_array().expect("a list");
    let made = |key: &str| decisions.iter().find(|made| made["key"] == key);
    assert_eq!(made("model.temperature").expect("it was open")["value"], "0.2");
    assert!(decisions.iter().all(|made| made["why"].as_str().is_some_and(|why| !why.is_empty())), "{decisions:?}");
    assert!(made("train.epochs").is_none(), "that was given");
    assert_eq!(found.iter().filter(|event| event["event"] == "validation").count(), 2);
    let epochs: Vec<_> = found.iter().filter(|event| event["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 2);
    for (number, epoch) in epochs.iter().enumerate() {
        assert_eq!(epoch["epoch"], number + 1);
        for field in ["loss", "examples", "seconds", "examples_per_second"] {
            assert!(epoch[field].is_number(), "{field}: {epoch}");
        }
    }
    assert!(epochs[1]["loss"].as_f64() < epochs[0]["loss"].as_f64(), "it learns");
    assert!(found.iter().any(|event| event["event"] == "checkpoint"));

    let found = events(at, &["evaluate", "--model", "model", "--data", "data", "--k", "10,20", "--view", "discovery"]);
    let figures = event(&found, "evaluate");
    assert_eq!(figures["split"], "test");
    assert!(figures["users"].is_u64() && figures["skipped_users"].is_u64());
    let recall = &figures["metrics"]["recall@20"];
    assert!(recall["low"].as_f64() <= recall["value"].as_f64() && recall["value"].as_f64() <= recall["high"].as_f64());
    assert!(figures["popularity"]["recall@20"].is_f64());
    let table = tercel(at, &["evaluate", "--model", "model", "--data", "data"]).stdout;
    assert!(table.contains("ndcg@10") && table.contains("popularity"), "{table}");

    let mut rows = BTreeSet::new();
    for name in ["p.csv", "p.jsonl", "p.arrow", "p.parquet"] {
        let found = events(at, &["recommend", "--model", "model", "--out", name, "--k", "7"]);
        let recommended = event(&found, "recommend");
        assert_eq!(recommended["users"], users, "{name}");
        assert_eq!((&recommended["k"], &recommended["index"]), (&7.into(), &"exact".into()));
        assert!(recommended["users_per_second"].is_number() && recommended["seconds"].is_number());
        assert!(at.join(name).is_file());
        rows.insert(recommended["rows"].as_u64());
    }
    assert_eq!(rows, BTreeSet::from([Some(users * 7)]), "every user has k items in every format");
    assert!(lists(&at.join("p.csv")).values().all(|list| list.len() == 7));
    let lines = fs::read_to_string(at.join("p.jsonl")).expect("it was written");
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert!(first["user"].is_i64() && first["item"].is_i64(), "integer ids stay integers: {first}");
}

#[test]
fn raw_ids_come_back_unchanged_and_seen_items_do_not() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    events(at, &["recommend", "--model", "model", "--out", "top.csv", "--k", "5", "--exclude-seen", "data"]);
    let found = lists(&at.join("top.csv"));
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), (0..40).map(user_id).collect::<BTreeSet<_>>());
    let items: BTreeSet<String> = (0..40).map(item_id).collect();
    let mut own = 0;
    for (user, list) in &found {
        assert_eq!(list.len(), 5);
        assert!(list.iter().all(|item| items.contains(item)), "{list:?}");
        let number: usize = user.parse().expect("zeros and digits");
        own += list.iter().filter(|item| item[5..].parse::<usize>().expect("digits") % 2 == number % 2).count();
        // All twelve, those of the validation and the test split too.
        let seen: BTreeSet<String> =
            (0..12).map(|step| item_id((number % 2) + 2 * ((number / 2 + step * 3) % 20))).collect();
        assert!(list.iter().all(|item| !seen.contains(item)), "user {user} has seen some of {list:?}");
    }
    // A list of unseen items drawn blindly has 2 of 7 of the user's own taste.
    assert!(own > 5 * 40 / 2, "users have tastes: {own} of 200");
    // The same again, and with one thread: the same bytes.
    events(
        at,
        &[
            "recommend",
            "--model",
            "model",
            "--out",
            "again.csv",
            "--k",
            "5",
            "--exclude-seen",
            "data",
            "--threads",
            "1",
        ],
    );
    assert_eq!(fs::read(at.join("top.csv")).ok(), fs::read(at.join("again.csv")).ok());

    write(at, "who.txt", "003\nnobody-yet\n");
    write(at, "what.txt", format!("{}\n{}\n", item_id(1), item_id(2)));
    let lists_of = ["--users", "who.txt", "--items", "what.txt", "--include-seen"];
    let mut args = vec!["recommend", "--model", "model", "--out", "few.csv", "--k", "5"];
    args.extend(lists_of);
    let recommended = events(at, &args);
    assert_eq!(event(&recommended, "recommend")["short_users"], 2, "two items are all that may be returned");
    let found = lists(&at.join("few.csv"));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["003", "nobody-yet"]);
    assert!(found.values().all(|list| list.len() == 2));
}

#[test]
fn only_items_with_these_tags() {
    let folder = folder();
    let at = folder.path();
    two_tastes(at, "in.csv");
    let about = (0..40).map(|item| format!("{},{},{}\n", item_id(item), ["red", "blue"][item % 2], item % 3));
    write(at, "items.csv", "item_id,colour,shelf\n".to_owned() + &about.collect::<String>());
    events(at, &["ingest", "in.csv", "--item-features", "items.csv", "--out", "data", "--split", "last-per-user:1"]);
    events(at, &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "1"]);
    let recommend = ["recommend", "--model", "model", "--out", "top.csv", "--k", "30", "--include-seen"];
    let with = |rest: &[&'static str]| [&recommend[..], rest].concat();
    let given = |rest: &[&'static str]| -> BTreeSet<String> {
        events(at, &with(rest));
        lists(&at.join("top.csv")).into_values().flatten().collect()
    };
    let all = |says: &dyn Fn(usize) -> bool| -> BTreeSet<String> {
        (0..40).filter(|&item| says(item)).map(item_id).collect()
    };
    assert_eq!(given(&["--tag", "colour=blue"]), all(&|item| item % 2 == 1));
    assert_eq!(given(&["--tag", "colour=blue", "--index", "approx"]), all(&|item| item % 2 == 1));
    write(at, "stock.txt", (0..10).map(|item| item_id(item) + "\n").collect::<String>());
    assert_eq!(given(&["--tag", "colour=red", "--items", "stock.txt"]), all(&|item| item < 10 && item % 2 == 0));
    for (tag, words) in [
        (&["--tag", "colour"][..], &["COLUMN=VALUE"][..]),
        (&["--tag", "size=red"], &["`size`", "colour"]),
        (&["--tag", "colour=green"], &["`green`", "red"]),
        (&["--tag", "colour=red", "--tag", "colour=blue"], &["no item"]),
    ] {
        fails(at, &with(tag), 2, words);
    }
}

#[test]
fn an_index_is_built_once_and_again_for_another_model() {
    let folder = folder();
    let at = folder.path();
    two_tastes(at, "in.csv");
    events(at, &["ingest", "in.csv", "--out", "data", "--split", "last-per-user:1"]);
    let train = ["train", "--data", "data", "--out", "model", "--epochs", "3", "--dim", "8", "--seed"];
    events(at, &[&train[..], &["1"]].concat());
    let recommend =
        |index: &str| events(at, &["recommend", "--model", "model", "--out", "top.csv", "--k", "5", "--index", index]);
    let exact = recommend("exact");
    let lists_of = |events: &[Value]| (event(events, "recommend")["index"].clone(), lists(&at.join("top.csv")));
    let (name, expected) = lists_of(&exact);
    assert_eq!(name, "exact");
    let built = recommend("approx");
    let method = event(&built, "index")["method"].as_str().expect("a word");
    assert!(["exact", "scan"].contains(&method), "few items are searched whole, not through lists: {method}");
    assert_eq!(lists_of(&built), ("approx".into(), expected.clone()));
    let again = recommend("approx");
    assert!(again.iter().all(|event| event["event"] != "index"), "it is there");
    assert_eq!(lists_of(&again).1, expected);
    let said = events(at, &["inspect", "model/items.index"]);
    assert_eq!((&event(&said, "inspect")["kind"], &event(&said, "inspect")["items"]), (&"index".into(), &40.into()));
    events(at, &["evaluate", "--model", "model", "--data", "data", "--index", "approx", "--recall", "0.8"]);
    // The model is trained anew: what lies there is of the old one.
    let kept = fs::read(at.join("model/items.index")).expect("an index");
    fs::remove_dir_all(at.join("model")).expect("removes");
    events(at, &[&train[..], &["2"]].concat());
    write(at, "model/items.index", &kept);
    assert_eq!(event(&recommend("approx"), "index")["items"], 40);
    let mut damaged = fs::read(at.join("model/items.index")).expect("an index");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    write(at, "model/items.index", &damaged);
    fails(at, &["inspect", "model/items.index"], 3, &["items.index", "damaged", "build the index again"]);
    assert_eq!(event(&recommend("approx"), "index")["items"], 40, "damaged: built again");
}

#[test]
fn every_kind_of_failure_has_its_exit_code_and_its_line() {
    let folder = folder();
    let at = folder.path();
    two_tastes(at, "in.csv");
    fs::create_dir(at.join("folder")).expect("a folder");

    fails(at, &["ingest"], 2, &["INPUT", "tercel ingest --help"]);
    fails(at, &["train", "--data", "d", "--out", "m", "--no-such-flag"], 2, &["--no-such-flag"]);
    fails(at, &["train", "--data", "d", "--out", "m", "--optimizer", "adamax"], 2, &["adamax", "rowwise-adagrad"]);
    fails(at, &["train", "--data", "d", "--out", "m", "--dim", "7"], 2, &["model.dim", "7"]);
    fails(at, &["evaluate", "--model", "m", "--data", "d", "--index", "near"], 2, &["--index", "near", "approx"]);
    let recall = ["recommend", "--model", "m", "--out", "o.csv", "--recall"];
    fails(at, &[&recall[..], &["0.9"]].concat(), 2, &["--recall: ", "--index approx"]);
    fails(at, &[&recall[..], &["1", "--index", "approx"]].concat(), 2, &["--recall", "1 is not between 0 and 1"]);
    fails(at, &["index", "--model", "missing"], 3, &["missing", "config.json"]);
    fails(at, &["ingest", "in.csv", "--out", "d", "--split", "sideways"], 2, &["sideways", "last-per-user"]);
    write(at, "bad.toml", "[train]\nepochs = 2\nepoch = 3\n");
    fails(at, &["train", "--data", "d", "--out", "m", "--config", "bad.toml"], 2, &["bad.toml", "line 3", "`epoch`"]);
    fails(at, &["nightly", "--config", "bad.toml"], 2, &["bad.toml", "line 3", "`epoch`"]);
    fails(at, &["nightly", "--out", "n"], 2, &["input"]);

    fails(at, &["ingest", "missing.csv", "--out", "d"], 3, &["missing.csv"]);
    fails(at, &["ingest", "in.csv", "--out", "d", "--user", "customer"], 3, &["in.csv", "customer"]);
    fails(at, &["train", "--data", "missing", "--out", "m"], 3, &["missing", "tercel ingest"]);
    fails(at, &["train", "--data", "folder", "--out", "m"], 3, &["folder", "dataset.json"]);
    fails(at, &["train", "--data", "folder", "--out", "m", "--config", "folder"], 3, &["folder"]);
    fails(at, &["inspect", "missing"], 3, &["missing"]);
    fails(at, &["inspect", "folder"], 3, &["folder", "dataset.json"]);
    fails(at, &["inspect", "in.csv"], 3, &["in.csv"]);
    fails(at, &["recommend", "--model", "folder", "--out", "p.csv"], 3, &["folder"]);
    write(at, "row.csv", "user_id,item_id,timestamp\na,b,1600000001\na,c,soon\n");
    fails(at, &["ingest", "row.csv", "--out", "d"], 3, &["row.csv", "row 3", "timestamp", "soon"]);
    assert!(!at.join("d/dataset.json").exists(), "what failed leaves no dataset");

    small_model(at);
    fails(at, &["recommend", "--model", "model", "--out", "p.xls"], 2, &["p.xls", ".parquet"]);
    fails(at, &["recommend", "--model", "model", "--out", "folder"], 3, &["folder"]);
    fails(at, &["recommend", "--model", "model", "--out", "p.csv", "--users", "missing.txt"], 3, &["missing.txt"]);
    fails(at, &["evaluate", "--model", "model", "--data", "data", "--k", "0"], 2, &["--k: 0"]);
    let shard = at.join("data/train-00000.arrow");
    let mut bytes = fs::read(&shard).expect("a shard");
    // More bytes in a row than the padding between two columns has.
    let middle = bytes.len() / 2;
    bytes[middle..middle + 80].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&shard, bytes).expect("written");
    fails(at, &["inspect", "data"], 3, &["train-00000.arrow", "damaged"]);
    fails(at, &["inspect", "data/train-00000.arrow"], 3, &["train-00000.arrow", "damaged"]);
}

#[test]
fn a_device_that_is_not_there_is_trouble_4() {
    if Path::new("/dev/nvidiactl").exists() {
        println!("skipped: this host has an NVIDIA driver");
        return;
    }
    let folder = folder();
    let at = folder.path();
    small_model(at);
    let words = ["CUDA", "--device cpu"];
    fails(at, &["train", "--data", "data", "--out", "other", "--device", "cuda:0"], 4, &words);
    fails(at, &["recommend", "--model", "model", "--out", "p.csv", "--device", "cuda:0"], 4, &words);
    fails(at, &["nightly", "in.csv", "--out", "n", "--device", "cuda:0"], 4, &words);
    let found = events(at, &["doctor"]);
    let report = event(&found, "doctor");
    assert_eq!((&report["auto_device"], &report["cuda_available"]), (&"cpu".into(), &false.into()));
    assert!(report["cuda_reason"].is_string() && report["cores"].as_u64() > Some(0));
    // `auto` goes on, and says with what and why.
    let found = events(at, &["evaluate", "--model", "model", "--data", "data"]);
    let device = event(&found, "device");
    assert_eq!(device["device"], "cpu");
    assert!(device["reason"].as_str().is_some_and(|reason| reason.contains("libcuda")), "{device}");
    // What it would take on a device is known without one.
    let found = events(at, &["doctor", "--data", "data"]);
    let budget = event(&found, "budget");
    assert!(budget["total_bytes"].as_u64() > budget["table_bytes"].as_u64(), "{budget}");
    assert!(budget["free_bytes"].is_null());
}

#[test]
fn a_bad_row_can_be_skipped_and_is_kept() {
    let folder = folder();
    let at = folder.path();
    write(at, "row.csv", "user_id,item_id,timestamp\na,b,1600000001\na,c,soon\nb,c,1600000003\n");
    let found = events(at, &["ingest", "row.csv", "--out", "d", "--on-error", "skip"]);
    let ingested = event(&found, "ingest");
    assert_eq!((&ingested["rows"], &ingested["rejected"]), (&2.into(), &1.into()));
    let rejected = fs::read_to_string(at.join("d/rejected.csv")).expect("the bad rows");
    assert!(rejected.contains("soon"), "{rejected}");
}

#[test]
fn columns_separators_and_least_counts() {
    let folder = folder();
    let at = folder.path();
    write(at, "r.dat", "1::10::5::1600000100\n1::11::4::1600000200\n2::10::3::1600000300\n3::12::1::1600000400\n");
    let args = ["ingest", "r.dat", "--out", "d", "--columns", "u,i,stars,t", "--sep", "::", "--user", "u"];
    let rest = ["--item", "i", "--time", "t", "--weight", "stars", "--min-item-count", "2"];
    let found = events(at, &[&args[..], &rest[..]].concat());
    let ingested = event(&found, "ingest");
    assert_eq!((&ingested["rows"], &ingested["users"], &ingested["items"]), (&2.into(), &2.into(), &1.into()));
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_work() {
    let folder = folder();
    let at = folder.path();
    two_tastes(at, "in.csv");
    events(at, &["ingest", "in.csv", "--out", "data"]);
    let mut child =
        command(at, &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "3", "--json"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("it ends").success());
    let found = events(at, &["inspect", "model"]);
    assert_eq!(event(&found, "inspect")["finished"], true);
}
