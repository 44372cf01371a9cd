//! Datasets in plain types, and what they are made of: rows of three splits, in files that look this way or that.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tercel::data::dataset::{Dataset, EntityInfo, Manifest, Split, SplitInfo, write_json};
use tercel::data::history::History;
use tercel::data::ingest::FeatureSpec;
use tercel::data::shape;
use tercel::data::shard::Shard;
use tercel::data::vocabulary::{FeatureColumn, RawId, Vocabulary};

use crate::ingest::support::{Case, config};

/// A row: user, item, time (0 where there is none), bits of the weight.
pub type Row = (u32, u32, i64, u32);

/// A dataset in plain types.
pub struct Plain {
    pub dataset: Dataset,
    pub manifest: Manifest,
    pub users: Vocabulary,
    pub items: Vocabulary,
    /// Training, validation, test.
    pub rows: [Vec<Row>; 3],
}

impl Plain {
    pub fn of(dataset: Dataset) -> Plain {
        dataset.verify().unwrap();
        let manifest = dataset.manifest().clone();
        let open = |info: &EntityInfo| Vocabulary::open(dataset.dir(), info).unwrap();
        let (users, items) = (open(&manifest.users), open(&manifest.items));
        let rows = Split::ALL.map(|split| rows(&dataset, split));
        Plain { dataset, manifest, users, items, rows }
    }

    /// What holds for every dataset.
    pub fn check(&self) {
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
    pub fn named(&self, most: [u32; 2]) -> Vec<(String, Vec<FeatureColumn>)> {
        let all = |side: &Vocabulary, most: u32| {
            let name = |id| side.raw(id).map_or(String::new(), |raw: RawId<'_>| format!("{raw:?}"));
            (0..most).map(|id| (name(id), side.features_of(&[id]))).collect::<Vec<_>>()
        };
        [all(&self.users, most[0]), all(&self.items, most[1])].concat()
    }

    pub fn bounds(&self) -> [u32; 2] {
        [&self.manifest.users, &self.manifest.items].map(|side| side.rows + side.unseen)
    }
}

/// What the manifest says of the rows as a whole is what they give.
pub fn check_shape(dir: &Path) {
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
pub struct Look {
    pub times: bool,
    pub weights: bool,
    pub texts: bool,
    pub features: bool,
    /// As another program leaves a folder: without history, checksums, times of the splits.
    pub foreign: bool,
}

/// User, item, time.
pub type Raw = Vec<(u32, u32, i64)>;

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
pub fn dataset(case: &Case, [train, valid, test]: [&Raw; 3], look: Look) -> Dataset {
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

pub fn edit(dir: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = dir.join("dataset.json");
    let mut manifest: Manifest = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut manifest);
    write_json(&path, &manifest).unwrap();
}

pub fn times(rows: &[Row]) -> (Option<i64>, Option<i64>) {
    (rows.iter().map(|row| row.2).min(), rows.iter().map(|row| row.2).max())
}

pub fn told(info: &SplitInfo) -> (Option<i64>, Option<i64>) {
    (info.first_timestamp, info.last_timestamp)
}

pub fn raw(users: u32, items: u32, most: usize, least: usize) -> impl Strategy<Value = Raw> {
    prop::collection::vec((0..users, 0..items, 0i64..40), least..=most)
}

pub fn look() -> impl Strategy<Value = Look> {
    any::<[bool; 5]>().prop_map(|[times, weights, texts, features, foreign]| Look {
        times,
        weights,
        texts,
        features,
        foreign,
    })
}

pub const PLAIN: Look = Look { times: true, weights: false, texts: true, features: false, foreign: false };
