//! Columns of Arrow arrays as texts and as numbers.
//!
//! Texts are read where they lie; other types are written as texts once a batch. A value that its number type cannot hold is
//! null.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::LargeStringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions as temporal;
use arrow_array::timezone::Tz;
use arrow_array::types::*;
use arrow_array::{
    Array, ArrayRef, Float32Array, Float64Array, Int64Array, LargeStringArray, OffsetSizeTrait, PrimitiveArray,
    UInt64Array, new_null_array,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{ArrowError, DataType, TimeUnit};
use chrono::{NaiveDateTime, SecondsFormat, TimeZone, Utc};

use super::LIST_SEPARATOR;

type Result<T> = std::result::Result<T, ArrowError>;

/// What a dictionary's rows are: places among its values; none for a null.
fn places(array: &dyn Array) -> Result<(Vec<Option<usize>>, ArrayRef)> {
    let dictionary = array.as_any_dictionary();
    let (keys, values) = (dictionary.keys(), dictionary.values());
    let mut places = vec![None; keys.len()];
    if !values.is_empty() {
        let rows = dictionary.normalized_keys().into_iter().enumerate();
        rows.filter(|(row, _)| keys.is_valid(*row)).for_each(|(row, place)| places[row] = Some(place));
    } else if keys.null_count() < keys.len() {
        return Err(ArrowError::InvalidArgumentError("keys of an empty dictionary".into()));
    }
    Ok((places, values.clone()))
}

/// A column as texts; a row may be null.
pub(crate) enum Texts {
    /// `Utf8`, `Binary`, their `Large` siblings or their views.
    Plain(ArrayRef),
    /// The place of each row among the values.
    Dictionary(Vec<Option<usize>>, Box<Texts>),
}

impl Texts {
    /// A column as texts: lists with [`LIST_SEPARATOR`] between their values.
    ///
    /// # Errors
    /// For a type without a text, and for a value that is none of its type (a date that no calendar has).
    pub(crate) fn new(array: &ArrayRef) -> Result<Texts> {
        use DataType::{
            Binary, BinaryView, Dictionary, FixedSizeList, LargeBinary, LargeList, LargeListView, LargeUtf8, List,
            ListView, Null, Utf8, Utf8View,
        };
        let joined = |values: &ArrayRef, rows: &dyn Fn(usize) -> (usize, usize)| {
            let texts = Texts::new(values)?;
            Ok(Texts::Plain(Arc::new(texts.joined(array, rows)?)))
        };
        match array.data_type() {
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => Ok(Texts::Plain(array.clone())),
            Dictionary(..) => {
                let (places, values) = places(array)?;
                Ok(Texts::Dictionary(places, Box::new(Texts::new(&values)?)))
            }
            List(_) => {
                let lists = array.as_list::<i32>();
                joined(lists.values(), &|row| offsets(lists.value_offsets(), row))
            }
            LargeList(_) => {
                let lists = array.as_list::<i64>();
                joined(lists.values(), &|row| offsets(lists.value_offsets(), row))
            }
            ListView(_) => {
                let lists = array.as_list_view::<i32>();
                joined(lists.values(), &|row| (lists.value_offset(row).as_usize(), lists.value_size(row).as_usize()))
            }
            LargeListView(_) => {
                let lists = array.as_list_view::<i64>();
                joined(lists.values(), &|row| (lists.value_offset(row).as_usize(), lists.value_size(row).as_usize()))
            }
            FixedSizeList(..) => {
                let lists = array.as_fixed_size_list();
                let length = lists.value_length() as usize;
                joined(lists.values(), &|row| (row * length, length))
            }
            Null => Ok(Texts::Plain(new_null_array(&LargeUtf8, array.len()))),
            _ => Ok(Texts::Plain(Arc::new(written(array)?))),
        }
    }

    /// The text of a row; `None` where it is null.
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Texts::Dictionary(places, values) => values.get(places[row]?),
            Texts::Plain(array) if array.is_null(row) => None,
            Texts::Plain(array) => Some(match array.data_type() {
                DataType::Utf8 => array.as_string::<i32>().value(row).as_bytes(),
                DataType::Utf8View => array.as_string_view().value(row).as_bytes(),
                DataType::Binary => array.as_binary::<i32>().value(row),
                DataType::LargeBinary => array.as_binary::<i64>().value(row),
                DataType::BinaryView => array.as_binary_view().value(row),
                _ => array.as_string::<i64>().value(row).as_bytes(),
            }),
        }
    }

    /// Whether every text is known to be UTF-8.
    pub(crate) fn is_utf8(&self) -> bool {
        match self {
            Texts::Dictionary(_, values) => values.is_utf8(),
            Texts::Plain(array) => {
                !matches!(array.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
            }
        }
    }

    /// The texts that each of `lists` holds, joined; `rows` gives where a list starts among them and its length.
    fn joined(&self, lists: &dyn Array, rows: &dyn Fn(usize) -> (usize, usize)) -> Result<LargeStringArray> {
        let mut out = LargeStringBuilder::new();
        let mut text = String::new();
        for row in 0..lists.len() {
            if lists.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            let (first, length) = rows(row);
            for (n, value) in (first..first + length).filter_map(|at| self.get(at)).enumerate() {
                let value = std::str::from_utf8(value);
                let value = value.map_err(|e| ArrowError::CastError(format!("a list's text is not UTF-8: {e}")))?;
                if n > 0 {
                    text.push_str(LIST_SEPARATOR);
                }
                text.push_str(value);
            }
            out.append_value(&text);
        }
        Ok(out.finish())
    }
}

