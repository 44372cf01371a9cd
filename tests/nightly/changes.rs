//! What has changed since the last run, in the inputs and in what the run left.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{folder, stages, top};
use crate::support::{self, event, events, fails, two_tastes, write};

const ALL: [&str; 4] = ["ingest", "train", "evaluate", "recommend"];

/// The stages that a run did once more, and why.
fn again(events: &[Value]) -> Vec<String> {
    let found = events.iter().filter(|event| event["event"] == "again");
    found.map(|event| format!("{}: {}", event["stage"], event["reason"]).replace('"', "")).collect()
}

/// Writes other bytes over a file's, in their place, and gives it the time that it had.
fn replace_unseen(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let time = fs::metadata(path).and_then(|about| about.modified()).expect("a time");
    let mut bytes = fs::read(path).expect("a file");
    let size = bytes.len();
    edit(&mut bytes);
    assert_eq!(bytes.len(), size);
    fs::write(path, bytes).expect("written");
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("set back");
}

#[test]
fn a_file_of_equal_size_and_time_is_noticed() {
    let folder = folder();
    let at = folder.path();
    let night = ["nightly", "--config", "night.toml", "--epochs", "1"];
    events(at, &night);
    let text = fs::read(at.join("in.csv")).expect("the input");
    write(at, "in.csv", &text);
    assert_eq!(stages(&events(at, &night)), (vec![], ALL.to_vec()), "a new time, and the old bytes");
    write(at, "in.csv", &text[..text.len() - 1]);
    let found = events(at, &night);
    assert_eq!(again(&found), ["ingest: in.csv has changed"].map(String::from));
    // The last line's end is no row: what builds on the dataset stands.
    assert_eq!(stages(&found), (ALL[..1].to_vec(), ALL[1..].to_vec()));
    replace_unseen(&at.join("in.csv"), |bytes| {
        let at = bytes.windows(4).position(|word| word == b",kv\xc3").expect("an item");
        bytes[at + 6..at + 9].copy_from_slice(b"999");
    });
    let found = events(at, &night);
    assert_eq!(stages(&found).0, ALL);
    assert!(again(&found)[0].ends_with("in.csv has changed"), "{:?}", again(&found));
}

#[test]
fn files_that_ingest_finds_by_itself_are_asked_too() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let at = folder.path();
    fs::create_dir(at.join("data")).expect("a folder");
    two_tastes(at, "data/transactions.csv");
    let kinds = |swap: usize| {
        let lines = (0..40).map(|user| format!("{},{}\n", support::user_id(user), (user + swap) % 2));
        format!("user_id,kind\n{}", lines.collect::<String>())
    };
    write(at, "data/households.csv", kinds(0));
    let night = ["nightly", "data", "--out", "run", "--dim", "8", "--epochs", "1", "--split", "last-per-user:1"];
    let reason = |name: &str| {
        let found = events(at, &night);
        assert_eq!(stages(&found).0, ALL, "{name}");
        assert_eq!(again(&found)[0], format!("ingest: data/{name}"));
        assert_eq!(stages(&events(at, &night)), (vec![], ALL.to_vec()), "{name}");
    };
    assert_eq!(stages(&events(at, &night)), (ALL.to_vec(), vec![]));
    write(at, "data/households.csv", kinds(1));
    reason("households.csv has changed");
    let items = (0..40).map(|item| format!("{},{}\n", support::item_id(item), item % 5)).collect::<String>();
    write(at, "data/products.csv", format!("item_id,shelf\n{items}"));
    reason("products.csv is new");
    // A name that is looked for earlier takes its place.
    write(at, "data/articles.csv", format!("item_id,shelf\n{}", items.replace(",4", ",3")));
    reason("articles.csv is new");
    fs::remove_file(at.join("data/articles.csv")).expect("removed");
    reason("products.csv is new");
    fs::remove_file(at.join("data/households.csv")).expect("removed");
    reason("households.csv is gone");
    write(at, "data/notes.md", "not read");
    assert_eq!(stages(&events(at, &night)), (vec![], ALL.to_vec()), "what is not read changes nothing");
}

#[test]
fn a_folder_is_listed_anew() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let at = folder.path();
    fs::create_dir(at.join("days")).expect("a folder");
    two_tastes(at, "days/monday.csv");
    let night = ["nightly", "days", "--out", "run", "--dim", "8", "--epochs", "1", "--split", "last-per-user:1"];
    assert_eq!(stages(&events(at, &night)), (ALL.to_vec(), vec![]));
    write(at, "days/tuesday.csv", "user_id,item_id,timestamp\n000,kvß-001,1600000000\n000,kvß-003,1600000001\n");
    let found = events(at, &night);
    assert_eq!((stages(&found).0, &again(&found)[0][..]), (ALL.to_vec(), "ingest: days/tuesday.csv is new"));
    fs::rename(at.join("days/monday.csv"), at.join("days/zmonday.csv")).expect("renamed");
    assert_eq!(again(&events(at, &night))[0], "ingest: days/zmonday.csv is new");
    fs::remove_file(at.join("days/tuesday.csv")).expect("removed");
    let found = events(at, &night);
    assert_eq!((stages(&found).0, &again(&found)[0][..]), (ALL.to_vec(), "ingest: days/tuesday.csv is gone"));
}

