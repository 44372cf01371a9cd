//! Files and settings, read by the command and by the library.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use serde_json::Value;
use tempfile::TempDir;
use tercel::data::ingest::{IngestConfig, ingest};

use super::contents::{Contents, Decoded};
use crate::support::tercel;

/// A folder with files, what of it is named as input, and settings by their TOML keys.
pub struct Example {
    dir: TempDir,
    inputs: Vec<String>,
    settings: Vec<(String, String)>,
}

/// Settings that are paths below the example's folder.
const PATHS: [&str; 4] = ["user_features", "item_features", "valid", "test"];

impl Example {
    pub fn new() -> Example {
        Example { dir: tempfile::tempdir().expect("a temp folder"), inputs: Vec::new(), settings: Vec::new() }
    }

    /// One file, which is the input.
    pub fn of(name: &str, content: impl AsRef<[u8]>) -> Example {
        Example::new().file(name, content).input(name)
    }

    /// A file that is no input of itself.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Example {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("written");
        self
    }

    pub fn input(mut self, name: &str) -> Example {
        self.inputs.push(name.into());
        self
    }

    /// A setting by its TOML key; lists with commas.
    pub fn set(mut self, key: &str, value: &str) -> Example {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// A feature file, and the setting that names it.
    pub fn users(self, name: &str, content: impl AsRef<[u8]>) -> Example {
        self.file(name, content).set("user_features", name)
    }

    pub fn items(self, name: &str, content: impl AsRef<[u8]>) -> Example {
        self.file(name, content).set("item_features", name)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The command line, but for `--json`.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["ingest".to_owned()];
        arguments.extend(self.inputs.iter().cloned());
        arguments.extend(["--out".into(), "data".into()]);
        let flags = self.settings.iter().map(|(key, value)| format!("--{}={value}", key.replace('_', "-")));
        arguments.extend(flags);
        arguments
    }

    fn config(&self) -> Result<IngestConfig, toml::de::Error> {
        let mut table = toml::Table::new();
        for (key, value) in &self.settings {
            let text = toml::Value::String(value.clone());
            let texts = || value.split(',').map(|part| toml::Value::String(part.into())).collect::<Vec<_>>();
            let path = || toml::Value::String(self.path(value).to_str().expect("UTF-8").into());
            match key.as_str() {
                "columns" | "null" => drop(table.insert(key.clone(), texts().into())),
                "valid" | "test" => {
                    let list = table.entry(key).or_insert_with(|| toml::Value::Array(Vec::new()));
                    list.as_array_mut().expect("a list").push(path());
                }
                "user_feature" | "item_feature" => {
                    let (column, kind) = value.split_once('=').expect("COLUMN=KIND");
                    let kinds = table.entry(format!("{key}_kinds")).or_insert_with(|| toml::Table::new().into());
                    kinds.as_table_mut().expect("a table").insert(column.into(), kind.into());
                }
                key if PATHS.contains(&key) => drop(table.insert(key.into(), path())),
                _ => drop(table.insert(key.clone(), text)),
            }
        }
        table.try_into()
    }

    /// Reads by the command, then by the library; what they make of it is the same.
    pub fn run(&self) -> Outcome {
        let mut arguments = self.arguments();
        arguments.push("--json".into());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = tercel(self.dir(), &arguments);
        let by_command = match run.code {
            0 => {
                let events = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                let event = events.into_iter().find(|event| event["event"] == "ingest").expect("the event");
                Ok((Contents::read(&self.path("data")), event))
            }
            _ => Err((run.stderr, run.code)),
        };
        if by_command.is_ok() {
            fs::remove_dir_all(self.path("data")).expect("removed");
        } else {
            assert!(!self.path("data").exists(), "an error leaves nothing");
        }
        let inputs: Vec<PathBuf> = self.inputs.iter().map(|input| self.path(input)).collect();
        let config = match self.config() {
            Ok(config) => config,
            Err(error) => {
                let (said, code) = by_command.expect_err("a setting that TOML refuses");
                assert_eq!((code, said.lines().count()), (2, 1), "{said} / {error}");
                return Outcome { result: Err(said), event: Value::Null };
            }
        };
        let by_library = ingest(&inputs, &self.path("data"), &config, &|_| {});
        match (by_command, by_library) {
            (Ok((contents, event)), Ok(summary)) => {
                assert_eq!(contents, Contents::read(&self.path("data")), "the command and the library agree");
                assert_eq!(event["rejected"], summary.rejected);
                fs::remove_dir_all(self.path("data")).expect("removed");
                Outcome { result: Ok(contents), event }
            }
            (Err((said, code)), Err(error)) => {
                assert!([2, 3].contains(&code), "exit code {code}: {said}");
                assert_eq!(code, i32::from(error.exit_code()), "{said} / {error}");
                assert_eq!(said.lines().count(), 1, "one line: {said}");
                Outcome { result: Err(said), event: Value::Null }
            }
            (Ok((contents, _)), Err(error)) => panic!("the command reads {:?}, the library: {error}", contents.rows),
            (Err((said, _)), Ok(_)) => panic!("the library reads what the command does not: {said}"),
        }
    }
}

/// What came of an example.
pub struct Outcome {
    pub result: Result<Contents, String>,
    /// The command's event `ingest`.
    pub event: Value,
}

