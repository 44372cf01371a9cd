//! Lines to values, and values to columns of users, items, times and weights.

use memchr::{memchr, memchr_iter, memmem};

use super::ids::Keys;
use super::text::{Dialect, MAX_LINE, RowEnd, TOO_LONG};
use super::time::parse_time;

/// The longest raw id, in bytes.
pub(super) const MAX_ID: usize = 1 << 20;

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reject {
    /// Lines (or rows) before it in its piece.
    pub(super) line: u64,
    /// The column's name.
    pub(super) column: String,
    pub(super) reason: String,
    /// The row's text, for `rejected.csv`.
    pub(super) text: Vec<u8>,
}

/// Splits rows into values.
pub(super) struct RowReader {
    dialect: Dialect,
    finder: memmem::Finder<'static>,
    fields: Vec<(u32, u32)>,
    /// The values of a row with quotes, unquoted.
    unquoted: Vec<u8>,
}

/// One row.
pub(super) struct Row<'a> {
    bytes: &'a [u8],
    fields: &'a [(u32, u32)],
    /// The row's text without its line end.
    pub(super) text: &'a [u8],
    /// Line feeds in it, its own included.
    pub(super) lines: u64,
    /// The value behind whose closing quote there is more text.
    pub(super) spoilt: Option<usize>,
}

impl<'a> Row<'a> {
    #[inline]
    pub(super) fn get(&self, i: usize) -> &'a [u8] {
        let (start, end) = self.fields[i];
        &self.bytes[start as usize..end as usize]
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }
}

impl RowReader {
    pub(super) fn new(dialect: &Dialect) -> RowReader {
        RowReader {
            finder: memmem::Finder::new(&dialect.sep).into_owned(),
            dialect: dialect.clone(),
            fields: Vec::new(),
            unquoted: Vec::new(),
        }
    }

    /// Reads the row at `*at` and moves behind it; None at the end of `bytes`, which holds whole rows and is below
    /// 4 GiB. An empty line is a row with one empty value.
    #[inline]
    pub(super) fn next<'a>(&'a mut self, bytes: &'a [u8], at: &mut usize) -> Option<Row<'a>> {
        let start = *at;
        if start >= bytes.len() {
            return None;
        }
        let mut next = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n + 1);
        self.fields.clear();
        if self.dialect.quoting && memchr(b'"', &bytes[start..next]).is_some() {
            if let RowEnd::At(end) = self.dialect.row_end(bytes, start, true) {
                next = end;
            } else {
                next = bytes.len();
            }
            let text = trim_line_end(&bytes[start..next]);
            let lines = memchr_iter(b'\n', &bytes[start..next]).count() as u64;
            let spoilt = self.split_quoted(text);
            *at = next;
            return Some(Row { bytes: &self.unquoted, fields: &self.fields, text, lines, spoilt });
        }
        let text = trim_line_end(&bytes[start..next]);
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
        *at = next;
        Some(Row { bytes: text, fields: &self.fields, text, lines: 1, spoilt: None })
    }

    fn split_quoted(&mut self, text: &[u8]) -> Option<usize> {
        self.unquoted.clear();
        let sep = self.dialect.sep[0];
        let mut spoilt = None;
        let mut at = 0;
        loop {
            let begin = self.unquoted.len() as u32;
            if text.get(at) == Some(&b'"') {
                at += 1;
                while let Some(n) = memchr(b'"', &text[at..]) {
                    self.unquoted.extend_from_slice(&text[at..at + n]);
                    at += n + 1;
                    if text.get(at) != Some(&b'"') {
                        break;
                    }
                    self.unquoted.push(b'"');
                    at += 1;
                }
                if at < text.len() && text[at] != sep {
                    spoilt.get_or_insert(self.fields.len());
                }
            }
            let end = memchr(sep, &text[at..]).map(|n| at + n);
            self.unquoted.extend_from_slice(&text[at..end.unwrap_or(text.len())]);
            self.fields.push((begin, self.unquoted.len() as u32));
            match end {
                Some(end) => at = end + 1,
                None => return spoilt,
            }
        }
    }
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Where a file has the columns that are read.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Every column's name, in the file's order.
    pub(super) columns: Vec<String>,
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) weight: Option<usize>,
}

impl Layout {
    /// Leaves out the columns that are not read; where those that are stood, in the file's order.
    pub(super) fn narrow(&mut self) -> Vec<usize> {
        let mut used: Vec<usize> = [self.user, self.item].into_iter().chain(self.time).chain(self.weight).collect();
        used.sort_unstable();
        used.dedup();
        let place = |column: usize| used.partition_point(|&u| u < column);
        (self.user, self.item) = (place(self.user), place(self.item));
        (self.time, self.weight) = (self.time.map(place), self.weight.map(place));
        self.columns = used.iter().map(|&column| self.columns[column].clone()).collect();
        used
    }
}

/// A piece's rows, before their ids have numbers.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) users: Keys,
    pub(super) items: Keys,
    pub(super) times: Vec<i64>,
    pub(super) weights: Vec<f32>,
    pub(super) rejects: Vec<Reject>,
    /// Lines (or rows) in the piece.
    pub(super) lines: u64,
}

