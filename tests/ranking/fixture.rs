//! Small datasets on disk, and a ranker whose scores are given.

use std::path::Path;

use tempfile::TempDir;
use tercel::Result;
use tercel::data::dataset::{
    Dataset, EntityInfo, FORMAT_VERSION, Feature, Manifest, SourceColumns, SplitInfo, write_json,
};
use tercel::data::history::History;
use tercel::data::vocabulary::{EntityTable, FeatureColumn, RawIds, Vocabulary};
use tercel::data::writer::ShardWriter;
use tercel::index::{Found, Lists, NO_ITEM, Ranker, UserBlock};

/// What a dataset is made of. Ids are dense: 1 and up, unseen ones behind the known.
pub struct Toy {
    /// Raw ids of rows 1 and up, known ones first.
    pub users: Vec<String>,
    pub known_users: u32,
    pub items: Vec<String>,
    pub known_items: u32,
    /// User, item, time.
    pub train: Vec<(u32, u32, i64)>,
    pub valid: Vec<(u32, u32)>,
    pub test: Vec<(u32, u32)>,
    pub user_features: Vec<(Feature, FeatureColumn)>,
}

impl Toy {
    /// Users `u1…`, items `i1…`.
    pub fn new(users: u32, items: u32) -> Toy {
        Toy {
            users: (1..=users).map(|n| format!("u{n}")).collect(),
            known_users: users,
            items: (1..=items).map(|n| format!("i{n}")).collect(),
            known_items: items,
            train: vec![],
            valid: vec![],
            test: vec![],
            user_features: vec![],
        }
    }

    pub fn write(&self) -> (TempDir, Dataset) {
        let dir = tempfile::tempdir().unwrap();
        let timed = |name: &str, rows: &[(u32, u32, i64)]| {
            let mut writer = ShardWriter::create(dir.path(), name, true, false).rows_per_block(7).rows_per_shard(20);
            for &(user, item, time) in rows {
                writer.push(&[user], &[item], &[time], &[]).unwrap();
            }
            let files = writer.finish().unwrap();
            SplitInfo { rows: rows.len() as u64, files, ..SplitInfo::default() }
        };
        let train = timed("train", &self.train);
        let at = |rows: &[(u32, u32)], time| rows.iter().map(|&(user, item)| (user, item, time)).collect::<Vec<_>>();
        let (valid, test) = (timed("valid", &at(&self.valid, 900_000)), timed("test", &at(&self.test, 1_000_000)));
        let paths: Vec<_> = train.files.iter().map(|file| dir.path().join(&file.name)).collect();
        let mut user_counts = vec![0; self.users.len() + 1];
        let mut item_counts = vec![0; self.items.len() + 1];
        for &(user, item, _) in &self.train {
            user_counts[user as usize] += 1;
            item_counts[item as usize] += 1;
        }
        let users = side(dir.path(), "users", &self.users, self.known_users, &user_counts, &self.user_features);
        let items = side(dir.path(), "items", &self.items, self.known_items, &item_counts, &[]);
        let manifest = Manifest {
            format: "tercel-dataset".into(),
            version: FORMAT_VERSION,
            columns: SourceColumns {
                user: "customer".into(),
                item: "article".into(),
                time: Some("day".into()),
                weight: None,
                ..SourceColumns::default()
            },
            train,
            valid,
            test,
            history: Some(History::write(dir.path(), &paths, users.rows).unwrap()),
            filtered: None,
            shape: None,
            split: None,
            derived: None,
            users,
            items,
        };
        write_json(&dir.path().join("dataset.json"), &manifest).unwrap();
        let dataset = Dataset::open(dir.path()).unwrap();
        (dir, dataset)
    }
}

/// Integers where every id is one.
fn raw_ids<'a>(ids: impl Iterator<Item = &'a String> + Clone) -> RawIds {
    let integers = ids.clone().all(|id| id.is_empty() || id.parse::<i64>().is_ok());
    let mut raw = if integers { RawIds::integer() } else { RawIds::text() };
    for id in ids {
        raw.push_text(id);
    }
    raw
}

fn side(
    dir: &Path,
    name: &str,
    ids: &[String],
    known: u32,
    counts: &[u64],
    features: &[(Feature, FeatureColumn)],
) -> EntityInfo {
    let known = known as usize;
    let (infos, columns): (Vec<Feature>, Vec<FeatureColumn>) = features.iter().cloned().unzip();
    let nobody = String::new();
    let table = EntityTable {
        ids: raw_ids(std::iter::once(&nobody).chain(&ids[..known])),
        counts: counts[..=known].to_vec(),
        features: columns.iter().map(|column| rows(column, 0, known + 1)).collect(),
    };
    let file = table.write(&dir.join(format!("{name}.arrow")), &infos).unwrap();
    let unseen = ids.len() - known;
    let unseen_file = (unseen > 0).then(|| {
        let table = EntityTable {
            ids: raw_ids(ids[known..].iter()),
            counts: vec![0; unseen],
            features: columns.iter().map(|column| rows(column, known + 1, ids.len() + 1)).collect(),
        };
        table.write(&dir.join(format!("{name}-unseen.arrow")), &infos).unwrap()
    });
    EntityInfo { rows: known as u32 + 1, unseen: unseen as u32, unseen_valid: 0, file, unseen_file, features: infos }
}

fn rows(column: &FeatureColumn, from: usize, to: usize) -> FeatureColumn {
    match column {
        FeatureColumn::Codes(codes) => FeatureColumn::Codes(codes[from..to].to_vec()),
        FeatureColumn::Lists { offsets, codes } => FeatureColumn::Lists {
            offsets: offsets[from..=to].iter().map(|offset| offset - offsets[from]).collect(),
            codes: codes[offsets[from] as usize..offsets[to] as usize].to_vec(),
        },
    }
}

pub fn vocabularies(dataset: &Dataset) -> (Vocabulary, Vocabulary) {
    let manifest = dataset.manifest();
    let open = |info| Vocabulary::open(dataset.dir(), info).unwrap();
    (open(&manifest.users), open(&manifest.items))
}

/// Ranks items `1..=items` by `score(user row, item row)`; keeps the blocks that it saw.
pub struct Scored<F: Fn(u32, u32) -> f32> {
    pub items: u32,
    pub score: F,
    pub blocks: Vec<UserBlock>,
    pub history: usize,
}

impl<F: Fn(u32, u32) -> f32> Scored<F> {
    pub fn new(items: u32, score: F) -> Scored<F> {
        Scored { items, score, blocks: vec![], history: 0 }
    }

    /// As a ranker that reads the last `history` items of a user.
    pub fn reading(self, history: usize) -> Scored<F> {
        Scored { history, ..self }
    }
}

impl<F: Fn(u32, u32) -> f32> Ranker for Scored<F> {
    fn history_len(&self) -> usize {
        self.history
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.blocks.push(users.clone());
        let mut found = Found { k, ..Found::default() };
        for (i, &user) in users.ids.iter().enumerate() {
            let mut items: Vec<u32> =
                (1..=self.items).filter(|item| skip.is_none_or(|skip| !skip.get(i).contains(item))).collect();
            items.sort_by(|&a, &b| (self.score)(user, b).total_cmp(&(self.score)(user, a)).then(a.cmp(&b)));
            for place in 0..k {
                let item = items.get(place).copied();
                found.ids.push(item.unwrap_or(NO_ITEM));
                found.scores.push(item.map_or(f32::NEG_INFINITY, |item| (self.score)(user, item)));
            }
        }
        Ok(found)
    }
}