/// Where a list starts, and its length.
fn offsets<O: OffsetSizeTrait>(offsets: &[O], row: usize) -> (usize, usize) {
    let (from, to) = (offsets[row].as_usize(), offsets[row + 1].as_usize());
    (from, to - from)
}

/// Writes the value of a row.
type WriteValue<'a> = Box<dyn Fn(&mut String, usize) -> Result<()> + 'a>;

/// Scalars that are no texts, each as a text.
fn written(array: &dyn Array) -> Result<LargeStringArray> {
    let write = writer(array)?;
    let mut out = LargeStringBuilder::new();
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        write(&mut text, row)?;
        out.append_value(&text);
    }
    Ok(out.finish())
}

/// What writes the values of a type: integers in decimal, floating-point numbers with as many digits as tell them apart, times
/// as in ISO 8601.
fn writer(array: &dyn Array) -> Result<WriteValue<'_>> {
    /// Values of a primitive type.
    fn each<'a, T: ArrowPrimitiveType>(
        array: &'a dyn Array,
        write: impl Fn(&mut String, T::Native) -> Option<()> + 'a,
    ) -> WriteValue<'a> {
        let values = array.as_primitive::<T>();
        Box::new(move |text, row| {
            let value = values.value(row);
            write(text, value)
                .ok_or_else(|| ArrowError::CastError(format!("{value:?} is not a value of {}", values.data_type())))
        })
    }
    macro_rules! display {
        ($type:ty) => {
            each::<$type>(array, |text, value| write!(text, "{value}").ok())
        };
    }
    macro_rules! decimal {
        ($type:ty, $precision:expr, $scale:expr) => {{
            let (precision, scale) = (*$precision, *$scale);
            each::<$type>(array, move |text, value| {
                text.push_str(&<$type as DecimalType>::format_decimal(value, precision, scale));
                Some(())
            })
        }};
    }
    macro_rules! temporal {
        ($type:ty, $convert:path) => {
            each::<$type>(array, |text, value| write!(text, "{:?}", $convert(value)?).ok())
        };
    }
    macro_rules! timestamp {
        ($type:ty, $zone:expr) => {{
            let zone: Option<Tz> = $zone.as_ref().map(|zone| zone.parse()).transpose()?;
            each::<$type>(array, move |text, value| instant(text, temporal::as_datetime::<$type>(value)?, zone))
        }};
    }
    use DataType::*;
    Ok(match array.data_type() {
        Boolean => {
            let values = array.as_boolean();
            Box::new(|text, row| {
                text.push_str(if values.value(row) { "true" } else { "false" });
                Ok(())
            })
        }
        Int8 => display!(Int8Type),
        Int16 => display!(Int16Type),
        Int32 => display!(Int32Type),
        Int64 => display!(Int64Type),
        UInt8 => display!(UInt8Type),
        UInt16 => display!(UInt16Type),
        UInt32 => display!(UInt32Type),
        UInt64 => display!(UInt64Type),
        Float16 => display!(Float16Type),
        Float32 => each::<Float32Type>(array, float),
        Float64 => each::<Float64Type>(array, float),
        Decimal32(precision, scale) => decimal!(Decimal32Type, precision, scale),
        Decimal64(precision, scale) => decimal!(Decimal64Type, precision, scale),
        Decimal128(precision, scale) => decimal!(Decimal128Type, precision, scale),
        Decimal256(precision, scale) => decimal!(Decimal256Type, precision, scale),
        Date32 => each::<Date32Type>(array, |text, value| {
            write!(text, "{:?}", temporal::date32_to_datetime(value)?.date()).ok()
        }),
        Date64 => temporal!(Date64Type, temporal::date64_to_datetime),
        Time32(TimeUnit::Second) => temporal!(Time32SecondType, temporal::time32s_to_time),
        Time32(TimeUnit::Millisecond) => temporal!(Time32MillisecondType, temporal::time32ms_to_time),
        Time64(TimeUnit::Microsecond) => temporal!(Time64MicrosecondType, temporal::time64us_to_time),
        Time64(TimeUnit::Nanosecond) => temporal!(Time64NanosecondType, temporal::time64ns_to_time),
        Timestamp(TimeUnit::Second, zone) => timestamp!(TimestampSecondType, zone),
        Timestamp(TimeUnit::Millisecond, zone) => timestamp!(TimestampMillisecondType, zone),
        Timestamp(TimeUnit::Microsecond, zone) => timestamp!(TimestampMicrosecondType, zone),
        Timestamp(TimeUnit::Nanosecond, zone) => timestamp!(TimestampNanosecondType, zone),
        other => return Err(ArrowError::CastError(format!("{other} has no text"))),
    })
}

