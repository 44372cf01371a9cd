//! From users to a predictions file.

use std::fs;
use std::path::Path;

use tercel::Error;
use tercel::data::dataset::{Dataset, Feature, FeatureKind};
use tercel::data::ingest::{FeatureSpec, IngestConfig, ingest};
use tercel::data::vocabulary::{FeatureColumn, RawId};
use tercel::eval::Popularity;
use tercel::index::filter::AllowList;
use tercel::index::{Exclude, RecommendOptions, Recommended, Seen, Users, recommend};
use tercel::table::ReadOptions;

use super::fixture::{Scored, Toy, vocabularies};

/// Four users, five items; counts i1 3, i2 2, i3 1, i4 1, i5 0.
fn toy() -> Toy {
    let mut toy = Toy::new(4, 5);
    toy.train = vec![(1, 1, 10), (2, 1, 11), (3, 1, 12), (3, 2, 13), (4, 2, 14), (2, 3, 16), (3, 4, 9)];
    let colour = FeatureKind::Categorical { values: vec!["red".into(), "blue".into()] };
    let clubs = FeatureKind::MultiHot { separator: "|".into(), values: vec!["a".into(), "b".into(), "c".into()] };
    let named = |name: &str, kind| Feature { name: name.into(), kind };
    toy.user_features = vec![
        (named("colour", colour), FeatureColumn::Codes(vec![0, 1, 1, 2, 1])),
        (named("clubs", clubs), FeatureColumn::Lists { offsets: vec![0, 0, 1, 3, 3, 4], codes: vec![1, 2, 3, 1] }),
    ];
    toy
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// Scores every item by its row alone.
type ByRow = Scored<fn(u32, u32) -> f32>;

/// Recommends to the users of a file by item row, the highest first, and gives the blocks that the ranker saw.
fn to_file_users(dataset: &Dataset, text: &str, k: usize, history: usize) -> (Vec<String>, ByRow) {
    let folder = tempfile::tempdir().unwrap();
    let (list, out) = (folder.path().join("users.csv"), folder.path().join("out.csv"));
    fs::write(&list, text).unwrap();
    let (users, items) = vocabularies(dataset);
    let (who, _) = Users::read(&list, &users, &items, &dataset.manifest().columns, &ReadOptions::default()).unwrap();
    let seen = Seen::of_dataset(dataset).unwrap();
    let mut ranker = Scored::new(5, (|_, item| item as f32) as fn(u32, u32) -> f32).reading(history);
    let options = RecommendOptions::top(k);
    recommend(&mut ranker, &who, &items, Some(&seen), &out, &options, &mut |_| Ok(())).unwrap();
    (lines(&out), ranker)
}

#[test]
fn everybody_gets_what_is_popular_and_not_seen() {
    let (dir, dataset) = toy().write();
    let (users, items) = vocabularies(&dataset);
    let out = dir.path().join("out.csv");
    let seen = Seen::of_dataset(&dataset).unwrap();
    let mut ranker = Popularity::new(&items.table.counts, None);
    let mut calls = Vec::new();
    let options = RecommendOptions::top(3);
    let done = recommend(&mut ranker, &Users::all(&users), &items, Some(&seen), &out, &options, &mut |p| {
        calls.push((p.done, p.total));
        Ok(())
    })
    .unwrap();
    let expected = [
        "u1,1,i2,2",
        "u1,2,i3,1",
        "u1,3,i4,1",
        "u2,1,i2,2",
        "u2,2,i4,1",
        "u2,3,i5,0",
        "u3,1,i3,1",
        "u3,2,i5,0",
        "u4,1,i1,3",
        "u4,2,i3,1",
        "u4,3,i4,1",
    ];
    assert_eq!(lines(&out), expected);
    assert_eq!(calls, [(4, 4)]);
    // u3 has had three of the five items.
    assert_eq!((done.users, done.k, done.rows, done.short_users), (4, 3, 11, 1));
    assert_eq!((done.diversity.distinct_lists, done.diversity.identical_share), (4, 0.0));
    let json: Recommended = serde_json::from_value(serde_json::to_value(&done).unwrap()).unwrap();
    assert_eq!(json, done);

    let all = options.exclude(Exclude::None);
    let done = recommend(&mut ranker, &Users::all(&users), &items, Some(&seen), &out, &all, &mut |_| Ok(())).unwrap();
    assert_eq!((done.rows, done.diversity.distinct_lists, done.diversity.most_common_share), (12, 1, 1.0));
    assert_eq!(lines(&out)[..3], ["u1,1,i1,3", "u1,2,i2,2", "u1,3,i3,1"]);
}

#[test]
fn small_blocks_write_the_same_file() {
    let mut toy = Toy::new(300, 9);
    toy.train = (0..900).map(|i| (1 + i % 300, 1 + (i * 7 + i / 300) % 9, i64::from(i))).collect();
    let (dir, dataset) = toy.write();
    let (users, items) = vocabularies(&dataset);
    let seen = Seen::of_dataset(&dataset).unwrap();
    let write = |name: &str, memory| {
        let out = dir.path().join(name);
        let mut ranker = Scored::new(9, |user, item| ((user * 31 + item * 17) % 5) as f32);
        let options = RecommendOptions::default().memory(memory);
        recommend(&mut ranker, &Users::all(&users), &items, Some(&seen), &out, &options, &mut |_| Ok(())).unwrap();
        (fs::read(out).unwrap(), ranker.blocks.len())
    };
    let (whole, blocks) = write("whole.jsonl", 512 << 20);
    let (cut, cuts) = write("cut.jsonl", 100_000);
    assert!(whole == cut && blocks == 1 && cuts == 150, "{blocks} {cuts}");
    // Three of nine items are seen; no one has twelve left.
    assert!(whole.split(|&byte| byte == b'\n').count() == 300 * 6 + 1);
}

#[test]
fn users_of_a_file_in_its_order() {
    let (_dir, dataset) = toy().write();
    // A plain list; u9 is new: no history, no features, every item.
    let (rows, ranker) = to_file_users(&dataset, "u3\nu9\n\nu1\nu3\n", 2, 0);
    assert_eq!(rows, ["u3,1,i5,5", "u3,2,i3,3", "u9,1,i5,5", "u9,2,i4,4", "u1,1,i5,5", "u1,2,i4,4"]);
    assert_eq!(ranker.blocks[0].ids, [3, 0, 1]);
    // A header changes nothing, nor do a byte order mark, line ends of another system, and columns that say nothing.
    let (again, _) = to_file_users(&dataset, "\u{feff}note\tcustomer\r\nx\tu3\r\ny\tu9\r\nz\tu1\r\n", 2, 0);
    assert_eq!(again, rows);
}

#[test]
fn a_new_user_with_only_a_history() {
    let (_dir, dataset) = toy().write();
    let text = "customer,article,day\nnew,i5,2020-01-03\nnew,i2,2020-01-01\nu3,i5,2020-01-01\nnew,i99,2020-01-02\nnew,i4,2020-01-02 08:30\n";
    let (rows, ranker) = to_file_users(&dataset, text, 5, 3);
    // new has i2, i4, i5; u3 has i4, i1, i2 from training and i5 from the file.
    assert_eq!(rows, ["new,1,i3,3", "new,2,i1,1", "u3,1,i3,3"]);
    let block = &ranker.blocks[0];
    assert_eq!(block.ids, [0, 3]);
    let history = block.history.as_ref().unwrap();
    assert_eq!((history.get(0), history.get(1)), (&[2, 4, 5][..], &[1, 2, 5][..]));
}

#[test]
fn features_of_a_file_replace_what_is_known() {
    let (_dir, dataset) = toy().write();
    let text = "user,clubs,colour\nnew,c|a,blue\nu2,,\nu3,b,red\nu1,x,green\n";
    let (_, ranker) = to_file_users(&dataset, text, 1, 0);
    let block = &ranker.blocks[0];
    assert_eq!(block.ids, [0, 2, 3, 1]);
    assert_eq!(block.features[0], FeatureColumn::Codes(vec![2, 1, 1, 0]));
    // u2's own b, c stay; x is none of the values.
    assert_eq!(block.features[1], FeatureColumn::Lists { offsets: vec![0, 2, 4, 5, 5], codes: vec![1, 3, 2, 3, 2] });
}

#[test]
fn features_of_users_of_the_other_splits_are_known() {
    let mut toy = toy();
    // u4's purchases are held out, and so its row goes: a cold user, whose features are kept.
    (toy.known_users, toy.test) = (3, vec![(4, 2)]);
    toy.train.retain(|row| row.0 != 4);
    let (_dir, dataset) = toy.write();
    let (rows, ranker) = to_file_users(&dataset, "u4\nu3\nu9\n", 1, 2);
    assert_eq!(rows, ["u4,1,i5,5", "u3,1,i5,5", "u9,1,i5,5"]);
    assert_eq!(ranker.blocks[0].ids, [0, 3, 0]);
    assert_eq!(ranker.blocks[0].features[0], FeatureColumn::Codes(vec![1, 2, 0]));
    let clubs = FeatureColumn::Lists { offsets: vec![0, 1, 1, 1], codes: vec![1] };
    assert_eq!(ranker.blocks[0].features[1], clubs);
    // What the file gives stands in their place, the rest stays.
    let (_, ranker) = to_file_users(&dataset, "user,colour\nu4,blue\n", 1, 0);
    assert_eq!(ranker.blocks[0].features[0], FeatureColumn::Codes(vec![2]));
    assert_eq!(ranker.blocks[0].features[1], FeatureColumn::Lists { offsets: vec![0, 1], codes: vec![1] });
}

#[test]
fn features_of_a_file_have_the_codes_that_ingest_gave_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut rows = String::from("user,item\n");
    let mut features = String::from("user,colour,clubs,age\n");
    for n in 0..40 {
        rows += &format!("u{n},i{}\n", n % 7);
        let clubs = [["b|a", "c", "", "a | c|a", "d|b"], ["c|b|a", "x", "a", "", "b"]][n % 2][n % 5];
        let age = ["31", "nan", "", "4.5", "-2", "1e3", "31.0"][n % 7];
        features += &format!("u{n},{},{clubs},{age}\n", ["red", "blue", "", "sea green"][n % 4]);
    }
    fs::write(path("rows.csv"), rows).unwrap();
    fs::write(path("users.csv"), features).unwrap();
    let kinds = [
        ("colour", FeatureSpec::Categorical),
        ("clubs", FeatureSpec::MultiHot("|".into())),
        ("age", FeatureSpec::Numeric(8)),
    ];
    let config = IngestConfig {
        user: Some("user".into()),
        item: Some("item".into()),
        user_features: Some(path("users.csv")),
        user_feature_kinds: kinds.map(|(name, kind)| (name.to_owned(), kind)).into(),
        ..IngestConfig::default()
    };
    ingest(&[path("rows.csv")], &path("data"), &config, &|_| {}).unwrap();
    let dataset = Dataset::open(path("data")).unwrap();
    let (users, _) = vocabularies(&dataset);
    // The same rows for new users: they must look like the users that were ingested.
    let renamed = fs::read_to_string(path("users.csv")).unwrap().replace("\nu", "\nnew");
    let (_, ranker) = to_file_users(&dataset, &renamed, 1, 0);
    let known: Vec<u32> = (0..40).map(|n| users.find(RawId::Text(&format!("u{n}"))).unwrap()).collect();
    assert_eq!(ranker.blocks[0].ids, [0; 40]);
    assert_eq!(ranker.blocks[0].features, users.features_of(&known));
    assert_eq!(ranker.blocks[0].features.len(), 3);
}

