use std::fs;
use std::path::Path;

use super::*;
use crate::data::batch::{Batch, PlainBatches, Rows};
use crate::data::dataset::{EntityInfo, FileInfo, Manifest, SourceColumns, SplitInfo};
use crate::data::vocabulary::{EntityTable, RawIds};
use crate::data::writer::ShardWriter;
use crate::files::write_json;

/// A dataset of `rows` training rows: row i has user i % 97, item i % 31, timestamp i, weight i.
fn dataset(dir: &Path, rows: usize, optional: bool, rows_per_shard: u64, rows_per_block: usize) -> Dataset {
    let side = |name: &str, rows: u32| {
        let ids = RawIds::Integer((0..i64::from(rows)).collect());
        let table = EntityTable { ids, counts: vec![0; rows as usize], features: Vec::new() };
        let file = table.write(&dir.join(name), &[]).unwrap();
        EntityInfo { rows, unseen: 0, unseen_valid: 0, file, unseen_file: None, features: Vec::new() }
    };
    let mut writer = ShardWriter::create(dir, "train", optional, optional)
        .rows_per_shard(rows_per_shard)
        .rows_per_block(rows_per_block);
    let users: Vec<u32> = (0..rows as u32).map(|i| i % 97).collect();
    let items: Vec<u32> = (0..rows as u32).map(|i| i % 31).collect();
    let timestamps: Vec<i64> = (0..rows as i64).filter(|_| optional).collect();
    let weights: Vec<f32> = (0..rows).filter(|_| optional).map(|i| i as f32).collect();
    writer.push(&users, &items, &timestamps, &weights).unwrap();
    save(dir, writer.finish().unwrap(), side("users.arrow", 97), side("items.arrow", 31))
}

fn save(dir: &Path, files: Vec<FileInfo>, users: EntityInfo, items: EntityInfo) -> Dataset {
    let rows = files.iter().map(|file| file.rows).sum();
    let manifest = Manifest {
        format: "tercel-dataset".into(),
        version: 1,
        columns: SourceColumns::default(),
        train: SplitInfo { rows, files, ..SplitInfo::default() },
        valid: SplitInfo::default(),
        test: SplitInfo::default(),
        users,
        items,
        history: None,
        filtered: None,
        shape: None,
        split: None,
        derived: None,
    };
    write_json(&dir.join("dataset.json"), &manifest).unwrap();
    Dataset::open(dir).unwrap()
}

fn config(batch_size: usize, threads: usize) -> LoaderConfig {
    LoaderConfig { batch_size, threads, seed: 7, shuffle: true, window_rows: 1000 }
}

fn loader(dataset: &Dataset, config: LoaderConfig) -> Loader {
    Loader::open(dataset, Split::Train, config).unwrap()
}

/// A batch's rows, as (user, item, timestamp, weight bits), and its segments' sizes.
type Plain = (Cursor, Vec<(u32, u32, i64, u32)>, usize, usize);

fn plain(batch: &Batch) -> Plain {
    let row = |i: usize| {
        let time = batch.timestamps.get(i).copied().unwrap_or(-1);
        (batch.users[i], batch.items[i], time, batch.weights.get(i).map_or(0, |w| w.to_bits()))
    };
    let rows = (0..batch.len()).map(row).collect();
    (batch.at.unwrap(), rows, batch.user_segments.unique.len(), batch.item_segments.unique.len())
}

fn all(loader: &Loader, epoch: u64, batch: u64) -> Vec<Plain> {
    let batches = loader.batches(Cursor { epoch, batch }, Arc::new(PlainBatches));
    batches.map(|batch| plain(&batch.unwrap())).collect()
}

#[test]
fn every_row_comes_once_an_epoch_and_columns_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path(), 12_345, true, 5000, 128);
    for shuffle in [true, false] {
        let loader = loader(&dataset, LoaderConfig { shuffle, ..config(100, 3) });
        let batches = all(&loader, 2, 0);
        assert_eq!(batches.len() as u64, loader.batches_per_epoch());
        assert!(batches.iter().enumerate().all(|(i, b)| b.0 == Cursor { epoch: 2, batch: i as u64 }));
        assert!(batches.iter().rev().skip(1).all(|b| b.1.len() == 100));
        assert_eq!(batches.last().unwrap().1.len(), 45);
        let mut rows: Vec<_> = batches.into_iter().flat_map(|b| b.1).collect();
        assert_eq!(shuffle, !rows.is_sorted_by_key(|row| row.2));
        rows.sort_unstable_by_key(|row| row.2);
        for (i, row) in rows.iter().enumerate() {
            let i = i as u32;
            assert_eq!(*row, (i % 97, i % 31, i64::from(i), (i as f32).to_bits()));
        }
        assert_eq!(rows.len(), 12_345);
    }
}

#[test]
fn the_order_depends_on_seed_and_epoch_and_not_on_threads_or_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path(), 9_000, false, 2000, 64);
    let one = loader(&dataset, config(70, 1));
    let expected = all(&one, 5, 0);
    assert_ne!(expected, all(&one, 6, 0));
    assert_ne!(expected[0].1, all(&loader(&dataset, LoaderConfig { seed: 8, ..config(70, 1) }), 5, 0)[0].1);
    for threads in [0, 1, 2, 7] {
        let loader = loader(&dataset, config(70, threads));
        assert_eq!(all(&loader, 5, 0), expected, "{threads} threads");
        for batch in [1, 13, 14, 77, 128] {
            assert_eq!(all(&loader, 5, batch), expected[batch as usize..], "{threads} threads from batch {batch}");
        }
        assert!(all(&loader, 5, 129).is_empty() && all(&loader, 5, u64::MAX).is_empty());
    }
}

