//! How the tables of users and items of `recommend` are written, and where they come from.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::support::{command, event, events, fails, folder, item_id, lists, small_model, user_id, write};

const RECOMMEND: [&str; 8] = ["recommend", "--model", "model", "--out", "top.csv", "--k", "3", "--include-seen"];

#[test]
fn lists_are_read_as_they_are_said_to_be_written() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    let with = |rest: &[&'static str]| [&RECOMMEND[..], rest].concat();
    let users: Vec<String> = (0..3).map(user_id).collect();
    write(at, "users.txt", users.iter().map(|user| format!("'{user}';s1\n")).collect::<String>());
    let written = ["--users", "users.txt", "--sep", ";", "--quote", "'"];
    let found = events(at, &with(&[&written[..], &["--columns", "user_id,shop"]].concat()));
    assert_eq!(event(&found, "recommend")["users"], 3);
    assert!(lists(&at.join("top.csv")).into_keys().eq(users));
    fails(at, &with(&["--users", "users.txt", "--sep", ";", "--quote", ";"]), 2, &["quote", "separator"]);
    fails(at, &with(&["--items", "nowhere.txt"]), 3, &["nowhere.txt"]);
}

#[test]
fn lists_come_from_standard_input() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    for (flag, ids) in [("--users", [0, 1, 2].map(user_id)), ("--items", [0, 1, 2].map(item_id))] {
        let mut run = command(at, &[&RECOMMEND[..], &[flag, "-"]].concat());
        let mut run = run.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        run.stdin.take().expect("a pipe").write_all(ids.join("\n").as_bytes()).expect("it reads");
        let done = run.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let found = lists(&at.join("top.csv"));
        match flag {
            "--users" => assert!(found.into_keys().eq(ids)),
            _ => assert!(found.values().all(|list| list.len() == 3 && list.iter().all(|item| ids.contains(item)))),
        }
    }
}

#[test]
fn a_night_reads_its_lists_as_its_input() {
    let folder = folder();
    let at = folder.path();
    small_model(at);
    let text = fs::read_to_string(at.join("in.csv")).expect("the input");
    write(at, "in.txt", text.lines().skip(1).map(|line| line.replace(',', "|") + "\n").collect::<String>());
    write(at, "users.txt", "shop|user_id\ns1|000\ns2|001\n");
    let night = ["nightly", "in.txt", "--out", "run", "--epochs", "1", "--dim", "8", "--predictions", "top.csv"];
    let written = ["--format", "csv", "--sep", "|", "--columns", "user_id,item_id,timestamp", "--users", "users.txt"];
    let found = events(at, &[&night[..], &written].concat());
    assert_eq!(event(&found, "recommend")["users"], 2);
}
