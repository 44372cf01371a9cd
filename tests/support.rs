//! Runs the built command, makes small inputs and a small model for it, and reads the lists that it writes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What a run came to.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temp folder")
}

pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tercel"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

pub fn tercel(folder: &Path, args: &[&str]) -> Run {
    command(folder, args).output().expect("the command starts").into()
}

/// Runs with `--json`, demands success, and returns the events.
pub fn events(folder: &Path, args: &[&str]) -> Vec<Value> {
    let mut args = args.to_vec();
    args.push("--json");
    let run = tercel(folder, &args);
    assert_eq!(run.code, 0, "{args:?}: {}", run.stderr);
    let events: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{args:?}: no JSON object: {line}: {e}")))
        .collect();
    for event in &events {
        assert!(event["event"].is_string(), "{args:?}: an event without a name: {event}");
    }
    let done = events.last().expect("at least the last event");
    assert_eq!(done["event"], "done", "{args:?}");
    assert!(done["seconds"].is_f64());
    if cfg!(target_os = "linux") {
        assert!(done["peak_rss_bytes"].as_u64() > Some(1 << 20));
    }
    events
}

/// The one event of this name.
pub fn event<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["event"] == name);
    let event = found.next().unwrap_or_else(|| panic!("no event {name} in {events:#?}"));
    assert!(found.next().is_none(), "more than one event {name}");
    event
}

/// Demands this exit code, nothing on stdout, and one line on stderr that names `words`.
pub fn fails(folder: &Path, args: &[&str], code: i32, words: &[&str]) {
    for json in [false, true] {
        let mut args = args.to_vec();
        args.push("--quiet");
        if json {
            args.push("--json");
        }
        let run = tercel(folder, &args);
        assert_eq!(run.code, code, "{args:?}: {}", run.stderr);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{args:?}: one line: {}", run.stderr);
        assert!(lines[0].starts_with("error: "), "{args:?}: {}", lines[0]);
        for word in words {
            assert!(lines[0].contains(word), "{args:?}: `{word}` is not in: {}", lines[0]);
        }
        if json {
            assert!(run.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{args:?}");
        }
    }
}

/// Writes a file and returns its name.
pub fn write<'a>(folder: &Path, name: &'a str, text: impl AsRef<[u8]>) -> &'a str {
    fs::write(folder.join(name), text).expect("the temp folder is writable");
    name
}

/// Interactions of two tastes: even users buy even items, odd users odd ones, every user another twelve of twenty.
/// Ids are text with leading zeros and letters beyond ASCII.
pub fn two_tastes(folder: &Path, name: &str) {
    let mut text = String::from("user_id,item_id,timestamp\n");
    for user in 0..40 {
        for step in 0..12 {
            let item = (user % 2) + 2 * ((user / 2 + step * 3) % 20);
            text.push_str(&format!(
                "{},{},{}\n",
                user_id(user),
                item_id(item),
                1_500_000_000 + user * 10 + step * 100_000
            ));
        }
    }
    write(folder, name, text);
}

pub fn user_id(user: usize) -> String {
    format!("00{user}")
}

pub fn item_id(item: usize) -> String {
    format!("kvß-{item:03}")
}

pub fn shipped_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/complete-journey")
}

/// The purchases of every household below number 150 of the shipped data, as a gzip file.
pub fn sample(folder: &Path, name: &str) {
    let packed = fs::File::open(shipped_data().join("transactions.csv.gz")).expect("the shipped data is there");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).expect("it is gzip and UTF-8");
    let file = fs::File::create(folder.join(name)).expect("the temp folder is writable");
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for (number, line) in text.lines().enumerate() {
        let household = line.split(',').nth(1).and_then(|id| id.parse::<u32>().ok());
        if number == 0 || household.is_some_and(|id| id < 150) {
            writeln!(out, "{line}").expect("written");
        }
    }
    out.finish().expect("written");
}

/// Ingests and trains on [`two_tastes`] in `folder`: `data` and `model`.
pub fn small_model(folder: &Path) {
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
pub fn lists(path: &Path) -> BTreeMap<String, Vec<String>> {
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