#[test]
fn ids_come_back_as_they_were() {
    let mut toy = Toy::new(3, 2);
    toy.users = ["12", "-7", "500"].map(str::to_owned).to_vec();
    toy.train = vec![(1, 1, 1), (2, 2, 2), (3, 1, 3)];
    let (dir, dataset) = toy.write();
    let (users, items) = vocabularies(&dataset);
    let write = |text: &str| {
        let (list, out) = (dir.path().join("users.txt"), dir.path().join("out.jsonl"));
        fs::write(&list, text).unwrap();
        let (who, summary) =
            Users::read(&list, &users, &items, &dataset.manifest().columns, &ReadOptions::default()).unwrap();
        let options = RecommendOptions::top(1);
        recommend(&mut Scored::new(2, |_, item| item as f32), &who, &items, None, &out, &options, &mut |_| Ok(()))
            .unwrap();
        let text = fs::read_to_string(out).unwrap();
        let user = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["user"].clone();
        (text.lines().map(user).collect::<Vec<_>>(), summary.new_users)
    };
    assert_eq!(write("500\n-7\n9\n"), (vec![500.into(), (-7).into(), 9.into()], 1));
    // 012 is not the integer 12: the column turns to text, and nobody is mixed up.
    assert_eq!(write("012\n12\n"), (vec!["012".into(), "12".into()], 1));
}

