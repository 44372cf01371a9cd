//! What a hold-out takes: beside what a plain loop over the rows takes, and like the test split.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tercel::Error;
use tercel::data::dataset::Dataset;
use tercel::data::derive::HoldoutKind;
use tercel::data::ingest::{IngestConfig, ingest};

use super::plain::{Look, PLAIN, Plain, Raw, Row, check_shape, dataset, look, raw, times, told};
use crate::ingest::support::{Case, files, names};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/proptest-regressions/hold_out.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_hold_out_takes_what_a_plain_loop_takes(
        train in raw(8, 10, 60, 1),
        mut test in raw(10, 12, 12, 0),
        behind: bool,
        seed in 0u64..4,
        look in look(),
    ) {
        let case = Case::new();
        if behind {
            test.iter_mut().for_each(|row| row.2 = 40 + row.2 / 4);
        }
        let old = Plain::of(dataset(&case, [&train, &vec![], &test], look));
        // What is not needed need not be there.
        for file in &old.manifest.test.files {
            fs::remove_file(old.dataset.path(file)).unwrap();
        }
        let ways = expected(&old, seed);
        let made = old.dataset.hold_out(case.path("held"), seed);
        let Some((kind, rows)) = ways else {
            let refused = matches!(made.unwrap_err(), Error::Input { .. });
            prop_assert!(refused);
            prop_assert_eq!(names(case.dir.path()).iter().filter(|name| name.contains("held")).count(), 0);
            return Ok(());
        };
        let new = Plain::of(made.unwrap());
        new.check();
        let known = [old.manifest.users.rows, old.manifest.items.rows];
        prop_assert_eq!(new.bounds(), known);
        prop_assert_eq!(old.named(known), new.named(known));
        let found = *new.dataset.holdout().unwrap();
        prop_assert_eq!(found.rows, new.rows[1].len() as u64);
        match kind {
            // The draw is its own business; the division is not. Where no drawn row can be spared, others are drawn.
            HoldoutKind::Random { .. } | HoldoutKind::RandomPerUser { .. } => {
                let others = HoldoutKind::Random { seed };
                prop_assert!(found.kind == kind || found.kind == others);
                if let HoldoutKind::RandomPerUser { .. } = found.kind {
                    let users: BTreeSet<u32> = new.rows[1].iter().map(|row| row.0).collect();
                    let rows = |rows: &[Row], user: u32| rows.iter().filter(|row| row.0 == user).count();
                    let most = |user: u32| per_user(&old).min(rows(&old.rows[0], user) / 3);
                    prop_assert!(users.iter().all(|&user| rows(&new.rows[1], user) <= most(user)));
                }
                let mut both = [&new.rows[0][..], &new.rows[1]].concat();
                let mut all = old.rows[0].clone();
                both.sort_unstable();
                all.sort_unstable();
                prop_assert_eq!(both, all);
                prop_assert!(new.rows[2].is_empty());
            }
            _ => {
                prop_assert_eq!((found.kind, &new.rows), (kind, &rows));
            }
        }
        if look.times {
            prop_assert_eq!(told(&new.manifest.train), times(&new.rows[0]));
            prop_assert_eq!(told(&new.manifest.valid), times(&new.rows[1]));
        }
        old.dataset.hold_out(case.path("again"), seed).unwrap();
        prop_assert_eq!(files(&case.path("held")), files(&case.path("again")));
        check_shape(&case.path("again"));
    }
}

/// The kind of hold-out that is due, and its rows where they follow from the data; none where no row can be spared.
fn expected(old: &Plain, seed: u64) -> Option<(HoldoutKind, [Vec<Row>; 3])> {
    let train = &old.rows[0];
    let timed = old.manifest.columns.time.is_some();
    let last = train.iter().map(|row| row.2).max().unwrap();
    if let (Some(start), Some(end)) = told(&old.manifest.test)
        && start >= last
    {
        let fits = |from: &i64| train.iter().filter(|row| row.2 >= *from).count() * 5 <= train.len();
        let from = (last - (end - start)..=last).find(fits);
        if let Some(from) = from
            && let Some(rows) = divided(train, |_, row| row.2 >= from)
        {
            return Some((HoldoutKind::Time { from }, rows));
        }
    }
    if timed && old.manifest.split.is_some() && is_among(old) {
        return divided(train, |_, _| true).map(|rows| (HoldoutKind::RandomPerUser { seed }, rows));
    }
    let of_user = |user: u32| train.iter().enumerate().filter(move |(_, row)| row.0 == user);
    let is_last = |at: usize, row: &Row| {
        let later = of_user(row.0).filter(|(other, later)| (later.2, *other) > (row.2, at)).count();
        later < per_user(old).min(of_user(row.0).count() / 3)
    };
    if timed && let Some(rows) = divided(train, is_last) {
        return Some((HoldoutKind::LastPerUser, rows));
    }
    divided(train, |_, _| true).map(|rows| (HoldoutKind::Random { seed }, rows))
}

