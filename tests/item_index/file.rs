//! The index's file: everything comes back, and what is damaged or lies is refused.

use std::fs;
use std::path::Path;

use tercel::index::item_index::{Filter, IndexKind, ItemIndex};
use tercel::{Device, Error};

use super::cloud::{Cloud, DIM, approx, exact};

#[test]
fn a_file_holds_everything_and_shows_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    let cloud = Cloud::new(30, 0.6, true);
    let (items, asked) = (cloud.draw(16_500, 0), cloud.draw(300, 1));
    for options in [approx(0.9), exact()] {
        let mut index = ItemIndex::build(items.clone(), DIM, None, Some(&asked), &options).expect("builds");
        index.set_tag("new", &[3, 1, 2]).expect("a tag");
        let before = index.search(&asked, 12, &Filter::default()).expect("finds");
        index.save(&path).expect("saves");
        let opened = ItemIndex::open(&path, Device::Cpu, 2).expect("opens");
        assert_eq!(opened.about(), index.about());
        assert_eq!(&ItemIndex::describe(&path).expect("reads"), index.about());
        assert_eq!(opened.tags().collect::<Vec<_>>(), [("new", 3)]);
        assert_eq!(opened.search(&asked, 12, &Filter::default()).expect("finds"), before);
        damage(&path, options.kind);
    }
    let missing = ItemIndex::open(&folder.path().join("none.index"), Device::Cpu, 1).expect_err("none there");
    assert!(missing.to_string().contains("none.index"));
    fs::write(&path, "user,item\n").expect("writes");
    let other = ItemIndex::open(&path, Device::Cpu, 1).expect_err("another file").to_string();
    assert!(other.contains("is not an index"), "{other}");
}

/// Changes bytes here and there, and cuts the file off: always an error.
fn damage(path: &Path, kind: IndexKind) {
    let whole = fs::read(path).expect("reads");
    let header = 24 + u32::from_le_bytes([whole[12], whole[13], whole[14], whole[15]]) as usize;
    let places = (0..header).step_by(37).chain((header.next_multiple_of(64)..whole.len()).step_by(whole.len() / 40));
    for at in places.chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(path, &bytes).expect("writes");
        let error = ItemIndex::open(path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{kind:?}, byte {at}: {error:?}");
    }
    for len in [0, 7, 23, 24, header - 1, header, header + 100, whole.len() - 1] {
        fs::write(path, &whole[..len]).expect("writes");
        let error = ItemIndex::open(path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{kind:?}, {len} bytes: {error:?}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(path, &longer).expect("writes");
    assert!(matches!(ItemIndex::open(path, Device::Cpu, 1), Err(Error::Damaged { .. })));
    fs::write(path, &whole).expect("writes");
}

/// Headers that add up to more than there is, each with the checksum that makes it believed.
#[test]
fn a_file_that_lies_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("items.index");
    let cloud = Cloud::new(30, 0.6, true);
    let (items, asked) = (cloud.draw(16_500, 0), cloud.draw(300, 1));
    let mut index = ItemIndex::build(items, DIM, None, Some(&asked), &approx(0.9)).expect("builds");
    index.set_tag("new", &[3, 1, 2]).expect("a tag");
    index.set_tag("old", &[4]).expect("a tag");
    index.save(&path).expect("saves");
    let whole = fs::read(&path).expect("reads");
    let len = u32::from_le_bytes([whole[12], whole[13], whole[14], whole[15]]) as usize;
    let header: serde_json::Value = serde_json::from_slice(&whole[24..24 + len]).expect("JSON");
    let most = serde_json::json!(u64::MAX);
    type Change<'a> = &'a dyn Fn(&mut serde_json::Value);
    let changes: [Change<'_>; 4] = [
        &|h| h["tags"][0][1] = most.clone(),
        &|h| h["tags"][1][1] = serde_json::json!(u64::MAX - 2),
        &|h| h["dim"] = serde_json::json!(1u64 << 40),
        &|h| h["items"] = most.clone() as _,
    ];
    for change in changes {
        let mut lie = header.clone();
        change(&mut lie);
        assert_ne!(lie, header, "the header's names have changed");
        let text = serde_json::to_vec(&lie).expect("JSON");
        let mut bytes = whole[..12].to_vec();
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(xxhash_rust::xxh3::xxh3_64(&text).to_le_bytes());
        bytes.extend(&text);
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        bytes.extend(&whole[(24 + len).next_multiple_of(64)..]);
        fs::write(&path, &bytes).expect("writes");
        let error = ItemIndex::open(&path, Device::Cpu, 1).err();
        assert!(matches!(error, Some(Error::Damaged { .. } | Error::Input { .. })), "{error:?}");
    }
}
