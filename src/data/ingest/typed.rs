//! Rows of record batches to columns of users, items, times and weights.

use std::fmt::Write;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, DataType, Schema, TimeUnit as ArrowUnit};

use super::rows::{Layout, ParsedRows};
use crate::table::{Reject, TimeReading, Times, as_text, guard, is_text_type, quoted, text_at};
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
    Text(ArrayRef, bool),
    Signed(ArrayRef),
    Unsigned(ArrayRef),
}

impl IdArray {
    fn new(array: &ArrayRef) -> std::result::Result<IdArray, ArrowError> {
        match array.data_type() {
            DataType::UInt64 => Ok(IdArray::Unsigned(array.clone())),
            DataType::Dictionary(_, values) if **values == DataType::UInt64 => {
                Ok(IdArray::Unsigned(cast(array, &DataType::UInt64)?))
            }
            DataType::Dictionary(_, values) if is_whole_decimal(values) => Ok(IdArray::Text(as_text(array)?, true)),
            other if is_whole_decimal(other) => Ok(IdArray::Text(as_text(array)?, true)),
            other if is_integer(other) => Ok(IdArray::Signed(cast(array, &DataType::Int64)?)),
            _ => {
                let text = as_text(array)?;
                let is_utf8 = *text.data_type() == DataType::LargeUtf8;
                Ok(IdArray::Text(text, is_utf8))
            }
        }
    }

    /// The id as text, in `buffer` where it is a number.
    fn get<'a>(&'a self, row: usize, buffer: &'a mut String, layout: &Layout) -> std::result::Result<&'a [u8], String> {
        let array = match self {
            IdArray::Text(array, _) | IdArray::Signed(array) | IdArray::Unsigned(array) => array,
        };
        if array.is_null(row) {
            return Err("is null; an id is required".into());
        }
        buffer.clear();
        let written = match self {
            IdArray::Text(array, is_utf8) => {
                let id = text_at(array, row);
                return layout.check_id(id, *is_utf8).map(|()| id);
            }
            IdArray::Signed(array) => write!(buffer, "{}", array.as_primitive::<Int64Type>().value(row)),
            IdArray::Unsigned(array) => write!(buffer, "{}", array.as_primitive::<UInt64Type>().value(row)),
        };
        written.map_err(|e| e.to_string())?;
        let id = buffer.as_bytes();
        layout.check_id(id, true).map(|()| id)
    }
}

/// A time column: counts of a unit since 1970, integers of a unit that is to be told, or texts.
enum TimeArray {
    Days(ArrayRef),
    Units(ArrayRef, i64),
    Integers(ArrayRef),
    Float(ArrayRef),
    Text(ArrayRef),
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
            DataType::Date32 => TimeArray::Days(cast(array, &DataType::Int32)?),
            DataType::Date64 => TimeArray::Units(cast(array, &DataType::Int64)?, 1_000),
            // As integers the instants stay what they are, whatever the time zone.
            DataType::Timestamp(u, _) => TimeArray::Units(cast(array, &DataType::Int64)?, unit(u)),
            other if other.is_integer() => TimeArray::Integers(cast(array, &DataType::Int64)?),
            other if other.is_floating() => TimeArray::Float(cast(array, &DataType::Float64)?),
            _ => TimeArray::Text(as_text(array)?),
        })
    }

    fn get(&self, row: usize, times: &Times) -> std::result::Result<(i64, TimeReading), String> {
        let array = match self {
            TimeArray::Days(a)
            | TimeArray::Units(a, _)
            | TimeArray::Integers(a)
            | TimeArray::Float(a)
            | TimeArray::Text(a) => a,
        };
        if array.is_null(row) {
            return Err("is null or too large; a time is required".into());
        }
        match self {
            TimeArray::Days(a) => {
                let days = a.as_primitive::<Int32Type>().value(row);
                Times::seconds(i64::from(days) * 86_400).map_err(|reason| format!("day `{days}` {reason}"))
            }
            TimeArray::Units(a, unit) => {
                let value = a.as_primitive::<Int64Type>().value(row);
                Times::seconds(value.div_euclid(*unit)).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Integers(a) => {
                let value = a.as_primitive::<Int64Type>().value(row);
                times.integer(value).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Float(a) => {
                let value = a.as_primitive::<Float64Type>().value(row);
                times.float(value).map_err(|reason| format!("`{value}` {reason}"))
            }
            TimeArray::Text(a) => {
                let text = text_at(a, row);
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
        let weight = |i: usize| Ok((i, guard(path, &column(i), || cast(batch.column(i), &DataType::Float32))?));
        let weights: Option<(usize, ArrayRef)> = layout.weight.map(weight).transpose()?;
        let (mut user_text, mut item_text) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            let mut read = || {
                let user = users.get(row, &mut user_text, layout).map_err(|reason| (layout.user, reason))?;
                let item = items.get(row, &mut item_text, layout).map_err(|reason| (layout.item, reason))?;
                let time = times
                    .as_ref()
                    .map(|(i, array)| array.get(row, &layout.times).map_err(|reason| (*i, reason)))
                    .transpose()?;
                if let Some((i, array)) = &weights {
                    let value = array.is_valid(row).then(|| array.as_primitive::<Float32Type>().value(row));
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
                self.rejects.push(Reject { line: self.lines, column, reason, text: row_text(batch, row) });
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
fn row_text(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap_or_default());
    values.collect::<Vec<_>>().join(",").into_bytes()
}
