//! Every byte damaged, and every length: an error, or the values that were written.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tercel::data::batch::{Cursor, PlainBatches};
use tercel::data::dataset::{EntityInfo, FileInfo, Split};
use tercel::data::loader::{Loader, LoaderConfig};
use tercel::data::shard::Shard;
use tercel::data::vocabulary::Vocabulary;
use tercel::{Error, Result};

use super::small::{VALUES, Values, values, write_dataset, write_shard, write_vocabulary};

#[test]
fn every_byte_of_a_shard_damaged_is_an_error_or_the_same_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(write_shard(dir.path()).name);
    let good = fs::read(&path).unwrap();
    let expected = values(&Shard::open(&path).unwrap()).unwrap();
    assert_eq!(expected.len(), 40);
    let (mut same, mut errors) = (0, 0);
    for at in 0..good.len() {
        let mut bytes = good.clone();
        for value in VALUES {
            bytes[at] = value;
            match Shard::from_bytes(&path, &bytes).and_then(|shard| values(&shard)) {
                Ok(found) => {
                    assert_eq!(found, expected, "byte {at} set to {value}");
                    same += 1;
                }
                Err(Error::Damaged { .. } | Error::Input { .. } | Error::Schema { .. }) => errors += 1,
                Err(other) => panic!("byte {at} set to {value}: {other}"),
            }
        }
    }
    assert!(same > 1000 && errors > 1000, "{same} {errors}");
}

#[test]
fn every_byte_damaged_on_disk_reaches_the_loader_as_an_error_or_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let info = write_shard(dir.path());
    let path = dir.path().join(&info.name);
    let dataset = write_dataset(dir.path(), vec![info]);
    let epoch = || -> Result<Values> {
        let config = LoaderConfig { batch_size: 7, threads: 1, ..LoaderConfig::default() };
        let loader = Loader::open(&dataset, Split::Train, config)?;
        let mut all = Vec::new();
        for batch in loader.batches(Cursor::default(), Arc::new(PlainBatches)) {
            let batch = batch?;
            for i in 0..batch.len() {
                let weight = batch.weights[i].to_bits();
                all.push((batch.users[i], batch.items[i], Some(batch.timestamps[i]), Some(weight)));
            }
        }
        Ok(all)
    };
    let good = fs::read(&path).unwrap();
    let expected = epoch().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for at in 0..good.len() {
        // Another value for every byte: all five went through the mapper in the test above.
        let value = VALUES[at % VALUES.len()];
        file.write_all_at(&[value], at as u64).unwrap();
        if let Ok(found) = epoch() {
            assert_eq!(found, expected, "byte {at}");
        }
        if value != good[at] {
            assert!(matches!(dataset.verify(), Err(Error::Damaged { .. })), "byte {at}");
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
}

#[test]
fn every_byte_of_a_vocabulary_damaged_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let info = write_vocabulary(dir.path(), "users.arrow", 9);
    let foreign = EntityInfo { file: FileInfo { xxh3: None, ..info.file.clone() }, ..info.clone() };
    let path = dir.path().join("users.arrow");
    let good = fs::read(&path).unwrap();
    assert_eq!(Vocabulary::open(dir.path(), &info).unwrap().rows(), 9);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for at in 0..good.len() {
        for value in VALUES {
            file.write_all_at(&[value], at as u64).unwrap();
            assert_eq!(Vocabulary::open(dir.path(), &info).is_ok(), value == good[at], "byte {at} set to {value}");
            // Another program's file has no checksum to tell; it must not panic, then or when it is used.
            if let Ok(vocabulary) = Vocabulary::open(dir.path(), &foreign) {
                let rows: Vec<u32> = (0..vocabulary.rows() as u32).collect();
                assert_eq!(vocabulary.features_of(&rows).len(), 2);
                assert!(rows[1..].iter().all(|&row| vocabulary.find(vocabulary.raw(row).unwrap()).is_some()));
            }
        }
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
}

#[test]
fn a_file_cut_off_anywhere_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(write_shard(dir.path()).name);
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        let error = Shard::from_bytes(&path, &good[..length]).err();
        assert!(matches!(error, Some(Error::Input { .. } | Error::Damaged { .. })), "{length}: {error:?}");
    }
    fs::write(&path, []).unwrap();
    assert!(Shard::open(&path).err().unwrap().to_string().contains("empty"));
}
