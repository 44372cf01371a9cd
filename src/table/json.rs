//! JSON lines: an object a line.

use std::borrow::Cow;
use std::fmt;

use hashbrown::HashMap;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::LIST_SEPARATOR;

/// Reads the values of objects in the order of the file's columns.
pub(super) struct JsonReader {
    places: HashMap<String, usize>,
    /// By column: where its value stands, once it has been met.
    met: Vec<Option<(u32, u32)>>,
    /// Keys that are no column, the first of them.
    other: Vec<String>,
}

/// Keys that are remembered.
const OTHER_KEYS: usize = 20;

impl JsonReader {
    pub(super) fn new(columns: &[String]) -> JsonReader {
        let places = columns.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        JsonReader { places, met: vec![None; columns.len()], other: Vec::new() }
    }

    /// The keys of the lines up to here that are no column.
    pub(super) fn take_other(&mut self) -> Vec<String> {
        std::mem::take(&mut self.other)
    }

    /// The values of one object: null, absent and nested ones are empty, each value of a list stands behind a
    /// [`LIST_SEPARATOR`], numbers are as they are written. Keys that are no column are passed over, and remembered.
    ///
    /// # Errors
    /// The column that is there twice; None where the line is no object.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        out: &mut Vec<u8>,
        fields: &mut Vec<(u32, u32)>,
    ) -> Result<(), Option<usize>> {
        out.clear();
        fields.clear();
        self.met.fill(None);
        let mut twice = None;
        let seed = Object { places: &self.places, met: &mut self.met, out, twice: &mut twice, other: &mut self.other };
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let read = seed.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        fields.extend(self.met.iter().map(|met| met.unwrap_or((0, 0))));
        match (read, twice) {
            (Err(_), _) => Err(None),
            (Ok(()), Some(column)) => Err(Some(column)),
            (Ok(()), None) => Ok(()),
        }
    }
}

struct Object<'a> {
    places: &'a HashMap<String, usize>,
    met: &'a mut [Option<(u32, u32)>],
    out: &'a mut Vec<u8>,
    twice: &'a mut Option<usize>,
    other: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let Some(&column) = self.places.get(&*key) else {
                map.next_value::<IgnoredAny>()?;
                if self.other.len() < OTHER_KEYS && !self.other.iter().any(|other| *other == *key) {
                    self.other.push(key.into_owned());
                }
                continue;
            };
            let value: &RawValue = map.next_value()?;
            let start = self.out.len() as u32;
            append(value.get(), self.out);
            if self.met[column].replace((start, self.out.len() as u32)).is_some() {
                *self.twice = Some(column);
            }
        }
        Ok(())
    }
}

/// Appends a value as text.
fn append(raw: &str, out: &mut Vec<u8>) {
    match raw.as_bytes().first() {
        Some(b'"') => out.extend_from_slice(serde_json::from_str::<String>(raw).unwrap_or_default().as_bytes()),
        Some(b'[') => {
            // The first separator tells a list from a single value.
            let values: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
            for value in values {
                out.extend_from_slice(LIST_SEPARATOR.as_bytes());
                append(value.get(), out);
            }
        }
        // Nested objects cannot be used.
        Some(b'{' | b'n') | None => {}
        Some(_) => out.extend_from_slice(raw.as_bytes()),
    }
}

/// What the first lines of a file of JSON objects tell of its columns.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Keys {
    /// Every key, in the order in which they come.
    pub(super) columns: Vec<String>,
    /// Those whose values are lists.
    pub(super) lists: Vec<String>,
    /// Those whose values are objects, which cannot be used.
    pub(super) nested: Vec<String>,
}

/// The keys of these lines; None where the first is no object.
pub(super) fn keys(lines: &[u8]) -> Option<Keys> {
    let mut keys = Keys::default();
    let mut known = hashbrown::HashSet::new();
    let (mut lists, mut nested) = (hashbrown::HashSet::new(), hashbrown::HashSet::new());
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for (at, line) in lines.enumerate() {
        let Ok(object) = serde_json::from_slice::<Pairs<'_>>(line) else {
            if at == 0 {
                return None;
            }
            continue;
        };
        for (key, value) in object.0 {
            let first = value.get().as_bytes().first();
            if first == Some(&b'[') && lists.insert(key.clone().into_owned()) {
                keys.lists.push(key.clone().into_owned());
            }
            if first == Some(&b'{') && nested.insert(key.clone().into_owned()) {
                keys.nested.push(key.clone().into_owned());
            }
            if known.insert(key.clone().into_owned()) {
                keys.columns.push(key.into_owned());
            }
        }
    }
    (!keys.columns.is_empty()).then_some(keys)
}

/// An object's pairs, in their order.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_name() {
        let columns = ["user", "item", "tags"].map(String::from);
        let mut reader = JsonReader::new(&columns);
        let (mut out, mut fields) = (Vec::new(), Vec::new());
        let mut read = |line: &str| {
            reader.read(line.as_bytes(), &mut out, &mut fields)?;
            let text =
                |&(start, end): &(u32, u32)| String::from_utf8_lossy(&out[start as usize..end as usize]).into_owned();
            Ok(fields.iter().map(text).collect::<Vec<_>>())
        };
        assert_eq!(
            read(r#"{"item": 12345678901234567890123, "user": "a\"\u00e9\n", "x": {"y": 1}}"#),
            Ok(vec!["a\"é\n".into(), "12345678901234567890123".into(), String::new()])
        );
        assert_eq!(read(r#"{"user": 007}"#), Err(None));
        assert_eq!(
            read(r#"{"user": 1.50, "item": null, "tags": ["a", null, 3]}"#),
            Ok(vec!["1.50".into(), String::new(), "\u{1f}a\u{1f}\u{1f}3".into()])
        );
        assert_eq!(
            read(r#"{"us\u0065r": true, "tags": {"a": 1}}"#),
            Ok(vec!["true".into(), String::new(), String::new()])
        );
        for (line, error) in [
            ("", None),
            ("[1]", None),
            ("{\"user\":1", None),
            ("{\"user\":1} x", None),
            ("{\"user\":1,\"user\":2}", Some(0)),
        ] {
            assert_eq!(read(line), Err(error), "{line}");
        }
    }

    #[test]
    fn keys_of_all_lines() {
        let found = keys(b"{\"a\":1,\"b\":[1]}\n\n{\"c\":{\"d\":1},\"a\":null}\n{\"cut").unwrap();
        assert_eq!(
            (found.columns, found.lists, found.nested),
            (vec!["a".into(), "b".into(), "c".into()], vec!["b".to_string()], vec!["c".to_string()])
        );
        assert_eq!(keys(b"user,item\n{\"a\":1}\n"), None);
        assert_eq!(keys(b"{}\n"), None);
    }
}