/// The shortest text that is read as the same number: `0.1`, `1e16`, `NaN`.
fn float(text: &mut String, value: impl ryu::Float) -> Option<()> {
    text.push_str(ryu::Buffer::new().format(value));
    Some(())
}

/// An instant: `2020-01-01T10:00:00`, with its zone `2020-01-01T11:00:00+01:00`.
fn instant(text: &mut String, time: NaiveDateTime, zone: Option<Tz>) -> Option<()> {
    match zone {
        None => write!(text, "{time:?}").ok(),
        Some(zone) => {
            let time = Utc.from_utc_datetime(&time).with_timezone(&zone);
            text.push_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
            Some(())
        }
    }
}

/// The numbers of a dictionary's rows.
fn looked_up<T: ArrowPrimitiveType>(
    array: &dyn Array,
    numbers: impl Fn(&ArrayRef) -> Result<PrimitiveArray<T>>,
) -> Result<PrimitiveArray<T>> {
    let (places, values) = places(array)?;
    let values = numbers(&values)?;
    Ok(places.into_iter().map(|place| place.filter(|&at| values.is_valid(at)).map(|at| values.value(at))).collect())
}

/// Why a column cannot be read as numbers.
fn not_numbers(data_type: &DataType, number: &str) -> ArrowError {
    ArrowError::CastError(format!("{data_type} cannot be read as {number}"))
}

