//! Rows of tables to columns of users, items, times and weights.

use super::ids::KeyList;
use crate::table::{Missing, Reject, Row, RowReader, TimeReading, Times, also_compact, check_width, hinted, quoted};

/// The longest raw id, in bytes.
pub(super) const MAX_ID: usize = 1 << 20;

/// Where a file has the columns that are read, and how.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Every column's name, in the file's order; those of its folders come last.
    pub(super) columns: Vec<String>,
    /// The values of the columns of its folders.
    pub(super) constants: Vec<Vec<u8>>,
    pub(super) user: usize,
    pub(super) item: usize,
    pub(super) time: Option<usize>,
    pub(super) weight: Option<usize>,
    pub(super) times: Times,
    pub(super) missing: Missing,
    /// Whether a value in quotes may be one that is quoted: the file has not shown whether it has quotes.
    pub(super) unsure_quotes: bool,
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

    /// A row's value of a column.
    #[inline]
    fn value<'a>(&'a self, row: &Row<'a>, column: usize) -> &'a [u8] {
        if column < row.len() { row.get(column) } else { &self.constants[column - row.len()] }
    }

    /// Checks an id.
    #[inline]
    pub(super) fn check_id(&self, id: &[u8], is_utf8: bool) -> Result<(), String> {
        if self.missing.is_id(id) {
            return Err(missing_id(id));
        }
        if id.len() > MAX_ID {
            return Err(format!("is {} bytes long; ids are limited to {MAX_ID}", id.len()));
        }
        if self.unsure_quotes && id.len() > 1 && id[0] == b'"' && id[id.len() - 1] == b'"' {
            return Err(format!(
                "{} is in quotes; give quote=\" where they are not part of the id, quote=none where they are",
                quoted(id)
            ));
        }
        if !is_utf8 && let Err(error) = std::str::from_utf8(id) {
            return Err(format!("{} is not UTF-8 (byte {} of the value)", quoted(id), error.valid_up_to() + 1));
        }
        Ok(())
    }
}

#[cold]
fn missing_id(id: &[u8]) -> String {
    match id.trim_ascii() {
        [] => "is empty; an id is required".into(),
        _ => format!("{} means a missing value, but an id is required; null= sets which words do", quoted(id)),
    }
}

/// What the times of some rows were taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Readings {
    /// All rows', and the line of the first.
    pub(super) one: Option<(TimeReading, u64)>,
    /// Whether some value is not also a date written without separators.
    pub(super) not_compact: bool,
}

impl Readings {
    /// Takes a row's; the other reading where it has another than the rows before.
    #[inline]
    pub(super) fn push(&mut self, reading: TimeReading, seconds: i64, line: u64) -> Option<TimeReading> {
        if !self.not_compact {
            self.not_compact = !also_compact(seconds, reading);
        }
        match self.one {
            Some((before, _)) if before != reading => Some(before),
            Some(_) => None,
            None => {
                self.one = Some((reading, line));
                None
            }
        }
    }
}

/// Why a time that is read otherwise than the rows before it ends the run.
pub(super) fn mixed(reading: TimeReading, before: TimeReading) -> String {
    format!(
        "the times up to here are {before}, this one is of {reading}; say what integers are by \
         time_unit=s|ms|us|ns|days|excel, or how times are written by time_format="
    )
}

/// A piece's rows, before their ids have numbers.
#[derive(Default)]
pub(super) struct ParsedRows {
    pub(super) users: KeyList,
    pub(super) items: KeyList,
    pub(super) times: Vec<i64>,
    pub(super) weights: Vec<f32>,
    pub(super) rejects: Vec<Reject>,
    /// A row whose time is read otherwise than those before it: it ends the run.
    pub(super) mixed: Option<Reject>,
    pub(super) readings: Readings,
    /// Rows of several lines, and the line of the first.
    pub(super) over_lines: (u64, u64),
    /// Keys of JSON objects that are no column.
    pub(super) other_keys: Vec<String>,
    /// Lines (or rows) in the piece.
    pub(super) lines: u64,
}

impl ParsedRows {
    pub(super) fn clear(&mut self) {
        self.users.clear();
        self.items.clear();
        self.times.clear();
        self.weights.clear();
        self.rejects.clear();
        self.mixed = None;
        self.readings = Readings::default();
        self.over_lines = (0, 0);
        self.other_keys.clear();
        self.lines = 0;
    }