#[test]
fn files_of_users_that_cannot_be_read() {
    let (dir, dataset) = toy().write();
    let (users, items) = vocabularies(&dataset);
    let read = |bytes: &[u8]| {
        let path = dir.path().join("users.csv");
        fs::write(&path, bytes).unwrap();
        Users::read(&path, &users, &items, &dataset.manifest().columns, &ReadOptions::default())
            .map(|_| ())
            .unwrap_err()
    };
    let cases: [(&[u8], &str); 8] = [
        (b"", "the file is empty"),
        (b"customer\n", "no users"),
        (b"a,b\nc,d\n", "no column is named `customer`"),
        (b"customer,customer\nu1,u2\n", "two columns are called `customer`"),
        (b"customer,article\nu1,i1\n,i2\n", "row 3, column customer: `` is no id"),
        (b"customer,article\nu1\n", "row 2"),
        (b"customer,article,day\nu1,i1,yesterday\n", "row 2, column day: `yesterday`"),
        (b"customer,colour\nu1,\xff\n", "not UTF-8"),
    ];
    for (bytes, reason) in cases {
        let error = read(bytes);
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.exit_code(), 3, "{error}");
    }
    let columns = &dataset.manifest().columns;
    assert_eq!(
        Users::read(dir.path(), &users, &items, columns, &ReadOptions::default()).map(|_| ()).unwrap_err().exit_code(),
        3
    );
    assert_eq!(
        Users::read(dir.path().join("none"), &users, &items, columns, &ReadOptions::default())
            .map(|_| ())
            .unwrap_err()
            .exit_code(),
        3
    );
}

