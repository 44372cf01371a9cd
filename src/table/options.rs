//! How tables are read: what can be said of them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What can be said of the text files and times of a run. Every field left open is told from the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// The field separator.
    pub sep: Option<String>,
    /// The quote character, or `none`.
    pub quote: Option<String>,
    /// The escape character.
    pub escape: Option<String>,
    /// Words that stand for a missing value.
    pub null: Option<Vec<String>>,
    /// The columns' names, for text files without a header line.
    pub columns: Option<Vec<String>>,
    /// What integer times count.
    pub time_unit: Option<TimeUnit>,
    /// How times are written.
    pub time_format: Option<String>,
}

/// What an integer time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Seconds since 1970.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// Days since 1970-01-01.
    Days,
    /// Spreadsheet day numbers.
    Excel,
}

impl std::str::FromStr for TimeUnit {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Err(Error::config("time_unit", text))
    }
}

impl ReadOptions {
    /// The separator as bytes, where it is said.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn separator(&self) -> Result<Option<Vec<u8>>> {
        let Some(text) = &self.sep else { return Ok(None) };
        let bytes = match text.as_str() {
            "tab" | "\\t" => b"\t".to_vec(),
            other => other.as_bytes().to_vec(),
        };
        if bytes.is_empty() || bytes.len() > 8 || bytes.iter().any(|b| matches!(b, b'\n' | b'\r')) {
            return Err(Error::config("sep", format!("`{text}` cannot separate values; use `,`, `tab`, `;`, `|` or `::`")));
        }
        Ok(Some(bytes))
    }

    /// The quote where it is said: a character, or none.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn quote_char(&self) -> Result<Option<Option<u8>>> {
        match self.quote.as_deref() {
            None => Ok(None),
            Some("none" | "") => Ok(Some(None)),
            Some(text) => character("quote", text).map(|quote| Some(Some(quote))),
        }
    }

    /// The escape character, where it is said.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(crate) fn escape_char(&self) -> Result<Option<u8>> {
        match self.escape.as_deref() {
            None | Some("none" | "") => Ok(None),
            Some(text) => character("escape", text).map(Some),
        }
    }
}

fn character(field: &str, text: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err(Error::config(field, format!("`{text}` is not one ASCII character or `none`"))),
    }
}
