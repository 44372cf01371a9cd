//! What a nightly run has finished: `nightly.json` in its folder.
//!
//! Every stage has a key: the hash of its settings and of the contents of the files that it reads, other stages' among
//! them. A stage is not run again whose key is the one on record and whose own files are as it left them.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tercel::files::{Lock, other_format, parse_json, write_json_locked};
use tercel::{Error, Result};

use super::searches::Tuning;
use super::stamps::{Stamp, contents, difference};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NightStage {
    Ingest,
    Tune,
    Train,
    Index,
    Evaluate,
    Recommend,
}

impl NightStage {
    pub fn name(self) -> &'static str {
        match self {
            NightStage::Ingest => "ingest",
            NightStage::Tune => "tune",
            NightStage::Train => "train",
            NightStage::Index => "index",
            NightStage::Evaluate => "evaluate",
            NightStage::Recommend => "recommend",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    stage: NightStage,
    key: String,
    finished: bool,
    /// What it read from outside the folder.
    #[serde(default)]
    inputs: Vec<Stamp>,
    /// What it left, by paths that start from the run's folder.
    #[serde(default)]
    outputs: Vec<Stamp>,
}

/// What a stage is about to do: its settings, and the files that it reads.
#[derive(Debug)]
pub struct Task {
    pub stage: NightStage,
    pub inputs: Vec<Stamp>,
    key: String,
}

impl Task {
    /// `settings` are those that the result depends on, `builds_on` the files of other stages.
    pub fn new<S: Serialize + Debug>(stage: NightStage, settings: &S, inputs: Vec<Stamp>, builds_on: &[Stamp]) -> Task {
        // A path that is not UTF-8 has no JSON.
        let settings = serde_json::to_string(settings).unwrap_or_else(|_| format!("{settings:?}"));
        let parts = [settings, contents(&inputs).to_string(), contents(builds_on).to_string()];
        let key = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(parts.join("\n").as_bytes()));
        Task { stage, inputs, key }
    }
}

