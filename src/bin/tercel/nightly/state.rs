//! What a nightly run has finished: `nightly.json` in its folder.
//!
//! Every stage has a key, the hash of its settings, of its input files' names, sizes and times, and of the key of the
//! stage that it builds on. A stage whose key is the one on record, and whose output is there, is not run again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use tercel::data::dataset::write_json;
use tercel::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Ingest,
    Train,
    Evaluate,
    Recommend,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Train => "train",
            Stage::Evaluate => "evaluate",
            Stage::Recommend => "recommend",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    stage: Stage,
    key: String,
    finished: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Records {
    format: String,
    version: u32,
    stages: Vec<Record>,
}

/// The record of a folder, and the lock on it.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    records: Records,
    /// Held, not used: the lock goes when the process does, however it ends.
    _lock: File,
}

const FORMAT: &str = "tercel-nightly";

impl State {
    /// Opens the record of the folder `out`, which is made where it is not there, and locks it.
    pub fn open(out: &Path) -> Result<State> {
        fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
        let lock_path = out.join("nightly.lock");
        let lock = File::options().create(true).write(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|e| Error::io(&lock_path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::input(out, "another nightly run works in this folder; wait for it or use another"));
            }
            Err(fs::TryLockError::Error(e)) => return Err(Error::io(&lock_path, e)),
        }
        let path = out.join("nightly.json");
        let fresh = Records { format: FORMAT.into(), version: 1, stages: Vec::new() };
        let records = match fs::read_to_string(&path) {
            // A record that cannot be understood is no record: the stages are run again.
            Ok(text) => serde_json::from_str(&text).unwrap_or(fresh),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => fresh,
            Err(e) => return Err(Error::io(&path, e)),
        };
        if records.format != FORMAT || records.version != 1 {
            return Err(Error::input(&path, "belongs to another version; take another folder, or remove it"));
        }
        Ok(State { path, records, _lock: lock })
    }

    fn find(&self, stage: Stage) -> Option<&Record> {
        self.records.stages.iter().find(|record| record.stage == stage)
    }

    /// Whether the stage was ever started in this folder.
    pub fn has(&self, stage: Stage) -> bool {
        self.find(stage).is_some()
    }

    /// Whether the stage was finished under this key.
    pub fn is_finished(&self, stage: Stage, key: &str) -> bool {
        self.find(stage).is_some_and(|record| record.finished && record.key == key)
    }

    /// Whether the stage was started under this key: what it left may be gone on with.
    pub fn is_started(&self, stage: Stage, key: &str) -> bool {
        self.find(stage).is_some_and(|record| record.key == key)
    }

    /// Puts the stage's start on record, before it writes anything.
    pub fn start(&mut self, stage: Stage, key: &str) -> Result<()> {
        self.put(stage, key, false)
    }

    /// Puts the stage's end on record.
    pub fn finish(&mut self, stage: Stage, key: &str) -> Result<()> {
        self.put(stage, key, true)
    }

    fn put(&mut self, stage: Stage, key: &str, finished: bool) -> Result<()> {
        self.records.stages.retain(|record| record.stage != stage);
        self.records.stages.push(Record { stage, key: key.into(), finished });
        self.records.stages.sort_by_key(|record| record.stage);
        write_json(&self.path, &self.records)
    }
}

/// A stage's key: the hash of all that it depends on.
pub fn key(parts: &[&serde_json::Value]) -> String {
    let text: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.join("\n").as_bytes()))
}

/// Names, sizes and times of the files at `paths`; of a folder, those of the files in it.
///
/// # Errors
/// [`Error::Io`] naming the path that is not there.
pub fn stamps<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<serde_json::Value> {
    let mut found = Vec::new();
    for path in paths {
        stamp(path, &mut found)?;
    }
    Ok(found.into())
}

fn stamp(path: &Path, found: &mut Vec<serde_json::Value>) -> Result<()> {
    let about = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if about.is_dir() {
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries: Vec<PathBuf> = entries.map_err(|e| Error::io(path, e))?.iter().map(|e| e.path()).collect();
        entries.sort();
        for entry in entries.iter().filter(|entry| entry.is_file()) {
            stamp(entry, found)?;
        }
        return Ok(());
    }
    let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    found.push(serde_json::json!([path, about.len(), modified.map(|time| time.as_nanos().to_string())]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_stage_is_finished_under_its_key_only() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let mut state = State::open(folder.path()).expect("a new record");
        assert!(!state.is_finished(Stage::Train, "a"));
        state.start(Stage::Train, "a").expect("written");
        assert!(state.is_started(Stage::Train, "a") && !state.is_finished(Stage::Train, "a"));
        state.finish(Stage::Train, "a").expect("written");
        drop(state);
        let mut again = State::open(folder.path()).expect("the record");
        assert!(again.is_finished(Stage::Train, "a") && !again.is_finished(Stage::Train, "b"));
        again.start(Stage::Train, "b").expect("written");
        assert!(!again.is_finished(Stage::Train, "a"));
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let first = State::open(folder.path()).expect("the lock");
        let error = State::open(folder.path()).expect_err("it is taken");
        assert!(error.to_string().contains("another nightly run"), "{error}");
        drop(first);
        State::open(folder.path()).expect("the lock again");
    }

    #[test]
    fn a_key_changes_with_settings_and_files() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("a.csv");
        fs::write(&file, "a").expect("written");
        let before = stamps([&file]).expect("it is there");
        assert_eq!(before, stamps([&folder.path().to_owned()]).expect("a folder is its files"));
        fs::write(&file, "ab").expect("written");
        let after = stamps([&file]).expect("it is there");
        assert_ne!(key(&[&before]), key(&[&after]));
        assert_ne!(key(&[&before, &json!(1)]), key(&[&before, &json!(2)]));
        assert_eq!(stamps([&folder.path().join("b.csv")]).expect_err("no such file").exit_code(), 3);
    }
}
