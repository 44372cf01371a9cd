//! What a setting can hold: one word, an open one, a list, a map; and how a word is read and written.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

/// One value as people write it.
pub trait Word: Clone + Send + Sync + Sized + 'static {
    /// The names of all values, `a|b|c`, where these are few.
    const NAMES: Option<&'static str> = None;
    /// What it is, where no names can be listed.
    const KIND: &'static str = "text";
    /// A flag stands alone and turns it on.
    const SWITCH: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes it as [`parse`](Word::parse) reads it.
    fn text(&self) -> String;

    /// Reads it from an argument of the command line.
    ///
    /// # Errors
    /// Why it cannot be.
    fn read(text: &OsStr) -> Result<Self, String> {
        Self::parse(text.to_str().ok_or("is not UTF-8")?)
    }

    /// The names of its values, or what it is.
    #[must_use]
    fn values() -> String {
        Self::NAMES.unwrap_or(Self::KIND).to_owned()
    }
}

/// Words that are read and written by `FromStr` and `Display`.
macro_rules! words {
    ($($type:ty: $kind:literal),+ $(,)?) => {$(
        impl $crate::settings::Word for $type {
            const KIND: &'static str = $kind;
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error| format!("{error}"))
            }
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
pub(crate) use words;

impl Word for bool {
    const KIND: &'static str = "true or false";
    const SWITCH: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not true or false"))
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

words!(u32: "number", u64: "number", usize: "number", f32: "number", String: "text");

impl Word for PathBuf {
    const KIND: &'static str = "path";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }
    fn text(&self) -> String {
        self.display().to_string()
    }
    fn read(text: &OsStr) -> Result<Self, String> {
        Ok(text.into())
    }
}

/// `NAME=VALUE`: an entry of a map.
impl<W: Word> Word for (String, W) {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), W::parse(value)?)),
            _ => Err(format!("`{text}` is not NAME={}", W::values())),
        }
    }
    fn text(&self) -> String {
        format!("{}={}", self.0, self.1.text())
    }
    fn values() -> String {
        format!("NAME={}", W::values())
    }
}

/// What a setting holds: words, and how many.
pub trait Value: Clone {
    /// One of them.
    type Word: Word;
    /// A flag may be given more than once.
    const MANY: bool = false;
    /// A flag stands alone and turns it on.
    const SWITCH: bool = false;

    /// Its words.
    fn words(&self) -> Vec<Self::Word>;

    /// Puts the words of a flag in their place.
    fn put(&mut self, words: Vec<Self::Word>);

    /// The words as they are written; none where it is open.
    fn written(&self) -> Option<String> {
        Some(self.words().iter().map(Word::text).collect::<Vec<_>>().join(","))
    }
}

impl<W: Word> Value for W {
    type Word = W;
    const SWITCH: bool = W::SWITCH;
    fn words(&self) -> Vec<W> {
        vec![self.clone()]
    }
    fn put(&mut self, words: Vec<W>) {
        if let Some(word) = words.into_iter().next_back() {
            *self = word;
        }
    }
}

/// A word, or left open.
impl<W: Word> Value for Option<W> {
    type Word = W;
    fn words(&self) -> Vec<W> {
        self.iter().cloned().collect()
    }
    fn put(&mut self, words: Vec<W>) {
        *self = words.into_iter().next_back();
    }
    fn written(&self) -> Option<String> {
        self.as_ref().map(Word::text)
    }
}

/// A list.
impl<W: Word> Value for Vec<W> {
    type Word = W;
    const MANY: bool = true;
    fn words(&self) -> Vec<W> {
        self.clone()
    }
    fn put(&mut self, words: Vec<W>) {
        *self = words;
    }
}

/// A list, or left open.
impl<W: Word> Value for Option<Vec<W>> {
    type Word = W;
    const MANY: bool = true;
    fn words(&self) -> Vec<W> {
        self.clone().unwrap_or_default()
    }
    fn put(&mut self, words: Vec<W>) {
        *self = Some(words);
    }
    fn written(&self) -> Option<String> {
        self.as_ref().map(Value::written)?
    }
}

/// A map: a flag adds entries, `NAME=VALUE`.
impl<W: Word> Value for BTreeMap<String, W> {
    type Word = (String, W);
    const MANY: bool = true;
    fn words(&self) -> Vec<(String, W)> {
        self.clone().into_iter().collect()
    }
    fn put(&mut self, words: Vec<(String, W)>) {
        self.extend(words);
    }
}

/// A closed set of words: an enumeration, its names, and how it is read and written everywhere.
///
/// The first name of a variant is written; the others are read.
macro_rules! choices {
    ($(
        $(#[$about:meta])+
        pub enum $name:ident in $what:literal {$(
            $(#[$doc:meta])+
            $variant:ident = $word:literal $(| $other:literal)*,
        )+}
    )+) => {$(
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {$(
            $(#[$doc])+
            $variant,
        )+}

        impl $name {
            /// How it is written.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;
            fn from_str(text: &str) -> $crate::Result<Self> {
                match text {
                    $($word $(| $other)* => Ok($name::$variant),)+
                    _ => Err($crate::Error::config(
                        $what,
                        format!("`{text}` is not one of {}", [$($word),+].join(", ")),
                    )),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl $crate::settings::Word for $name {
            const NAMES: Option<&'static str> = Some($crate::settings::value::choices!(@names $($word),+));
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: $crate::Error| error.to_string())
            }
            fn text(&self) -> String {
                self.name().to_owned()
            }
        }
    )+};
    (@names $first:literal $(, $word:literal)*) => { concat!($first $(, "|", $word)*) };
}
pub(crate) use choices;

/// A number as it was written: settings are kept in single precision, which JSON shows in double.
pub(crate) fn as_written(value: serde_json::Value) -> serde_json::Value {
    let number = value.as_f64().filter(|_| value.is_f64()).map(|number| number as f32);
    number.and_then(|number| number.to_string().parse::<f64>().ok()).map_or(value, |number| number.into())
}
