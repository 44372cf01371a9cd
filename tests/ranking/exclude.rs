//! Which of a user's items are left out: of every split, of the training split, or none.

use std::collections::BTreeMap;
use std::fs;

use tercel::data::dataset::Dataset;
use tercel::index::{Exclude, Ranker, RecommendOptions, Seen, Users, recommend};
use tercel::table::ReadOptions;
use tercel::{Error, Result};

use super::fixture::{Scored, Toy, vocabularies};

const ALL: u64 = 1 << 20;

/// Four known users and one that only the test split names (u5); five known items and an unseen one (i6).
fn toy() -> Toy {
    let mut toy = Toy::new(5, 6);
    (toy.known_users, toy.known_items) = (4, 5);
    toy.train = vec![(1, 1, 10), (1, 2, 11), (2, 3, 12), (3, 5, 13), (4, 4, 14)];
    toy.valid = vec![(1, 3), (2, 3), (2, 5), (0, 1)];
    toy.test = vec![(1, 6), (1, 4), (5, 2), (5, 6), (5, 1), (1, 4)];
    toy
}

/// What each user gets, the highest item row first; `users` as [`Users::read`] reads them, or all.
fn lists(of: &Dataset, seen: &Seen, exclude: Exclude, users: Option<&str>) -> BTreeMap<String, String> {
    let (user_ids, items) = vocabularies(of);
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("users.csv"), folder.path().join("out.csv"));
    let who = match users {
        Some(text) => {
            fs::write(&list, text).unwrap();
            Users::read(list.as_path(), &user_ids, &items, &of.manifest().columns, &ReadOptions::default()).unwrap().0
        }
        None => Users::all(&user_ids),
    };
    let options = RecommendOptions::top(6).exclude(exclude);
    let mut ranker = Scored::new(items.rows() as u32 - 1, |_, item| item as f32);
    recommend(&mut ranker, &who, &items, Some(seen), &out, &options, &mut |_| Ok(())).unwrap();
    let mut lists: BTreeMap<String, String> = BTreeMap::new();
    for line in fs::read_to_string(&out).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let list = lists.entry(cells[0].to_owned()).or_default();
        list.push_str(&cells[2][1..]);
    }
    lists
}

fn expected<const N: usize>(lists: [(&str, &str); N]) -> BTreeMap<String, String> {
    lists.into_iter().map(|(user, list)| (user.to_owned(), list.to_owned())).collect()
}

#[test]
fn items_of_every_split_are_left_out() {
    let (_dir, dataset) = toy().write();
    let seen = Seen::of_dataset(&dataset).unwrap().with_held_out(&dataset, ALL).unwrap();
    // u1 has 1, 2 (training), 3 (validation), 4 and the unseen 6 (test); u2 3, 5; u3 5; u4 4; u5, cold, 2, 6 and 1.
    let all = expected([("u1", "5"), ("u2", "421"), ("u3", "4321"), ("u4", "5321"), ("u5", "543")]);
    assert_eq!(lists(&dataset, &seen, Exclude::All, None), all);
    let train = expected([("u1", "543"), ("u2", "5421"), ("u3", "4321"), ("u4", "5321"), ("u5", "54321")]);
    assert_eq!(lists(&dataset, &seen, Exclude::Train, None), train);
    let none = ["u1", "u2", "u3", "u4", "u5"].map(|user| (user, "54321"));
    assert_eq!(lists(&dataset, &seen, Exclude::None, None), expected(none));
    // What knows of the training split alone leaves out what it knows of.
    assert_eq!(lists(&dataset, &Seen::of_dataset(&dataset).unwrap(), Exclude::All, None), train);
    // Users of a file: the cold one by its name, and a row of the file counts too.
    let text = "customer,article\nu5,\nu1,i5\nnew,i3\n";
    let of_file = expected([("u5", "543"), ("new", "5421")]);
    assert_eq!(lists(&dataset, &seen, Exclude::All, Some(text)), of_file, "u1 has everything");
}

#[test]
fn histories_stay_those_of_the_training_split() {
    let (_dir, dataset) = toy().write();
    let seen = Seen::of_dataset(&dataset).unwrap().with_held_out(&dataset, ALL).unwrap();
    let (users, items) = vocabularies(&dataset);
    let out = tempfile::tempdir().unwrap();
    let mut ranker = Scored::new(5, |_, item| item as f32).reading(3);
    let (who, file) = (Users::all(&users), out.path().join("top.csv"));
    let ranked = &mut |_| Ok(());
    recommend(&mut ranker, &who, &items, Some(&seen), &file, &RecommendOptions::top(2), ranked).unwrap();
    let history = ranker.blocks[0].history.as_ref().unwrap();
    assert_eq!((0..5).map(|user| history.get(user)).collect::<Vec<_>>(), [&[1, 2][..], &[3], &[5], &[4], &[]]);
    // A ranker that reads histories is never given empty ones for want of them.
    let error = recommend(&mut ranker, &who, &items, None, &file, &RecommendOptions::top(2), ranked).unwrap_err();
    assert!(matches!(&error, Error::Config { field, .. } if field == "seen"), "{error}");
}

