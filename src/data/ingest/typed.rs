//! Rows of record batches to columns of users, items, times and weights.

use std::fmt::Write;
use std::path::Path;

use arrow_array::{Array, ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit as ArrowUnit};

use super::rows::{Layout, ParsedRows};
use crate::table::{
    Reject, Texts, TimeReading, Times, floats, guard, integers, is_text_type, quoted, unsigned, weights,
};
use crate::{Error, Result};

/// Whether ids of this type are integers; decimals without a fraction are.
fn is_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_integer(values),
        other => other.is_integer() || is_whole_decimal(other),
    }
}

fn is_whole_decimal(data_type: &DataType) -> bool {
    use DataType::{Decimal32, Decimal64, Decimal128, Decimal256};
    matches!(data_type, Decimal32(_, 0) | Decimal64(_, 0) | Decimal128(_, 0) | Decimal256(_, 0))
}

/// Whether ids of this column are texts.
///
/// # Errors
/// [`Error::Schema`] for a type that is neither text nor integer.
pub(super) fn check_id_type(path: &Path, schema: &Schema, column: &str) -> Result<bool> {
    // The columns of its folders are texts, and may be integers all the same, as those of text files.
    let Ok(field) = schema.field_with_name(column) else { return Ok(false) };
    match field.data_type() {
        other if is_integer(other) => Ok(false),
        other if is_text_type(other) => Ok(true),
        other => {
            let advice = match other {
                DataType::Float16 | DataType::Float32 | DataType::Float64 => " (cast it to integers or texts first)",
                _ => "",
            };
            Err(Error::Schema {
                path: path.to_owned(),
                column: field.name().clone(),
                expected: "texts or integers".into(),
                found: format!("{other}{advice}"),
            })
        }
    }
}

/// An id column in one of three types.
enum IdArray {
    /// Texts, or bytes that have to be.
    Text(Texts),
    Signed(Int64Array),
    Unsigned(UInt64Array),
}

impl IdArray {
    fn new(array: &ArrayRef) -> std::result::Result<IdArray, ArrowError> {
        match array.data_type() {
            DataType::UInt64 => Ok(IdArray::Unsigned(unsigned(array)?)),
            DataType::Dictionary(_, values) if **values == DataType::UInt64 => Ok(IdArray::Unsigned(unsigned(array)?)),
            DataType::Dictionary(_, values) if is_whole_decimal(values) => Ok(IdArray::Text(Texts::new(array)?)),
            other if is_whole_decimal(other) => Ok(IdArray::Text(Texts::new(array)?)),
            other if is_integer(other) => Ok(IdArray::Signed(integers(array)?)),
            _ => Ok(IdArray::Text(Texts::new(array)?)),
        }
    }

    /// The id as text, in `buffer` where it is a number.
    fn get<'a>(&'a self, row: usize, buffer: &'a mut String, layout: &Layout) -> std::result::Result<&'a [u8], String> {
        let null = || "is null; an id is required".to_owned();
        buffer.clear();
        let written = match self {
            IdArray::Text(texts) => {
                let id = texts.get(row).ok_or_else(null)?;
                return layout.check_id(id, texts.is_utf8()).map(|()| id);
            }
            IdArray::Signed(array) if array.is_valid(row) => write!(buffer, "{}", array.value(row)),
            IdArray::Unsigned(array) if array.is_valid(row) => write!(buffer, "{}", array.value(row)),
            _ => return Err(null()),
        };
        written.map_err(|e| e.to_string())?;
        let id = buffer.as_bytes();
        layout.check_id(id, true).map(|()| id)
    }
}

/// A time column: counts of a unit since 1970, integers of a unit that is to be told, or texts.
enum TimeArray {
    Days(Int64Array),
    Units(Int64Array, i64),
    Integers(Int64Array),
    Float(Float64Array),
    Text(Texts),
}

