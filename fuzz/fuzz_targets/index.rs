//! Any bytes as an index file: an index that searches, or an error.
//!
//! The first byte chooses: the rest is the whole file (even), or patches to a good one (odd), three bytes a patch: two for
//! the place and one for the value. Checksums are made to fit, so that what is behind them is reached.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tercel::index::item_index::IndexOptions;
use tercel::{Device, Index};
use xxhash_rust::xxh3::xxh3_64;

const DIM: usize = 8;
const FRONT: usize = 24;
const ALIGN: usize = 64;

fn good() -> &'static (PathBuf, Vec<u8>) {
    static GOOD: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    GOOD.get_or_init(|| {
        let path = tempfile::tempdir().expect("a temp folder").keep().join("items.index");
        let vectors = (0..40 * DIM).map(|n| (n % 13) as f32 - 6.0).collect();
        let mut index = Index::build(vectors, DIM, None, None, &IndexOptions::exact().threads(1)).expect("an index");
        index.set_tag("kind=a", &[1, 5, 9]).expect("a tag");
        index.save(&path).expect("the temp folder is writable");
        let bytes = fs::read(&path).expect("it was written");
        (path, bytes)
    })
}

/// Puts the checksums of body and header in their places, where there is a header of that length.
fn seal(bytes: &mut Vec<u8>) -> Option<()> {
    let length = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?) as usize;
    let body = (FRONT + length).next_multiple_of(ALIGN);
    let mut header: serde_json::Value = serde_json::from_slice(bytes.get(FRONT..FRONT + length)?).ok()?;
    let sums: Vec<u64> = bytes.get(body..)?.chunks(16 << 20).map(xxh3_64).collect();
    *header.get_mut("checksums")? = sums.into();
    let header = serde_json::to_vec(&header).ok()?;
    let mut sealed = bytes[..12].to_vec();
    sealed.extend((header.len() as u32).to_le_bytes());
    sealed.extend(xxh3_64(&header).to_le_bytes());
    sealed.extend(&header);
    sealed.resize(sealed.len().next_multiple_of(ALIGN), 0);
    sealed.extend(&bytes[body..]);
    *bytes = sealed;
    Some(())
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let (path, good) = good();
    let mut bytes = if choice % 2 == 0 { data.to_vec() } else { good.clone() };
    if choice % 2 == 1 {
        for patch in data.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % good.len();
            bytes[place] = patch[2];
        }
    }
    let _ = seal(&mut bytes);
    fs::write(path, &bytes).expect("the temp folder is writable");
    let _ = Index::describe(path);
    for opened in [Index::open(path, Device::Cpu, 1), Index::read(path, Device::Cpu, 1)] {
        if let Ok(index) = opened {
            let queries = vec![0.5; index.dim().min(64) * 2];
            let _ = index.search(&queries, 3, &Default::default());
            let _ = index.tags().count();
        }
    }
});
