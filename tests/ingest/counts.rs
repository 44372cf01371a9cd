//! Lower bounds on counts: who is left out, with which rows, and what is said of it.

use tercel::data::dataset::{Filtered, Split};
use tercel::data::ingest::{IngestConfig, MinCount};

use super::support::{Case, Opened, config, names};

// Training rows: a 3, b 2, c 1; x 3, y 2, z 1. Only test rows have d and w.
const LOG: &str = "user,item,time\na,x,1\na,y,1\na,z,1\nb,x,1\nb,y,1\nc,x,1\nc,z,9\nb,z,9\nd,x,9\na,w,9\nb,w,9\n";

fn bounds(text: &str, user: u32, item: u32, edit: impl FnOnce(&mut IngestConfig)) -> (Case, Opened) {
    let case = Case::with("a.csv", text);
    let config = config(|c| {
        (c.split, c.min_count) = ("time:9".parse().unwrap(), MinCount { user, item });
        edit(c);
    });
    let opened = case.open("a.csv", &config);
    assert_eq!(opened.dataset.manifest().filtered, opened.summary.filtered);
    (case, opened)
}

fn left_out([users, items, train_rows, valid_rows, test_rows]: [u64; 5]) -> Option<Filtered> {
    Some(Filtered { users, items, train_rows, valid_rows, test_rows })
}

/// The raw ids of a side, those of the vocabulary and the unseen ones.
fn ids(opened: &Opened, users: bool) -> String {
    let manifest = opened.dataset.manifest();
    let (side, info) = if users { (&opened.users, &manifest.users) } else { (&opened.items, &manifest.items) };
    (1..info.rows + info.unseen).map(|id| side.raw(id).unwrap().to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn without_bounds_new_users_and_items_stay() {
    for bound in [0, 1] {
        let (_case, opened) = bounds(LOG, bound, bound, |_| ());
        assert_eq!(opened.summary.filtered, None);
        assert_eq!((ids(&opened, true), ids(&opened, false)), ("a b c d".into(), "x y z w".into()));
        assert_eq!(opened.summary.test_rows, 5);
    }
}

#[test]
fn users_below_the_count_are_in_no_split_and_no_vocabulary() {
    // c has one training row, d none: both are below two. z loses no row, w stays: there is no bound on items.
    let (_case, opened) = bounds(LOG, 2, 0, |_| ());
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "a z", "b x", "b y"]);
    assert_eq!(opened.pairs(Split::Test), ["b z", "a w", "b w"]);
    assert_eq!((ids(&opened, true), ids(&opened, false)), ("a b".into(), "x y z w".into()));
    assert_eq!(opened.summary.filtered, left_out([2, 0, 1, 0, 2]));
    assert_eq!((opened.summary.unseen_users, opened.summary.unseen_items), (0, 1));
}

#[test]
fn items_below_the_count_too() {
    let (_case, opened) = bounds(LOG, 0, 2, |_| ());
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "b x", "b y", "c x"]);
    // d is new, and there is no bound on users.
    assert_eq!(opened.pairs(Split::Test), ["d x"]);
    assert_eq!((ids(&opened, true), ids(&opened, false)), ("a b c d".into(), "x y".into()));
    assert_eq!(opened.summary.filtered, left_out([0, 2, 1, 0, 4]));
}

#[test]
fn both_bounds_count_what_was_there_once() {
    let (_case, opened) = bounds(LOG, 2, 2, |_| ());
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "b x", "b y"]);
    assert_eq!(opened.pairs(Split::Test), [] as [&str; 0]);
    // With c gone x has 2 training rows, and the counts in the vocabulary say so.
    assert_eq!(opened.items.table.counts, [0, 2, 2]);
    assert_eq!(opened.summary.filtered, left_out([2, 2, 2, 0, 5]));
    // One pass: after b and c are gone y has a single row left, and stays.
    let (_case, opened) = bounds(LOG, 3, 2, |_| ());
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y"]);
    assert_eq!((ids(&opened, true), ids(&opened, false)), ("a".into(), "x y".into()));
    assert_eq!(opened.summary.filtered, left_out([3, 2, 4, 0, 5]));
}

