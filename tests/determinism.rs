//! The same seed, the same bits, whatever the thread count and wherever a run starts.

use std::path::Path;
use std::sync::Arc;

use tercel::data::batch::{Batch, Cursor, PlainBatches, Segments};
use tercel::data::dataset::{Dataset, EntityInfo, Manifest, SourceColumns, Split, SplitInfo};
use tercel::data::loader::{Loader, LoaderConfig};
use tercel::data::vocabulary::{EntityTable, RawIds};
use tercel::data::writer::ShardWriter;
use tercel::files::write_json;
use tercel::rng::Rng;

const USERS: u32 = 3000;
const ITEMS: u32 = 500;

fn write_dataset(dir: &Path) -> Dataset {
    let side = |name: &str, rows: u32| {
        let ids = RawIds::Integer((0..i64::from(rows)).collect());
        let table = EntityTable { ids, counts: vec![1; rows as usize], features: Vec::new() };
        let file = table.write(&dir.join(name), &[]).unwrap();
        EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features: Vec::new() }
    };
    let mut rng = Rng::at(42, &[]);
    let mut writer = ShardWriter::create(dir, "train", true, true).rows_per_shard(7_000).rows_per_block(512);
    for i in 0..30_000 {
        let (user, item) = (rng.below_u32(USERS), rng.below_u32(ITEMS));
        writer.push(&[user], &[item], &[i], &[i as f32]).unwrap();
    }
    let manifest = Manifest {
        format: "tercel-dataset".into(),
        version: 1,
        columns: SourceColumns::default(),
        train: SplitInfo { rows: 30_000, files: writer.finish().unwrap(), ..SplitInfo::default() },
        valid: SplitInfo::default(),
        test: SplitInfo::default(),
        users: side("users.arrow", USERS),
        items: side("items.arrow", ITEMS),
        history: None,
        filtered: None,
        shape: None,
        split: None,
        derived: None,
    };
    write_json(&dir.join("dataset.json"), &manifest).unwrap();
    Dataset::open(dir).unwrap()
}

/// Everything that a batch holds, weights by their bits.
type Bits = (Option<Cursor>, Vec<u32>, Vec<u32>, Vec<i64>, Vec<u32>, Segments, Segments);

fn bits(batch: &Batch) -> Bits {
    (
        batch.at,
        batch.users.clone(),
        batch.items.clone(),
        batch.timestamps.clone(),
        batch.weights.iter().map(|weight| weight.to_bits()).collect(),
        batch.user_segments.clone(),
        batch.item_segments.clone(),
    )
}

fn batches(dataset: &Dataset, config: &LoaderConfig, from: Cursor) -> Vec<Bits> {
    let loader = Loader::open(dataset, Split::Train, config.clone()).unwrap();
    loader.batches(from, Arc::new(PlainBatches)).map(|batch| bits(&batch.unwrap())).collect()
}

#[test]
fn batches_are_the_same_bits_for_any_number_of_threads_and_from_any_start() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = write_dataset(dir.path());
    let config = LoaderConfig { batch_size: 512, seed: 9, threads: 1, shuffle: true, window_rows: 5_000 };
    for epoch in [0, 3] {
        let straight = batches(&dataset, &config, Cursor { epoch, batch: 0 });
        assert_eq!(straight.len(), 59);
        for threads in [2, 3, 16] {
            let config = LoaderConfig { threads, ..config.clone() };
            // Twice: what the threads happen to do first differs from run to run.
            for _ in 0..2 {
                assert_eq!(batches(&dataset, &config, Cursor { epoch, batch: 0 }), straight, "{threads} threads");
            }
            for batch in [1, 8, 9, 10, 58] {
                let resumed = batches(&dataset, &config, Cursor { epoch, batch });
                assert_eq!(resumed, straight[batch as usize..], "{threads} threads from batch {batch}");
            }
        }
    }
}