#[test]
fn lists_of_users_and_items_are_asked_by_what_they_hold() {
    let folder = folder();
    let at = folder.path();
    write(at, "users.txt", "000\n001\n");
    write(at, "items.txt", "kvß-001\nkvß-003\n");
    let night = ["nightly", "--config", "night.toml", "--epochs", "1", "--users", "users.txt", "--items", "items.txt"];
    let night = [&night[..], &["--include-seen"]].concat();
    assert_eq!(event(&events(at, &night), "recommend")["users"], 2);
    write(at, "users.txt", "000\n001\n");
    assert_eq!(stages(&events(at, &night)).0, [] as [&str; 0]);
    for name in ["users.txt", "items.txt"] {
        replace_unseen(&at.join(name), |bytes| {
            *bytes.iter_mut().rfind(|b| b.is_ascii_digit()).expect("a digit") = b'5'
        });
        let found = events(at, &night);
        assert_eq!(
            (stages(&found).0, again(&found)),
            (vec!["recommend"], vec![format!("recommend: {name} has changed")])
        );
    }
    assert!(top(at, "run").contains("\n005,"), "{}", top(at, "run"));
}

#[test]
fn what_was_changed_by_hand_is_made_again() {
    let folder = folder();
    let at = folder.path();
    let night = ["nightly", "--config", "night.toml", "--epochs", "1"];
    events(at, &night);
    let (first, model) = (top(at, "run"), fs::read(at.join("run/model/model.safetensors")).expect("a model"));
    let flip = |name: &str| {
        let path = at.join("run").join(name);
        // A model has the dataset's vocabularies by a second name: this one alone is to change.
        let bytes = fs::read(&path).expect("a file");
        fs::remove_file(&path).and_then(|()| fs::write(&path, bytes)).expect("written");
        replace_unseen(&path, |bytes| *bytes.last_mut().expect("a byte") ^= 1);
    };
    // The file that is changed, and the stages that are done again: what they leave is what they left before, so that
    // the stages behind them stand; but for metrics, which training writes anew.
    for (name, done) in [
        ("dataset/dataset.json", &ALL[..1]),
        ("dataset/train-00000.arrow", &ALL[..1]),
        ("dataset/users.arrow", &ALL[..1]),
        ("model/model.safetensors", &ALL[1..3]),
        ("model/config.json", &ALL[1..3]),
        ("model/items.arrow", &ALL[1..3]),
        ("top.csv", &ALL[3..]),
    ] {
        flip(name);
        let found = events(at, &night);
        assert_eq!(stages(&found).0, done, "{name}");
        assert_eq!(again(&found)[0], format!("{}: run/{name} has changed since", done[0]));
        assert_eq!(stages(&events(at, &night)).0, [] as [&str; 0], "{name}");
        assert!(first == top(at, "run"), "{name}");
        assert!(model == fs::read(at.join("run/model/model.safetensors")).expect("a model"), "{name}");
    }
    // The figures of training, which evaluation cannot give back.
    flip("model/metrics.json");
    assert_eq!(stages(&events(at, &night)).0, ALL[1..3]);
    // A dataset that cannot even be opened is this run's all the same.
    fs::write(at.join("run/dataset/train-00000.arrow"), "").expect("written");
    fs::write(at.join("run/dataset/dataset.json"), "{}").expect("written");
    fs::remove_file(at.join("run/dataset/users.arrow")).expect("removed");
    assert_eq!(stages(&events(at, &night)).0, ALL[..1]);
    // What is not the run's is not touched.
    fs::write(at.join("run/dataset/dataset.json"), "{}").expect("written");
    fs::write(at.join("run/dataset/mine.txt"), "mine").expect("written");
    fails(at, &night, 3, &["run/dataset", "not empty"]);
    assert_eq!(fs::read_to_string(at.join("run/dataset/mine.txt")).expect("it stays"), "mine");
}

#[test]
fn a_night_searches_an_index_that_it_keeps() {
    let folder = folder();
    let at = folder.path();
    let night = ["nightly", "--config", "night.toml", "--epochs", "1", "--index", "approx", "--index-seed", "3"];
    let found = events(at, &night);
    assert_eq!(stages(&found), (ALL.to_vec(), vec![]));
    assert_eq!((&event(&found, "index")["k"], &event(&found, "recommend")["index"]), (&5.into(), &"approx".into()));
    let all = ["ingest", "train", "index", "evaluate", "recommend"];
    assert_eq!(stages(&events(at, &night)), (vec![], all.to_vec()));
    let other = [&night[..], &["--index-k", "9"]].concat();
    assert_eq!(event(&events(at, &other), "index")["k"], 9);
    fs::write(at.join("run/model/items.index"), "none").expect("written");
    let found = events(at, &other);
    assert_eq!(again(&found), ["index: run/model/items.index has changed since"].map(String::from));
    assert_eq!(stages(&events(at, &[&other[..], &["--recall", "0.9"]].concat())).1, all[..2], "another recall");
    fails(at, &["nightly", "in.csv", "--out", "other", "--index-k", "9"], 2, &["index.k", "--index approx"]);
}
