//! Paths in JSON, where texts are UTF-8 and file names need not be.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A path in an event, to be read: what is not UTF-8 in it is shown as `U+FFFD`.
pub fn shown(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// A path in a record, to be found again: a text, or the list of its bytes where they are no text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for Recorded {
    fn from(path: &Path) -> Recorded {
        match path.to_str() {
            Some(text) => Recorded::Text(text.to_owned()),
            None => Recorded::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

/// A path in a record, as JSON.
pub fn recorded(path: &Path) -> Value {
    match Recorded::from(path) {
        Recorded::Text(text) => text.into(),
        Recorded::Bytes(bytes) => bytes.into(),
    }
}

/// For `#[serde(with = "paths")]`.
pub fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    Recorded::from(path).serialize(to)
}

/// For `#[serde(with = "paths")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    Ok(match Recorded::deserialize(from)? {
        Recorded::Text(text) => text.into(),
        Recorded::Bytes(bytes) => OsString::from_vec(bytes).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Record {
        #[serde(with = "super")]
        path: PathBuf,
    }

    #[test]
    fn every_path_is_found_again() {
        for path in [&b"model"[..], "k\u{e4}se/1".as_bytes(), b"a\xff\xfe/b", b""] {
            let record = Record { path: OsString::from_vec(path.to_vec()).into() };
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
            assert_eq!(serde_json::to_value(&record).unwrap()["path"], recorded(&record.path));
        }
    }
}
