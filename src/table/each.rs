//! Every row of a table as texts.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::RecordBatch;

use super::batches::guard;
use super::detect;
use super::dialect::Dialect;
use super::names::listed;
use super::rows::{Reject, RowReader, check_width, hinted};
use super::text::{Piece, Pieces, bad_lines};
use super::values::Texts;
use super::{InputTable, TableFormat};
use crate::Result;

/// Takes a row's number and its values, or why it cannot be read.
pub(crate) type EachRow<'a> = dyn FnMut(u64, std::result::Result<&[&[u8]], Reject>) -> Result<()> + 'a;

/// What reading the rows of a text file has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    /// Rows of several lines, and the line of the first.
    pub(crate) over_lines: (u64, u64),
    /// Keys of JSON objects that are no column.
    pub(crate) other_keys: Vec<String>,
}

impl Met {
    /// What to say of it.
    pub(crate) fn notes(&self, file: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.other_keys.is_empty() {
            let keys = listed(&self.other_keys);
            notes.push(format!("{file}: not read: keys that are missing from its first lines: {keys}"));
        }
        if let (rows @ 1.., first) = self.over_lines {
            notes.push(format!(
                "{file}: quoted values span several lines in {rows} rows (the first starts in line {first})"
            ));
        }
        notes
    }
}

impl InputTable {
    /// Calls `each` with every row's number and its values as text (a null is empty), or why it cannot be read: an id
    /// (the columns `ids`) that is a list, say. With `wanted`, values of other columns may be left empty.
    pub(crate) fn for_each(&self, wanted: Option<&[usize]>, ids: &[usize], each: &mut EachRow<'_>) -> Result<Met> {
        let bytes = Arc::default();
        match &self.kind {
            TableFormat::Text { dialect, header } => self.for_each_line(dialect, *header, ids, &bytes, each),
            _ => {
                let mut row = 0;
                for batch in self.open_batches(wanted, &bytes)? {
                    row = for_each_row(self, &batch?, wanted, row, each)?;
                }
                Ok(Met::default())
            }
        }
    }

    fn for_each_line(
        &self,
        dialect: &Dialect,
        header: u64,
        ids: &[usize],
        bytes: &Arc<AtomicU64>,
        each: &mut EachRow<'_>,
    ) -> Result<Met> {
        let mut met = Met::default();
        let width = self.file_columns();
        let unsure = dialect.quote.is_none() && !dialect.quote_is_said;
        let mut line = header;
        let mut pieces = Pieces::new(self.open_text(header, bytes)?, dialect.clone(), 1 << 20);
        let mut reader = RowReader::of_columns(dialect, &self.columns[..width], ids);
        let mut buffer = Vec::new();
        while let Some(piece) = pieces.next(&mut buffer)? {
            if let Piece::Bad { line: at, lines, quote, reason } = piece {
                each(line + 1 + at, Err(bad_lines((at, quote, reason), &buffer, &self.columns, dialect)))?;
                line += lines;
                continue;
            }
            let mut at = 0;
            while let Some(row) = reader.next(&buffer, &mut at) {
                line += 1;
                let first = line;
                line += row.lines.saturating_sub(1);
                if row.text.is_empty() {
                    continue;
                }
                let late = |i: &usize| unsure && detect::is_quoted(row.get(*i));
                let checked = check_width(&row, width);
                let checked = checked.map_err(|bad| hinted(bad, unsure && row.len() < width)).and_then(|()| {
                    match (0..row.len()).find(late) {
                        Some(i) => Err((i, detect::LATE_QUOTES.to_owned())),
                        None => Ok(()),
                    }
                });
                match checked {
                    Ok(()) => {
                        if row.lines > 1 {
                            let begun = if met.over_lines.0 == 0 { first } else { met.over_lines.1 };
                            met.over_lines = (met.over_lines.0 + 1, begun);
                        }
                        let values = (0..row.len()).map(|i| row.get(i));
                        let values: Vec<&[u8]> = values.chain(self.constants.iter().map(Vec::as_slice)).collect();
                        each(first, Ok(&values))?;
                    }
                    Err((column, reason)) => {
                        let column = self.columns[column].clone();
                        each(first, Err(Reject { line: 0, column, reason, text: row.text.to_vec() }))?;
                    }
                }
            }
        }
        met.other_keys = reader.take_other_keys();
        Ok(met)
    }
}

/// Calls `each` with the number (behind `before` rows) and the values as text of every row; how many rows are behind
/// it then. Of columns that are not `wanted` the values are empty.
fn for_each_row(
    table: &InputTable,
    batch: &RecordBatch,
    wanted: Option<&[usize]>,
    before: u64,
    each: &mut EachRow<'_>,
) -> Result<u64> {
    let schema = batch.schema();
    let texts: Vec<Texts> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(array, field)| guard(&table.path, &format!("column {}", field.name()), || Texts::new(array)))
        .collect::<Result<_>>()?;
    let places: Vec<usize> = match wanted {
        Some(wanted) => wanted.to_vec(),
        None => (0..texts.len()).collect(),
    };
    let mut values: Vec<&[u8]> = vec![b""; table.columns.len()];
    for row in 0..batch.num_rows() {
        for (&place, text) in places.iter().zip(&texts) {
            values[place] = text.get(row).unwrap_or_default();
        }
        each(before + row as u64 + 1, Ok(&values))?;
    }
    Ok(before + batch.num_rows() as u64)
}