#[test]
fn who_has_no_training_row_left_goes_as_well() {
    // p has two training rows, both of items below two; q and r carry x and y.
    let text = "user,item,time\np,m,1\np,n,1\nq,x,1\nq,y,1\nr,x,1\nr,y,1\np,x,9\nq,m,9\nr,x,9\n";
    let (_case, opened) = bounds(text, 2, 2, |_| ());
    assert_eq!((ids(&opened, true), opened.pairs(Split::Test)), ("q r".into(), vec!["r x".into()]));
    assert_eq!(opened.summary.filtered, left_out([1, 2, 2, 0, 2]));
    // Without a bound on users p is a new user, whom nobody knows anything of.
    let (_case, opened) = bounds(text, 0, 2, |_| ());
    assert_eq!((ids(&opened, true), opened.pairs(Split::Test)), ("q r p".into(), vec!["p x".into(), "r x".into()]));
    // Without one on items m and n stay below the bound on users: nobody names them any more but q's test row.
    let text = "user,item,time\np,m,1\np,n,1\nq,x,1\nq,y,1\nq,z,1\nq,m,9\np,x,9\n";
    let (_case, opened) = bounds(text, 3, 0, |_| ());
    assert_eq!((ids(&opened, false), opened.pairs(Split::Test)), ("x y z m".into(), vec!["q m".into()]));
}

#[test]
fn every_split_rule() {
    let text = "user,item,time\na,x,1\na,y,2\na,x,3\na,y,4\na,z,5\nb,x,1\nb,y,2\nc,x,1\nc,y,2\nc,z,3\n";
    let (_case, opened) = bounds(text, 2, 0, |c| c.split = "last-per-user:1".parse().unwrap());
    // Training rows: a 3, b 1, c 1.
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "a x"]);
    assert_eq!((opened.pairs(Split::Valid), opened.pairs(Split::Test)), (vec!["a y".into()], vec!["a z".into()]));
    assert_eq!(opened.summary.filtered, left_out([2, 0, 2, 1, 2]));
    // Training rows: a 2, b 2, c 2; x 3, y 3.
    let (_case, opened) = bounds(text, 0, 3, |c| c.split = "time:3,5".parse().unwrap());
    assert_eq!((opened.pairs(Split::Valid), opened.pairs(Split::Test)), (vec!["a x".into(), "a y".into()], vec![]));
    assert_eq!(opened.summary.filtered, left_out([0, 1, 0, 1, 1]));
}

#[test]
fn files_of_the_held_out_splits() {
    let case = Case::with("train.csv", "user,item\na,x\na,y\nb,x\nb,y\nc,x\n");
    let valid = vec![case.write("valid.csv", "user,item\nc,y\nb,x\nnew,x\n")];
    let test = vec![case.write("test.csv", "user,item\na,x\nc,x\n")];
    let opened = case.open("train.csv", &config(|c| (c.valid, c.test, c.min_count.user) = (valid, test, 2)));
    assert_eq!((opened.pairs(Split::Valid), opened.pairs(Split::Test)), (vec!["b x".into()], vec!["a x".into()]));
    assert_eq!(opened.summary.filtered, left_out([2, 0, 1, 2, 1]));
}

#[test]
fn they_are_kept_when_that_is_asked_for() {
    let (_case, opened) = bounds(LOG, 2, 2, |c| c.keep_below_min_count = true);
    assert_eq!(opened.pairs(Split::Train), ["a x", "a y", "b x", "b y"]);
    assert_eq!(opened.pairs(Split::Test), ["c z", "b z", "d x", "a w", "b w"]);
    assert_eq!((ids(&opened, true), ids(&opened, false)), ("a b c d".into(), "x y w z".into()));
    // d and w are new, and would be without a bound, too.
    assert_eq!(opened.summary.filtered, left_out([1, 1, 2, 0, 0]));
}

#[test]
fn features_of_whom_the_bounds_left_out_are_said() {
    let case = Case::with("a.csv", LOG);
    case.write("u.csv", "user,age\na,1\nb,2\nc,3\nd,4\nnobody,5\n");
    let opened = case.open(
        "a.csv",
        &config(|c| {
            (c.split, c.min_count.user) = ("time:9".parse().unwrap(), 2);
            c.user_features = Some(case.path("u.csv"));
        }),
    );
    let notes = &opened.summary.notes;
    for words in ["2 of 2 users have", "2 rows belong to users below", "1 rows belong to users without interactions"] {
        assert!(notes.iter().any(|note| note.contains(words)), "{words}: {notes:?}");
    }
    assert!(!names(&case.out()).contains(&"users-unseen.arrow".to_owned()));
}
