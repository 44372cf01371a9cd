//! A refit trains on both splits: beside what plain loops over the rows give, and what it refuses.

use std::fs;

use proptest::prelude::*;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::derive::DerivedKind;

use super::plain::{Look, PLAIN, Plain, Raw, Row, check_shape, dataset, edit, look, raw, times, told};
use crate::ingest::support::{Case, files, names};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_refit_trains_on_both_splits(
        train in raw(6, 8, 30, 1),
        valid in raw(10, 12, 12, 0),
        test in raw(14, 16, 12, 0),
        look in look(),
        older: bool,
    ) {
        let case = Case::new();
        dataset(&case, [&train, &valid, &test], look);
        if older {
            edit(&case.out(), |manifest| (manifest.users.unseen_valid, manifest.items.unseen_valid) = (0, 0));
        }
        let old = Plain::of(Dataset::open(case.out()).unwrap());
        let new = Plain::of(old.dataset.refit(case.path("refit")).unwrap());
        new.check();
        // Ids keep their numbers; those of validation have rows of tables now.
        prop_assert_eq!(old.bounds(), new.bounds());
        prop_assert_eq!(old.named(old.bounds()), new.named(new.bounds()));
        let joins = |user: u32, item: u32| user < new.manifest.users.rows && item < new.manifest.items.rows;
        let trained = [&old.rows[0][..], &old.rows[1]].concat();
        let taken: Vec<Row> = trained.iter().copied().filter(|row| joins(row.0, row.1)).collect();
        if !older {
            prop_assert_eq!(taken.len(), trained.len());
        } else {
            prop_assert_eq!(old.manifest.users.rows, new.manifest.users.rows);
        }
        prop_assert_eq!(&new.rows, &[taken.clone(), vec![], old.rows[2].clone()]);
        if look.times && !look.foreign {
            prop_assert_eq!(told(&new.manifest.train), times(&taken));
            prop_assert_eq!(told(&new.manifest.test), told(&old.manifest.test));
        }
        let derived = new.manifest.derived.clone().unwrap();
        let left_out = (trained.len() - taken.len()) as u64;
        prop_assert_eq!(derived.kind.to_string().contains(&format!("except {left_out} of new")), left_out > 0);
        prop_assert_eq!(derived.kind, DerivedKind::Refit { left_out });
        prop_assert_eq!(derived.from, old.dataset.fingerprint());
        // Shards are there once.
        let links = names(&case.path("refit")).iter().filter(|name| case.path("refit").join(name).is_symlink()).count();
        let shards = |split| old.manifest.split(split).files.len();
        let linked = shards(Split::Train) + shards(Split::Test) + if left_out == 0 { shards(Split::Valid) } else { 0 };
        prop_assert_eq!(links, linked);
        // The same once more.
        old.dataset.refit(case.path("again")).unwrap();
        prop_assert_eq!(files(&case.path("refit")), files(&case.path("again")));
        check_shape(&case.path("again"));
    }
}

#[test]
fn more_unseen_ids_of_validation_than_there_are_is_damage() {
    let case = Case::new();
    dataset(&case, [&vec![(1, 1, 1)], &vec![(2, 1, 2)], &vec![(3, 1, 3)]], PLAIN);
    edit(&case.out(), |manifest| {
        assert_eq!((manifest.users.unseen, manifest.users.unseen_valid), (2, 1));
        manifest.users.unseen_valid = 3;
    });
    let error = Dataset::open(case.out()).unwrap_err();
    assert!(error.to_string().contains("damaged at users: 3 of 2 unseen ids"), "{error}");
}

#[test]
fn shards_that_differ_in_their_columns_are_refused() {
    let case = Case::new();
    let train: Raw = (0..60).map(|n| (n % 6, n % 5, i64::from(n))).collect();
    dataset(&case, [&train, &vec![], &vec![]], Look { times: false, ..PLAIN });
    fs::rename(case.out(), case.path("other")).unwrap();
    dataset(&case, [&train, &train, &vec![]], PLAIN);
    fs::copy(case.path("other/train-00000.arrow"), case.path("out/valid-00000.arrow")).unwrap();
    Dataset::accept(case.out()).unwrap();
    let error = Dataset::open(case.out()).unwrap().refit(case.path("refit")).unwrap_err();
    assert!(error.to_string().contains("column timestamp: expected a column, as in the first shard"), "{error}");
    assert_eq!(names(case.dir.path()).iter().filter(|name| name.contains("refit")).count(), 0);
}
