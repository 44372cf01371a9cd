//! The whole chain on real purchases: ingest, inspect, train, evaluate, recommend.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::{event, events, folder, lists, sample, tercel};

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
