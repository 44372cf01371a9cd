//! A small shard, vocabulary and dataset, and the values that are read of a shard.

use std::path::Path;

use tercel::Result;
use tercel::data::dataset::{
    Dataset, EntityInfo, Feature, FeatureKind, FileInfo, Manifest, SourceColumns, SplitInfo, write_json,
};
use tercel::data::shard::Shard;
use tercel::data::vocabulary::{EntityTable, FeatureColumn, RawIds};
use tercel::data::writer::ShardWriter;

/// What a byte is set to: the least, small, the largest positive and negative, all ones.
pub const VALUES: [u8; 5] = [0, 1, 0x7f, 0x80, 0xff];

/// All rows of a shard, weights by their bits.
pub type Values = Vec<(u32, u32, Option<i64>, Option<u32>)>;

pub fn values(shard: &Shard) -> Result<Values> {
    let mut all = Vec::new();
    for block in 0..shard.blocks() {
        let rows = shard.block(block)?;
        for i in 0..rows.len() {
            let time = rows.timestamps.map(|column| column[i]);
            all.push((rows.users[i], rows.items[i], time, rows.weights.map(|column| column[i].to_bits())));
        }
    }
    assert_eq!(all.len() as u64, shard.rows());
    Ok(all)
}

/// 40 rows in three record batches.
pub fn write_shard(dir: &Path) -> FileInfo {
    let mut writer = ShardWriter::create(dir, "train", true, true).rows_per_block(16);
    let users: Vec<u32> = (0..40).map(|i| i % 9).collect();
    let items: Vec<u32> = (0..40).map(|i| i * 7 % 11).collect();
    let timestamps: Vec<i64> = (0..40).map(|i| i * 86_400 - 100_000).collect();
    let weights: Vec<f32> = (0..40).map(|i| i as f32 / 4.0).collect();
    writer.push(&users, &items, &timestamps, &weights).unwrap();
    writer.finish().unwrap().remove(0)
}

pub fn write_vocabulary(dir: &Path, name: &str, rows: u32) -> EntityInfo {
    let mut ids = RawIds::text();
    (0..rows).for_each(|i| ids.push_text(&if i == 0 { String::new() } else { format!("id-{i}") }));
    let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
    let features = vec![
        Feature { name: "size".into(), kind: FeatureKind::Categorical { values: names(3) } },
        Feature { name: "tags".into(), kind: FeatureKind::MultiHot { separator: ";".into(), values: names(5) } },
    ];
    let columns = vec![
        FeatureColumn::Codes((0..rows).map(|i| i % 4).collect()),
        FeatureColumn::Lists { offsets: (0..=rows).collect(), codes: (0..rows).map(|i| i % 6).collect() },
    ];
    let table = EntityTable { ids, counts: (0..u64::from(rows)).collect(), features: columns };
    let file = table.write(&dir.join(name), &features).unwrap();
    EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features }
}

pub fn write_dataset(dir: &Path, train: Vec<FileInfo>) -> Dataset {
    let manifest = Manifest {
        format: "tercel-dataset".into(),
        version: 1,
        columns: SourceColumns::default(),
        train: SplitInfo { rows: train.iter().map(|file| file.rows).sum(), files: train, ..SplitInfo::default() },
        valid: SplitInfo::default(),
        test: SplitInfo::default(),
        users: write_vocabulary(dir, "users.arrow", 9),
        items: write_vocabulary(dir, "items.arrow", 11),
        history: None,
        filtered: None,
        shape: None,
        split: None,
        derived: None,
    };
    write_json(&dir.join("dataset.json"), &manifest).unwrap();
    Dataset::open(dir).unwrap()
}
