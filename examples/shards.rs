//! Shards from end to end: write some, look into any, read a dataset through the loader.
//!
//! `cargo run --example shards -- write DIR` writes a shard, `users.arrow`, `items.arrow` and `dataset.json`;
//! `-- summary FILE…` prints a JSON line on each shard; `-- epoch DATASET` reads the training split once.

use std::path::Path;
use std::sync::Arc;

use tercel::data::batch::{Cursor, PlainBatches};
use tercel::data::dataset::{Dataset, EntityInfo, Feature, FeatureKind, Manifest, SourceColumns, Split, SplitInfo};
use tercel::data::loader::{Loader, LoaderConfig};
use tercel::data::vocabulary::{EntityTable, FeatureColumn, RawIds, Vocabulary};
use tercel::data::writer::ShardWriter;
use tercel::data::{dataset, shard};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", dir] => write(Path::new(dir))?,
        ["summary", files @ ..] => {
            for file in files {
                println!("{}", serde_json::to_string(&shard::summarise(file)?)?);
            }
        }
        ["epoch", dir] => epoch(Path::new(dir))?,
        _ => return Err("write DIR | summary FILE… | epoch DATASET".into()),
    }
    Ok(())
}

/// 1,000 purchases of 20 users and 10 items; row 0 of both sides is the unknown id.
fn write(dir: &Path) -> tercel::Result<()> {
    let mut writer = ShardWriter::create(dir, "train", true, true).rows_per_block(300);
    for i in 0..1000 {
        let (user, item) = (1 + i % 20, 1 + i * 7 % 10);
        writer.push(&[user], &[item], &[i64::from(i) * 60 - 3600], &[i as f32 / 8.0])?;
    }
    let side = |name: &str, letter: &str, rows: u32| -> tercel::Result<EntityInfo> {
        let mut ids = RawIds::text();
        (0..rows).for_each(|row| ids.push_text(&if row == 0 { String::new() } else { format!("{letter}{row}") }));
        let values = ["red", "green"].map(String::from).to_vec();
        let features = vec![
            Feature { name: "color".into(), kind: FeatureKind::Categorical { values: values.clone() } },
            Feature { name: "tags".into(), kind: FeatureKind::MultiHot { separator: "|".into(), values } },
        ];
        let columns = vec![
            FeatureColumn::Codes((0..rows).map(|row| row % 3).collect()),
            FeatureColumn::Lists { offsets: (0..=rows).collect(), codes: (0..rows).map(|row| row % 3).collect() },
        ];
        let counts = (0..u64::from(rows)).map(|row| if row == 0 { 0 } else { 1000 / u64::from(rows - 1) }).collect();
        let file = EntityTable { ids, counts, features: columns }.write(&dir.join(name), &features)?;
        Ok(EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features })
    };
    let manifest = Manifest {
        format: "tercel-dataset".into(),
        version: dataset::FORMAT_VERSION,
        columns: SourceColumns {
            user: "customer".into(),
            item: "article".into(),
            time: Some("at".into()),
            weight: None,
            ..SourceColumns::default()
        },
        train: SplitInfo { rows: 1000, files: writer.finish()?, ..SplitInfo::default() },
        valid: SplitInfo::default(),
        test: SplitInfo::default(),
        users: side("users.arrow", "u", 21)?,
        items: side("items.arrow", "i", 11)?,
        history: None,
        filtered: None,
        shape: None,
        split: None,
        derived: None,
    };
    dataset::write_json(&dir.join("dataset.json"), &manifest)
}

/// Counts rows and sums ids, so that any reader of the same rows can compare.
fn epoch(dir: &Path) -> tercel::Result<()> {
    let dataset = Dataset::open(dir)?;
    let users = Vocabulary::open(dir, &dataset.manifest().users)?;
    let items = Vocabulary::open(dir, &dataset.manifest().items)?;
    let loader = Loader::open(&dataset, Split::Train, LoaderConfig { batch_size: 128, ..LoaderConfig::default() })?;
    let (mut rows, mut ids) = (0, 0u64);
    for batch in loader.batches(Cursor::default(), Arc::new(PlainBatches)) {
        let batch = batch?;
        rows += batch.len();
        ids += batch.users.iter().chain(&batch.items).map(|&id| u64::from(id)).sum::<u64>();
    }
    let last = |side: &Vocabulary| side.raw(side.rows() as u32 - 1).map(|id| id.to_string()).unwrap_or_default();
    println!(r#"{{"rows":{rows},"sum_of_ids":{ids},"last_user":"{}","last_item":"{}"}}"#, last(&users), last(&items));
    Ok(())
}
