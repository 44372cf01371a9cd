//! Files of another implementation of Arrow: read as they are, or the column is named; damaged, never a panic.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Int32Array, Int64Array, LargeListArray, LargeStringArray,
    ListArray, NullArray, RecordBatch, RunArray, StringArray, StringViewArray, StructArray, UInt32Array, UInt64Array,
    types,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{DataType, Field};
use tercel::Error;
use tercel::data::batch::{Cursor, PlainBatches};
use tercel::data::dataset::{Feature, FeatureKind, FileInfo, Split};
use tercel::data::loader::{Loader, LoaderConfig};
use tercel::data::shard::{Shard, summarise};
use tercel::data::vocabulary::{EntityTable, FeatureColumn, RawIds};

use super::small::{VALUES, Values, values, write_dataset};

/// Writes columns with another implementation of Arrow, in record batches of `rows` rows.
fn foreign(path: &Path, columns: Vec<(&str, ArrayRef)>, rows: usize, compression: Option<CompressionType>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let options = IpcWriteOptions::try_new(8, false, arrow_ipc::MetadataVersion::V5).unwrap();
    let options = options.try_with_compression(compression).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
    for start in (0..batch.num_rows()).step_by(rows) {
        writer.write(&batch.slice(start, rows.min(batch.num_rows() - start))).unwrap();
    }
    writer.finish().unwrap();
}

fn u32s(n: u32) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(0..n))
}

#[test]
fn files_of_another_implementation_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.arrow");
    let n = 101;
    let texts: Vec<String> = (0..n).map(|i| format!("text number {i}")).collect();
    let list = ListArray::from_iter_primitive::<types::Int32Type, _, _>((0..n).map(|i| Some(vec![Some(i as i32); 3])));
    let pair = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Int32Array::from_iter(0..n as i32)) as ArrayRef),
        (Arc::new(Field::new("b", DataType::Utf8, true)), Arc::new(StringArray::from(texts.clone())) as ArrayRef),
    ]);
    let runs: RunArray<types::Int32Type> = texts.iter().map(|t| Some(&t[..4])).collect();
    let dictionary: DictionaryArray<types::Int8Type> = texts.iter().map(|t| Some(&t[..4])).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", Arc::new(list)),
        ("pair", Arc::new(pair)),
        ("null", Arc::new(NullArray::new(n as usize))),
        ("dictionary", Arc::new(dictionary)),
        ("item", u32s(n)),
        ("bool", Arc::new(BooleanArray::from_iter((0..n).map(|i| (i % 3 > 0).then_some(i % 2 == 0))))),
        ("text", Arc::new(StringArray::from(texts.clone()))),
        ("timestamp", Arc::new(Int64Array::from_iter_values((0..i64::from(n)).map(|i| i - 50)))),
        ("weight", Arc::new(Float32Array::from_iter_values((0..n).map(|i| i as f32)))),
        ("view", Arc::new(StringViewArray::from_iter_values(&texts))),
        ("user", u32s(n)),
        // A type that the mapper does not know may stand behind the columns it reads.
        ("runs", Arc::new(runs)),
    ];
    let expected: Values = (0..n).map(|i| (i, i, Some(i64::from(i) - 50), Some((i as f32).to_bits()))).collect();
    let mut sums = Vec::new();
    for rows in [1, 7, 101] {
        foreign(&path, columns.clone(), rows, None);
        let shard = Shard::open(&path).unwrap();
        assert_eq!(shard.blocks(), 101usize.div_ceil(rows));
        assert!(!shard.has_checksums());
        assert_eq!(values(&shard).unwrap(), expected);
        let summary = summarise(&path).unwrap();
        assert_eq!((summary.users, summary.timestamps), (Some((0, 100)), Some((-50, 50))));
        assert_eq!(summary.columns, ["user", "item", "timestamp", "weight"]);
        sums.push(summary.values_xxh3);
    }
    sums.dedup();
    assert_eq!(sums.len(), 1, "the checksum of the values depends on the record batches");

    let mut front = columns.clone();
    front.rotate_right(1);
    foreign(&path, front, 101, None);
    let error = Shard::open(&path).err().unwrap().to_string();
    assert!(error.contains("column user") && error.contains("unknown type"), "{error}");
    for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        foreign(&path, columns.clone(), 101, Some(compression));
        let error = Shard::open(&path).err().unwrap().to_string();
        assert!(error.contains("uncompressed") && error.contains("tercel ingest"), "{error}");
    }
}

