//! Columns and files that cannot be used are called what they are.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, DurationSecondArray, Float64Array, Int64Array, ListArray, RecordBatch,
    StructArray,
};
use arrow_schema::{DataType, Field, Fields};

use super::example::{Example, arrow, batch, integers, parquet, stream, texts};

fn point(x: Vec<f64>) -> ArrayRef {
    let fields = Fields::from(vec![Field::new("x", DataType::Float64, true), Field::new("y", DataType::Float64, true)]);
    let x = Arc::new(Float64Array::from(x)) as ArrayRef;
    Arc::new(StructArray::new(fields, vec![Arc::clone(&x), x], None))
}

fn map(rows: usize) -> ArrayRef {
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for n in 0..rows {
        map.keys().append_value("key");
        map.values().append_value(n as i32);
        map.append(true).expect("appended");
    }
    Arc::new(map.finish())
}

fn lists_of_points(rows: usize) -> ArrayRef {
    let values = point(vec![1.0; rows]);
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = arrow_buffer::OffsetBuffer::from_lengths(vec![1; rows]);
    Arc::new(ListArray::new(field, offsets, values, None))
}

fn lists_of_lists() -> ArrayRef {
    let mut lists = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    for _ in 0..2 {
        lists.values().append_value([Some("a")]);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

/// Columns that no feature can be made of, and what they are called.
fn nested() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("place", point(vec![1.0, 2.0])),
        ("properties", map(2)),
        ("route", lists_of_points(2)),
        ("matrix", lists_of_lists()),
    ]
}

fn each_format(table: &RecordBatch) -> [(&'static str, Vec<u8>); 3] {
    [("t.parquet", parquet(table)), ("t.arrow", arrow(table)), ("t.arrows", stream(table))]
}

#[test]
fn nested_columns_beside_interactions_do_no_harm() {
    for (name, column) in nested() {
        let table = batch(vec![("user_id", texts(&["a", "b"])), (name, column), ("item_id", integers(&[1, 2]))]);
        for (file, bytes) in each_format(&table) {
            Example::of(file, bytes).run().rows(&["a 1", "b 2"]).left(&[name]);
        }
    }
}

#[test]
fn nested_features_are_left_out_with_a_line() {
    for (name, column) in nested() {
        let table = batch(vec![(name, column), ("user_id", texts(&["b", "a"])), ("colour", texts(&["blue", "red"]))]);
        for (file, bytes) in each_format(&table) {
            let example = || Example::of("log.csv", "user_id,item_id\na,1\nb,2\n").users(file, &bytes);
            let outcome = example().run();
            outcome.text("users", "a", "colour", "red").text("users", "b", "colour", "blue").noted(&[file, name]);
            assert!(!outcome.contents().users.kinds.contains_key(name));
            // Asked for, it is left out in silence; asked to be something, it is an error.
            let skipped = example().set("user_feature", &format!("{name}=skip")).run();
            skipped.text("users", "b", "colour", "blue");
            let forced = example().set("user_feature", &format!("{name}=categorical")).run();
            forced.refused(&[file, name]);
        }
    }
}

#[test]
fn an_id_that_is_no_id() {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\xff\xfe"[..], b"ok"]));
    let lengths: ArrayRef = Arc::new(DurationSecondArray::from(vec![1, 2]));
    let flags: ArrayRef = Arc::new(arrow_array::BooleanArray::from(vec![true, false]));
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.5]));
    for column in [point(vec![1.0, 2.0]), map(2), lists_of_lists(), lengths, flags, floats, bytes] {
        let table = batch(vec![("user_id", column), ("item_id", integers(&[1, 2]))]);
        for (file, bytes) in each_format(&table) {
            Example::of(file, bytes).run().refused(&[file, "user_id"]);
        }
    }
}

#[test]
fn plain_columns_of_every_type_are_features() {
    let keys = arrow_array::Int32Array::from(vec![0, 1]);
    let dictionary = DictionaryArray::<Int32Type>::new(keys, texts(&["red", "blue"]));
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("x"), Some("y")]);
    tags.append_null();
    let mut numbers = ListBuilder::new(arrow_array::builder::Int64Builder::new());
    numbers.append_value([Some(7), Some(8)]);
    numbers.append_value([None, Some(9)]);
    let table = batch(vec![
        ("user_id", texts(&["a", "b"])),
        ("colour", Arc::new(dictionary)),
        ("tags", Arc::new(tags.finish())),
        ("numbers", Arc::new(numbers.finish())),
        ("age", Arc::new(Int64Array::from(vec![Some(30), None]))),
        ("old", Arc::new(arrow_array::BooleanArray::from(vec![Some(true), None]))),
    ]);
    for (file, bytes) in each_format(&table) {
        let outcome = Example::of("log.csv", "user_id,item_id\na,1\nb,2\n").users(file, bytes).run();
        outcome.text("users", "a", "colour", "red").text("users", "b", "colour", "blue");
        outcome.texts("users", "a", "tags", &["x", "y"]).texts("users", "b", "tags", &[]);
        outcome.texts("users", "a", "numbers", &["7", "8"]).texts("users", "b", "numbers", &["9"]);
        outcome.text("users", "a", "age", "30").text("users", "b", "age", "");
        outcome.text("users", "a", "old", "true").text("users", "b", "old", "");
    }
}