impl TimeArray {
    fn new(array: &ArrayRef) -> std::result::Result<TimeArray, ArrowError> {
        let unit = |unit: &ArrowUnit| match unit {
            ArrowUnit::Second => 1,
            ArrowUnit::Millisecond => 1_000,
            ArrowUnit::Microsecond => 1_000_000,
            ArrowUnit::Nanosecond => 1_000_000_000,
        };
        Ok(match array.data_type() {
            DataType::Date32 => TimeArray::Days(integers(array)?),
            DataType::Date64 => TimeArray::Units(integers(array)?, 1_000),
            // As integers the instants stay what they are, whatever the time zone.
            DataType::Timestamp(u, _) => TimeArray::Units(integers(array)?, unit(u)),
            other if other.is_integer() => TimeArray::Integers(integers(array)?),
            other if other.is_floating() => TimeArray::Float(floats(array)?),
            _ => TimeArray::Text(Texts::new(array)?),
        })
    }

    fn get(&self, row: usize, times: &Times) -> std::result::Result<(i64, TimeReading), String> {
        let null = || "is null or too large; a time is required".to_owned();
        let integer = |array: &Int64Array| array.is_valid(row).then(|| array.value(row)).ok_or_else(null);
        match self {
            TimeArray::Days(array) => {
                let days = integer(array)?;
                Times::seconds(days * 86_400).map_err(|reason| format!("day `{days}` {reason}"))
            }
            TimeArray::Units(array, unit) => {
                let value = integer(array)?;
                Times::seconds(value.div_euclid(*unit)).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Integers(array) => {
                let value = integer(array)?;
                times.integer(value).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Float(array) => {
                let value = array.is_valid(row).then(|| array.value(row)).ok_or_else(null)?;
                times.float(value).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Text(texts) => {
                let text = texts.get(row).ok_or_else(null)?;
                times.text(text).map_err(|reason| format!("{} {reason}", quoted(text)))
            }
        }
    }
}

impl ParsedRows {
    /// Reads the rows of a batch behind what is here. With `stop` it ends at the first that cannot be read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when arrow-rs cannot convert a column.
    pub(super) fn read_batch(&mut self, path: &Path, batch: &RecordBatch, layout: &Layout, stop: bool) -> Result<()> {
        let column = |i: usize| format!("column {}", layout.columns[i]);
        let id = |i: usize| guard(path, &column(i), || IdArray::new(batch.column(i)));
        let (users, items) = (id(layout.user)?, id(layout.item)?);
        let time = |i: usize| Ok((i, guard(path, &column(i), || TimeArray::new(batch.column(i)))?));
        let times: Option<(usize, TimeArray)> = layout.time.map(time).transpose()?;
        let weight = |i: usize| Ok((i, guard(path, &column(i), || weights(batch.column(i)))?));
        let weights: Option<(usize, Float32Array)> = layout.weight.map(weight).transpose()?;
        let (mut user_text, mut item_text) = (String::new(), String::new());
        let mut columns: Option<Vec<_>> = None;
        for row in 0..batch.num_rows() {
            let mut read = || {
                let user = users.get(row, &mut user_text, layout).map_err(|reason| (layout.user, reason))?;
                let item = items.get(row, &mut item_text, layout).map_err(|reason| (layout.item, reason))?;
                let time = times
                    .as_ref()
                    .map(|(i, array)| array.get(row, &layout.times).map_err(|reason| (*i, reason)))
                    .transpose()?;
                if let Some((i, array)) = &weights {
                    let value = array.is_valid(row).then(|| array.value(row));
                    match value {
                        Some(weight) if weight.is_finite() && weight >= 0.0 => self.weights.push(weight),
                        _ => return Err((*i, "is not a weight; a finite number of at least 0 is required".to_owned())),
                    }
                }
                self.push(user, item, time, layout);
                Ok(())
            };
            if let Err((column, reason)) = read() {
                let column = layout.columns[column].clone();
                let columns = columns.get_or_insert_with(|| batch.columns().iter().map(Texts::new).collect());
                self.rejects.push(Reject { line: self.lines, column, reason, text: row_text(columns, row) });
                if stop {
                    return Ok(());
                }
            }
            if self.mixed.is_some() {
                return Ok(());
            }
            self.lines += 1;
        }
        Ok(())
    }
}

/// A row's values, for `rejected.csv`.
fn row_text(columns: &[std::result::Result<Texts, ArrowError>], row: usize) -> Vec<u8> {
    let values = columns.iter().map(|texts| texts.as_ref().ok().and_then(|texts| texts.get(row)).unwrap_or_default());
    values.collect::<Vec<_>>().join(&b',')
}