impl Columns {
    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.items.clear();
        self.times.clear();
        self.weights.clear();
        self.rejects.clear();
        self.lines = 0;
    }

    /// Reads the rows of `bytes` behind what is here. With `stop` it ends at the first that cannot be read.
    pub(super) fn read_text(&mut self, bytes: &[u8], reader: &mut RowReader, layout: &Layout, stop: bool) {
        let ascii = bytes.is_ascii();
        let mut at = 0;
        while let Some(row) = reader.next(bytes, &mut at) {
            if !row.text.is_empty()
                && let Err((column, reason)) = self.read_row(&row, layout, ascii)
            {
                let (column, text) = (layout.columns[column].clone(), row.text.to_vec());
                self.rejects.push(Reject { line: self.lines, column, reason, text });
                if stop {
                    return;
                }
            }
            self.lines += row.lines;
        }
    }

    #[inline]
    fn read_row(&mut self, row: &Row<'_>, layout: &Layout, ascii: bool) -> Result<(), (usize, String)> {
        check_width(row, layout.columns.len())?;
        let user = row.get(layout.user);
        let item = row.get(layout.item);
        check_id(user, ascii).map_err(|reason| (layout.user, reason))?;
        check_id(item, ascii).map_err(|reason| (layout.item, reason))?;
        let time = match layout.time {
            Some(i) => Some(parse_time(row.get(i)).map_err(|reason| (i, format!("{} {reason}", quoted(row.get(i)))))?),
            None => None,
        };
        if let Some(i) = layout.weight {
            self.weights.push(parse_weight(row.get(i)).map_err(|reason| (i, reason))?);
        }
        self.times.extend(time);
        self.users.push(user);
        self.items.push(item);
        Ok(())
    }
}

/// Refuses a row that has not one value for each column.
pub(super) fn check_width(row: &Row<'_>, columns: usize) -> Result<(), (usize, String)> {
    if let Some(spoilt) = row.spoilt {
        let reason = "there is text behind the closing quote; a quote inside quotes is doubled";
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
            format!("the row has {n} values, {columns} are due; a value that holds the separator must be quoted"),
        )),
    }
}

pub(super) fn check_id(id: &[u8], ascii: bool) -> Result<(), String> {
    if id.is_empty() {
        return Err("is empty; an id is needed".into());
    }
    if id.len() > MAX_ID {
        return Err(format!("is {} bytes long; an id has {MAX_ID} at most", id.len()));
    }
    if !ascii && let Err(error) = std::str::from_utf8(id) {
        return Err(format!("{} is not UTF-8 (byte {} of the value)", quoted(id), error.valid_up_to() + 1));
    }
    Ok(())
}

/// Reads a weight: a finite number from 0.
pub(super) fn parse_weight(text: &[u8]) -> Result<f32, String> {
    let value = std::str::from_utf8(text).ok().and_then(|t| t.trim().parse::<f32>().ok());
    match value {
        Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
        _ => Err(format!("{} is not a weight; a finite number from 0 is needed", quoted(text))),
    }
}

/// A value as it stands in an error: in backquotes, cut to 60 characters.
pub(super) fn quoted(value: &[u8]) -> String {
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

    fn split(sep: &str, quoting: bool, text: &str) -> Vec<Vec<String>> {
        let mut reader = RowReader::new(&Dialect { sep: sep.as_bytes().to_vec(), quoting });
        let (mut at, mut rows) = (0, Vec::new());
        while let Some(row) = reader.next(text.as_bytes(), &mut at) {
            rows.push((0..row.len()).map(|i| String::from_utf8(row.get(i).to_vec()).unwrap()).collect());
        }
        rows
    }

    #[test]
    fn separators_and_quotes() {
        assert_eq!(split(",", true, "a,b\r\n,\n"), [["a", "b"], ["", ""]]);
        assert_eq!(split("::", false, "1::\"x::3\n"), [["1", "\"x", "3"]]);
        assert_eq!(split("\t", true, "1\t\"a\tb\"\n"), [["1", "a\tb"]]);
        assert_eq!(split(";", true, "\"a\"\"b\";\"\"\r\n5\";x"), [["a\"b", ""], ["5\"", "x"]]);
        assert_eq!(split(",", true, "\"two\nlines\",x\ny,z"), [["two\nlines", "x"], ["y", "z"]]);
        assert_eq!(split(",", true, "a\n\nb"), [["a"], [""], ["b"]]);
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

    #[test]
    fn rows_that_cannot_be_read() {
        let layout = Layout {
            columns: ["user", "item", "time", "w"].map(String::from).into(),
            user: 0,
            item: 1,
            time: Some(2),
            weight: Some(3),
        };
        let mut columns = Columns::default();
        let mut reader = RowReader::new(&Dialect { sep: b",".to_vec(), quoting: true });
        let text = b"u,i,5,1\n\n,i,5,1\nu,,5,1\nu,i,x,1\nu,i,5,-1\nu,i,5,inf\nu,i,5\nu,i,5,1,\n\"u\"x,i,5,1\nu,\xff,5,1\nu,i,-9,0.5";
        columns.read_text(text, &mut reader, &layout, false);
        assert_eq!(columns.times, [5, -9]);
        assert_eq!(columns.weights, [1.0, 0.5]);
        assert_eq!((columns.users.len(), columns.items.len(), columns.lines), (2, 2, 12));
        let found: Vec<_> = columns.rejects.iter().map(|r| (r.line, r.column.as_str())).collect();
        let names = ["user", "item", "time", "w", "w", "w", "w", "user", "item"];
        assert_eq!(found, (2..).zip(names).collect::<Vec<_>>());
        assert_eq!(columns.rejects[5].reason, "is missing: the row has 3 of 4 values");
        assert_eq!(columns.rejects[8].reason, "`\u{fffd}` is not UTF-8 (byte 1 of the value)");
        assert_eq!(columns.rejects[8].text, b"u,\xff,5,1");
    }
}
