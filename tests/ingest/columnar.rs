//! Arrow IPC and Parquet: every type that ids, times and weights come in, features, and damaged files.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, Date32Array, Date64Array, DictionaryArray, Float64Array, Int32Array, Int64Array, LargeStringArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, UInt16Array, UInt64Array,
};
use tercel::Error;
use tercel::data::dataset::{FeatureKind, Split};
use tercel::data::ingest::{IngestConfig, Input, Inputs, OnError, Stream, ingest_inputs, interactions};
use tercel::data::vocabulary::RawIds;

use super::support::{Case, config};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn write(path: &Path, batch: &RecordBatch) {
    let file = File::create(path).unwrap();
    match path.extension().and_then(|e| e.to_str()) {
        Some("parquet") => {
            let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(batch).unwrap();
            writer.close().unwrap();
        }
        Some("arrows") => {
            let mut writer = arrow_ipc::writer::StreamWriter::try_new(file, &batch.schema()).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
        _ => {
            let options = arrow_ipc::writer::IpcWriteOptions::default();
            let options = options.try_with_compression(Some(arrow_ipc::CompressionType::ZSTD)).unwrap();
            let mut writer =
                arrow_ipc::writer::FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
            writer.write(batch).unwrap();
            writer.finish().unwrap();
        }
    }
}

/// The same rows as a stream of batches of up to `rows`.
fn stream(batch: &RecordBatch, rows: usize) -> Input {
    let starts = (0..batch.num_rows()).step_by(rows);
    let batches: Vec<_> = starts.map(|at| Ok(batch.slice(at, rows.min(batch.num_rows() - at)))).collect();
    Input::table("purchases", Box::new(arrow_array::RecordBatchIterator::new(batches, batch.schema())))
}

#[test]
fn tables_in_memory_give_what_their_files_give() {
    let purchases = batch(vec![
        ("price", Arc::new(Float64Array::from(vec![1.0; 50_000]))),
        ("user_id", Arc::new(Int64Array::from_iter_values((0..50_000).map(|row| row * 7 % 900)))),
        ("item_id", Arc::new(StringArray::from_iter_values((0..50_000).map(|row| format!("i{}", row * 11 % 70))))),
        ("timestamp", Arc::new(Int32Array::from_iter_values(0..50_000))),
    ]);
    let features = batch(vec![
        ("item_id", Arc::new(StringArray::from_iter_values((0..70).map(|item| format!("i{item}"))))),
        ("colour", Arc::new(StringArray::from_iter_values((0..70).map(|item| ["red", "blue"][item % 2])))),
    ]);
    let config = config(|c| c.split = "last-per-user:2".parse().unwrap());
    let (file, table) = (Case::new(), Case::new());
    write(&file.path("in.parquet"), &purchases);
    write(&file.path("items.parquet"), &features);
    let mut with_features = config.clone();
    with_features.item_features = Some(file.path("items.parquet"));
    let expected = file.open("in.parquet", &with_features);
    let inputs = || Inputs {
        train: vec![stream(&purchases.slice(0, 30_000), 7_001), stream(&purchases.slice(30_000, 20_000), 20_000)],
        item_features: Some(stream(&features, 13)),
        ..Inputs::default()
    };
    let summary = ingest_inputs(inputs(), &table.out(), &config, &|_| Ok(())).unwrap();
    assert_eq!((summary.rows, summary.users, summary.items), (50_000, 900, 70));
    assert_eq!(super::support::files(&table.out()), super::support::files(&file.out()));
    assert_eq!(summary.train_rows, expected.summary.train_rows);

    // Errors name the table; whoever watches can end the work, and nothing is left.
    let other = Case::new();
    let holes = batch(vec![
        ("user_id", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ("item_id", Arc::new(StringArray::from(vec!["x", "y"]))),
    ]);
    let alone = |input: Input| Inputs { train: vec![input], ..Inputs::default() };
    let bad = ingest_inputs(alone(stream(&holes, 2)), &other.out(), &config, &|_| Ok(())).unwrap_err();
    assert_eq!(bad.to_string(), "purchases: row 2, column user_id: is null; an id is required");
    let ended = |_| Err(Error::Interrupted { what: "it".into() });
    let ended = ingest_inputs(inputs(), &other.out(), &config, &ended).unwrap_err();
    assert!(matches!(ended, Error::Interrupted { .. }) && !other.out().exists());
    let twice = stream(&purchases, 100);
    ingest_inputs(alone(twice.clone()), &other.out(), &config, &|_| Ok(())).unwrap();
    let again = ingest_inputs(alone(twice), &other.out(), &config, &|_| Ok(())).unwrap_err();
    assert!(again.to_string().contains("read already"), "{again}");
}

#[test]
fn rows_that_workers_read_give_what_the_table_gives() {
    let rows = 40_000;
    let purchases = batch(vec![
        ("weight", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| f64::from(row % 9) / 4.0)))),
        ("item", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("i{}", row * 11 % 70))))),
        ("price", Arc::new(Int32Array::from_iter_values(0..rows))),
        ("user", Arc::new(StringArray::from_iter_values((0..rows).map(|row| (row * 7 % 900).to_string())))),
        (
            "time",
            Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("2020-09-{:02} 10:00", 1 + row % 30)))),
        ),
    ]);
    let config = config(|c| {
        c.split = "time:2020-09-20,2020-09-25".parse().unwrap();
        c.weight = Some("weight".into());
    });
    let table = |batch: &RecordBatch| -> Stream {
        Box::new(arrow_array::RecordBatchIterator::new(vec![Ok(batch.clone())], batch.schema()))
    };
    let case = |rows: Vec<Input>| {
        let case = Case::new();
        ingest_inputs(Inputs { train: rows, ..Inputs::default() }, &case.out(), &config, &|_| Ok(())).unwrap();
        let mut files = super::support::files(&case.out());
        // What the input's columns were called and taken for is another matter for rows that workers have read.
        let mut manifest: serde_json::Value = serde_json::from_slice(&files["dataset.json"]).unwrap();
        for key in ["columns", "checksum"] {
            manifest.as_object_mut().unwrap().remove(key);
        }
        files.insert("dataset.json".into(), manifest.to_string().into_bytes());
        files
    };
    let parts = [purchases.slice(0, 17_000), purchases.slice(17_000, 0), purchases.slice(17_000, 23_000)];
    let read = |part: &RecordBatch| Input::table("part", interactions("part", table(part), &config).unwrap());
    assert_eq!(case(parts.iter().map(read).collect()), case(vec![Input::table("whole", table(&purchases))]));

    // What is refused is named as ingest names it.
    let one = |time: &str, user: Option<i64>| {
        let users: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), user]));
        let texts = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        batch(vec![("user_id", users), ("item_id", texts(["x", "y"])), ("date", texts(["2020-09-01", time]))])
    };
    let plain = IngestConfig { time: Some("date".into()), ..IngestConfig::default() };
    let read = interactions("part", table(&one("1969-12-31T23:59:59Z", Some(-7))), &plain).unwrap();
    let read = read.collect::<Result<Vec<_>, _>>().unwrap();
    let expected = batch(vec![
        ("user", Arc::new(StringArray::from(vec!["1", "-7"]))),
        ("item", Arc::new(StringArray::from(vec!["x", "y"]))),
        ("time", Arc::new(Int64Array::from(vec![1_598_918_400, -1]))),
    ]);
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].columns(), expected.columns());
    let refused = |rows: &RecordBatch, config: &IngestConfig| interactions("part", table(rows), config).err().unwrap();
    let soon = refused(&one("soon", Some(2)), &plain).to_string();
    assert!(soon.starts_with("part: row 2, column date: `soon` "), "{soon}");
    let nobody = refused(&one("2020-09-01", None), &plain).to_string();
    assert_eq!(nobody, "part: row 2, column user_id: is null; an id is required");
    let skip = IngestConfig { on_error: OnError::Skip, ..plain };
    assert!(matches!(refused(&one("soon", None), &skip), Error::Config { .. }));
}

