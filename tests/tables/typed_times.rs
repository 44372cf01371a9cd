//! Times with a type: Parquet's INT96, Arrow's timestamps and dates in every unit, and none of them wraps.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Date64Array, Float64Array, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::example::{Example, arrow, batch, parquet, stream, texts};

/// A file with the times as Spark writes them: nanoseconds of the day, and a Julian day.
fn int96(moments: &[(u64, u32)]) -> Vec<u8> {
    let schema = "message log { required binary user_id (UTF8); required binary item_id (UTF8); required int96 ts; }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    for prefix in ["u", "i"] {
        let ids: Vec<ByteArray> = (0..moments.len()).map(|n| format!("{prefix}{n}").into_bytes().into()).collect();
        let mut column = group.next_column().expect("a column").expect("ids");
        column.typed::<ByteArrayType>().write_batch(&ids, None, None).expect("written");
        column.close().expect("closed");
    }
    let times = moments.iter().map(|&(nanos, day)| {
        let mut time = Int96::new();
        time.set_data(nanos as u32, (nanos >> 32) as u32, day);
        time
    });
    let mut column = group.next_column().expect("a column").expect("times");
    column.typed::<Int96Type>().write_batch(&times.collect::<Vec<_>>(), None, None).expect("written");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.close().expect("closed");
    bytes
}

/// The Julian day of 1970-01-01.
const EPOCH: u32 = 2_440_588;

#[test]
fn int96_reaches_further_than_nanoseconds() {
    let hour = 3_600_000_000_000;
    let outcome = Example::of(
        "log.parquet",
        int96(&[
            (0, EPOCH),
            (10 * hour + 999, EPOCH + 19_727),
            (0, EPOCH + 106_752), // 2262-04-12: one day past what 64 bits of nanoseconds hold
            (23 * hour, EPOCH - 106_752), // 1677-09-20
            (0, EPOCH + 329_299), // 2871-08-09
            (24 * hour - 1, EPOCH + 2_932_896), // the last nanosecond of 9999
            (0, EPOCH - 719_162), // 0001-01-01
        ]),
    )
    .run();
    outcome.rows(&[
        "u0 i0 0",
        "u1 i1 1704448800",
        "u2 i2 9223372800",
        "u3 i3 -9223290000",
        "u4 i4 28451433600",
        "u5 i5 253402300799",
        "u6 i6 -62135596800",
    ]);
}

#[test]
fn int96_splits_where_it_says() {
    // Placeholders of the far future belong to what comes last.
    let outcome =
        Example::of("log.parquet", int96(&[(0, EPOCH + 19_000), (0, EPOCH + 200_000), (0, EPOCH + 2_932_896)]))
            .set("split", "time:2023-01-01")
            .run();
    outcome.rows(&["u0 i0 1641600000", "test: u1 i1 17280000000", "test: u2 i2 253402214400"]);
}

#[test]
fn int96_beyond_all_calendars() {
    for moment in [(0, i32::MAX as u32), (0, EPOCH + 2_932_897), (0, EPOCH + 100_000_000)] {
        let outcome = Example::of("log.parquet", int96(&[(0, EPOCH), moment])).run();
        outcome.refused(&["row 2", "ts"]);
    }
}