    /// Reads the rows of `bytes` behind what is here. With `stop` it ends at the first that cannot be read.
    pub(super) fn read_text(&mut self, bytes: &[u8], reader: &mut RowReader, layout: &Layout, stop: bool) {
        let ascii = bytes.is_ascii();
        let width = layout.columns.len() - layout.constants.len();
        let mut at = 0;
        while let Some(row) = reader.next(bytes, &mut at) {
            if !row.text.is_empty()
                && let Err((column, reason)) = self.read_row(&row, width, layout, ascii)
            {
                let (column, text) = (layout.columns[column].clone(), row.text.to_vec());
                self.rejects.push(Reject { line: self.lines, column, reason, text });
                if stop {
                    return;
                }
            } else if row.lines > 1 {
                self.over_lines =
                    (self.over_lines.0 + 1, if self.over_lines.0 == 0 { self.lines } else { self.over_lines.1 });
            }
            if self.mixed.is_some() {
                return;
            }
            self.lines += row.lines;
        }
        self.other_keys = reader.take_other_keys();
    }

    #[inline]
    fn read_row(&mut self, row: &Row<'_>, width: usize, layout: &Layout, ascii: bool) -> Result<(), (usize, String)> {
        check_width(row, width).map_err(|bad| hinted(bad, row.len() < width && layout.unsure_quotes))?;
        let user = layout.value(row, layout.user);
        let item = layout.value(row, layout.item);
        layout.check_id(user, ascii).map_err(|reason| (layout.user, reason))?;
        layout.check_id(item, ascii).map_err(|reason| (layout.item, reason))?;
        // A header that stands in the midst of the rows, as joined files have it.
        if user == layout.columns[layout.user].as_bytes() && item == layout.columns[layout.item].as_bytes() {
            return Err((layout.user, "is the column's name: the row is a header".into()));
        }
        let time = match layout.time {
            Some(i) => {
                let text = layout.value(row, i);
                Some(layout.times.text(text).map_err(|reason| (i, format!("{} {reason}", quoted(text))))?)
            }
            None => None,
        };
        if let Some(i) = layout.weight {
            self.weights.push(parse_weight(layout.value(row, i)).map_err(|reason| (i, reason))?);
        }
        self.push(user, item, time, layout);
        Ok(())
    }

    /// Takes a row that can be read.
    #[inline]
    pub(super) fn push(&mut self, user: &[u8], item: &[u8], time: Option<(i64, TimeReading)>, layout: &Layout) {
        if let Some((seconds, reading)) = time {
            self.times.push(seconds);
            if let Some(before) = self.readings.push(reading, seconds, self.lines)
                && !layout.times.are_said()
                && self.mixed.is_none()
            {
                let column = layout.time.map(|i| layout.columns[i].clone()).unwrap_or_default();
                let reason = mixed(reading, before);
                self.mixed = Some(Reject { line: self.lines, column, reason, text: Vec::new() });
            }
        }
        self.users.push(user);
        self.items.push(item);
    }
}

/// Reads a weight: a finite number from 0.
pub(super) fn parse_weight(text: &[u8]) -> Result<f32, String> {
    let value = std::str::from_utf8(text).ok().and_then(|t| t.trim().parse::<f32>().ok());
    match value {
        Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
        _ => Err(format!("{} is not a weight; a finite number of at least 0 is required", quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Dialect, ReadOptions, TimeUnit};

    #[test]
    fn rows_that_cannot_be_read() {
        let options = ReadOptions { time_unit: Some(TimeUnit::S), ..Default::default() };
        let layout = Layout {
            columns: ["user", "item", "time", "w"].map(String::from).into(),
            constants: Vec::new(),
            user: 0,
            item: 1,
            time: Some(2),
            weight: Some(3),
            times: Times::new(&options).unwrap(),
            missing: Missing::default(),
            unsure_quotes: false,
        };
        let mut columns = ParsedRows::default();
        let dialect = Dialect {
            sep: b",".to_vec(),
            quote: Some(b'"'),
            escape: None,
            width: 4,
            quote_is_said: false,
            json: false,
        };
        let mut reader = RowReader::new(&dialect);
        let text = b"u,i,5,1\n\n,i,5,1\nu,,5,1\nu,i,x,1\nu,i,5,-1\nu,i,5,inf\nu,i,5\nu,i,5,1,\n\"u\"x,i,5,1\nu,\xff,5,1\nNULL,i,5,1\nu,i,-9,0.5";
        columns.read_text(text, &mut reader, &layout, false);
        assert_eq!(columns.times, [5, -9]);
        assert_eq!(columns.weights, [1.0, 0.5]);
        assert_eq!((columns.users.len(), columns.items.len(), columns.lines), (2, 2, 13));
        let found: Vec<_> = columns.rejects.iter().map(|r| (r.line, r.column.as_str())).collect();
        let names = ["user", "item", "time", "w", "w", "w", "w", "user", "item", "user"];
        assert_eq!(found, (2..).zip(names).collect::<Vec<_>>());
        assert_eq!(columns.rejects[5].reason, "is missing: the row has 3 of 4 values");
        assert_eq!(columns.rejects[8].reason, "`\u{fffd}` is not UTF-8 (byte 1 of the value)");
        assert_eq!(columns.rejects[8].text, b"u,\xff,5,1");
    }
}
