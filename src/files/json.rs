//! JSON texts that carry their own checksum.
//!
//! The last key of such a text is `checksum`: an xxh3-64 of all other keys and values, whatever their order and layout,
//! so that a text that was only laid out anew still holds.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3Default;

use super::Lock;
use super::atomic::{write_atomic, write_inside};
use crate::{Error, Result};

const KEY: &str = "checksum";

/// Writes a JSON object whole or not at all, with its checksum.
///
/// # Errors
/// [`Error::Input`] when another run writes it; [`Error::Io`].
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = sealed(value).map_err(|e| Error::io(path, e))?;
    write_atomic(path, |out| out.write_all(&text))
}

/// [`write_json`] of a file whose lock is held.
///
/// # Errors
/// [`Error::Io`].
pub fn write_json_locked<T: Serialize>(path: &Path, value: &T, _: &Lock) -> Result<()> {
    write_json_inside(path, value)
}

/// [`write_json`] in a folder that nobody else writes to.
pub(crate) fn write_json_inside<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    write_inside(path, &sealed(value).map_err(|e| Error::io(path, e))?)
}

/// Reads a JSON object that [`write_json`] wrote.
///
/// # Errors
/// [`Error::Damaged`] when it cannot be understood, or when its checksum is missing or another; [`Error::Io`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|e| Error::io(path, e))?;
    parse_json(path, &text)
}

/// [`read_json`] of a text that is in memory; `path` stands for it in errors.
pub fn parse_json<T: DeserializeOwned>(path: &Path, text: &[u8]) -> Result<T> {
    let mut object = object(path, text)?;
    let recorded = object.shift_remove(KEY);
    let advice = || {
        let path = path.display();
        format!("if it was edited by hand, check it and run `tercel inspect --accept {path}`")
    };
    let found = checksum(&object);
    match recorded.as_ref().and_then(Value::as_str) {
        Some(recorded) if recorded == found => {}
        Some(_) => return Err(Error::damaged(path, KEY, format!("it does not match the text; {}", advice()))),
        None => return Err(Error::damaged(path, KEY, format!("there is none; {}", advice()))),
    }
    serde_json::from_slice(text).map_err(|e| not_understood(path, &e))
}

/// What a text says that it is, where that is not this format and version: to be asked before the rest of it is read, which
/// another version may have in another way.
pub fn other_format(text: &[u8], format: &str, version: u32) -> Option<String> {
    #[derive(Deserialize)]
    struct Written {
        format: String,
        version: u32,
    }
    let written: Written = serde_json::from_slice(text).ok()?;
    let other = written.format != format || written.version != version;
    other.then(|| format!("format {} version {}", written.format, written.version))
}

/// Gives a JSON object the checksum of what it says now.
///
/// # Errors
/// [`Error::Damaged`] when it is no JSON object; as [`write_json`] else.
pub fn accept_json<T: Serialize + DeserializeOwned>(
    path: &Path,
    change: impl FnOnce(&mut T) -> Result<()>,
) -> Result<()> {
    let mut value = read_unchecked(path)?;
    change(&mut value)?;
    write_json(path, &value)
}

/// Reads a JSON text whatever its checksum says.
pub(crate) fn read_unchecked<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|e| Error::io(path, e))?;
    serde_json::from_slice(&text).map_err(|e| not_understood(path, &e))
}

fn object(path: &Path, text: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(text).map_err(|e| not_understood(path, &e))
}

fn not_understood(path: &Path, error: &serde_json::Error) -> Error {
    Error::damaged(path, format!("line {}, column {}", error.line(), error.column()), error.to_string())
}

/// The text of an object with its checksum.
fn sealed<T: Serialize>(value: &T) -> std::io::Result<Vec<u8>> {
    // What the text says is what is hashed: a number may be written more shortly than it was held.
    let mut object: Map<String, Value> = serde_json::from_slice(&serde_json::to_vec(value)?)?;
    object.shift_remove(KEY);
    let checksum = checksum(&object);
    object.insert(KEY.into(), checksum.into());
    let mut text = serde_json::to_vec_pretty(&object)?;
    text.push(b'\n');
    Ok(text)
}

/// The xxh3-64 of an object: 16 hex digits.
fn checksum(object: &Map<String, Value>) -> String {
    let mut hasher = Hashing(Xxh3Default::new());
    hash_object(object, &mut hasher);
    format!("{:016x}", hasher.0.digest())
}

struct Hashing(Xxh3Default);

impl Hashing {
    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }
}

/// Every value by a letter for its type and its length or text, so that no two objects are fed alike.
fn hash_object(object: &Map<String, Value>, hasher: &mut Hashing) {
    let mut pairs: Vec<_> = object.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| key.as_str());
    hasher.text("object");
    hasher.0.update(&(pairs.len() as u64).to_le_bytes());
    for (key, value) in pairs {
        hasher.text(key);
        hash_value(value, hasher);
    }
}

fn hash_value(value: &Value, hasher: &mut Hashing) {
    match value {
        Value::Null => hasher.text("null"),
        Value::Bool(value) => hasher.text(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            hasher.text("number");
            hasher.text(&number.to_string());
        }
        Value::String(text) => {
            hasher.text("string");
            hasher.text(text);
        }
        Value::Array(values) => {
            hasher.text("array");
            hasher.0.update(&(values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| hash_value(value, hasher));
        }
        Value::Object(object) => hash_object(object, hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_version_is_seen_before_what_it_says() {
        let other = |text: &str| other_format(text.as_bytes(), "a", 1);
        assert_eq!(other(r#"{ "format": "a", "version": 1, "b": 2 }"#), None);
        assert_eq!(other(r#"{ "format": "a", "version": 2, "b": [] }"#).unwrap(), "format a version 2");
        assert_eq!(other(r#"{ "format": "b", "version": 1 }"#).unwrap(), "format b version 1");
        assert_eq!(other(r#"{ "format": 3 }"#), None, "what it is then, reading it says");
    }

    #[test]
    fn a_changed_text_is_refused_and_another_layout_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_json(&path, &json!({ "b": 0.5, "a": [1, null, "x"], "c": { "d": true } })).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let read = |text: &str| parse_json::<Value>(&path, text.as_bytes());
        assert_eq!(read(&text).unwrap()["b"], 0.5);
        read(&text.replace("\n", " ")).unwrap();
        for (from, to) in [("0.5", "0.1"), ("\"d\"", "\"e\""), ("null", "0"), ("true", "false"), ("\"x\"", "\"x\", 1")]
        {
            let error = read(&text.replace(from, to)).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("--accept"), "{error}");
        }
        let without = text.replace("checksum", "check");
        assert!(read(&without).unwrap_err().to_string().contains("there is none"));
        fs::write(&path, text.replace("0.5", "0.1")).unwrap();
        accept_json::<Value>(&path, |_| Ok(())).unwrap();
        assert_eq!(read_json::<Value>(&path).unwrap()["b"], 0.1);
    }
}
