//! What is no shard, and what a writer leaves that was given something else, or stopped.

use std::fs;
use std::path::Path;

use tercel::Error;
use tercel::data::shard::Shard;
use tercel::data::writer::ShardWriter;

use super::small::values;

#[test]
fn what_is_no_shard_is_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = |path: &Path| Shard::open(path).err().unwrap();
    assert!(matches!(error(dir.path()), Error::Input { .. }));
    assert!(error(dir.path()).to_string().contains("folder"));
    assert!(matches!(error(&dir.path().join("none.arrow")), Error::Io { .. }));
    let path = dir.path().join("text.arrow");
    fs::write(&path, "user,item\n1,2\n3,4\n5,6\n").unwrap();
    assert!(error(&path).to_string().contains("not an Arrow IPC file"));
    let mut none = ShardWriter::create(dir.path(), "none", false, false);
    none.push(&[], &[], &[], &[]).unwrap();
    assert!(none.finish().unwrap().is_empty());
    assert!(matches!(
        ShardWriter::create(dir.path(), "uneven", true, false).push(&[1], &[2], &[], &[]),
        Err(Error::Shape { .. })
    ));
    let nowhere = dir.path().join("missing");
    let mut lost = ShardWriter::create(&nowhere, "train", false, false);
    lost.push(&[1], &[2], &[], &[]).unwrap();
    assert!(matches!(lost.finish(), Err(Error::Io { .. })));
}

#[test]
fn an_interrupted_writer_leaves_no_shard() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(dir.path(), "train", false, false).rows_per_shard(10).rows_per_block(4);
    writer.push(&[1; 25], &[2; 25], &[], &[]).unwrap();
    drop(writer);
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["train-00000.arrow", "train-00001.arrow"], "only the complete ones");
    for name in names {
        assert_eq!(values(&Shard::open(dir.path().join(name)).unwrap()).unwrap().len(), 10);
    }
}
