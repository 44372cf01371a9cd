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
    /// Columns of ids, whose values are texts or whole numbers.
    ids: Vec<usize>,
    /// By column: where its value stands, once it has been met.
    met: Vec<Option<(u32, u32)>>,
    /// Keys that are no column, the first of them.
    other: Vec<String>,
}

/// Keys that are remembered.
const OTHER_KEYS: usize = 20;

impl JsonReader {
    pub(super) fn new(columns: &[String], ids: &[usize]) -> JsonReader {
        let places = columns.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        JsonReader { places, ids: ids.to_vec(), met: vec![None; columns.len()], other: Vec::new() }
    }

    /// The keys of the lines up to here that are no column.
    pub(super) fn take_other(&mut self) -> Vec<String> {
        std::mem::take(&mut self.other)
    }

    /// The values of one object: null, absent and nested ones are empty, each value of a list stands behind a
    /// [`LIST_SEPARATOR`], numbers are as they are written. Keys that are no column are passed over, and remembered.
    ///
    /// # Errors
    /// The column that is to blame, and why.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        out: &mut Vec<u8>,
        fields: &mut Vec<(u32, u32)>,
    ) -> Result<(), (usize, &'static str)> {
        out.clear();
        fields.clear();
        self.met.fill(None);
        let mut bad = None;
        let JsonReader { places, ids, met, other } = self;
        let seed = Object { places, ids, met, out, bad: &mut bad, other };
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let read = seed.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        fields.extend(self.met.iter().map(|met| met.unwrap_or((0, 0))));
        match (read, bad) {
            (Err(_), _) => Err((0, NO_OBJECT)),
            (Ok(()), Some(bad)) => Err(bad),
            (Ok(()), None) => Ok(()),
        }
    }
}

const NO_OBJECT: &str = "is missing: the line is not a JSON object, as in {\"user\":1,\"item\":2}";
const TWICE: &str = "appears twice in the object";
const NO_ID: &str = "is a list, an object or a boolean; an id must be a text or a whole number";
const FRACTION: &str = "is a number with a fraction or exponent; an id must be a text or a whole number";

/// Why this value is no id, if so.
fn not_an_id(raw: &str) -> Option<&'static str> {
    match raw.as_bytes().first() {
        Some(b'"' | b'n') | None => None,
        Some(b'-' | b'0'..=b'9') => raw.contains(['.', 'e', 'E']).then_some(FRACTION),
        Some(_) => Some(NO_ID),
    }
}

struct Object<'a> {
    places: &'a HashMap<String, usize>,
    met: &'a mut [Option<(u32, u32)>],
    out: &'a mut Vec<u8>,
    ids: &'a [usize],
    bad: &'a mut Option<(usize, &'static str)>,
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
            if self.ids.contains(&column)
                && let Some(why) = not_an_id(value.get())
            {
                self.bad.get_or_insert((column, why));
            }
            let start = self.out.len() as u32;
            append(value.get(), self.out);
            if self.met[column].replace((start, self.out.len() as u32)).is_some() {
                *self.bad = Some((column, TWICE));
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
pub(super) struct JsonKeys {
    /// Every key, in the order in which they come.
    pub(super) columns: Vec<String>,
    /// Those whose values are lists.
    pub(super) lists: Vec<String>,
    /// Those whose values are objects, which cannot be used.
    pub(super) nested: Vec<String>,
}

/// The keys of these lines; None where the first is no object.
pub(super) fn keys(lines: &[u8]) -> Option<JsonKeys> {
    let mut keys = JsonKeys::default();
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
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
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
        deserializer.deserialize_map(PairsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_name() {
        let columns = ["user", "item", "tags"].map(String::from);
        let mut reader = JsonReader::new(&columns, &[0]);
        let (mut out, mut fields) = (Vec::new(), Vec::new());
        let mut read = |line: &str| -> Result<Vec<String>, (usize, &str)> {
            reader.read(line.as_bytes(), &mut out, &mut fields)?;
            let text =
                |&(start, end): &(u32, u32)| String::from_utf8(out[start as usize..end as usize].to_vec()).unwrap();
            Ok(fields.iter().map(text).collect())
        };
        let line = r#"{"item": 12345678901234567890123, "user": "a\"\u00e9\n", "x": {"y": 1}}"#;
        assert_eq!(read(line).unwrap(), ["a\"é\n", "12345678901234567890123", ""]);
        let line = r#"{"user": -7, "item": null, "tags": ["a", null, 3]}"#;
        assert_eq!(read(line).unwrap(), ["-7", "", "\u{1f}a\u{1f}\u{1f}3"]);
        assert_eq!(read(r#"{"us\u0065r": "x", "item": 1.50, "tags": true}"#).unwrap(), ["x", "1.50", "true"]);
        for line in ["", "[1]", "{\"user\":1", "{\"user\":1} x", "{\"user\": 007}"] {
            assert_eq!(read(line), Err((0, NO_OBJECT)), "{line}");
        }
        assert_eq!(read("{\"item\":1,\"item\":2}"), Err((1, TWICE)));
        for (value, why) in [("[1]", NO_ID), ("true", NO_ID), ("{}", NO_ID), ("1.0", FRACTION), ("1e3", FRACTION)] {
            assert_eq!(read(&format!("{{\"user\":{value}}}")), Err((0, why)), "{value}");
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
