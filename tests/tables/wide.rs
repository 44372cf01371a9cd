//! Wide tables and long lines: time that grows with the table, bounded memory, and clear errors.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::example::{Example, arrow, batch, integers, parquet, size, texts};
use crate::support::{Run, events};

const COLUMNS: usize = 20_000;

fn names() -> String {
    (0..COLUMNS).map(|n| format!(",signal_{n}")).collect()
}

#[test]
fn twenty_thousand_columns_beside_interactions() {
    let values: String = (0..COLUMNS).map(|n| format!(",{}", n % 10)).collect();
    let rows: String = (0..20).map(|n| format!("u{n}{values},x\n")).collect();
    let outcome = Example::of("log.csv", format!("user_id{},item_id\n{rows}", names())).run();
    assert_eq!(outcome.contents().rows.len(), 20);
    assert_eq!(outcome.contents().rows[19], "u19 x");
    let left = outcome.contents().columns["left"].as_array().expect("names");
    assert!(!left.is_empty() && left.len() <= COLUMNS);
    // As lines of JSON, and as typed files.
    let object: String = (0..COLUMNS).map(|n| format!("\"signal_{n}\":{},", n % 10)).collect();
    let rows: String = (0..5).map(|n| format!("{{\"user_id\":\"u{n}\",{object}\"item_id\":\"x\"}}\n")).collect();
    assert_eq!(Example::of("log.jsonl", rows).run().contents().rows[4], "u4 x");
    let names: Vec<String> = (0..COLUMNS / 4).map(|n| format!("signal_{n}")).collect();
    let mut columns = vec![("user_id", texts(&["a"])), ("item_id", texts(&["x"]))];
    columns.extend(names.iter().map(|name| (name.as_str(), integers(&[1]))));
    let table = batch(columns);
    Example::of("log.parquet", parquet(&table)).run().rows(&["a x"]);
    Example::of("log.arrow", arrow(&table)).run().rows(&["a x"]);
}

#[test]
fn twenty_thousand_features() {
    let users: String = (0..3)
        .map(|user| {
            let values: String = (0..COLUMNS).map(|n| format!(",{}", if n % 7 == 0 { user } else { 1 })).collect();
            format!("u{user}{values}\n")
        })
        .collect();
    let outcome = Example::of("log.csv", "user_id,item_id\nu0,x\nu1,x\nu2,x\n")
        .users("users.csv", format!("user_id{}\n{users}", names()))
        .run();
    if outcome.result.is_ok() {
        outcome.text("users", "u2", "signal_7", "2").text("users", "u2", "signal_8", "1");
    } else {
        outcome.refused(&["users.csv", "columns"]);
    }
}

#[test]
fn two_of_a_name_among_many() {
    let text = format!("user_id{},signal_7,item_id\na{},9,x\n", names(), ",1".repeat(COLUMNS));
    Example::of("log.csv", text).run().right_or_refused(&["a x"], &["signal_7"]);
    // A row that is too short by one names the row, and not all columns.
    let text = format!("user_id{},item_id\na{},x\n", names(), ",1".repeat(COLUMNS - 1));
    let said = Example::of("log.csv", text).run().result.expect_err("a value is missing");
    assert!(said.contains("row 2") && said.len() < 1000, "{} bytes", said.len());
    // What lists columns lists some.
    let text = format!("who{},what\na{},x\n", names(), ",1".repeat(COLUMNS));
    let said = Example::of("log.csv", text).run().result.expect_err("no names");
    assert!(said.contains("user") && said.len() < 4000, "{} bytes", said.len());
}

