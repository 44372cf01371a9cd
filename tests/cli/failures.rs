//! Every kind of failure has its exit code and its line; a reader that goes away is none.

use std::fs;
use std::path::Path;

use crate::support::{command, event, events, fails, folder, small_model, two_tastes, write};

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
