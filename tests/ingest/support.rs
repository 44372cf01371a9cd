//! Small inputs, and datasets as plain rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tercel::data::dataset::{Dataset, EntityInfo, Split};
use tercel::data::history::History;
use tercel::data::ingest::{IngestConfig, IngestSummary, ingest};
use tercel::data::shard::Shard;
use tercel::data::vocabulary::{FeatureColumn, Vocabulary};
use tercel::table::TimeUnit;

/// A temp folder with inputs, and a place for the dataset.
pub struct Case {
    pub dir: TempDir,
}

/// A row of a dataset: raw user, raw item, timestamp, weight.
pub type Row = (String, String, Option<i64>, Option<f32>);

impl Case {
    pub fn new() -> Case {
        Case { dir: tempfile::tempdir().unwrap() }
    }

    /// A case with one input file.
    pub fn with(name: &str, content: impl AsRef<[u8]>) -> Case {
        let case = Case::new();
        case.write(name, content);
        case
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn out(&self) -> PathBuf {
        self.path("out")
    }

    pub fn run(&self, name: &str, config: &IngestConfig) -> tercel::Result<IngestSummary> {
        ingest(&[self.path(name)], &self.out(), config, &|_| {})
    }

    /// Ingests and opens.
    pub fn open(&self, name: &str, config: &IngestConfig) -> Opened {
        let summary = self.run(name, config).unwrap();
        Opened::new(&self.out(), summary)
    }

    /// The error's text without the temp folder's name, and the exit code. Nothing may be left behind.
    pub fn error(&self, name: &str, config: &IngestConfig) -> (String, u8) {
        let before = names(self.dir.path());
        let error = self.run(name, config).unwrap_err();
        assert_eq!(names(self.dir.path()), before, "something was left behind");
        (error.to_string().replace(&format!("{}/", self.dir.path().display()), ""), error.exit_code())
    }
}

/// The names in a folder, hidden ones included.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn config(edit: impl FnOnce(&mut IngestConfig)) -> IngestConfig {
    let mut config = IngestConfig::default();
    // The tests' times are small numbers, which nobody takes for seconds unasked.
    config.read.time_unit = Some(TimeUnit::S);
    edit(&mut config);
    config
}

/// A dataset in plain types.
pub struct Opened {
    pub dataset: Dataset,
    pub summary: IngestSummary,
    pub users: Vocabulary,
    pub items: Vocabulary,
}

impl Opened {
    pub fn new(dir: &Path, summary: IngestSummary) -> Opened {
        let dataset = Dataset::open(dir).unwrap();
        dataset.verify().unwrap();
        let open = |info: &EntityInfo| Vocabulary::open(dir, info).unwrap();
        let (users, items) = (open(&dataset.manifest().users), open(&dataset.manifest().items));
        let opened = Opened { dataset, summary, users, items };
        opened.check();
        opened
    }

    /// What holds for every dataset.
    fn check(&self) {
        let manifest = self.dataset.manifest();
        let sums = [Split::Train, Split::Valid, Split::Test].map(|split| self.rows(split).len() as u64);
        assert_eq!(sums, [self.summary.train_rows, self.summary.valid_rows, self.summary.test_rows]);
        assert_eq!(sums, [manifest.train.rows, manifest.valid.rows, manifest.test.rows]);
        assert_eq!(self.summary.rows, sums.iter().sum::<u64>());
        for (side, column) in [(&self.users, 0), (&self.items, 1)] {
            let mut counts = vec![0; side.rows()];
            for row in self.ids(Split::Train) {
                counts[row[column] as usize] += 1;
            }
            assert_eq!(counts, side.table.counts, "counts are those of the training split");
            assert!(counts[1..].is_sorted_by(|a, b| a >= b) && counts[1..].iter().all(|count| *count > 0));
        }
        let history = History::of_dataset(&self.dataset).unwrap();
        let total: usize = (0..manifest.users.rows).map(|user| history.count(user)).sum();
        assert_eq!(total as u64, sums[0]);
    }

    /// Dense ids of a split, in order.
    pub fn ids(&self, split: Split) -> Vec<[u32; 2]> {
        let mut found = Vec::new();
        for file in &self.dataset.split(split).files {
            let shard = Shard::open(self.dataset.path(file)).unwrap();
            for block in 0..shard.blocks() {
                let rows = shard.block(block).unwrap();
                found.extend(rows.users.iter().zip(rows.items).map(|(user, item)| [*user, *item]));
            }
        }
        found
    }

    /// Raw rows of a split, in order.
    pub fn rows(&self, split: Split) -> Vec<Row> {
        let mut found = Vec::new();
        for file in &self.dataset.split(split).files {
            let shard = Shard::open(self.dataset.path(file)).unwrap();
            for block in 0..shard.blocks() {
                let rows = shard.block(block).unwrap();
                for i in 0..rows.users.len() {
                    found.push((
                        self.users.raw(rows.users[i]).unwrap().to_string(),
                        self.items.raw(rows.items[i]).unwrap().to_string(),
                        rows.timestamps.map(|t| t[i]),
                        rows.weights.map(|w| w[i]),
                    ));
                }
            }
        }
        found
    }

    /// `user item` of every row of a split.
    pub fn pairs(&self, split: Split) -> Vec<String> {
        self.rows(split).into_iter().map(|(user, item, ..)| format!("{user} {item}")).collect()
    }

    /// A side's feature codes by raw id, as text: `column=code` or `column=[codes]`.
    pub fn features(&self, side: &Vocabulary, info: &EntityInfo) -> BTreeMap<String, Vec<String>> {
        let all = info.rows + info.unseen;
        let mut found = BTreeMap::new();
        for id in 1..all {
            let columns = side.features_of(&[id]);
            let texts = info.features.iter().zip(&columns).map(|(feature, column)| match column {
                FeatureColumn::Codes(codes) => format!("{}={}", feature.name, codes[0]),
                FeatureColumn::Lists { codes, .. } => format!("{}={codes:?}", feature.name),
            });
            found.insert(side.raw(id).unwrap().to_string(), texts.collect());
        }
        found
    }
}

/// A row of a dataset with a time.
pub fn row(user: &str, item: &str, time: i64) -> Row {
    (user.into(), item.into(), Some(time), None)
}

/// Every file of a folder.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}