#[test]
fn ids_of_a_megabyte() {
    let longest = "ü".repeat(1 << 19);
    let text = format!("user_id,item_id\n{longest},x\nb,{longest}\n");
    let outcome = Example::of("log.csv", &text).run();
    outcome.rows(&[&format!("{longest} x"), &format!("b {longest}")]);
    let jsonl = format!("{{\"user_id\":\"{longest}\",\"item_id\":\"x\"}}\n");
    Example::of("log.jsonl", jsonl).run().rows(&[&format!("{longest} x")]);
    let table = |id: &str| batch(vec![("user_id", texts(&["a", id])), ("item_id", texts(&["x", "y"]))]);
    Example::of("log.parquet", parquet(&table(&longest))).run().rows(&["a x", &format!("{longest} y")]);
    let longer = format!("{longest}a");
    for (name, bytes) in [
        ("log.csv", format!("user_id,item_id\na,x\n{longer},y\n").into_bytes()),
        ("log.csv", format!("user_id,item_id\na,x\nb,\"{longer}\"\n").into_bytes()),
        (
            "log.jsonl",
            format!("{{\"user_id\":\"a\",\"item_id\":\"x\"}}\n{{\"user_id\":\"{longer}\",\"item_id\":\"x\"}}\n")
                .into_bytes(),
        ),
        ("log.parquet", parquet(&table(&longer))),
        ("log.arrow", arrow(&table(&longer))),
    ] {
        let row = if name == "log.jsonl" || name.ends_with("t") || name.ends_with("w") { "row 2" } else { "row 3" };
        let said = Example::of(name, &bytes).run().result.expect_err(name);
        assert!(
            said.contains(row) && said.contains("1048577 bytes") && said.len() < 1000,
            "{name}: {} bytes",
            said.len()
        );
        let outcome = Example::of(name, bytes).set("on_error", "skip").run();
        outcome.rows(&["a x"]).rejected(1);
    }
}

/// Ingests what a shell writes into a pipe; the peak of the memory comes with it.
fn fed(script: &str, flags: &[&str]) -> (Run, u64) {
    let folder = tempfile::tempdir().expect("a temp folder");
    let command = format!(
        "({script}) | /usr/bin/env bash -c '\"$0\" ingest - --format csv --out data {} --json; code=$?; exit $code' \"$0\"",
        flags.join(" ")
    );
    let script = format!("ulimit -v 8000000; {command}");
    let done =
        Command::new("bash").args(["-c", &script, env!("CARGO_BIN_EXE_tercel")]).current_dir(folder.path()).output();
    let run: Run = done.expect("bash").into();
    let events: Vec<Value> = run.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let peak = events.iter().filter_map(|event| event["peak_rss_bytes"].as_u64()).max().unwrap_or(0);
    (run, peak)
}

#[test]
fn a_line_without_end_is_refused_in_little_memory() {
    let long = "head -c 300M /dev/zero | tr '\\0' x";
    for script in [
        format!("printf 'user_id,item_id,note\\na,x,1\\nb,y,'; {long}; printf '\\nc,z,1\\n'"),
        format!("printf 'user_id,item_id,note\\na,x,1\\nb,y,\"'; {long}; printf '\"\\nc,z,1\\n'"),
        format!("printf 'user_id,item_id\\na,x\\nb,'; {long}; printf '\\nc,z\\n'"),
    ] {
        let (run, _) = fed(&script, &[]);
        assert_eq!(run.code, 3, "{}{}", run.stdout, run.stderr);
        assert!(
            run.stderr.contains("row 3") && run.stderr.len() < 1000,
            "{}",
            &run.stderr[..run.stderr.len().min(1000)]
        );
        let (run, peak) = fed(&script, &["--on-error", "skip"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.contains("\"rows\":2,") && run.stdout.contains("\"rejected\":1"), "{}", run.stdout);
        assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    }
    // A header without end.
    let (run, _) = fed(long, &[]);
    assert!(run.code == 3 && run.stderr.contains("line"), "{}", run.stderr);
}

#[test]
fn rejected_rows_have_a_limit() {
    // Every second row is bad, and long: what is kept of them is not as large as the input.
    let folder = tempfile::tempdir().expect("a temp folder");
    let note = "n".repeat(2000);
    let mut text = String::from("user_id,item_id,note\n");
    for n in 0..60_000 {
        text += &format!("u{},x,{note}\n,y,{note}\n", n % 9);
    }
    fs::write(folder.path().join("log.csv"), &text).expect("written");
    let found = events(folder.path(), &["ingest", "log.csv", "--out", "data", "--on-error", "skip"]);
    let event = found.iter().find(|event| event["event"] == "ingest").expect("the event");
    assert_eq!((&event["rows"], &event["rejected"]), (&60_000.into(), &60_000.into()), "all are counted");
    let kept = size(&folder.path().join("data/rejected.csv"));
    assert!(kept > 1000 && kept < text.len() as u64 / 2 - 1_000_000, "{kept} of {} bytes", text.len() / 2);
    assert!(event["notes"].to_string().contains("rejected.csv"), "{}", event["notes"]);
    // Whole rows of CSV are kept.
    let mut reader = csv::Reader::from_path(folder.path().join("data/rejected.csv")).expect("CSV");
    assert!(reader.records().all(|row| row.is_ok_and(|row| row.len() == 5)));
}
