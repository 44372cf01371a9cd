//! `tercel export`, and predictions by user.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use serde_json::Value;

use crate::support::{event, events, fails, folder, lists, two_tastes, write};

/// A model that reads histories, with popularity in its scores.
fn model(at: &Path) {
    two_tastes(at, "in.csv");
    events(at, &["ingest", "in.csv", "--out", "data", "--split", "last-per-user:1"]);
    let args = ["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "3", "--batch-size", "32"];
    events(at, &[&args[..], &["--history", "3"]].concat());
}

fn read(path: &Path) -> Vec<(String, Vec<f32>)> {
    let mut rows = Vec::new();
    for batch in arrow_ipc::reader::FileReader::try_new(File::open(path).expect("it is there"), None).expect("Arrow") {
        let batch = batch.expect("a batch");
        let (ids, vectors) = (batch["id"].as_string::<i32>(), batch["vector"].as_fixed_size_list());
        for row in 0..batch.num_rows() {
            rows.push((ids.value(row).to_owned(), vectors.value(row).as_primitive::<Float32Type>().values().to_vec()));
        }
    }
    rows
}

#[test]
fn inner_products_of_exported_vectors_rank_as_recommend_does() {
    let folder = folder();
    let at = folder.path();
    model(at);
    let args = ["export", "--model", "model", "--items", "i.arrow", "--items", "i.usearch", "--users", "u.arrow"];
    let found = events(at, &args);
    let exports: Vec<&Value> = found.iter().filter(|event| event["event"] == "export").collect();
    let told: Vec<(&Value, &Value, u64)> =
        exports.iter().map(|file| (&file["side"], &file["file"], file["rows"].as_u64().expect("a number"))).collect();
    let (items, users) = (Value::from("items"), Value::from("users"));
    let names = ["i.arrow", "i.usearch", "u.arrow"].map(Value::from);
    assert_eq!(told, [(&items, &names[0], 40), (&items, &names[1], 40), (&users, &names[2], 40)]);
    for file in exports {
        assert_eq!(file["dim"], 9, "popularity is a column");
        assert!(file["bytes"].as_u64() > Some(0) && file["seconds"].is_number(), "{file}");
    }
    assert!(at.join("i.usearch.ids.jsonl").is_file() && !at.join("i.arrow.ids.jsonl").exists());

    let recommend = ["recommend", "--model", "model", "--k", "10", "--include-seen", "--out"];
    events(at, &[&recommend[..], &["top.csv"]].concat());
    let expected = lists(&at.join("top.csv"));
    let (items, users) = (read(&at.join("i.arrow")), read(&at.join("u.arrow")));
    assert_eq!(users.len(), expected.len());
    for (user, vector) in &users {
        let score = |item: &[f32]| vector.iter().zip(item).map(|(x, y)| x * y).sum::<f32>();
        let scores: BTreeMap<&str, f32> = items.iter().map(|(item, vector)| (item.as_str(), score(vector))).collect();
        let mut best: Vec<f32> = scores.values().copied().collect();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        // Sums are in another order than in the search: where two scores are one but for that, so may places be.
        for (place, item) in expected[user].iter().enumerate() {
            assert!((scores[item.as_str()] - best[place]).abs() < 1e-5, "{user}: {item} at {place}");
        }
    }

    let found = events(at, &[&recommend[..], &["top.jsonl", "--by-user"]].concat());
    assert_eq!(event(&found, "recommend")["rows"], 40, "a line for every user");
    let lines = fs::read_to_string(at.join("top.jsonl")).expect("it was written");
    assert_eq!(lines.lines().count(), 40);
    for (line, (user, _)) in lines.lines().zip(&users) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["user"], user.as_str(), "users are in their order");
        assert_eq!(line["items"], Value::from(expected[user].clone()));
        assert_eq!(line["scores"].as_array().map(Vec::len), Some(10));
    }
}

#[test]
fn what_cannot_be_exported_is_said_before_any_work() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir(at.join("folder.npy")).expect("a folder");
    // There is no model either: the files are looked at first.
    let export = |rest: &[&'static str]| [&["export", "--model", "model"], rest].concat();
    fails(at, &export(&[]), 2, &["--items", "--users"]);
    fails(at, &["export", "--items", "i.npy"], 2, &["--model", "tercel export --help"]);
    fails(at, &export(&["--items", "i.csv"]), 2, &["i.csv", ".npy", ".usearch"]);
    fails(at, &export(&["--users", "missing/u.npy"]), 3, &["missing", "does not exist; create it first"]);
    fails(at, &export(&["--users", "folder.npy"]), 3, &["folder.npy", "is a folder"]);
    fails(at, &export(&["--items", "v.npy", "--users", "./v.npy"]), 2, &["v.npy", "twice"]);
    fails(at, &export(&["--items", "i.npy"]), 3, &["model"]);
    assert!(!at.join("i.npy").exists() && !at.join("i.npy.ids.jsonl").exists());

    let recommend = ["recommend", "--model", "model", "--out"];
    fails(at, &[&recommend[..], &["p.csv", "--by-user"]].concat(), 2, &["p.csv", ".jsonl"]);
    write(at, "in.csv", "user_id,item_id\na,b\n");
    write(at, "night.toml", "input = [\"in.csv\"]\nout = \"run\"\n[recommend]\nby_user = true\n");
    fails(at, &["nightly", "--config", "night.toml"], 2, &["by_user", ".jsonl"]);
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_and_what_no_file_may_replace_are_refused() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let folder = folder();
    let at = folder.path();
    model(at);
    for name in ["a.arrow", "a.npy"] {
        write(at, name, "");
        symlink(name, at.join(name.replacen('a', "b", 1))).expect("a link");
    }
    symlink("a.arrow", at.join("other.arrow")).expect("a link");
    let twice = ["export", "--model", "model", "--items", "a.arrow", "--users", "other.arrow"];
    fails(at, &twice, 2, &["given twice"]);
    fails(at, &["export", "--model", "model", "--items", "b.npy"], 3, &["b.npy", "ids would be stored elsewhere"]);
    assert_eq!(fs::read_to_string(at.join("a.npy")).expect("as it was"), "");
    let pipe = at.join("pipe.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    symlink("pipe.csv", at.join("link.csv")).expect("a link");
    for name in ["pipe.csv", "link.csv"] {
        fails(at, &["recommend", "--model", "model", "--out", name], 3, &["is a device, a pipe"]);
    }
    assert!(fs::metadata(&pipe).expect("it stays").file_type().is_fifo());
}
