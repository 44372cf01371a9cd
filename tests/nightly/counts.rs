//! Least counts, from the input to the lists.

use std::fs;

use super::{folder, top};
use crate::support::{self, event, events, write};

#[test]
fn users_below_the_least_count_are_not_measured_and_get_no_lists() {
    let folder = folder();
    let at = folder.path();
    let mut text = fs::read_to_string(at.join("in.csv")).expect("the input");
    for user in 0..10 {
        for step in 0..3 {
            text.push_str(&format!("few{user},{},{}\n", support::item_id(user + step), 1_500_000_000 + step));
        }
    }
    write(at, "in.csv", text);
    let night = ["nightly", "--config", "night.toml", "--epochs", "1"];
    let found = events(at, &[&night[..], &["--min-user-count", "5"]].concat());
    let ingest = event(&found, "ingest");
    let counts = ["users", "filtered_users", "filtered", "filtered_valid_rows", "filtered_test_rows", "unseen_users"];
    assert_eq!(counts.map(|name| ingest[name].as_u64().expect("a count")), [40, 10, 10, 10, 10, 0]);
    for evaluation in found.iter().filter(|event| event["event"] == "evaluate") {
        assert_eq!((&evaluation["users"], &evaluation["cold_users"]), (&40.into(), &0.into()), "{evaluation}");
    }
    assert_eq!(event(&found, "recommend")["users"], 40);
    assert!(!top(at, "run").contains("few"));
    // Who is asked for gets a list, as somebody new does.
    write(at, "few.txt", "few3\n000\n");
    let (model, out) = ("run/model", "few.csv");
    events(at, &["recommend", "--model", model, "--users", "few.txt", "--k", "4", "--out", out]);
    let lists = fs::read_to_string(at.join(out)).expect("lists");
    assert_eq!(lists.lines().filter(|line| line.starts_with("few3,")).count(), 4, "{lists}");
    // Or all of them, in the place of new users.
    let kept = ["--min-user-count", "5", "--keep-below-min-count"];
    let found = events(at, &[&night[..], &kept].concat());
    assert_eq!(event(&found, "ingest")["filtered_test_rows"], 0);
    let evaluation = found.iter().find(|event| event["event"] == "evaluate").expect("an evaluation");
    assert_eq!((&evaluation["users"], &evaluation["cold_users"]), (&50.into(), &10.into()));
    assert_eq!(event(&found, "recommend")["users"], 50);
}