#[test]
fn rows_mix_across_shards() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path(), 20_000, true, 2000, 50);
    let first = &all(&loader(&dataset, config(1000, 2)), 0, 0)[0].1;
    let shards: std::collections::BTreeSet<i64> = first.iter().map(|row| row.2 / 2000).collect();
    assert!(shards.len() >= 5, "the first batch has rows of shards {shards:?}");
}

#[test]
fn an_id_past_its_vocabulary_names_shard_and_row() {
    let dir = tempfile::tempdir().unwrap();
    let good = dataset(dir.path(), 1000, false, u64::MAX, 16);
    let manifest = good.manifest();
    let mut items: Vec<u32> = vec![1; 300];
    items[217] = 31;
    let mut writer = ShardWriter::create(dir.path(), "late", false, false).rows_per_block(50);
    writer.push(&[5; 300], &items, &[], &[]).unwrap();
    let mut files = manifest.train.files.clone();
    files.extend(writer.finish().unwrap());
    let bad = save(dir.path(), files, manifest.users.clone(), manifest.items.clone());
    for threads in [1, 4] {
        let loader = loader(&bad, LoaderConfig { shuffle: false, window_rows: 100, ..config(10, threads) });
        let found: Vec<_> = loader.batches(Cursor::default(), Arc::new(PlainBatches)).collect();
        // The window of row 1,217 begins with batch 120.
        assert_eq!(found.len(), 121);
        assert!(found[..120].iter().all(|batch| batch.is_ok()));
        match found.into_iter().next_back() {
            Some(Err(Error::IdOutOfRange { path, row: 217, column: "item", id: 31, rows: 31 })) => {
                assert!(path.ends_with("late-00000.arrow"));
            }
            other => panic!("{:?}", other.map(|batch| batch.map(|_| ()))),
        }
    }
}

/// Copies the users; fails or panics at the batches it is told.
struct Picky {
    fail: u64,
    panic: u64,
}

impl crate::data::batch::sealed::Sealed for Picky {}

impl Prepare for Picky {
    type Output = Vec<u32>;
    fn prepare(&self, at: Cursor, rows: Rows<'_>, out: &mut Vec<u32>) -> Result<()> {
        if at.batch == self.fail {
            return Err(Error::input("here", "no"));
        }
        assert!(at.batch != self.panic, "asked to panic");
        out.clear();
        out.extend_from_slice(rows.users);
        Ok(())
    }
}

#[test]
fn errors_and_panics_come_at_their_place_and_end_the_batches() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path(), 5000, false, 2000, 64);
    for threads in [1, 2, 8] {
        let loader = loader(&dataset, config(50, threads));
        for (picky, text) in
            [(Picky { fail: 41, panic: 43 }, "here: no"), (Picky { fail: 99, panic: 0 }, "asked to panic")]
        {
            let at = picky.fail.min(picky.panic);
            let found: Vec<_> = loader.batches(Cursor::default(), Arc::new(picky)).collect();
            assert_eq!(found.len() as u64, at + 1);
            assert!(found.iter().take(at as usize).all(|batch| batch.is_ok()));
            let error = found.into_iter().next_back().and_then(Result::err).unwrap().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

#[test]
fn dropping_the_batches_early_stops_the_threads() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dataset(dir.path(), 50_000, false, 20_000, 1000);
    let loader = loader(&dataset, config(10, 4));
    let prepare = Arc::new(PlainBatches);
    for taken in [0, 1, 50] {
        let mut batches = loader.batches(Cursor::default(), prepare.clone());
        assert!(batches.by_ref().take(taken).all(|batch| batch.is_ok()));
        drop(batches);
        assert_eq!(Arc::strong_count(&prepare), 1, "a thread still holds the preparation");
    }
}

#[test]
fn no_rows_no_batches() {
    let dir = tempfile::tempdir().unwrap();
    let loader = loader(&dataset(dir.path(), 0, false, 10, 10), config(10, 2));
    assert_eq!((loader.rows(), loader.batches_per_epoch()), (0, 0));
    assert!(all(&loader, 0, 0).is_empty());
}

#[test]
fn a_shard_that_is_not_the_manifests_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = dataset(dir.path(), 1000, false, 500, 100);
    let manifest = good.manifest();
    let open = |files: Vec<FileInfo>| {
        let dataset = save(dir.path(), files, manifest.users.clone(), manifest.items.clone());
        Loader::open(&dataset, Split::Train, config(10, 1)).err().unwrap()
    };
    let mut files = manifest.train.files.clone();
    files[1].rows -= 1;
    assert!(matches!(open(files), Error::Damaged { .. }));
    let mut writer = ShardWriter::create(dir.path(), "timed", true, false);
    writer.push(&[1], &[1], &[-5], &[]).unwrap();
    let mut files = manifest.train.files.clone();
    files.extend(writer.finish().unwrap());
    let error = open(files).to_string();
    assert!(error.contains("timed-00000.arrow") && error.contains("timestamp"), "{error}");
    assert!(fs::metadata(dir.path().join("train-00001.arrow")).is_ok());
}
