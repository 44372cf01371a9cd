//! Derived datasets beside what plain loops over the rows give.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tercel::Error;
use tercel::data::dataset::{Dataset, EntityInfo, Manifest, Split, SplitInfo, write_json};
use tercel::data::derive::{DerivedKind, HoldoutKind};
use tercel::data::history::History;
use tercel::data::ingest::{FeatureSpec, IngestConfig, ingest};
use tercel::data::shape;
use tercel::data::shard::Shard;
use tercel::data::vocabulary::{FeatureColumn, RawId, Vocabulary};

use crate::support::{Case, config, files, names};

/// A row: user, item, time (0 where there is none), bits of the weight.
type Row = (u32, u32, i64, u32);

/// A dataset in plain types.
struct Plain {
    dataset: Dataset,
    manifest: Manifest,
    users: Vocabulary,
    items: Vocabulary,
    /// Training, validation, test.
    rows: [Vec<Row>; 3],
}

impl Plain {
    fn of(dataset: Dataset) -> Plain {
        dataset.verify().unwrap();
        let manifest = dataset.manifest().clone();
        let open = |info: &EntityInfo| Vocabulary::open(dataset.dir(), info).unwrap();
        let (users, items) = (open(&manifest.users), open(&manifest.items));
        let rows = Split::ALL.map(|split| rows(&dataset, split));
        Plain { dataset, manifest, users, items, rows }
    }

    /// What holds for every dataset.
    fn check(&self) {
        for (split, rows) in Split::ALL.into_iter().zip(&self.rows) {
            assert_eq!(self.manifest.split(split).rows, rows.len() as u64);
        }
        let train = &self.rows[0];
        for (side, info, column) in [(&self.users, &self.manifest.users, 0), (&self.items, &self.manifest.items, 1)] {
            let mut counts = vec![0; info.rows as usize];
            train.iter().for_each(|&(user, item, ..)| counts[[user, item][column] as usize] += 1);
            assert_eq!(side.table.counts, counts, "counts are those of the training split");
            assert!(counts[1..].iter().all(|&count| count > 0), "whoever has a row of a table was trained on");
            let others = self.rows[1..].iter().flatten();
            assert!(others.map(|row| [row.0, row.1][column]).all(|id| id > 0 && id < info.rows + info.unseen));
            assert_eq!(side.unseen.as_ref().map_or(0, |unseen| unseen.len()), info.unseen as usize);
        }
        // Rows are counted that repeat what training has.
        let pairs = |rows: &[Row]| rows.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>();
        let (trained, valid) = (pairs(train), pairs(&self.rows[1]));
        let repeats = (0..trained.len()).filter(|&at| trained[..at].contains(&trained[at])).count() as u64;
        assert_eq!(self.manifest.train.repeats, Some(repeats));
        let repeats = valid.iter().filter(|pair| trained.contains(pair)).count() as u64;
        assert_eq!(self.manifest.valid.repeats, Some(repeats));
        assert_eq!(self.manifest.test.repeats, None, "the test split is not read");
        let history = History::of_dataset(&self.dataset).unwrap();
        for user in 0..self.manifest.users.rows {
            let mut own: Vec<Row> = train.iter().copied().filter(|row| row.0 == user).collect();
            own.sort_by_key(|row| row.2);
            let mut found = Vec::new();
            history.items(user, &mut found).unwrap();
            assert_eq!(found, own.iter().map(|row| row.1).collect::<Vec<_>>());
        }
    }

