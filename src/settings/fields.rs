//! A table of settings in TOML and JSON.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeStruct;

use super::Table;

/// Serializes a table.
pub(crate) fn write<T: Table, S: serde::Serializer>(table: &T, name: &'static str, to: S) -> Result<S::Ok, S::Error> {
    let mut to = to.serialize_struct(name, T::keys().len())?;
    table.give(&mut to)?;
    to.end()
}

/// Deserializes a table: keys that are left out keep their default, unknown ones and those that come twice are refused.
pub(crate) fn read<'de, T: Table, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_map(TableVisitor(PhantomData))
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Table> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut table = T::default();
        let (known, mut found) = (T::keys(), Vec::new());
        while let Some(key) = map.next_key_seed(Key { known: &known, found: &found })? {
            table.take(key, &mut map)?;
            found.push(key);
        }
        Ok(table)
    }
}

/// A key of a table. It is checked while it is read, so that an error names the key's line.
struct Key<'a> {
    known: &'a [&'static str],
    found: &'a [&'static str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<&'static str, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a setting's name")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<&'static str, E> {
        match self.known.iter().find(|known| **known == text) {
            Some(key) if self.found.contains(key) => Err(E::custom(format_args!("duplicate field `{text}`"))),
            Some(key) => Ok(key),
            None => {
                let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
                Err(E::custom(format_args!("unknown field `{text}`, expected one of {}", known.join(", "))))
            }
        }
    }
}