const NAMES: [&str; 3] = ["in.arrow", "in.arrows", "in.parquet"];

#[test]
fn every_type_of_id_and_time() {
    let dictionary: DictionaryArray<Int8Type> = vec!["7", "007", "7"].into_iter().collect();
    let texts: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["7", "007", "7"])),
        Arc::new(LargeStringArray::from(vec!["7", "007", "7"])),
        Arc::new(StringViewArray::from(vec!["7", "007", "7"])),
        Arc::new(dictionary),
    ];
    let integers: Vec<ArrayRef> = vec![
        Arc::new(UInt16Array::from(vec![9, 8, 9])),
        Arc::new(Int64Array::from(vec![9, 8, 9])),
        Arc::new(UInt64Array::from(vec![9, 8, 9])),
    ];
    let times: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(vec![1, 2, -1])),
        Arc::new(Date64Array::from(vec![86_400_000, 172_800_000, -86_400_000])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![86_400_000_000, 172_800_000_999, -86_400_000_000])
                .with_timezone("+02:00"),
        ),
        Arc::new(Int32Array::from(vec![86_400, 172_800, -86_400])),
        Arc::new(Float64Array::from(vec![86_400.0, 172_800.5, -86_400.0])),
        Arc::new(StringArray::from(vec!["1970-01-02", "172800", "1969-12-31"])),
    ];
    for name in NAMES {
        let case = Case::new();
        for i in 0..texts.len().max(integers.len()).max(times.len()) {
            let (text, integer, time) =
                (&texts[i % texts.len()], &integers[i % integers.len()], &times[i % times.len()]);
            let stars = Arc::new(Float64Array::from(vec![0.0, 0.5, 2.0])) as ArrayRef;
            write(
                &case.path(name),
                &batch(vec![
                    ("unused", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
                    ("stars", stars),
                    ("unused too", time.clone()),
                    ("item_id", integer.clone()),
                    ("ts", time.clone()),
                    ("user_id", text.clone()),
                ]),
            );
            let opened = case.open(name, &config(|c| c.weight = Some("stars".into())));
            let row = |user: &str, item: &str, time, weight| (user.into(), item.into(), Some(time), Some(weight));
            let expected = [row("7", "9", 86_400, 0.0), row("007", "8", 172_800, 0.5), row("7", "9", -86_400, 2.0)];
            assert_eq!(opened.rows(Split::Train), expected, "{name} {i}");
            assert_eq!(opened.items.table.ids, RawIds::Integer(vec![0, 9, 8]));
        }
    }
}

