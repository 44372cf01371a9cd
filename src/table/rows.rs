//! Lines to values.

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::dialect::{Dialect, RowEnd, trim_line_end};
use super::json::JsonReader;

/// The longest line, in bytes: what keeps memory bounded.
pub(super) const MAX_LINE: usize = 16 << 20;
/// What is said about a longer one.
pub(super) const TOO_LONG: &str = "the line is longer than 16 MiB";

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Lines (or rows) before it in its piece.
    pub(crate) line: u64,
    /// The column's name.
    pub(crate) column: String,
    pub(crate) reason: String,
    /// The row's text, for `rejected.csv`.
    pub(crate) text: Vec<u8>,
}

/// Splits rows into values.
pub(crate) struct RowReader {
    dialect: Dialect,
    finder: memmem::Finder<'static>,
    fields: Vec<(u32, u32)>,
    /// The values of a row with quotes, unquoted.
    unquoted: Vec<u8>,
    json: Option<JsonReader>,
}

/// One row.
pub(crate) struct Row<'a> {
    bytes: &'a [u8],
    fields: &'a [(u32, u32)],
    /// The row's text without its line end.
    pub(crate) text: &'a [u8],
    /// Line feeds in it, its own included.
    pub(crate) lines: u64,
    /// A value that cannot be told, and why.
    pub(crate) spoilt: Option<(usize, &'static str)>,
}

const BEHIND_QUOTE: &str = "text follows the closing quote; a quote inside quotes must be doubled \
                            (escape=\\ is for files that have \\\" instead, quote=none for files whose quotes are text)";
const STRAY_QUOTE: &str = "the quote that opens here is not closed in its line, and the lines up to the next quote are \
                           rows of their own; give quote=none where quotes are text, or quote=\" where values have \
                           line breaks";
impl<'a> Row<'a> {
    #[inline]
    pub(crate) fn get(&self, i: usize) -> &'a [u8] {
        let (start, end) = self.fields[i];
        &self.bytes[start as usize..end as usize]
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }
}

impl RowReader {
    pub(crate) fn new(dialect: &Dialect) -> RowReader {
        RowReader {
            finder: memmem::Finder::new(&dialect.sep).into_owned(),
            dialect: dialect.clone(),
            fields: Vec::new(),
            unquoted: Vec::new(),
            json: None,
        }
    }

    /// For a file with these columns, of which some are ids: JSON objects give their values by name.
    pub(crate) fn of_columns(dialect: &Dialect, columns: &[String], ids: &[usize]) -> RowReader {
        let json = dialect.json.then(|| JsonReader::new(columns, ids));
        RowReader { json, ..RowReader::new(dialect) }
    }

    /// The keys of JSON objects up to here that are no column.
    pub(crate) fn take_other_keys(&mut self) -> Vec<String> {
        self.json.as_mut().map(JsonReader::take_other).unwrap_or_default()
    }

    /// Reads the row at `*at` and moves behind it; None at the end of `bytes`, which holds whole rows and is below
    /// 4 GiB. An empty line is a row with one empty value.
    #[inline]
    pub(crate) fn next<'a>(&'a mut self, bytes: &'a [u8], at: &mut usize) -> Option<Row<'a>> {
        let start = *at;
        if start >= bytes.len() {
            return None;
        }
        let mut next = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n + 1);
        self.fields.clear();
        if !self.dialect.is_plain() && self.has_special(&bytes[start..next]) {
            let mut stray = None;
            match self.dialect.row_end(bytes, start, true) {
                RowEnd::At(end) => next = end,
                RowEnd::Stray(opened, end) => {
                    next = end;
                    stray = Some(opened);
                }
                // These are whole rows: a quote that stays open in them quotes nothing.
                RowEnd::Quoted(opened) => {
                    next = memchr(b'\n', &bytes[opened..]).map_or(bytes.len(), |n| opened + n + 1);
                    stray = Some(opened);
                }
                RowEnd::Beyond => next = bytes.len(),
            }
            let text = trim_line_end(&bytes[start..next]);
            let lines = memchr_iter(b'\n', &bytes[start..next]).count() as u64;
            let told = &text[..stray.map_or(text.len(), |opened| (opened - start + 1).min(text.len()))];
            let spoilt = self.dialect.split_quoted(&self.finder, told, &mut self.fields, &mut self.unquoted);
            let spoilt = match stray {
                Some(_) => Some((self.fields.len() - 1, STRAY_QUOTE)),
                None => spoilt.map(|field| (field, BEHIND_QUOTE)),
            };
            *at = next;
            return Some(Row { bytes: &self.unquoted, fields: &self.fields, text, lines, spoilt });
        }
        let text = trim_line_end(&bytes[start..next]);
        *at = next;
        if let Some(json) = &mut self.json {
            if text.trim_ascii().is_empty() {
                return Some(Row { bytes: text, fields: &self.fields, text: b"", lines: 1, spoilt: None });
            }
            let spoilt = json.read(text, &mut self.unquoted, &mut self.fields).err();
            return Some(Row { bytes: &self.unquoted, fields: &self.fields, text, lines: 1, spoilt });
        }
        let mut field = 0;
        if let [sep] = self.dialect.sep[..] {
            for n in memchr_iter(sep, text) {
                self.fields.push((field, n as u32));
                field = n as u32 + 1;
            }
        } else {
            for n in self.finder.find_iter(text) {
                self.fields.push((field, n as u32));
                field = (n + self.dialect.sep.len()) as u32;
            }
        }
        self.fields.push((field, text.len() as u32));
        Some(Row { bytes: text, fields: &self.fields, text, lines: 1, spoilt: None })
    }

    #[inline]
    fn has_special(&self, line: &[u8]) -> bool {
        match (self.dialect.quote, self.dialect.escape) {
            (Some(quote), Some(escape)) => memchr2(quote, escape, line).is_some(),
            (Some(one), None) | (None, Some(one)) => memchr(one, line).is_some(),
            (None, None) => false,
        }
    }
}

