//! `tercel recommend`: raw ids come back unchanged, of the items and the users that were asked for.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{event, events, fails, folder, item_id, lists, small_model, two_tastes, user_id, write};

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