/// Rows that are held out of a user: as many as the test split has on average, four at most.
fn per_user(old: &Plain) -> usize {
    (old.manifest.test.rows / u64::from(old.manifest.users.rows)).clamp(1, 4) as usize
}

/// Whether the test rows lie among those that their users have in training.
fn is_among(old: &Plain) -> bool {
    let last = |user: u32| old.rows[0].iter().filter(|row| row.0 == user).map(|row| row.2).max();
    let late: Vec<bool> =
        old.rows[2].iter().filter(|row| row.0 > 0).filter_map(|row| Some(row.2 >= last(row.0)?)).collect();
    !late.is_empty() && (late.iter().filter(|late| **late).count() as f64) < 0.9 * late.len() as f64
}

/// Chosen rows validate, unless their user or item would have none in training by the time that they come.
fn divided(train: &[Row], chooses: impl Fn(usize, &Row) -> bool) -> Option<[Vec<Row>; 3]> {
    let spared = |row: &Row| {
        train.iter().filter(|other| other.0 == row.0).count() > 1
            && train.iter().filter(|other| other.1 == row.1).count() > 1
    };
    let chooses = |at: usize, row: &Row| spared(row) && chooses(at, row);
    let mut kept: Vec<Row> =
        train.iter().enumerate().filter(|(at, row)| !chooses(*at, row)).map(|(_, row)| *row).collect();
    let (mut rest, mut valid) = (Vec::new(), Vec::new());
    for (at, row) in train.iter().enumerate() {
        if !chooses(at, row) {
            rest.push(*row);
        } else if kept.iter().any(|other| other.0 == row.0) && kept.iter().any(|other| other.1 == row.1) {
            valid.push(*row);
        } else {
            kept.push(*row);
            rest.push(*row);
        }
    }
    (!valid.is_empty()).then_some([rest, valid, vec![]])
}

#[test]
fn a_tenth_is_drawn_by_the_seed() {
    let case = Case::new();
    let train: Raw = (0..20_000).map(|n| (n % 50, n / 50 % 40, 0)).collect();
    let old = dataset(&case, [&train, &vec![], &vec![]], Look { times: false, ..PLAIN });
    let held = |name: &str, seed| Plain::of(old.hold_out(case.path(name), seed).unwrap()).rows[1].clone();
    let (one, other) = (held("one", 1), held("other", 2));
    assert!((1_700..2_300).contains(&one.len()), "{}", one.len());
    assert_ne!(one, other);
}

#[test]
fn the_date_is_the_test_splits_span_before_the_end_and_a_fifth_at_most() {
    let case = Case::new();
    // A row a second, far apart at first: the span is counted out, whatever the range of the times.
    let train: Raw = (0..1000)
        .map(|n| (n % 10, n % 7, if n == 0 { -5_000_000_000 } else { 1_000_000_000 + i64::from(n) }))
        .collect();
    let test = |seconds: i64| vec![(1, 1, 2_000_000_000), (2, 2, 2_000_000_000 + seconds)];
    for (seconds, rows) in [(49, 50), (0, 1), (199, 200), (200, 200), (6_000_000_000, 200)] {
        let old = dataset(&case, [&train, &vec![], &test(seconds)], PLAIN);
        let new = old.hold_out(case.path("held"), 0).unwrap();
        let from = 1_000_000_000 + 1000 - rows;
        let found = *new.holdout().unwrap();
        assert_eq!((found.kind, found.rows), (HoldoutKind::Time { from }, rows as u64), "{seconds}");
        assert!(found.to_string().starts_with(&format!("{rows} training rows held out: from 2001-09-09 ")));
    }
    // A last second with more than a fifth of the rows, or a test split among the training rows.
    let crowded: Raw = train.iter().map(|row| (row.0, row.1, row.2.min(1_000_000_500))).collect();
    let among = vec![(1, 1, 1_000_000_998), (2, 2, 2_000_000_000)];
    for (train, test) in [(&crowded, &test(49)), (&train, &among)] {
        let old = dataset(&case, [train, &vec![], test], PLAIN);
        let new = old.hold_out(case.path("held"), 0).unwrap();
        assert_eq!(new.holdout().unwrap().kind, HoldoutKind::LastPerUser);
        assert_eq!(new.holdout().unwrap().rows, 10);
    }
}

