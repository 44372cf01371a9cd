//! How text tables and times are written, where it must be said.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::settings::define::settings;
use crate::settings::limits::MAX_SEPARATOR;
use crate::settings::value::{choices, words};
use crate::{Error, Result};

settings! {
    /// How a table is written. Everything that is left open is told from the file.
    pub struct ReadOptions["Input"] {
        /// Field separator of text files: `,` `tab` `;` `|` `::` or any 1 to 8 bytes.
        pub sep: Option<String> = None, "detected from the first lines" => flag("SEP");
        /// Quote character, or none.
        pub quote: Option<Mark> = None, "`\"` for `,` `;` `|`, none for tab and `::` unless the file shows otherwise"
            => flag("CHAR");
        /// Escape character: the next character is taken literally. Spark, MySQL and Hive use `\`.
        pub escape: Option<Mark> = None, "none" => flag("CHAR");
        /// Words that stand for a missing value, comma-separated.
        pub null: Option<Vec<String>> = None,
            "empty, `\\N`, NULL, NaN, None, N/A, NA, `<NA>`, `#N/A`, in upper or lower case" => flag("WORD,WORD").commas();
        /// Column names, comma-separated, for text files without a header line.
        pub columns: Option<Vec<String>> = None, "the header line" => flag("A,B,C").commas();
        /// Unit of integer times: seconds, milliseconds, microseconds, nanoseconds or days since 1970-01-01, or
        /// spreadsheet day numbers (since 1899-12-30).
        pub time_unit: Option<TimeUnit> = None, "detected from the values if only one fits" => flag("");
        /// Format of times in strftime notation, such as %Y%m%d or %d/%m/%Y.
        pub time_format: Option<String> = None, "detected from the values" => flag("FORMAT");
    }
}

impl ReadOptions {
    /// Checks the options, alone and against each other.
    ///
    /// # Errors
    /// [`Error::Config`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let separator = self.separator()?;
        let (quote, escape) = (self.quote.and_then(Mark::byte), self.escape.and_then(Mark::byte));
        for (name, mark) in [("quote", quote), ("escape", escape)] {
            let (Some(mark), Some(separator)) = (mark, &separator) else { continue };
            if separator.contains(&mark) {
                return Err(Error::config(name, format!("`{}` is part of the separator", char::from(mark))));
            }
        }
        if quote.is_some() && quote == escape {
            return Err(Error::config("escape", "is the quote: a doubled quote within quotes is read without it"));
        }
        if let Some(columns) = &self.columns {
            let mut sorted: Vec<_> = columns.iter().collect();
            sorted.sort_unstable();
            if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Error::config("columns", format!("`{}` appears twice", twice[0])));
            }
        }
        match (&self.time_format, self.time_unit) {
            (Some(format), _) if !format.contains('%') => {
                Err(Error::config("time_format", format!("`{format}` has no field; write %Y%m%d or %d/%m/%Y")))
            }
            (Some(_), Some(_)) => Err(Error::config(
                "time_unit",
                "applies to numeric times, time_format to others: give only one of them",
            )),
            _ => Ok(()),
        }
    }

    /// The separator as bytes, where it is given.
    ///
    /// # Errors
    /// [`Error::Config`] where it cannot separate values.
    pub fn separator(&self) -> Result<Option<Vec<u8>>> {
        let Some(text) = &self.sep else { return Ok(None) };
        let bytes = match text.as_str() {
            "tab" | "\\t" => b"\t".to_vec(),
            other => other.as_bytes().to_vec(),
        };
        let quoted = self.quote.is_none() && bytes.contains(&b'"');
        if bytes.is_empty() || bytes.len() > MAX_SEPARATOR || quoted || bytes.iter().any(|b| matches!(b, b'\n' | b'\r'))
        {
            return Err(Error::config(
                "sep",
                format!("`{text}` cannot separate values; use `,`, `tab`, `;`, `|` or `::`"),
            ));
        }
        Ok(Some(bytes))
    }
}

/// A character with a meaning in text files: one of ASCII, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mark {
    /// No character has the meaning.
    None,
    /// This one has: ASCII, no line break.
    Byte(u8),
}

impl Mark {
    /// The character.
    #[must_use]
    pub fn byte(self) -> Option<u8> {
        match self {
            Mark::None => None,
            Mark::Byte(byte) => Some(byte),
        }
    }
}

impl FromStr for Mark {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.as_bytes() {
            b"none" => Ok(Mark::None),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(Mark::Byte(*byte)),
            _ => Err(Error::config("character", format!("`{text}` is not one ASCII character, or none"))),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::None => f.write_str("none"),
            Mark::Byte(byte) => write!(f, "{}", char::from(*byte)),
        }
    }
}

impl TryFrom<String> for Mark {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> String {
        mark.to_string()
    }
}

choices! {
    /// What integer times count.
    pub enum TimeUnit in "time_unit" {
        /// Seconds since 1970-01-01.
        S = "s",
        /// Milliseconds since 1970-01-01.
        Ms = "ms",
        /// Microseconds since 1970-01-01.
        Us = "us",
        /// Nanoseconds since 1970-01-01.
        Ns = "ns",
        /// Days since 1970-01-01.
        Days = "days",
        /// A spreadsheet's day numbers, since 1899-12-30.
        Excel = "excel",
    }
}

words!(Mark: "one character, or none");

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ReadOptions {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn separators() {
        let bytes = |sep: &str| ReadOptions { sep: Some(sep.into()), ..Default::default() }.separator();
        assert_eq!(bytes("tab").unwrap().as_deref(), Some(&b"\t"[..]));
        assert_eq!(bytes("::").unwrap().as_deref(), Some(&b"::"[..]));
        assert_eq!(bytes("|").unwrap().as_deref(), Some(&b"|"[..]));
        for bad in ["", "\"", "\n", "123456789"] {
            assert!(bytes(bad).unwrap_err().to_string().starts_with("sep: "), "{bad:?}");
        }
        assert!(read("sep = '\"'\nquote = \"none\"").validate().is_ok());
    }

    #[test]
    fn options_that_do_not_go_together() {
        for (text, field) in [
            ("sep = \"ab\"\nquote = \"b\"", "quote: "),
            ("sep = \"\\\\\"\nescape = \"\\\\\"", "escape: "),
            ("quote = \"'\"\nescape = \"'\"", "escape: "),
            ("columns = [\"a\", \"a\"]", "columns: "),
            ("time_format = \"yyyy\"", "time_format: "),
            ("time_format = \"%Y\"\ntime_unit = \"ms\"", "time_unit: "),
        ] {
            let error = read(text).validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{text}: {error}");
        }
        read("sep = \"tab\"\nquote = \"none\"\nescape = \"\\\\\"\nnull = [\"\"]\ntime_unit = \"days\"")
            .validate()
            .unwrap();
    }

    #[test]
    fn marks_and_units_are_written_as_they_are_read() {
        for text in ["none", "\"", "'", "\\"] {
            assert_eq!(text.parse::<Mark>().unwrap().to_string(), text);
        }
        for bad in ["", "ab", "ä", "\n"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad:?}");
        }
        for unit in ["s", "ms", "us", "ns", "days", "excel"] {
            assert_eq!(serde_json::to_value(unit.parse::<TimeUnit>().unwrap()).unwrap(), unit);
        }
        assert!("hours".parse::<TimeUnit>().is_err());
    }
}
