//! Types of columns: which can be used.

use arrow_schema::{DataType, Schema};

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