impl Outcome {
    pub fn contents(&self) -> &Contents {
        self.result.as_ref().unwrap_or_else(|said| panic!("it was refused: {said}"))
    }

    /// All rows, in order.
    #[track_caller]
    pub fn rows(&self, expected: &[&str]) -> &Outcome {
        assert_eq!(self.contents().rows, expected);
        self
    }

    /// An error that has all of these words. For a flag the setting's own name will do: `--time-unit` or `time_unit=`.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        match &self.result {
            Ok(contents) => panic!("read as {:?}, {}; notes {}", contents.rows, contents.columns, self.event["notes"]),
            Err(said) => {
                for word in words {
                    let setting = word.strip_prefix("--").map(|flag| format!("{}=", flag.replace('-', "_")));
                    let there = said.contains(word) || setting.is_some_and(|setting| said.contains(&setting));
                    assert!(there, "`{word}` is not in: {said}");
                }
            }
        }
    }

    /// Both are right: these rows, or an error with these words. Anything else is a guess.
    #[track_caller]
    pub fn right_or_refused(&self, rows: &[&str], words: &[&str]) {
        if self.result.is_ok() {
            self.rows(rows);
        } else {
            self.refused(words);
        }
    }

    #[track_caller]
    pub fn rejected(&self, count: u64) -> &Outcome {
        assert_eq!(self.event["rejected"], count);
        self
    }

    pub fn notes(&self) -> Vec<String> {
        let notes = self.event["notes"].as_array().cloned().unwrap_or_default();
        notes.iter().map(|note| note.as_str().expect("a text").to_owned()).collect()
    }

    /// One note has all of these words.
    #[track_caller]
    pub fn noted(&self, words: &[&str]) -> &Outcome {
        let notes = self.notes();
        assert!(
            notes.iter().any(|note| words.iter().all(|word| note.contains(word))),
            "no note has {words:?}: {notes:#?}"
        );
        self
    }

    /// What was taken for what, in `dataset.json` and in the event.
    #[track_caller]
    pub fn taken(&self, key: &str, expected: impl Into<Value>) -> &Outcome {
        let expected = expected.into();
        assert_eq!(self.contents().columns[key], expected, "dataset.json: {key}");
        assert_eq!(self.event["columns"][key], expected, "the event: {key}");
        self
    }

    #[track_caller]
    pub fn left(&self, expected: &[&str]) -> &Outcome {
        let names: Vec<Value> = expected.iter().map(|name| Value::from(*name)).collect();
        self.taken("left", if names.is_empty() { Value::Null } else { names.into() })
    }

    #[track_caller]
    fn feature(&self, side: &str, id: &str, name: &str) -> &Decoded {
        let contents = self.contents();
        let side = if side == "users" { &contents.users } else { &contents.items };
        let found = side.values.get(id).unwrap_or_else(|| panic!("no `{id}`"));
        found.get(name).unwrap_or_else(|| panic!("no feature `{name}`; notes: {:#?}", self.notes()))
    }

    /// A category; `""` is missing.
    #[track_caller]
    pub fn text(&self, side: &str, id: &str, name: &str, expected: &str) -> &Outcome {
        let expected = if expected.is_empty() { Decoded::Missing } else { Decoded::Text(expected.into()) };
        assert_eq!(self.feature(side, id, name), &expected, "{name} of {id}");
        self
    }

    /// A list, sorted; an empty one is missing.
    #[track_caller]
    pub fn texts(&self, side: &str, id: &str, name: &str, expected: &[&str]) -> &Outcome {
        let texts = Decoded::Texts(expected.iter().map(|text| text.to_string()).collect());
        let expected = if expected.is_empty() { Decoded::Missing } else { texts };
        assert_eq!(self.feature(side, id, name), &expected, "{name} of {id}");
        self
    }

    /// A number that lies in the feature's bucket; None is missing.
    #[track_caller]
    pub fn number(&self, side: &str, id: &str, name: &str, expected: Option<f64>) -> &Outcome {
        match (self.feature(side, id, name), expected) {
            (Decoded::Missing, None) => {}
            (Decoded::Between(low, high), Some(number)) if *low <= number && number < *high => {}
            (found, expected) => panic!("{name} of {id}: {found:?}, expected {expected:?}"),
        }
        self
    }
}

/// Columns to a record batch.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}

pub fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// The bytes of a Parquet file.
pub fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
    bytes
}

/// The bytes of an Arrow IPC file.
pub fn arrow(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).expect("a writer");
    writer.write(batch).expect("written");
    writer.finish().expect("finished");
    writer.into_inner().expect("bytes")
}

/// The bytes of an Arrow IPC stream.
pub fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a writer");
    writer.write(batch).expect("written");
    writer.finish().expect("finished");
    writer.into_inner().expect("bytes")
}

pub fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut out, text.as_ref()).expect("packed");
    out.finish().expect("packed")
}

/// A symbolic link in the example's folder.
#[cfg(unix)]
pub fn link(example: &Example, target: &str, name: &str) {
    std::os::unix::fs::symlink(target, example.path(name)).expect("a link");
}

/// How many bytes a file has.
pub fn size(path: &Path) -> u64 {
    File::open(path).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len())
}
