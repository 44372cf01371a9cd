//! `tercel index`: an index is built once, and again where it is no longer the model's.

use std::fs;

use serde_json::Value;

use crate::support::{event, events, fails, folder, lists, two_tastes, write};

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
