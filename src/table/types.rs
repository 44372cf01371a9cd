//! Types of columns: which can be used, and their values as texts.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::{CastOptions, cast, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::LIST_SEPARATOR;

/// Whether a column of this type is text.
pub(crate) fn is_text_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text_type(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        // What old writers of Parquet left without the word that it is text.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        _ => false,
    }
}

fn is_list(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => Some(field.data_type()),
        _ => None,
    }
}

fn is_scalar(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_scalar(values),
        DataType::Null | DataType::Boolean | DataType::Date32 | DataType::Date64 => true,
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => true,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => true,
        other => is_text_type(other) || other.is_integer() || other.is_floating(),
    }
}

/// The columns that hold lists, and those that cannot be used with what they are.
pub(super) fn kinds(schema: &Schema) -> (Vec<String>, Vec<(String, String)>) {
    let (mut lists, mut unusable) = (Vec::new(), Vec::new());
    for field in schema.fields() {
        match is_list(field.data_type()) {
            Some(inner) if is_scalar(inner) => lists.push(field.name().clone()),
            None if is_scalar(field.data_type()) => {}
            _ => unusable.push((field.name().clone(), kind_word(field.data_type()))),
        }
    }
    (lists, unusable)
}

/// A type that cannot be used, in a word.
fn kind_word(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) => "a struct".into(),
        DataType::Map(..) => "a map".into(),
        DataType::Union(..) => "a union".into(),
        other if is_list(other).is_some() => "a nested list".into(),
        other => other.to_string(),
    }
}

/// A column as text: an array of `LargeUtf8` or, where it holds bytes, of `LargeBinary`.
pub(crate) fn as_text(array: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let whole = CastOptions { safe: false, ..CastOptions::default() };
    match array.data_type() {
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => cast(array, &DataType::LargeBinary),
        DataType::Dictionary(_, values) if matches!(**values, DataType::Binary | DataType::LargeBinary) => {
            cast(array, &DataType::LargeBinary)
        }
        other if is_list(other).is_some() => {
            let field = Arc::new(Field::new_list_field(DataType::LargeUtf8, true));
            let lists = cast_with_options(array, &DataType::LargeList(field), &whole)?;
            let lists = lists.as_list::<i64>();
            let joined = (0..lists.len()).map(|row| {
                lists.is_valid(row).then(|| {
                    let values = lists.value(row);
                    values.as_string::<i64>().iter().flatten().collect::<Vec<_>>().join(LIST_SEPARATOR)
                })
            });
            Ok(Arc::new(joined.collect::<arrow_array::LargeStringArray>()))
        }
        _ => cast_with_options(array, &DataType::LargeUtf8, &whole),
    }
}

/// A value of what [`as_text`] gives; empty where it is null.
pub(crate) fn text_at(array: &dyn Array, row: usize) -> &[u8] {
    if array.is_null(row) {
        return b"";
    }
    match array.data_type() {
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        _ => array.as_string::<i64>().value(row).as_bytes(),
    }
}