#[test]
fn a_newer_dataset_that_numbers_otherwise() {
    let (_dir, ours) = toy().write();
    let (users, items) = vocabularies(&ours);
    let mut newer = Toy::new(5, 6);
    newer.users = ["u9", "u5", "u1", "u3", "u4"].map(str::to_owned).to_vec();
    newer.items = ["i4", "i9", "i2", "i1", "i5", "i6"].map(str::to_owned).to_vec();
    (newer.known_users, newer.known_items) = (3, 4);
    // Training: u9 i4; u5 i9, i2; u1 i1. Held out: u9 i5 (unseen there, known here); u3, cold there, i2, i6; u1 i4.
    newer.train = vec![(1, 1, 5), (2, 2, 6), (2, 3, 7), (3, 4, 8)];
    newer.valid = vec![(1, 5), (4, 3)];
    newer.test = vec![(4, 6), (3, 1)];
    let (_other, newer) = newer.write();
    let seen = Seen::with_vocabularies(&newer, &users, &items).unwrap().with_held_out(&newer, ALL).unwrap();
    let all = expected([("u1", "532"), ("u2", "54321"), ("u3", "5431"), ("u4", "54321"), ("u5", "5431")]);
    assert_eq!(lists(&ours, &seen, Exclude::All, None), all);
    let train = expected([("u1", "5432"), ("u2", "54321"), ("u3", "54321"), ("u4", "54321"), ("u5", "5431")]);
    assert_eq!(lists(&ours, &seen, Exclude::Train, None), train);
    // u9 is new to the model, and not to the dataset.
    assert_eq!(lists(&ours, &seen, Exclude::All, Some("u9\nnobody\n")), expected([("u9", "321"), ("nobody", "54321")]));
}

#[test]
fn users_behind_the_vocabulary_are_known_by_name() {
    // The same training rows, and another user behind them: the number alone would be the wrong one's.
    let (_dir, ours) = toy().write();
    let (users, items) = vocabularies(&ours);
    let mut other = toy();
    other.users[4] = "u6".to_owned();
    other.test.push((5, 5));
    let (_other, other) = other.write();
    let seen = Seen::with_vocabularies(&other, &users, &items).unwrap().with_held_out(&other, ALL).unwrap();
    let found = lists(&ours, &seen, Exclude::All, None);
    assert_eq!((found["u5"].as_str(), found["u1"].as_str()), ("54321", "5"));
}

#[test]
fn memory_of_held_out_items_is_bounded() {
    let (_dir, dataset) = toy().write();
    let held_out = |memory| -> Result<Seen> { Seen::of_dataset(&dataset)?.with_held_out(&dataset, memory) };
    // Ten rows of 4 bytes, six users of 8.
    assert!(held_out(88).is_ok());
    let error = held_out(87).unwrap_err();
    assert!(matches!(error, Error::Memory { needed: 88, allowed: 87, .. }), "{error}");
    let mut damaged = toy();
    damaged.test.push((1, 7));
    let error = Seen::of_dataset(&dataset).unwrap().with_held_out(&damaged.write().1, ALL).unwrap_err();
    assert!(matches!(error, Error::IdOutOfRange { column: "item", id: 7, rows: 7, .. }), "{error}");
}

#[test]
fn an_observer_stops_the_call() {
    let (dir, dataset) = toy().write();
    let (users, items) = vocabularies(&dataset);
    let out = dir.path().join("out.csv");
    fs::write(&out, "yesterday's").unwrap();
    let mut ranker = Scored::new(5, |_, item| item as f32);
    let stop = &mut |_| Err(Error::Interrupted { what: "the call".into() });
    let options = RecommendOptions::top(2).memory(100_000);
    let error = recommend(&mut ranker, &Users::all(&users), &items, None, &out, &options, stop).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(
        (fs::read_to_string(&out).unwrap(), ranker.blocks.len(), ranker.history_len()),
        ("yesterday's".into(), 1, 0)
    );
}

#[test]
fn the_words_of_the_setting() {
    for exclude in [Exclude::All, Exclude::Train, Exclude::None] {
        assert_eq!(exclude.to_string().parse::<Exclude>().unwrap(), exclude);
        assert_eq!(Exclude::resolve(Some(exclude), false).unwrap(), exclude);
    }
    assert!(matches!("test".parse::<Exclude>(), Err(Error::Config { .. })));
    assert_eq!(Exclude::resolve(None, false).unwrap(), Exclude::All);
    assert_eq!(Exclude::resolve(None, true).unwrap(), Exclude::None);
    assert_eq!(Exclude::resolve(Some(Exclude::None), true).unwrap(), Exclude::None);
    for other in [Exclude::All, Exclude::Train] {
        let error = Exclude::resolve(Some(other), true).unwrap_err().to_string();
        assert!(
            error.contains(other.name()) && error.contains("include_seen") && error.lines().count() == 1,
            "{error}"
        );
    }
}
