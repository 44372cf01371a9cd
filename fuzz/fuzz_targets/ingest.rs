//! Any bytes as a file of interactions, and as a feature file: an error or a dataset that opens, never a panic.
//!
//! The first byte chooses the format, what a bad row does and whether the rest is the interactions or the features.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tercel::data::dataset::Dataset;
use tercel::data::ingest::{IngestConfig, OnError, ingest};
use tercel::data::vocabulary::Vocabulary;

const NAMES: [&str; 4] = ["in.csv", "ratings.dat", "in.arrow", "in.parquet"];
const LOG: &str = "user,item,time\na,x,1\nb,y,2\nb,z,3\n";

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // arrow-rs may panic on damaged files; ingest answers with an error, and the fuzzer must not see it as a crash.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |location| location.file());
            if !["arrow-", "parquet-"].iter().any(|name| file.contains(name)) {
                hook(info);
            }
        }));
        let folder = tempfile::tempdir().expect("a temp folder").keep();
        fs::write(folder.join("log.csv"), LOG).expect("the temp folder is writable");
        folder
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let folder = folder();
    let file = folder.join(NAMES[usize::from(choice % 4)]);
    fs::write(&file, data).expect("the temp folder is writable");
    let mut config = IngestConfig { threads: 1, ..IngestConfig::default() };
    if choice & 4 > 0 {
        config.on_error = OnError::Skip;
    }
    if choice & 8 > 0 {
        config.split = "last-per-user:1".parse().expect("a rule");
    }
    let input = if choice & 16 > 0 {
        config.user_features = Some(file);
        folder.join("log.csv")
    } else {
        file
    };
    let out = folder.join("out");
    if ingest(&[input], &out, &config, &|_| ()).is_ok() {
        let dataset = Dataset::open(&out).expect("what ingest wrote opens");
        dataset.verify().expect("what ingest wrote is whole");
        for info in [&dataset.manifest().users, &dataset.manifest().items] {
            Vocabulary::open(&out, info).expect("what ingest wrote opens");
        }
    }
    let _ = fs::remove_dir_all(&out);
});
