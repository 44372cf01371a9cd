//! Splits on hand-worked examples.

use tercel::data::dataset::Split;

use super::support::{Case, Opened, config, row};

const LOG: &str = "user,item,time\na,x,10\nb,x,10\na,y,30\na,z,20\nb,q,20\nc,x,15\na,w,40\nd,r,40\n";

/// The case keeps the files that the dataset is read from.
fn split(rule: &str) -> (Case, Opened) {
    let case = Case::with("a.csv", LOG);
    let opened = case.open("a.csv", &config(|c| c.split = rule.parse().unwrap()));
    (case, opened)
}

#[test]
fn none() {
    let (_case, opened) = split("none");
    assert_eq!((opened.summary.train_rows, opened.summary.valid_rows, opened.summary.test_rows), (8, 0, 0));
    assert_eq!(opened.rows(Split::Train)[3], row("a", "z", 20));
}

#[test]
fn by_time() {
    let (_case, opened) = split("time:20,30");
    assert_eq!(opened.pairs(Split::Train), ["a x", "b x", "c x"]);
    assert_eq!(opened.pairs(Split::Valid), ["a z", "b q"]);
    assert_eq!(opened.pairs(Split::Test), ["a y", "a w", "d r"]);
    // One training row each: the raw id decides. Unseen ids follow, those of the validation split first, by raw id.
    assert_eq!(opened.ids(Split::Train), [[1, 1], [2, 1], [3, 1]]);
    assert_eq!(opened.ids(Split::Valid), [[1, 3], [2, 2]]);
    assert_eq!(opened.ids(Split::Test), [[1, 6], [1, 5], [4, 4]]);
    assert_eq!((opened.summary.unseen_users, opened.summary.unseen_items), (1, 5));
    let manifest = opened.dataset.manifest();
    assert_eq!((manifest.users.unseen_valid, manifest.items.unseen_valid), (0, 2));
    assert_eq!(opened.dataset.manifest().test.first_timestamp, Some(30));
    let (_case, opened) = split("time:1970-01-01 00:00:20");
    assert_eq!((opened.summary.train_rows, opened.summary.valid_rows, opened.summary.test_rows), (3, 0, 5));
}

#[test]
fn rows_that_repeat_training_rows_are_counted() {
    // Of a's later rows x is no news, twice in training; b's q is new to b; nobody knew d.
    let log =
        "user,item,time\na,x,10\na,x,11\nb,x,12\na,y,13\na,x,20\nb,q,20\na,x,30\na,y,31\nb,y,32\nd,x,33\na,x,34\n";
    let case = Case::with("a.csv", log);
    let opened = case.open("a.csv", &config(|c| c.split = "time:20,30".parse().unwrap()));
    let manifest = opened.dataset.manifest();
    let repeats = [&manifest.train, &manifest.valid, &manifest.test].map(|split| split.repeats);
    assert_eq!(repeats, [Some(1), Some(1), Some(3)]);
    let summary = &opened.summary;
    assert_eq!([summary.train_repeats, summary.valid_repeats, summary.test_repeats], [1, 1, 3]);
}

#[test]
fn the_last_rows_per_user() {
    let (_case, opened) = split("last-per-user:1");
    // a: x10 z20 y30 w40; b: x10 q20; c and d have one row, which trains.
    assert_eq!(opened.pairs(Split::Train), ["a x", "b x", "a z", "c x", "d r"]);
    assert_eq!(opened.pairs(Split::Valid), ["a y"]);
    assert_eq!(opened.pairs(Split::Test), ["b q", "a w"]);
    // Without times the input's order is the order.
    let case = Case::with("a.csv", "user,item\na,3\na,1\na,2\n");
    let opened = case.open("a.csv", &config(|c| c.split = "last-per-user:1".parse().unwrap()));
    assert_eq!(opened.pairs(Split::Valid), ["a 1"]);
    assert_eq!(opened.pairs(Split::Test), ["a 2"]);
}

#[test]
fn random() {
    let text: String = (0..5000).map(|n| format!("{},{}\n", n % 50, n % 31)).collect();
    let case = Case::with("a.csv", format!("user,item\n{text}"));
    let with = |seed| case.open("a.csv", &config(|c| (c.split, c.seed) = ("random:0.1".parse().unwrap(), seed)));
    let first = with(1);
    assert!((400..600).contains(&first.summary.valid_rows) && (400..600).contains(&first.summary.test_rows));
    assert_eq!(first.summary.rows, 5000);
    assert_eq!(first.pairs(Split::Test), with(1).pairs(Split::Test));
    assert_ne!(first.pairs(Split::Test), with(2).pairs(Split::Test));
}

#[test]
fn files_per_split() {
    let case = Case::with("train.csv", "user,item,time\na,x,1\na,y,2\nb,y,3\n");
    let valid = vec![case.write("valid.csv", "item,user,time\nx,b,4\n")];
    let test = vec![case.write("t1.csv", "user,item,time\nc,z,5\n"), case.write("t2.csv", "user,item,time\na,x,6\n")];
    let opened = case.open("train.csv", &config(|c| (c.valid, c.test) = (valid.clone(), test.clone())));
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "b y"]);
    assert_eq!(opened.pairs(Split::Valid), ["b x"]);
    assert_eq!(opened.pairs(Split::Test), ["c z", "a x"]);
    assert_eq!((opened.summary.unseen_users, opened.summary.unseen_items), (1, 1));
    let (error, code) = case.error(
        "train.csv",
        &config(|c| {
            c.valid = valid;
            c.split = "random:0.1".parse().unwrap();
        }),
    );
    assert!(error.starts_with("split: files are given"), "{error}");
    assert_eq!(code, 2);
}
