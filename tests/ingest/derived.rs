//! Datasets that are made of others, refits and hold-outs: one of the other, and never in its place.

mod hold_out;
mod plain;
mod refit;

use std::fs;

use tercel::Error;
use tercel::data::dataset::Dataset;

use super::support::{Case, files};
use plain::{PLAIN, Plain, Raw, dataset};

#[test]
fn validation_rows_are_not_held_out_twice_and_a_hold_out_can_be_refitted() {
    let case = Case::new();
    let train: Raw = (0..60).map(|n| (n % 6, n % 5, i64::from(n))).collect();
    let old = dataset(&case, [&train, &vec![], &vec![]], PLAIN);
    let held = old.hold_out(case.path("held"), 0).unwrap();
    let error = held.hold_out(case.path("twice"), 0).unwrap_err();
    assert!(error.to_string().contains("has 6 validation rows already"), "{error}");
    let both = Plain::of(held.refit(case.path("both")).unwrap());
    both.check();
    assert_eq!(both.rows[0].len(), 60);
    assert_eq!(both.dataset.holdout(), None);
    // Of the links of a refit nothing is lost when what they lead to is refitted again, or goes.
    let again = both.dataset.refit(case.path("again")).unwrap();
    fs::remove_dir_all(case.path("both")).unwrap();
    Plain::of(Dataset::open(again.dir()).unwrap()).check();
    fs::remove_dir_all(case.path("held")).unwrap();
    assert!(matches!(Dataset::open(again.dir()).unwrap_err(), Error::Io { .. }));
}

#[test]
fn nothing_takes_the_place_of_what_it_is_made_of() {
    let case = Case::new();
    let train: Raw = (0..60).map(|n| (n % 6, n % 5, i64::from(n))).collect();
    let old = dataset(&case, [&train, &vec![], &vec![]], PLAIN);
    let refit = old.refit(case.path("refit")).unwrap();
    std::os::unix::fs::symlink(case.out(), case.path("link")).unwrap();
    let before = files(&case.out());
    let refused = |made: tercel::Result<Dataset>, words: &str| {
        let error = made.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    for out in [case.out(), case.path("link"), case.out().join("../out")] {
        refused(old.refit(&out), "holds files of the dataset");
        refused(old.hold_out(&out, 0), "holds files of the dataset");
        refused(refit.hold_out(&out, 0), "holds files of the dataset");
    }
    refused(refit.refit(case.path("refit")), "holds files of the dataset");
    refused(old.refit(case.out().join("a/b")), "lies in the dataset");
    assert_eq!(files(&case.out()), before);
    refit.verify().unwrap();
    // Another folder in the dataset's place since it was opened.
    fs::rename(case.out(), case.path("moved")).unwrap();
    dataset(&case, [&train, &vec![], &vec![]], PLAIN);
    refused(old.refit(case.path("late")), "was replaced while it was in use");
    assert!(!case.path("late").exists());
    old.hold_out(case.path("late"), 0).unwrap();
}