/// Refuses a row that has not one value for each column.
pub(crate) fn check_width(row: &Row<'_>, columns: usize) -> Result<(), (usize, String)> {
    if let Some((spoilt, reason)) = row.spoilt {
        return Err((spoilt.min(columns - 1), reason.into()));
    }
    if row.text.len() > MAX_LINE {
        return Err((0, TOO_LONG.into()));
    }
    match row.len() {
        n if n == columns => Ok(()),
        n if n < columns => Err((n, format!("is missing: the row has {n} of {columns} values"))),
        n => Err((
            columns - 1,
            format!(
                "the row has {n} values instead of {columns}; a value that contains the separator must be quoted (and \
                 quote=\" given where tabs or :: separate)"
            ),
        )),
    }
}

/// A row that is short in a file without quotes may be one whose value has a line break.
pub(crate) fn hinted((column, reason): (usize, String), short: bool) -> (usize, String) {
    let hint = if short { " (give quote=\" where values in quotes have line breaks)" } else { "" };
    (column, reason + hint)
}

/// A value as it stands in an error: in backquotes, cut to 60 characters.
pub(crate) fn quoted(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(256)]);
    if value.len() > 256 || text.chars().count() > 60 {
        format!("`{}…`", text.chars().take(60).collect::<String>())
    } else {
        format!("`{text}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(sep: &str, quote: Option<u8>, escape: Option<u8>) -> Dialect {
        Dialect { sep: sep.as_bytes().to_vec(), quote, escape, width: 0, quote_is_said: false, json: false }
    }

    fn split_by(dialect: &Dialect, text: &str) -> Vec<Vec<String>> {
        let mut reader = RowReader::new(dialect);
        let (mut at, mut rows) = (0, Vec::new());
        while let Some(row) = reader.next(text.as_bytes(), &mut at) {
            rows.push((0..row.len()).map(|i| String::from_utf8(row.get(i).to_vec()).unwrap()).collect());
        }
        rows
    }

    fn split(sep: &str, quoting: bool, text: &str) -> Vec<Vec<String>> {
        split_by(&dialect(sep, quoting.then_some(b'"'), None), text)
    }

    #[test]
    fn separators_and_quotes() {
        assert_eq!(split(",", true, "a,b\r\n,\n"), [["a", "b"], ["", ""]]);
        assert_eq!(split("::", false, "1::\"x::3\n"), [["1", "\"x", "3"]]);
        assert_eq!(split("::", true, "1::\"x::3\"::4\n"), [["1", "x::3", "4"]]);
        assert_eq!(split("\t", true, "1\t\"a\tb\"\n"), [["1", "a\tb"]]);
        assert_eq!(split(";", true, "\"a\"\"b\";\"\"\r\n5\";x"), [["a\"b", ""], ["5\"", "x"]]);
        assert_eq!(split(",", true, "\"two\nlines\",x\ny,z"), [["two\nlines", "x"], ["y", "z"]]);
        assert_eq!(split(",", true, "a\n\nb"), [["a"], [""], ["b"]]);
        assert_eq!(split_by(&dialect(",", Some(b'\''), None), "'a,b',\"c\n"), [["a,b", "\"c"]]);
    }

    #[test]
    fn escapes() {
        let by = |quote, text| split_by(&dialect(",", quote, Some(b'\\')), text);
        assert_eq!(by(Some(b'"'), "\"say \\\"hi\\\", ok\",x\n"), [["say \"hi\", ok", "x"]]);
        assert_eq!(by(None, "a\\,b,c\\\\\n"), [["a,b", "c\\"]]);
        assert_eq!(by(None, "\\N,x\\N\n"), [["\\N", "xN"]]);
        assert_eq!(by(None, "two\\\nlines,x\ny,z\n"), [["two\nlines", "x"], ["y", "z"]]);
        assert_eq!(by(Some(b'"'), "\"a\\\nb\",c\\"), [["a\nb", "c\\"]]);
    }

    #[test]
    fn rows_agree_with_the_csv_crate() {
        use proptest::prelude::*;
        proptest!(|(rows in prop::collection::vec(prop::collection::vec("[a,\"\n;é ]{0,6}", 3), 1..20), crlf: bool)| {
            let mut writer = csv::WriterBuilder::new()
                .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
                .from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(split(",", true, &text), rows);
        });
    }
}
