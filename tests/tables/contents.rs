//! A dataset in plain types: rows as text, features decoded.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tercel::data::dataset::{Dataset, EntityInfo, FeatureKind, Split};
use tercel::data::shard::Shard;
use tercel::data::vocabulary::{FeatureColumn, Vocabulary};

/// What a dataset holds.
#[derive(Debug, PartialEq)]
pub struct Contents {
    /// `user item time weight`, in order, without what the dataset lacks; `valid: ` or `test: ` before those rows.
    pub rows: Vec<String>,
    pub users: Side,
    pub items: Side,
    /// `columns` of `dataset.json`.
    pub columns: Value,
}

/// Users or items.
#[derive(Debug, PartialEq)]
pub struct Side {
    pub kinds: BTreeMap<String, &'static str>,
    /// By raw id and feature.
    pub values: BTreeMap<String, BTreeMap<String, Decoded>>,
}

/// A feature's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    Missing,
    Text(String),
    /// Sorted.
    Texts(Vec<String>),
    /// A number from the first to just below the second.
    Between(f64, f64),
}

impl Contents {
    pub fn read(dir: &Path) -> Contents {
        let dataset = Dataset::open(dir).expect("a dataset");
        dataset.verify().expect("whole");
        let manifest = dataset.manifest();
        let open = |info: &EntityInfo| Vocabulary::open(dir, info).expect("a vocabulary");
        let (users, items) = (open(&manifest.users), open(&manifest.items));
        let mut rows = Vec::new();
        for split in Split::ALL {
            let prefix = if split == Split::Train { String::new() } else { format!("{}: ", split.name()) };
            for file in &dataset.split(split).files {
                let shard = Shard::open(dataset.path(file)).expect("a shard");
                for block in 0..shard.blocks() {
                    let block = shard.block(block).expect("a block");
                    for i in 0..block.users.len() {
                        let user = users.raw(block.users[i]).expect("a user");
                        let item = items.raw(block.items[i]).expect("an item");
                        let time = block.timestamps.map_or(String::new(), |t| format!(" {}", t[i]));
                        let weight = block.weights.map_or(String::new(), |w| format!(" {}", w[i]));
                        rows.push(format!("{prefix}{user} {item}{time}{weight}"));
                    }
                }
            }
        }
        let text = fs::read_to_string(dir.join("dataset.json")).expect("dataset.json");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        Contents {
            rows,
            users: Side::read(&users, &manifest.users),
            items: Side::read(&items, &manifest.items),
            columns: json["columns"].clone(),
        }
    }
}

impl Side {
    fn read(vocabulary: &Vocabulary, info: &EntityInfo) -> Side {
        let kinds = info.features.iter().map(|feature| {
            let kind = match feature.kind {
                FeatureKind::Categorical { .. } => "categorical",
                FeatureKind::MultiHot { .. } => "multi-hot",
                FeatureKind::Numeric { .. } => "numeric",
            };
            (feature.name.clone(), kind)
        });
        let mut values = BTreeMap::new();
        for id in 1..info.rows + info.unseen {
            let columns = vocabulary.features_of(&[id]);
            let decoded = info.features.iter().zip(&columns).map(|(feature, column)| {
                let codes = match column {
                    FeatureColumn::Codes(codes) => codes,
                    FeatureColumn::Lists { codes, .. } => codes,
                };
                (feature.name.clone(), decode(&feature.kind, codes))
            });
            values.insert(vocabulary.raw(id).expect("an id").to_string(), decoded.collect());
        }
        Side { kinds: kinds.collect(), values }
    }
}

fn decode(kind: &FeatureKind, codes: &[u32]) -> Decoded {
    match kind {
        FeatureKind::MultiHot { values, .. } => {
            let mut texts: Vec<String> = codes.iter().map(|&code| values[code as usize - 1].clone()).collect();
            texts.sort_unstable();
            if texts.is_empty() { Decoded::Missing } else { Decoded::Texts(texts) }
        }
        _ if codes[0] == 0 => Decoded::Missing,
        FeatureKind::Categorical { values } => Decoded::Text(values[codes[0] as usize - 1].clone()),
        FeatureKind::Numeric { edges } => {
            let code = codes[0] as usize;
            let low = if code == 1 { f64::NEG_INFINITY } else { edges[code - 2] };
            Decoded::Between(low, edges.get(code - 1).copied().unwrap_or(f64::INFINITY))
        }
    }
}