#[test]
fn a_text_column_of_digits_stays_text() {
    let case = Case::new();
    let texts = || Arc::new(StringArray::from(vec!["1", "2"])) as ArrayRef;
    write(&case.path("in.parquet"), &batch(vec![("user", texts()), ("item", texts())]));
    let opened = case.open("in.parquet", &config(|_| {}));
    assert!(matches!(opened.users.table.ids, RawIds::Text { .. }));
}

#[test]
fn many_rows_in_order() {
    let rows = 40_000;
    let users = Arc::new(Int64Array::from_iter_values((0..rows).map(|n| n % 77))) as ArrayRef;
    let items = Arc::new(Int64Array::from_iter_values((0..rows).map(|n| n * n % 101))) as ArrayRef;
    let table = batch(vec![("user", users), ("item", items)]);
    let expected: Vec<String> = (0..rows).map(|n| format!("{} {}", n % 77, n * n % 101)).collect();
    for name in NAMES {
        let case = Case::new();
        write(&case.path(name), &table);
        assert!(case.open(name, &config(|c| c.threads = 3)).pairs(Split::Train) == expected);
    }
}

#[test]
fn rows_and_columns_that_cannot_be_read() {
    let users = Arc::new(StringArray::from(vec![Some("a"), None, Some("")])) as ArrayRef;
    let items = Arc::new(UInt64Array::from(vec![1, u64::MAX, 3])) as ArrayRef;
    let floats = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])) as ArrayRef;
    for name in NAMES {
        let case = Case::new();
        write(&case.path(name), &batch(vec![("user", users.clone()), ("item", items.clone())]));
        let (said, code) = case.error(name, &config(|_| {}));
        assert_eq!((said, code), (format!("{name}: row 2, column user: is null; an id is required"), 3));
        let opened = case.open(name, &config(|c| c.on_error = OnError::Skip));
        assert_eq!((opened.summary.rows, opened.summary.rejected), (1, 2));
        let rejected = std::fs::read_to_string(case.out().join("rejected.csv")).unwrap();
        assert!(rejected.contains(",2,user,is null; an id is required,\",18446744073709551615\""), "{rejected}");
        std::fs::remove_dir_all(case.out()).unwrap();
        write(&case.path(name), &batch(vec![("user", floats.clone()), ("item", items.clone())]));
        let (said, _) = case.error(name, &config(|_| {}));
        assert_eq!(
            said,
            format!(
                "{name}: column user: expected texts or integers, found Float64 (cast it to integers or texts first)"
            )
        );
        write(&case.path(name), &batch(vec![("user", users.slice(0, 0)), ("item", items.slice(0, 0))]));
        assert_eq!(case.error(name, &config(|_| {})).0, format!("{name}: the input has no rows"));
    }
}