/// What is held out is like the test split, however that came to be.
#[test]
fn a_hold_out_is_like_the_test_split() {
    let case = Case::new();
    // Every user buys at the same twenty times.
    let row = |n: usize| format!("u{},i{},{}\n", n % 30, (n * 7 + n / 30) % 11, 1_600_000_000 + n / 30 * 1000);
    let rows: Vec<String> = (0..600).map(row).collect();
    let file = |name: &str, rows: &[&String]| {
        let text: String = rows.iter().map(|row| row.as_str()).collect();
        fs::write(case.path(name), "user,item,time\n".to_owned() + &text).unwrap();
    };
    let all: Vec<&String> = rows.iter().collect();
    file("all.csv", &all);
    let held = |input: &str, config: IngestConfig| {
        let _ = fs::remove_dir_all(case.path("data"));
        ingest(&[case.path(input)], &case.path("data"), &config, &|_| {}).unwrap();
        let made = Dataset::open(case.path("data")).unwrap();
        let kind = made.hold_out(case.path("held"), 3).unwrap().holdout().unwrap().kind;
        (made.manifest().test.is_later(), kind)
    };
    // A rule leaves validation rows, but for one by a single time: without them its hold-out would be of another kind.
    let by_rule = |split: &str| {
        let config = IngestConfig { split: split.parse().unwrap(), ..IngestConfig::default() };
        let _ = fs::remove_dir_all(case.path("data"));
        ingest(&[case.path("all.csv")], &case.path("data"), &config, &|_| {}).unwrap();
        let mut manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(case.path("data/dataset.json")).unwrap()).unwrap();
        manifest.as_object_mut().unwrap().remove("checksum");
        manifest["valid"] = serde_json::json!({ "rows": 0, "files": [] });
        tercel::files::write_json(&case.path("data/dataset.json"), &manifest).unwrap();
        let made = Dataset::open(case.path("data")).unwrap();
        made.hold_out(case.path("held"), 3).unwrap().holdout().unwrap().kind
    };
    assert_eq!(by_rule("random:0.1"), HoldoutKind::Random { seed: 3 });
    assert_eq!(by_rule("last-per-user:1"), HoldoutKind::LastPerUser);
    assert!(matches!(by_rule("time:1600018000"), HoldoutKind::Time { .. }));
    // Given files: behind all of training, behind each user's own, and among them.
    let given = |chosen: &dyn Fn(usize) -> bool| {
        let of = |test: bool| (0..600).filter(|n| chosen(*n) == test).map(|n| &rows[n]).collect::<Vec<_>>();
        file("test.csv", &of(true));
        file("train.csv", &of(false));
        held("train.csv", IngestConfig { test: vec![case.path("test.csv")], ..IngestConfig::default() })
    };
    let (later, kind) = given(&|n| n >= 540);
    assert!(later == Some(true) && matches!(kind, HoldoutKind::Time { .. }), "{later:?} {kind:?}");
    // The users' last rows, which are at different times: every other user stops early.
    let (later, kind) = given(&|n| n / 30 == 19 || (n % 2 == 0 && n / 30 >= 10));
    assert_eq!((later, kind), (Some(true), HoldoutKind::LastPerUser));
    let (later, kind) = given(&|n| n / 30 == (n * 13) % 19);
    assert_eq!((later, kind), (Some(false), HoldoutKind::RandomPerUser { seed: 3 }));
    assert_eq!(held("all.csv", IngestConfig::default()).1, HoldoutKind::LastPerUser, "nothing says otherwise");
}