const BZ2: &[u8] = b"\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xff\xc7\xc5\x7d\x00\x00\x0a\xd3\x80\x00\x10\x00\x04\x00\
    \x00\xb6\x22\x1e\x60\x20\x00\x31\x4c\x00\x00\xd4\x06\xd1\x33\x49\xd5\x7a\x63\xe9\x22\x42\x54\x29\x0b\x63\xc1\xf1\
    \x77\x24\x53\x85\x09\x0f\xfc\x7c\x57\xd0";
const XZ: &[u8] = b"\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\
    \x01\x00\x17\x75\x73\x65\x72\x5f\x69\x64\x2c\x69\x74\x65\x6d\x5f\x69\x64\x0a\x61\x2c\x78\x0a\x62\x2c\x79\x0a\x00\
    \xa4\x05\x04\x3d\x01\x7a\x7b\x0c\x00\x01\x30\x18\x8e\x1b\xac\xec\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a";
const ZIP: &[u8] = b"\x50\x4b\x03\x04\x14\x00\x00\x00\x00\x00\xcc\x33\x7c\x5d\xca\x0f\xfe\x14\x18\x00\x00\x00\x18\x00\
    \x00\x00\x07\x00\x00\x00\x6c\x6f\x67\x2e\x63\x73\x76\x75\x73\x65\x72\x5f\x69\x64\x2c\x69\x74\x65\x6d\x5f\x69\x64\
    \x0a\x61\x2c\x78\x0a\x62\x2c\x79\x0a\x50\x4b\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00\xcc\x33\x7c\x5d\xca\x0f\xfe\
    \x14\x18\x00\x00\x00\x18\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00\x6c\
    \x6f\x67\x2e\x63\x73\x76\x50\x4b\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x35\x00\x00\x00\x3d\x00\x00\x00\x00\x00";

#[test]
fn packed_files_are_read_or_called_what_they_are() {
    for (bytes, name, word) in [
        (BZ2, "log.csv.bz2", "bzip2"),
        (XZ, "log.csv.xz", "xz"),
        (ZIP, "log.csv.zip", "zip"),
        (ZIP, "log.zip", "zip"),
        (&b"\x04\x22\x4d\x18\x64\x40\xa7"[..], "log.csv.lz4", "lz4"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "log.7z", "7z"),
        (b"Rar!\x1a\x07\x01\0", "log.rar", "rar"),
        // The name may lie: the bytes do not.
        (BZ2, "log.csv", "bzip2"),
        (XZ, "log.tsv", "xz"),
        (ZIP, "log.csv", "zip"),
    ] {
        let outcome = Example::of(name, bytes).run();
        assert!(outcome.result.as_ref().err().is_none_or(|said| !said.contains("damaged")), "{:?}", outcome.result);
        outcome.right_or_refused(&["a x", "b y"], &[name, word]);
        // A feature file is no worse.
        let outcome = Example::of("in.csv", "user_id,item_id\na,x\n").users(name, bytes).run();
        if let Err(said) = &outcome.result {
            assert!(said.contains(name) && said.contains(word), "{said}");
        }
    }
}

#[test]
fn other_programs_files_are_named() {
    for (bytes, name, word) in [
        (&b"PK\x03\x04\x14\0\x06\0xl/workbook.xml"[..], "log.xlsx", "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "log.xls", "Excel"),
        (b"ORC\x1d\0\0\0", "log.orc", "ORC"),
        (b"Obj\x01\x04\x16avro.schema", "log.avro", "Avro"),
        (b"SQLite format 3\0", "log.db", "SQLite"),
        (b"\x80\x04\x95\0\0\0\0", "log.pkl", "pickle"),
        (b"\x89HDF\r\n\x1a\n", "log.h5", "HDF5"),
        (b"\x93NUMPY\x01\0", "log.npy", "NumPy"),
    ] {
        let said = Example::of(name, bytes).run().result.expect_err(name);
        assert!(said.contains(name) && said.to_lowercase().contains(&word.to_lowercase()), "{name}: {said}");
        assert!(!said.contains("damaged"), "{said}");
    }
    // Under another program's name, and under no name at all.
    for (bytes, name) in [(&b"ORC\x1d\0\0\0"[..], "log.csv"), (b"Obj\x01\x04", "log.csv"), (b"PAR1\x15\0", "log.csv")] {
        Example::of(name, bytes).run().refused(&[name]);
    }
    Example::of("log", "user_id,item_id\na,x\n").run().right_or_refused(&["a x"], &["log", "--format"]);
    let table = batch(vec![("user_id", texts(&["a"])), ("item_id", texts(&["x"]))]);
    for bytes in [parquet(&table), arrow(&table)] {
        Example::of("log.csv", bytes).run().right_or_refused(&["a x"], &["log.csv"]);
    }
}

#[test]
fn texts_in_another_encoding() {
    // UTF-16 from a spreadsheet; Latin-1 in an id, and in a column that is not read.
    let wide: Vec<u8> = "\u{feff}user_id,item_id\na,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    Example::of("log.csv", wide).run().right_or_refused(&["a x"], &["log.csv", "UTF-16"]);
    Example::of("log.csv", b"user_id,item_id\nm\xfcller,x\n").run().refused(&["log.csv", "row 2", "user_id", "UTF-8"]);
    let other = b"user_id,city,item_id\na,M\xfcnchen,x\n";
    Example::of("log.csv", other).run().rows(&["a x"]);
    let outcome = Example::of("log.csv", "user_id,item_id\na,x\nb,y\n")
        .users("users.csv", b"user_id,city\na,M\xfcnchen\nb,Rome\n")
        .run();
    outcome.refused(&["users.csv", "row 2", "city", "UTF-8"]);
}