#[test]
fn allow_lists() {
    let (dir, dataset) = toy().write();
    let (_, items) = vocabularies(&dataset);
    let path = dir.path().join("items.txt");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        AllowList::read(&path, &items, "article", &ReadOptions::default())
    };
    let expected = AllowList { rows: vec![2, 5], listed: 4, unknown: 1, first_unknown: Some("i9".into()) };
    assert_eq!(read("i5\ni2\ni9\ni5\n").unwrap(), expected);
    assert_eq!(read("price,article\n1,i5\n2,i2\n3,i9\n4,i5\n").unwrap(), expected);
    assert_eq!(read("item\ni5\ni2\n").unwrap().rows, [2, 5]);
    let error = read("i8\ni9\n").unwrap_err();
    assert!(matches!(&error, Error::Input { .. }) && error.to_string().contains("none of the 2 items"), "{error}");
    assert!(matches!(read("").unwrap_err(), Error::Input { .. }));
    let allowed = read("i5\ni2\n").unwrap();
    let mut ranker = Popularity::new(&items.table.counts, Some(&allowed.rows));
    let (users, out) = (vocabularies(&dataset).0, dir.path().join("out.csv"));
    let options = RecommendOptions::top(1);
    recommend(&mut ranker, &Users::all(&users), &items, None, &out, &options, &mut |_| Ok(())).unwrap();
    assert!(lines(&out).iter().all(|line| line.ends_with(",1,i2,2")));
}

#[test]
fn a_dataset_that_numbers_otherwise() {
    // The ranker's vocabularies, and a newer dataset: users and items in another order, one more and one fewer of each.
    let (_dir, ours) = toy().write();
    let (users, items) = vocabularies(&ours);
    let mut newer = Toy::new(4, 5);
    newer.users = ["u5", "u3", "u2", "u1"].map(str::to_owned).to_vec();
    newer.items = ["i6", "i4", "i3", "i2", "i1"].map(str::to_owned).to_vec();
    newer.train = vec![(2, 2, 5), (2, 1, 6), (2, 5, 7), (4, 4, 8), (1, 3, 9)];
    let (_other, newer) = newer.write();
    let seen = Seen::with_vocabularies(&newer, &users, &items).unwrap();
    let of = |user: u32| {
        let mut found = Vec::new();
        seen.items(user, &mut found).unwrap();
        found
    };
    // u3 had i4, i6 (unknown here), i1; u1 had i2; u2 nothing; u4 is not in the newer dataset.
    assert_eq!((of(3), of(1), of(2), of(4), of(0)), (vec![4, 1], vec![2], vec![], vec![], vec![]));
    let same = Seen::with_vocabularies(&ours, &users, &items).unwrap();
    let mut found = Vec::new();
    same.items(3, &mut found).unwrap();
    assert_eq!(found, [4, 1, 2]);
}

#[test]
fn errors_leave_the_old_file() {
    let (dir, dataset) = toy().write();
    let (users, items) = vocabularies(&dataset);
    let out = dir.path().join("out.csv");
    fs::write(&out, "yesterday's").unwrap();
    let run = |options: RecommendOptions, ranked: u32| {
        let mut ranker = Scored::new(ranked, |_, item| item as f32);
        recommend(&mut ranker, &Users::all(&users), &items, None, &out, &options, &mut |_| Ok(())).unwrap_err()
    };
    let options = RecommendOptions::default();
    assert!(matches!(run(RecommendOptions::top(0), 5), Error::Config { .. }));
    assert!(matches!(run(options.clone().memory(1000), 5), Error::Memory { .. }));
    // The ranker names an item that the vocabulary does not have.
    assert!(matches!(run(options, 9), Error::Shape { .. }));
    assert_eq!(fs::read_to_string(&out).unwrap(), "yesterday's");
}