/// How a stage stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was never started, or not finished: it goes on, under the same key.
    Open,
    /// It is finished, and all is as it left it.
    Finished,
    /// It has to be done once more, for this reason.
    Again(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Records {
    format: String,
    version: u32,
    stages: Vec<Record>,
    /// Absent of a run that never was to search for settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tuning: Option<Tuning>,
}

/// The record of a folder, and the lock on it.
#[derive(Debug)]
pub struct NightState {
    folder: PathBuf,
    path: PathBuf,
    records: Records,
    lock: Lock,
}

const FORMAT: &str = "tercel-nightly";
const VERSION: u32 = 1;

fn read(path: &Path) -> Result<Records> {
    let text = fs::read(path).map_err(|e| Error::io(path, e))?;
    if let Some(found) = other_format(&text, FORMAT, VERSION) {
        let reason = format!("{found}; this build reads version {VERSION}: take another folder, or remove it");
        return Err(Error::input(path, reason));
    }
    parse_json(path, &text)
}

impl NightState {
    /// Opens the record of the folder `out`, which is made where it is not there, and locks it.
    pub fn open(out: &Path) -> Result<NightState> {
        fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
        let path = out.join("nightly.json");
        let lock = Lock::take(&path)?;
        let records = match path.exists() {
            true => read(&path)?,
            false => Records { format: FORMAT.into(), version: VERSION, stages: Vec::new(), tuning: None },
        };
        Ok(NightState { folder: out.to_owned(), path, records, lock })
    }

    fn find(&self, stage: NightStage) -> Option<&Record> {
        self.records.stages.iter().find(|record| record.stage == stage)
    }

    /// Whether the stage was ever started in this folder.
    pub fn has(&self, stage: NightStage) -> bool {
        self.find(stage).is_some()
    }

    /// What the stage read when it was last run.
    pub fn inputs(&self, stage: NightStage) -> &[Stamp] {
        self.find(stage).map_or(&[], |record| &record.inputs)
    }

    /// What the stage left when it was last finished, by paths that start from the run's folder.
    pub fn outputs(&self, stage: NightStage) -> &[Stamp] {
        self.find(stage).map_or(&[], |record| &record.outputs)
    }

    /// The names of the files that the stage left when it was last finished.
    pub fn left(&self, stage: NightStage) -> Vec<String> {
        let names = self.outputs(stage).iter().filter_map(|stamp| stamp.path.file_name());
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    /// How the stage stands. Where it is finished the record learns the times of its files, which spare reading them.
    pub fn standing(&mut self, task: &Task) -> Result<Standing> {
        let redo = |reason: String| Ok(Standing::Again(reason));
        let Some(at) = self.records.stages.iter().position(|record| record.stage == task.stage) else {
            return Ok(Standing::Open);
        };
        let record = &self.records.stages[at];
        if let Some(pipe) = task.inputs.iter().find(|stamp| stamp.is_pipe()) {
            return redo(format!("{} is not a regular file, so its contents cannot be compared", pipe.path.display()));
        }
        if record.key != task.key {
            let reason = difference(&record.inputs, &task.inputs);
            return redo(reason.unwrap_or_else(|| "its settings or its inputs have changed".into()));
        }
        if !record.finished {
            return Ok(Standing::Open);
        }
        let mut outputs = Vec::new();
        for left in &record.outputs {
            let path = self.folder.join(&left.path);
            let name = path.display();
            match Stamp::take(&path, Some(left)) {
                Ok(mut now) if now.xxh3 == left.xxh3 => {
                    now.path.clone_from(&left.path);
                    outputs.push(now);
                }
                Ok(_) => return redo(format!("{name} has changed since")),
                Err(_) => return redo(format!("{name} is gone")),
            }
        }
        let seen = Record { inputs: task.inputs.clone(), outputs, ..record.clone() };
        if seen != *record {
            self.put(seen)?;
        }
        Ok(Standing::Finished)
    }

    /// Whether the stage was started under this key and not finished: what it left may be gone on with.
    pub fn is_started(&self, task: &Task) -> bool {
        self.find(task.stage).is_some_and(|record| record.key == task.key && !record.finished)
    }

    /// Puts the stage's start on record, before it writes anything.
    pub fn start(&mut self, task: &Task) -> Result<()> {
        let Task { stage, inputs, key } = task;
        let (key, inputs) = (key.clone(), inputs.clone());
        self.put(Record { stage: *stage, key, finished: false, inputs, outputs: Vec::new() })
    }

    /// What is on record of searches for settings.
    pub fn tuning(&self) -> Option<&Tuning> {
        self.records.tuning.as_ref()
    }

    /// Puts on record what is known of searches.
    pub fn keep_tuning(&mut self, tuning: Tuning) -> Result<()> {
        self.records.tuning = Some(tuning);
        write_json_locked(&self.path, &self.records, &self.lock)
    }

    /// [`finish`](NightState::finish) of a search, and what came of it, at once.
    pub fn finish_search(&mut self, task: &Task, files: &[PathBuf], tuning: Tuning) -> Result<()> {
        self.records.tuning = Some(tuning);
        self.finish(task, files)
    }

    /// Puts the stage's end on record, with the files that it left.
    pub fn finish(&mut self, task: &Task, files: &[PathBuf]) -> Result<()> {
        let mut outputs = Stamp::all(files, &[])?;
        for stamp in &mut outputs {
            if let Ok(inside) = stamp.path.strip_prefix(&self.folder) {
                stamp.path = inside.to_owned();
            }
        }
        let Task { stage, inputs, key } = task;
        self.put(Record { stage: *stage, key: key.clone(), finished: true, inputs: inputs.clone(), outputs })
    }

    fn put(&mut self, record: Record) -> Result<()> {
        self.records.stages.retain(|other| other.stage != record.stage);
        self.records.stages.push(record);
        self.records.stages.sort_by_key(|record| record.stage);
        write_json_locked(&self.path, &self.records, &self.lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(stage: NightStage, settings: &str) -> Task {
        Task::new(stage, &json!(settings), Vec::new(), &[])
    }

    /// The reason why it is done again.
    fn reason_to_redo(state: &mut NightState, task: &Task) -> String {
        match state.standing(task).expect("files that can be read") {
            Standing::Again(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stage_is_finished_under_its_key_only() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let left = folder.path().join("left");
        fs::write(&left, "something").expect("written");
        let mut state = NightState::open(folder.path()).expect("a new record");
        let (a, b) = (task(NightStage::Train, "a"), task(NightStage::Train, "b"));
        assert_eq!(state.standing(&a).expect("no record"), Standing::Open);
        state.start(&a).expect("written");
        assert!(state.is_started(&a) && state.standing(&a).expect("a record") == Standing::Open);
        state.finish(&a, &[left]).expect("written");
        assert!(!state.is_started(&a), "what is finished is not gone on with");
        drop(state);
        let mut state = NightState::open(folder.path()).expect("the record");
        assert_eq!(state.standing(&a).expect("a record"), Standing::Finished);
        assert!(reason_to_redo(&mut state, &b).contains("settings"));
        state.start(&b).expect("written");
        assert!(reason_to_redo(&mut state, &a).contains("settings"));
    }

    #[test]
    fn a_record_of_an_older_version_is_read_and_nothing_is_finished_by_it() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let old = json!({
            "format": "tercel-nightly", "version": 1, "stages": [{ "stage": "train", "key": "0", "finished": true }]
        });
        tercel::files::write_json(&folder.path().join("nightly.json"), &old).expect("written");
        let mut state = NightState::open(folder.path()).expect("the record");
        assert!(state.has(NightStage::Train), "the model is this run's");
        reason_to_redo(&mut state, &task(NightStage::Train, "a"));
    }

    #[test]
    fn what_a_stage_left_has_to_be_as_it_left_it() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let left = ["a", "b"].map(|name| folder.path().join(name));
        let mut state = NightState::open(folder.path()).expect("a new record");
        let task = task(NightStage::Recommend, "");
        let finish = |state: &mut NightState| {
            left.iter().for_each(|path| fs::write(path, "list").expect("written"));
            state.finish(&task, &left).expect("written");
            assert_eq!(state.standing(&task).expect("readable"), Standing::Finished);
        };
        finish(&mut state);
        let time = fs::metadata(&left[1]).and_then(|about| about.modified()).expect("a time");
        fs::write(&left[1], "tsil").expect("written");
        fs::File::options().write(true).open(&left[1]).and_then(|file| file.set_modified(time)).expect("set back");
        assert!(reason_to_redo(&mut state, &task).ends_with("b has changed since"), "of equal size and time");
        finish(&mut state);
        fs::remove_file(&left[0]).expect("removed");
        assert!(reason_to_redo(&mut state, &task).ends_with("a is gone"));
        finish(&mut state);
        fs::write(&left[0], "").expect("written");
        assert!(reason_to_redo(&mut state, &task).ends_with("a has changed since"));
        finish(&mut state);
        fs::rename(&left[0], folder.path().join("c")).expect("renamed");
        fs::rename(folder.path().join("c"), &left[0]).expect("renamed back");
        assert_eq!(state.standing(&task).expect("readable"), Standing::Finished, "the bytes decide");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_never_finished() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let left = folder.path().join("left");
        fs::write(&left, "something").expect("written");
        let mut state = NightState::open(folder.path()).expect("a new record");
        let pipe = PathBuf::from("/dev/null");
        let task = Task::new(NightStage::Ingest, &json!(0), Stamp::all(&[pipe], &[]).expect("asked"), &[]);
        state.finish(&task, &[left]).expect("written");
        assert_eq!(
            reason_to_redo(&mut state, &task),
            "/dev/null is not a regular file, so its contents cannot be compared"
        );
    }

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let first = NightState::open(folder.path()).expect("the lock");
        let error = NightState::open(folder.path()).expect_err("it is taken");
        assert!(error.to_string().contains("has been writing it since"), "{error}");
        drop(first);
        NightState::open(folder.path()).expect("the lock again");
    }
}