#[test]
fn columns_that_are_missing_or_of_another_type_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.arrow");
    let open = |columns: Vec<(&str, ArrayRef)>| {
        foreign(&path, columns, 10, None);
        Shard::open(&path).err().unwrap()
    };
    let int64 = || Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef;
    let holes = Arc::new(UInt32Array::from(vec![Some(1), None, Some(3)])) as ArrayRef;
    assert!(matches!(open(vec![("user", u32s(3))]), Error::Schema { column, .. } if column == "item"));
    assert!(matches!(
        open(vec![("user", int64()), ("item", u32s(3))]),
        Error::Schema { column, expected, found, .. }
            if (column.as_str(), expected.as_str(), found.as_str()) == ("user", "uint32", "int64")
    ));
    let times = open(vec![("user", u32s(3)), ("item", u32s(3)), ("timestamp", u32s(3))]);
    assert!(matches!(times, Error::Schema { column, .. } if column == "timestamp"));
    let error = open(vec![("user", u32s(3)), ("item", holes)]).to_string();
    assert!(error.contains("column item") && error.contains("null"), "{error}");
}

#[test]
fn vocabularies_of_another_implementation_are_read_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.arrow");
    let texts: Vec<Option<String>> = (0..30).map(|i| (i > 0).then(|| "x".repeat(i) + "é")).collect();
    let counts = || Arc::new(UInt64Array::from_iter_values(0..30)) as ArrayRef;
    let lists = || (0..30).map(|i| Some(vec![Some(i % 6); i as usize % 3]));
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<types::UInt32Type, _, _>(lists()));
    let large: ArrayRef = Arc::new(LargeListArray::from_iter_primitive::<types::UInt32Type, _, _>(lists()));
    let mut expected = RawIds::text();
    texts.iter().for_each(|text| expected.push_text(text.as_deref().unwrap_or_default()));
    let names = (0..5).map(|i| i.to_string()).collect();
    let features =
        vec![Feature { name: "tags".into(), kind: FeatureKind::MultiHot { separator: ";".into(), values: names } }];
    let ids: [ArrayRef; 3] = [
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(LargeStringArray::from(texts.clone())),
        Arc::new(StringViewArray::from_iter(texts.iter().map(|text| text.as_deref()))),
    ];
    for id in ids {
        for (rows, tags) in [(30, &list), (7, &large)] {
            foreign(&path, vec![("tags", tags.clone()), ("id", id.clone()), ("count", counts())], rows, None);
            let bytes = fs::metadata(&path).unwrap().len();
            let info = FileInfo { name: "users.arrow".into(), rows: 30, bytes, xxh3: None, footer: None };
            let table = EntityTable::open(&path, &info, &features).unwrap();
            assert_eq!((&table.ids, table.counts), (&expected, (0..30).collect()));
            let FeatureColumn::Lists { offsets, codes } = &table.features[0] else { panic!("no lists") };
            assert_eq!((offsets[3], offsets[30], codes.as_slice()[..4].to_vec()), (3, 30, vec![1, 2, 2, 4]));
            // Damage may go unnoticed here, but it must not panic.
            let good = fs::read(&path).unwrap();
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            for at in 0..good.len() {
                file.write_all_at(&[VALUES[at % 5]], at as u64).unwrap();
                let _ = EntityTable::open(&path, &info, &features);
                file.write_all_at(&good[at..=at], at as u64).unwrap();
            }
        }
    }
}

/// A foreign file has no checksums: damage may change values, but it must not panic.
#[test]
fn a_damaged_foreign_file_does_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.arrow");
    let texts = StringArray::from_iter_values((0..30).map(|i| i.to_string()));
    let views = StringViewArray::from_iter_values((0..30).map(|i| format!("a text of some length {i}")));
    let list = ListArray::from_iter_primitive::<types::Int32Type, _, _>((0..30).map(|i| Some(vec![Some(i); 2])));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", Arc::new(list)),
        ("views", Arc::new(views)),
        ("user", u32s(30)),
        ("text", Arc::new(texts)),
        ("item", u32s(30)),
    ];
    foreign(&path, columns, 11, None);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bytes = good.clone();
        for value in VALUES {
            bytes[at] = value;
            let _ = Shard::from_bytes(&path, &bytes).and_then(|shard| values(&shard));
        }
    }
}

#[test]
fn a_file_without_rows_is_a_shard_without_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("foreign.arrow");
    foreign(&path, vec![("user", u32s(0)), ("item", u32s(0))], 10, None);
    let shard = Shard::open(&path).unwrap();
    assert_eq!((shard.rows(), shard.blocks()), (0, 0));
    assert_eq!(summarise(&path).unwrap().users, None);
    let info = FileInfo {
        name: "foreign.arrow".into(),
        rows: 0,
        bytes: fs::metadata(&path).unwrap().len(),
        xxh3: None,
        footer: None,
    };
    let loader = Loader::open(&write_dataset(dir.path(), vec![info]), Split::Train, LoaderConfig::default()).unwrap();
    assert!(loader.batches(Cursor::default(), Arc::new(PlainBatches)).next().is_none());
}
