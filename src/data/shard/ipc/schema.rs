//! The types of an Arrow schema, as far as this crate reads them, and how many nodes and buffers each takes.
//!
//! Nested types are walked with a budget: a few hundred damaged bytes can describe a tree of any size.

use arrow_format::ipc::planus;
use arrow_format::ipc::planus::errors::ErrorKind;
use arrow_format::ipc::{FieldRef, Precision, TypeRef, UnionMode};

/// Fields, at any depth, that a schema may have.
const MAX_FIELDS: usize = 1 << 16;
/// How deep types may nest.
const MAX_DEPTH: usize = 64;

/// The type of a column, as far as this crate reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    U32,
    U64,
    I64,
    F32,
    Utf8,
    LargeUtf8,
    /// What Polars writes texts as.
    Utf8View,
    ListU32,
    LargeListU32,
    /// Any other type, in words.
    Other(String),
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ColumnType::U32 => "uint32",
            ColumnType::U64 => "uint64",
            ColumnType::I64 => "int64",
            ColumnType::F32 => "float32",
            ColumnType::Utf8 => "string",
            ColumnType::LargeUtf8 => "large_string",
            ColumnType::Utf8View => "string_view",
            ColumnType::ListU32 => "list<uint32>",
            ColumnType::LargeListU32 => "large_list<uint32>",
            ColumnType::Other(words) => words,
        })
    }
}

/// Counts the nodes and buffers of the fields before a column.
#[derive(Default)]
pub(super) struct Walk {
    fields: usize,
    pub(super) nodes: usize,
    pub(super) buffers: usize,
    pub(super) views: usize,
    /// A type that this reader does not know stands before: where the next column's values are cannot be told.
    pub(super) lost: bool,
    pub(super) too_much: bool,
}

impl Walk {
    /// Counts a field and what is nested in it.
    pub(super) fn field(&mut self, field: FieldRef<'_>, depth: usize) -> planus::Result<ColumnType> {
        self.fields += 1;
        if self.fields > MAX_FIELDS || depth > MAX_DEPTH {
            self.too_much = true;
        }
        if self.too_much {
            return Ok(ColumnType::Other("an endless type".into()));
        }
        self.nodes += 1;
        let other = |words: &str| ColumnType::Other(words.into());
        if field.dictionary()?.is_some() {
            self.buffers += 2;
            return Ok(other("dictionary"));
        }
        let type_ = match field.type_() {
            Ok(Some(type_)) => type_,
            // Types that are newer than the format library: it gives their number.
            Err(planus::Error { error_kind: ErrorKind::UnknownUnionTag { tag: tag @ (23 | 24) }, .. }) => {
                self.buffers += 2;
                self.views += 1;
                return Ok(if tag == 24 { ColumnType::Utf8View } else { other("binary view") });
            }
            _ => {
                self.lost = true;
                return Ok(other("an unknown type"));
            }
        };
        let (buffers, nested, kind) = match type_ {
            TypeRef::Null(_) => (0, false, other("null")),
            TypeRef::Int(int) => (
                2,
                false,
                match (int.bit_width()?, int.is_signed()?) {
                    (32, false) => ColumnType::U32,
                    (64, false) => ColumnType::U64,
                    (64, true) => ColumnType::I64,
                    (bits, true) => ColumnType::Other(format!("int{bits}")),
                    (bits, false) => ColumnType::Other(format!("uint{bits}")),
                },
            ),
            TypeRef::FloatingPoint(float) => (
                2,
                false,
                match float.precision()? {
                    Precision::Single => ColumnType::F32,
                    Precision::Double => other("float64"),
                    Precision::Half => other("float16"),
                },
            ),
            TypeRef::Utf8(_) => (3, false, ColumnType::Utf8),
            TypeRef::LargeUtf8(_) => (3, false, ColumnType::LargeUtf8),
            TypeRef::Binary(_) | TypeRef::LargeBinary(_) => (3, false, other("binary")),
            TypeRef::Bool(_) => (2, false, other("bool")),
            TypeRef::Decimal(_) => (2, false, other("decimal")),
            TypeRef::Date(_) => (2, false, other("date")),
            TypeRef::Time(_) => (2, false, other("time")),
            TypeRef::Timestamp(_) => (2, false, other("timestamp (cast it to int64 seconds)")),
            TypeRef::Interval(_) => (2, false, other("interval")),
            TypeRef::Duration(_) => (2, false, other("duration")),
            TypeRef::FixedSizeBinary(_) => (2, false, other("fixed-size binary")),
            TypeRef::List(_) => (2, true, ColumnType::ListU32),
            TypeRef::LargeList(_) => (2, true, ColumnType::LargeListU32),
            TypeRef::Map(_) => (2, true, other("map")),
            TypeRef::Struct(_) => (1, true, other("struct")),
            TypeRef::FixedSizeList(_) => (1, true, other("fixed-size list")),
            TypeRef::Union(union_) => (1 + usize::from(union_.mode()? == UnionMode::Dense), true, other("union")),
        };
        self.buffers += buffers;
        if !nested {
            return Ok(kind);
        }
        let mut children = Vec::new();
        for child in field.children()?.into_iter().flatten() {
            children.push(self.field(child?, depth + 1)?);
            if self.too_much {
                break;
            }
        }
        let list = matches!(kind, ColumnType::ListU32 | ColumnType::LargeListU32);
        match (list, children.as_slice()) {
            (true, [ColumnType::U32]) | (false, _) => Ok(kind),
            (true, [inner]) => Ok(ColumnType::Other(format!("list<{inner}>"))),
            (true, _) => Ok(other("list")),
        }
    }
}
