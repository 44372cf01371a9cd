use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::data::writer::ShardWriter;
use crate::rng::Rng;

const USERS: u32 = 20;
const ITEMS: u32 = 40;

/// Random rows in shards of a few blocks; some name items and users that a history does not have.
fn shards(dir: &Path, name: &str, rows: usize, users: u32, items: u32) -> (Vec<FileInfo>, Vec<(u32, u32)>) {
    let mut rng = Rng::at(rows as u64, &[u64::from(users)]);
    let mut writer = ShardWriter::create(dir, name, false, false).rows_per_shard(150).rows_per_block(40);
    let pairs: Vec<(u32, u32)> = (0..rows).map(|_| (rng.below_u32(users), rng.below_u32(items))).collect();
    for &(user, item) in &pairs {
        writer.push(&[user], &[item], &[], &[]).unwrap();
    }
    (writer.finish().unwrap(), pairs)
}

#[test]
fn rows_that_repeat_are_those_that_a_set_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (train, pairs) = shards(dir.path(), "train", 500, USERS, ITEMS);
    let paths: Vec<_> = train.iter().map(|file| dir.path().join(&file.name)).collect();
    let info = History::write(dir.path(), &paths, USERS).unwrap();
    let history = History::open(dir.path(), &info, USERS, ITEMS).unwrap();
    let (test, held_out) = shards(dir.path(), "test", 400, USERS + 5, ITEMS + 5);
    let open = |file: &FileInfo| Shard::open(dir.path().join(&file.name));

    let mut known = BTreeSet::new();
    let earlier = pairs.iter().filter(|pair| pair.0 != 0 && !known.insert(**pair)).count() as u64;
    let repeated = held_out.iter().filter(|pair| known.contains(*pair)).count() as u64;
    assert!(earlier > 50 && repeated > 50);
    assert_eq!(count(Split::Train, &train, open, &history).unwrap(), earlier);
    assert_eq!(count(Split::Test, &test, open, &history).unwrap(), repeated);
    for most in [1, 7, 40, 64, 399] {
        assert_eq!(of_split(Split::Test, &test, open, &history, most).unwrap(), repeated, "{most} rows at once");
        assert_eq!(of_training(history.index(), most).unwrap(), earlier, "{most} items at once");
    }
    assert_eq!(count(Split::Valid, &[], open, &history).unwrap(), 0);
}
