//! Any bytes are a table of interactions, or an error that says where. What is taken is a whole dataset.
//!
//! The first byte chooses how they are read; the rest is the file, which stands for a file of features too.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tercel::data::dataset::{Dataset, Split};
use tercel::data::ingest::{Format, IngestConfig, MinCount, OnError, ingest};
use tercel::data::shard::summarise;
use tercel::data::vocabulary::Vocabulary;

fn folder() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temp folder")).path().to_owned()
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else { return };
    let bit = |n: u8| how >> n & 1 == 1;
    let format = match how & 3 {
        0 | 1 => Format::Csv,
        2 => Format::Arrow,
        _ => Format::Parquet,
    };
    let named = |name: &str| bit(2).then(|| name.to_owned());
    let (input, out) = (folder().join("in"), folder().join("out"));
    fs::write(&input, data).expect("the temp folder is writable");
    let config = IngestConfig {
        format: Some(format),
        user: named("u"),
        item: named("i"),
        time: named("t"),
        columns: (how & 3 == 1).then(|| vec!["u".into(), "i".into(), "t".into()]),
        split: if bit(3) { "last-per-user:1".parse().expect("a split") } else { Default::default() },
        min_count: if bit(4) { MinCount { user: 2, item: 2 } } else { MinCount::default() },
        item_features: bit(5).then(|| input.clone()),
        on_error: if bit(6) { OnError::Skip } else { OnError::Stop },
        threads: if bit(7) { 2 } else { 1 },
        ..Default::default()
    };
    match ingest(&[input], &out, &config, &|_| ()) {
        Ok(summary) => {
            let dataset = Dataset::open(&out).expect("what was written opens");
            dataset.verify().expect("and is whole");
            let manifest = dataset.manifest();
            Vocabulary::open(&out, &manifest.users).expect("users");
            Vocabulary::open(&out, &manifest.items).expect("items");
            let files = Split::ALL.into_iter().flat_map(|split| &dataset.split(split).files);
            let rows: u64 = files.map(|file| summarise(dataset.path(file)).expect("a shard").rows).sum();
            assert_eq!(rows, summary.rows);
        }
        Err(error) => assert!(matches!(error.exit_code(), 2 | 3), "{error}"),
    }
});
