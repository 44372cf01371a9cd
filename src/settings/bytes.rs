//! Sizes in bytes, as people write them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use super::Word;

/// A number of bytes: `512MiB`, `2GB`, `1073741824`; a number or a text in TOML and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Word for Bytes {
    const KIND: &'static str = "bytes";
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size in bytes; use, for example, 512MiB or 2GB");
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(bad()),
        };
        let bytes = digits.parse().ok().and_then(|n: u64| n.checked_mul(factor)).filter(|n| *n > 0);
        bytes.map(Bytes).ok_or_else(bad)
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes, such as 1073741824 or \"512MiB\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<Bytes, E> {
        u64::try_from(bytes).map(Bytes).map_err(|_| E::custom(format_args!("{bytes} is not a size in bytes")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        Bytes::parse(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(Bytes::parse("512MiB"), Ok(Bytes(512 << 20)));
        assert_eq!(Bytes::parse("2gb"), Ok(Bytes(2_000_000_000)));
        assert_eq!(Bytes::parse("77"), Ok(Bytes(77)));
        for bad in ["", "0", "MiB", "1.5G", "3 bushels", "99999999999999G"] {
            assert!(Bytes::parse(bad).is_err(), "{bad}");
        }
        let both: Vec<Bytes> = serde_json::from_str("[1024, \"1KiB\"]").unwrap();
        assert_eq!(both, [Bytes(1024); 2]);
        assert!(serde_json::from_str::<Bytes>("-1").is_err());
    }
}