    /// Raw ids and features of every number, below `most`.
    fn named(&self, most: [u32; 2]) -> Vec<(String, Vec<FeatureColumn>)> {
        let all = |side: &Vocabulary, most: u32| {
            let name = |id| side.raw(id).map_or(String::new(), |raw: RawId<'_>| format!("{raw:?}"));
            (0..most).map(|id| (name(id), side.features_of(&[id]))).collect::<Vec<_>>()
        };
        [all(&self.users, most[0]), all(&self.items, most[1])].concat()
    }

    fn bounds(&self) -> [u32; 2] {
        [&self.manifest.users, &self.manifest.items].map(|side| side.rows + side.unseen)
    }
}

/// What the manifest says of the rows as a whole is what they give.
fn check_shape(dir: &Path) {
    let told = Dataset::open(dir).unwrap().manifest().shape.clone();
    edit(dir, |manifest| (manifest.shape, manifest.train.repeats) = (None, None));
    assert_eq!(told.unwrap(), shape::Shape::of(&Dataset::open(dir).unwrap()).unwrap());
}

fn rows(dataset: &Dataset, split: Split) -> Vec<Row> {
    let mut found = Vec::new();
    for file in &dataset.split(split).files {
        let shard = Shard::open(dataset.path(file)).unwrap();
        for block in 0..shard.blocks() {
            let rows = shard.block(block).unwrap();
            found.extend((0..rows.len()).map(|i| {
                let time = rows.timestamps.map_or(0, |times| times[i]);
                (rows.users[i], rows.items[i], time, rows.weights.map_or(0, |weights| weights[i].to_bits()))
            }));
        }
    }
    found
}

/// How an input looks.
#[derive(Clone, Copy, Debug)]
struct Look {
    times: bool,
    weights: bool,
    texts: bool,
    features: bool,
    /// As another program leaves a folder: without history, checksums, times of the splits.
    foreign: bool,
}

/// User, item, time.
type Raw = Vec<(u32, u32, i64)>;

fn write_split(case: &Case, name: &str, rows: &Raw, look: Look) {
    let mut text = String::from("user,item");
    text += if look.times { ",time" } else { "" };
    text += if look.weights { ",weight\n" } else { "\n" };
    let prefix = |letter: &str| if look.texts { letter.to_owned() } else { String::new() };
    for (n, (user, item, time)) in rows.iter().enumerate() {
        text += &format!("{}{user},{}{item}", prefix("u"), prefix("i"));
        text += &if look.times { format!(",{time}") } else { String::new() };
        text += &if look.weights { format!(",{}\n", n % 5) } else { "\n".to_owned() };
    }
    case.write(name, text);
}

/// Ingests rows that are split already.
fn dataset(case: &Case, [train, valid, test]: [&Raw; 3], look: Look) -> Dataset {
    write_split(case, "train.csv", train, look);
    let others = [("valid.csv", valid), ("test.csv", test)].map(|(name, rows)| {
        write_split(case, name, rows, look);
        if rows.is_empty() { vec![] } else { vec![case.path(name)] }
    });
    let config = config(|c| {
        [c.valid, c.test] = others;
        c.weight = look.weights.then(|| "weight".into());
        if look.features {
            let letter = if look.texts { "u" } else { "" };
            let users: String = (0..20).map(|n| format!("{letter}{n},c{},t{}|t{}\n", n % 3, n % 4, n % 2)).collect();
            c.user_features = Some(case.write("users.csv", "user,city,tags\n".to_owned() + &users));
            c.user_feature_kinds.insert("tags".into(), FeatureSpec::MultiHot("|".into()));
        }
    });
    case.run("train.csv", &config).unwrap();
    if look.foreign {
        edit(&case.out(), |manifest| {
            manifest.history = None;
            for split in [&mut manifest.train, &mut manifest.valid, &mut manifest.test] {
                (split.first_timestamp, split.last_timestamp) = (None, None);
                split.files.iter_mut().for_each(|file| (file.xxh3, file.footer) = (None, None));
            }
        });
    }
    Dataset::open(case.out()).unwrap()
}

fn edit(dir: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = dir.join("dataset.json");
    let mut manifest: Manifest = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut manifest);
    write_json(&path, &manifest).unwrap();
}

fn times(rows: &[Row]) -> (Option<i64>, Option<i64>) {
    (rows.iter().map(|row| row.2).min(), rows.iter().map(|row| row.2).max())
}

fn told(info: &SplitInfo) -> (Option<i64>, Option<i64>) {
    (info.first_timestamp, info.last_timestamp)
}

fn raw(users: u32, items: u32, most: usize, least: usize) -> impl Strategy<Value = Raw> {
    prop::collection::vec((0..users, 0..items, 0i64..40), least..=most)
}

fn look() -> impl Strategy<Value = Look> {
    any::<[bool; 5]>().prop_map(|[times, weights, texts, features, foreign]| Look {
        times,
        weights,
        texts,
        features,
        foreign,
    })
}

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
                    prop_assert_eq!(users.len(), new.rows[1].len());
                    let rows = |user: &u32| old.rows[0].iter().filter(|row| row.0 == *user).count();
                    prop_assert!(users.iter().all(|user| rows(user) >= 3));
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
        of_user(row.0).count() >= 3 && of_user(row.0).map(|(at, row)| (row.2, at)).max() == Some((row.2, at))
    };
    if timed && let Some(rows) = divided(train, is_last) {
        return Some((HoldoutKind::LastPerUser, rows));
    }
    divided(train, |_, _| true).map(|rows| (HoldoutKind::Random { seed }, rows))
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

const PLAIN: Look = Look { times: true, weights: false, texts: true, features: false, foreign: false };

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