#[test]
fn features_with_lists() {
    let case = Case::with("a.csv", "user,item\n1,x\n2,y\n");
    let mut tags = arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new());
    tags.append_value([Some("b"), Some("a")]);
    tags.append_null();
    let tags = Arc::new(tags.finish()) as ArrayRef;
    let ids = Arc::new(Int32Array::from(vec![2, 1])) as ArrayRef;
    let old = Arc::new(arrow_array::BooleanArray::from(vec![true, false])) as ArrayRef;
    for name in NAMES {
        write(&case.path(name), &batch(vec![("tags", tags.clone()), ("old", old.clone()), ("user", ids.clone())]));
        let opened = case.open("a.csv", &config(|c| c.user_features = Some(case.path(name))));
        let info = &opened.dataset.manifest().users;
        assert!(matches!(&info.features[0].kind, FeatureKind::MultiHot { values, .. } if values == &["a", "b"]));
        let found = opened.features(&opened.users, info);
        assert_eq!(
            (&found["1"], &found["2"]),
            (&vec!["tags=[]".into(), "old=1".into()], &vec!["tags=[1, 2]".into(), "old=2".into()])
        );
    }
}

#[test]
fn damaged_files_are_errors_or_rows_and_never_a_panic() {
    let users = Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef;
    let items = Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef;
    let table = batch(vec![("user", users), ("item", items)]);
    // What arrow-rs panics with is expected here, and long. The hook is the whole binary's: it is silent only about what is
    // caught and becomes an error, never about a test that fails.
    tercel::guard::hush_guarded_panics();
    for name in NAMES {
        let case = Case::new();
        write(&case.path(name), &table);
        let good = std::fs::read(case.path(name)).unwrap();
        for at in (0..good.len()).step_by(11) {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            std::fs::write(case.path(name), &bytes).unwrap();
            if let Err(error) = case.run(name, &config(|_| {})) {
                assert!([2, 3].contains(&error.exit_code()), "{name} byte {at}: {error}");
            }
        }
        for end in [0, 5, good.len() / 2, good.len() - 1] {
            std::fs::write(case.path(name), &good[..end]).unwrap();
            if let Err(error) = case.run(name, &config(|_| {})) {
                assert_eq!(error.exit_code(), 3, "{name} cut at {end}: {error}");
            } else {
                assert_eq!(name, "in.arrows", "only a stream may lack its end");
            }
        }
    }
    let case = Case::with("in.arrow", "not arrow");
    assert_eq!(case.error("in.arrow", &config(|_| {})).0, "in.arrow: is not an Arrow IPC file");
    case.write("in.parquet", "PK\u{3}\u{4}....");
    assert_eq!(case.error("in.parquet", &config(|_| {})).0, "in.parquet: is not a Parquet file");
}

/// A footer may name a block of any size; what it names must be there before memory is asked for.
#[test]
fn a_block_past_the_end_of_the_file_asks_for_no_memory() {
    let users = Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef;
    let items = Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef;
    let case = Case::new();
    write(&case.path("in.arrow"), &batch(vec![("user", users), ("item", items)]));
    let mut bytes = std::fs::read(case.path("in.arrow")).unwrap();
    let tail = bytes.len() - 10;
    let start = tail - u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap()) as usize;
    let footer = arrow_ipc::root_as_footer(&bytes[start..tail]).unwrap();
    let body = footer.recordBatches().unwrap().get(0).bodyLength().to_le_bytes();
    let at = start + bytes[start..tail].windows(8).position(|window| window == body).unwrap();
    bytes[at..at + 8].copy_from_slice(&(1i64 << 60).to_le_bytes());
    case.write("in.arrow", &bytes);
    let (error, code) = case.error("in.arrow", &config(|_| {}));
    assert!(error.contains("does not lie inside the file") && code == 3, "{error}");
}