/// Integers, days and counts of time units as 64-bit integers.
///
/// # Errors
/// For another type.
pub(crate) fn integers(array: &ArrayRef) -> Result<Int64Array> {
    macro_rules! widened {
        ($type:ty) => {
            array.as_primitive::<$type>().unary(i64::from)
        };
    }
    use DataType::*;
    Ok(match array.data_type() {
        Int8 => widened!(Int8Type),
        Int16 => widened!(Int16Type),
        Int32 => widened!(Int32Type),
        Int64 => array.as_primitive::<Int64Type>().clone(),
        UInt8 => widened!(UInt8Type),
        UInt16 => widened!(UInt16Type),
        UInt32 => widened!(UInt32Type),
        UInt64 => array.as_primitive::<UInt64Type>().unary_opt(|value| i64::try_from(value).ok()),
        Date32 => widened!(Date32Type),
        Date64 => array.as_primitive::<Date64Type>().reinterpret_cast(),
        Timestamp(TimeUnit::Second, _) => array.as_primitive::<TimestampSecondType>().reinterpret_cast(),
        Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().reinterpret_cast(),
        Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().reinterpret_cast(),
        Timestamp(TimeUnit::Nanosecond, _) => array.as_primitive::<TimestampNanosecondType>().reinterpret_cast(),
        Dictionary(..) => looked_up(array, integers)?,
        other => return Err(not_numbers(other, "integers")),
    })
}

/// Unsigned 64-bit integers.
///
/// # Errors
/// For another type.
pub(crate) fn unsigned(array: &ArrayRef) -> Result<UInt64Array> {
    match array.data_type() {
        DataType::UInt64 => Ok(array.as_primitive::<UInt64Type>().clone()),
        DataType::Dictionary(..) => looked_up(array, unsigned),
        other => Err(not_numbers(other, "unsigned integers")),
    }
}

/// Floating-point numbers of any width.
///
/// # Errors
/// For another type.
pub(crate) fn floats(array: &ArrayRef) -> Result<Float64Array> {
    Ok(match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().unary(f64::from),
        DataType::Float32 => array.as_primitive::<Float32Type>().unary(f64::from),
        DataType::Float64 => array.as_primitive::<Float64Type>().clone(),
        other => return Err(not_numbers(other, "floating-point numbers")),
    })
}

/// Numbers, truth values and texts of numbers as fp32. A text that is none is null.
///
/// # Errors
/// For another type.
pub(crate) fn weights(array: &ArrayRef) -> Result<Float32Array> {
    macro_rules! rounded {
        ($type:ty) => {
            array.as_primitive::<$type>().unary(|value| value as f32)
        };
    }
    use DataType::*;
    Ok(match array.data_type() {
        Int8 => rounded!(Int8Type),
        Int16 => rounded!(Int16Type),
        Int32 => rounded!(Int32Type),
        Int64 => rounded!(Int64Type),
        UInt8 => rounded!(UInt8Type),
        UInt16 => rounded!(UInt16Type),
        UInt32 => rounded!(UInt32Type),
        UInt64 => rounded!(UInt64Type),
        Float16 => array.as_primitive::<Float16Type>().unary(f32::from),
        Float32 => array.as_primitive::<Float32Type>().clone(),
        Float64 => rounded!(Float64Type),
        Boolean => array.as_boolean().iter().map(|value| value.map(|one| f32::from(u8::from(one)))).collect(),
        Dictionary(..) => looked_up(array, weights)?,
        Null => new_null_array(&Float32, array.len()).as_primitive::<Float32Type>().clone(),
        // In fp64 first, as a decimal number is divided by its power of ten.
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
            parsed(&Texts::new(array)?, array.len(), |text| text.parse::<f64>().ok().map(|value| value as f32))
        }
        Utf8 | LargeUtf8 | Utf8View => parsed(&Texts::new(array)?, array.len(), |text| text.trim().parse().ok()),
        other => return Err(not_numbers(other, "numbers")),
    })
}

fn parsed(texts: &Texts, rows: usize, parse: impl Fn(&str) -> Option<f32>) -> Float32Array {
    (0..rows).map(|row| std::str::from_utf8(texts.get(row)?).ok().and_then(&parse)).collect()
}

#[cfg(test)]
mod tests;