fn typed(times: ArrayRef) -> [(&'static str, Vec<u8>); 3] {
    let names = ["a", "b", "c", "d"];
    let table = batch(vec![
        ("user_id", texts(&names[..times.len()])),
        ("item_id", texts(&names[..times.len()])),
        ("ts", times),
    ]);
    [("log.parquet", parquet(&table)), ("log.arrow", arrow(&table)), ("log.arrows", stream(&table))]
}

#[test]
fn every_unit_in_every_format() {
    let at = 1_704_412_800;
    let array: [ArrayRef; 6] = [
        Arc::new(TimestampSecondArray::from(vec![at, -1])),
        Arc::new(TimestampMillisecondArray::from(vec![at * 1000 + 999, -1])),
        Arc::new(TimestampMicrosecondArray::from(vec![at * 1_000_000 + 1, -1])),
        Arc::new(TimestampNanosecondArray::from(vec![at * 1_000_000_000 + 1, -1])),
        Arc::new(TimestampMicrosecondArray::from(vec![at * 1_000_000, -1]).with_timezone("Europe/Berlin")),
        Arc::new(TimestampNanosecondArray::from(vec![at * 1_000_000_000, -1]).with_timezone("+05:30")),
    ];
    for times in array {
        for (name, bytes) in typed(Arc::clone(&times)) {
            Example::of(name, bytes).run().rows(&["a a 1704412800", "b b -1"]);
        }
    }
    let dates: [ArrayRef; 2] =
        [Arc::new(Date32Array::from(vec![19_727, -1])), Arc::new(Date64Array::from(vec![at * 1000, -86_400_000]))];
    for times in dates {
        for (name, bytes) in typed(Arc::clone(&times)) {
            Example::of(name, bytes).run().rows(&["a a 1704412800", "b b -86400"]);
        }
    }
}

#[test]
fn a_unit_is_for_integers_alone() {
    // A typed time says what it is: a setting that says otherwise must not change it in silence.
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_704_412_800_000]));
    for (name, bytes) in typed(times) {
        Example::of(name, bytes).set("time_unit", "s").run().right_or_refused(&["a a 1704412800"], &["ts"]);
    }
}

#[test]
fn moments_beyond_the_calendar_do_not_wrap() {
    let array: [ArrayRef; 7] = [
        Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])),
        Arc::new(TimestampSecondArray::from(vec![0, i64::MIN])),
        Arc::new(TimestampMillisecondArray::from(vec![0, i64::MAX])),
        Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX])),
        Arc::new(Date32Array::from(vec![0, i32::MAX])),
        Arc::new(Date32Array::from(vec![0, i32::MIN])),
        Arc::new(Date64Array::from(vec![0, i64::MIN])),
    ];
    for times in array {
        for (name, bytes) in typed(Arc::clone(&times)) {
            Example::of(name, bytes).run().refused(&["row 2", "ts"]);
        }
    }
}

#[test]
fn numbers_of_other_types() {
    // Floats and unsigned integers of a data frame.
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![1_704_412_800.5, 1_704_412_801.0]));
    for (name, bytes) in typed(floats) {
        Example::of(name, bytes).run().right_or_refused(&["a a 1704412800", "b b 1704412801"], &["ts"]);
    }
    for floats in [vec![45_296.5, 45_297.0], vec![1.0, 2.0], vec![1_704_412_800.0, f64::NAN], vec![1e300, 1.7e9]] {
        for (name, bytes) in typed(Arc::new(Float64Array::from(floats))) {
            Example::of(name, bytes).run().refused(&["ts"]);
        }
    }
    for (name, bytes) in typed(Arc::new(UInt64Array::from(vec![1_704_412_800_000, 1_704_412_801_000]))) {
        Example::of(name, bytes).run().rows(&["a a 1704412800", "b b 1704412801"]);
    }
    for (name, bytes) in typed(Arc::new(UInt64Array::from(vec![1_704_412_800, u64::MAX]))) {
        Example::of(name, bytes).run().refused(&["ts"]);
    }
    // Texts of a data frame are read as a text file's.
    for (name, bytes) in typed(texts(&["2024-01-05", "2024-01-06T00:00:00Z"])) {
        Example::of(name, bytes).run().rows(&["a a 1704412800", "b b 1704499200"]);
    }
    for (name, bytes) in typed(texts(&["20240105", "20240106"])) {
        Example::of(name, bytes).run().refused(&["--time-format"]);
    }
    for (name, bytes) in typed(texts(&["05/01/2024", "06/01/2024"])) {
        Example::of(name, &bytes).run().refused(&["--time-format"]);
        let read = Example::of(name, bytes).set("time_format", "%d/%m/%Y").run();
        read.rows(&["a a 1704412800", "b b 1704499200"]);
    }
}
