//! Integers as times: what they count is told from the values where they can be only one thing, and asked for elsewhere.

use super::example::{Example, Outcome, batch, integers, parquet, texts};

/// Users `u0`, `u1`, … at these times.
fn log(times: &[&str]) -> Example {
    let rows = times.iter().enumerate().map(|(n, time)| format!("u{n},i,{time}\n"));
    Example::of("log.csv", format!("user_id,item_id,timestamp\n{}", rows.collect::<String>()))
}

#[track_caller]
fn at(outcome: &Outcome, seconds: &[i64]) {
    let rows: Vec<String> = seconds.iter().enumerate().map(|(n, second)| format!("u{n} i {second}")).collect();
    outcome.rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
}

const UNIT: [&str; 2] = ["--time-unit", "timestamp"];

#[test]
fn epochs_are_told_by_their_size() {
    for (times, read_as, seconds) in [
        // MovieLens 1995 to today; a row before 2001 has nine digits.
        (&["789652009", "1260759144", "1704412800"][..], "epoch seconds", &[789_652_009, 1_260_759_144, 1_704_412_800]),
        // Retailrocket, Amazon 2023, Kafka.
        (
            &["1433221332117", "1704412800999", "1588687728923"],
            "epoch milliseconds",
            &[1_433_221_332, 1_704_412_800, 1_588_687_728],
        ),
        // BigQuery, Firebase (event_timestamp).
        (
            &["1609459200000000", "1704412800123456", "1609459260999999"],
            "epoch microseconds",
            &[1_609_459_200, 1_704_412_800, 1_609_459_260],
        ),
        // pandas: df.t.astype("int64"), time.time_ns().
        (
            &["1609459200000000000", "1704412800123456789", "1609459260999999999"],
            "epoch nanoseconds",
            &[1_609_459_200, 1_704_412_800, 1_609_459_260],
        ),
    ] {
        let outcome = log(times).run();
        at(&outcome, seconds);
        outcome.taken("time", "timestamp").taken("time_read_as", read_as);
        // The same as a column of integers.
        let numbers: Vec<i64> = times.iter().map(|time| time.parse().expect("digits")).collect();
        let table = batch(vec![
            ("user_id", texts(&["u0", "u1", "u2"])),
            ("item_id", texts(&["i"; 3])),
            ("timestamp", integers(&numbers)),
        ]);
        let outcome = Example::of("log.parquet", parquet(&table)).run();
        at(&outcome, seconds);
        outcome.taken("time_read_as", read_as);
    }
}

#[test]
fn a_unit_that_is_given_is_taken() {
    for (unit, times, seconds) in [
        ("s", &["1", "2", "-3"][..], &[1, 2, -3][..]),
        ("s", &["20240105", "20240106"], &[20_240_105, 20_240_106]),
        ("ms", &["1500", "-1", "1704412800999"], &[1, -1, 1_704_412_800]),
        ("us", &["1704412800000001", "999999"], &[1_704_412_800, 0]),
        ("ns", &["1704412800000000001", "-1"], &[1_704_412_800, -1]),
        ("days", &["0", "19727", "-1"], &[0, 1_704_412_800, -86_400]),
        ("excel", &["45296", "25569", "45296"], &[1_704_412_800, 0, 1_704_412_800]),
        // A spreadsheet's noon.
        ("excel", &["45296.5", "45296.25"], &[1_704_456_000, 1_704_434_400]),
    ] {
        at(&log(times).set("time_unit", unit).run(), seconds);
    }
    // A split by time means moments, whatever the file counts.
    let split = log(&["1704412799000", "1704412800000"]).set("split", "time:2024-01-05").run();
    split.rows(&["u0 i 1704412799", "test: u1 i 1704412800"]);
}

#[test]
fn dates_that_look_like_numbers_are_asked_for() {
    for times in [
        &["20240105", "20231231"][..], // YYYYMMDD
        &["202401", "202312"],         // YYYYMM
        &["2401051230", "2312311559"], // YYMMDDHHMM: as seconds 2046 and 2043
        &["240105", "231231"],         // YYMMDD
        &["2023", "2024"],             // years
        &["20240105123000", "20231231235959"],
        &["202401051230", "202312312359"],
        &["45296", "45297"],     // spreadsheet days
        &["19727", "19728"],     // days since 1970
        &["738891", "738892"],   // days since the year 1
        &["2460314", "2460315"], // Julian days
    ] {
        log(times).run().refused(&["log.csv", "timestamp", "--time-unit", "--time-format"]);
    }
}

#[test]
fn ordinals_are_no_times() {
    // Steps, sessions' positions, days of a simulation, reordered carts.
    for times in
        [&["1", "2", "3"][..], &["0", "0", "0"], &["100", "200", "300"], &["0", "86400", "172800"], &["-1", "5", "6"]]
    {
        log(times).run().refused(&UNIT);
        let numbers: Vec<i64> = times.iter().map(|time| time.parse().expect("digits")).collect();
        let table = batch(vec![
            ("user_id", texts(&["u0", "u1", "u2"])),
            ("item_id", texts(&["i"; 3])),
            ("timestamp", integers(&numbers)),
        ]);
        Example::of("log.parquet", parquet(&table)).run().refused(&UNIT);
    }
}

#[test]
fn one_column_counts_one_unit() {
    for times in [
        &["1704412800", "1704412800123"][..], // a log whose writer was mended on the way
        &["1704412800123", "1704412801"],
        &["1704412800123", "1704412800123456"],
        &["1704412800123456789", "1704412800"],
        &["1704412800", "20240105"],
        &["1704412800", "0"], // a missing time written as 0
        &["1704412800", "-1"],
        &["1704412800", "9999999999999"],
    ] {
        log(times).run().refused(&UNIT);
        let reversed: Vec<&str> = times.iter().rev().copied().collect();
        log(&reversed).run().refused(&UNIT);
    }
    // The odd one may come late: a million bytes of plain rows before it.
    let mut times = vec!["1704412800"; 60_000];
    times.push("1704412800123");
    log(&times).run().refused(&UNIT);
    // Each file has a reading of its own, and all are said.
    let log = |time: &str| format!("user_id,item_id,timestamp\nu0,i,{time}\n");
    let two = Example::of("a.csv", log("1704412800")).file("b.csv", log("1704412800123")).input("b.csv").run();
    two.right_or_refused(&["u0 i 1704412800", "u0 i 1704412800"], &["--time-unit"]);
    if two.result.is_ok() {
        two.taken("time_read_as", "epoch seconds, epoch milliseconds");
    }
    let held_out = Example::of("a.csv", log("1704412800")).file("b.csv", log("1704412800123")).set("test", "b.csv");
    held_out.run().right_or_refused(&["u0 i 1704412800", "test: u0 i 1704412800"], &["--time-unit"]);
}

#[test]
fn integers_and_dates_do_not_share_a_column() {
    log(&["1704412800", "2024-01-06"]).run().right_or_refused(&["u0 i 1704412800", "u1 i 1704499200"], &["timestamp"]);
    log(&["2024-01-05", "20240106"]).run().refused(&["timestamp", "20240106"]);
    log(&["2024-01-05", "1704499200123"])
        .run()
        .right_or_refused(&["u0 i 1704412800", "u1 i 1704499200"], &["timestamp"]);
}

#[test]
fn nothing_wraps() {
    for (unit, time) in [
        ("s", "9223372036854775807"),
        ("s", "-9223372036854775808"),
        ("s", "253402300800"), // the year 10000
        ("days", "9223372036854775807"),
        ("days", "106751991167301"), // i64::MAX seconds and a day
        ("days", "-9223372036854775808"),
        ("days", "2932897"), // the year 10000
        ("excel", "9223372036854775807"),
        ("excel", "-9223372036854775808"),
        ("excel", "1e300"),
        ("ms", "9223372036854775807"),
        ("us", "9223372036854775807"),
        ("ms", "9223372036854775808"),
        ("ns", "9223372036854775808"),
        ("ns", "99999999999999999999999"),
    ] {
        let outcome = log(&["1", time]).set("time_unit", unit).run();
        outcome.refused(&["row 3", "timestamp"]);
    }
    at(
        &log(&["9223372036854775807", "-9223372036854775807"]).set("time_unit", "ns").run(),
        &[9_223_372_036, -9_223_372_037],
    );
    at(&log(&["2932896", "-719528"]).set("time_unit", "days").run(), &[253_402_214_400, -62_167_219_200]);
    for unasked in ["9223372036854775808", "18446744073709551615", "-9223372036854775809", "9223372036854775807"] {
        let said = log(&["1704412800", unasked]).run();
        said.refused(&["timestamp"]);
    }
}

#[test]
fn fractions_of_seconds() {
    // pandas writes a column of integers with a hole as floats; time.time() has a fraction.
    for times in [&["1704412800.0", "1704412801.0"][..], &["1704412800.123456", "1704412801.9"]] {
        log(times).run().right_or_refused(&["u0 i 1704412800", "u1 i 1704412801"], &UNIT);
    }
    // Floats of milliseconds, in powers of ten: what it is must be seen or asked, and never 1970.
    for times in [
        &["1.704412800e9", "1.704412801e9"][..],
        &["1704412800000.0", "1704412801000.0"],
        &["1.7044128e+12", "1.704412801e+12"],
    ] {
        log(times).run().right_or_refused(&["u0 i 1704412800", "u1 i 1704412801"], &["timestamp"]);
    }
    log(&["45296.5", "45297.25"]).run().refused(&["--time-unit"]);
    log(&["0.5", "1.5"]).run().refused(&UNIT);
}

#[test]
fn skip_does_not_decide_a_unit() {
    // The rows of the other unit are not "bad rows": one of the two readings is wrong for half of the file.
    let times = ["1704412800", "1704412800123", "1704412801", "1704412801123"];
    log(&times).set("on_error", "skip").run().refused(&["--time-unit"]);
    log(&["20240105", "20240106"]).set("on_error", "skip").run().refused(&["--time-unit", "--time-format"]);
}
