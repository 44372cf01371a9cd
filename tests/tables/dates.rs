//! Times as people write them: ISO dates as they are, everything else by its format.

use super::example::Example;

fn log(times: &[&str]) -> Example {
    let rows = times.iter().enumerate().map(|(n, time)| format!("u{n}\ti\t{time}\n"));
    Example::of("log.tsv", format!("user_id\titem_id\tdate\n{}", rows.collect::<String>()))
}

fn rows(seconds: &[i64]) -> Vec<String> {
    seconds.iter().enumerate().map(|(n, second)| format!("u{n} i {second}")).collect()
}

#[track_caller]
fn reads(format: &str, times: &[(&str, i64)]) {
    let (texts, seconds): (Vec<&str>, Vec<i64>) = times.iter().copied().unzip();
    let outcome = log(&texts).set("time_format", format).run();
    outcome.rows(&rows(&seconds).iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn iso_in_its_forms() {
    let times = [
        ("2024-01-05", 1_704_412_800),
        ("2024-01-05 00:00", 1_704_412_800),
        ("2024-01-05T00:00:00Z", 1_704_412_800),
        ("2024-01-05T00:00:00.999999999Z", 1_704_412_800),
        ("2024-01-05 01:00:00+01:00", 1_704_412_800),
        ("2024-01-04T19:00:00-0500", 1_704_412_800),
        ("2024-01-05 00:00:00 UTC", 1_704_412_800),
        ("1969-12-31 23:59:59", -1),
        ("0001-01-01", -62_135_596_800),
        ("9999-12-31 23:59:59", 253_402_300_799),
    ];
    let (texts, seconds): (Vec<&str>, Vec<i64>) = times.iter().copied().unzip();
    let outcome = log(&texts).run();
    outcome.rows(&rows(&seconds).iter().map(String::as_str).collect::<Vec<_>>());
    outcome.taken("time", "date");
    assert!(outcome.contents().columns["time_read_as"].as_str().is_some_and(|said| said.contains("date")));
}

#[test]
fn a_format_reads_what_it_says() {
    reads("%d/%m/%Y", &[("05/01/2024", 1_704_412_800), ("31/12/2023", 1_703_980_800)]);
    reads("%m/%d/%Y", &[("01/05/2024", 1_704_412_800), ("12/31/2023", 1_703_980_800)]);
    // The Online Retail data of UCI.
    reads("%m/%d/%Y %H:%M", &[("12/1/2010 8:26", 1_291_191_960), ("12/9/2011 12:50", 1_323_435_000)]);
    reads("%d.%m.%Y %H:%M:%S", &[("05.01.2024 10:30:15", 1_704_450_615)]);
    reads("%Y%m%d", &[("20240105", 1_704_412_800), ("20231231", 1_703_980_800)]);
    reads("%Y%m%d%H%M%S", &[("20240105103015", 1_704_450_615)]);
    reads("%y%m%d%H%M", &[("2401051030", 1_704_450_600), ("9912312359", 946_684_740)]);
    reads("%Y-%m-%d %I:%M %p", &[("2024-01-05 12:30 AM", 1_704_414_600), ("2024-01-05 03:07 PM", 1_704_467_220)]);
    reads("%d-%b-%Y", &[("05-Jan-2024", 1_704_412_800), ("31-DEC-2023", 1_703_980_800)]);
    reads("%d %B %Y", &[("5 January 2024", 1_704_412_800)]);
    // An access log; a mail header.
    reads("%d/%b/%Y:%H:%M:%S %z", &[("05/Jan/2024:10:30:15 +0100", 1_704_447_015)]);
    reads("%a, %d %b %Y %H:%M:%S %z", &[("Fri, 05 Jan 2024 10:30:15 +0000", 1_704_450_615)]);
    reads("%Y%m", &[("202401", 1_704_067_200), ("202403", 1_709_251_200)]);
    reads("%Y", &[("2024", 1_704_067_200), ("1969", -31_536_000)]);
}

#[test]
fn a_format_holds_for_every_row() {
    for (format, bad) in [
        ("%d/%m/%Y", "2024-01-05"),
        ("%d/%m/%Y", "01/31/2024"), // month 31
        ("%d/%m/%Y", "29/02/2023"),
        ("%d/%m/%Y", "05/01/24"),
        ("%d/%m/%Y", "05/01/2024 10:00"),
        ("%Y%m%d", "2024010"),
        ("%Y%m%d", "202401051"),
        ("%Y%m%d", "1704412800"),
        ("%H:%M %d.%m.%Y", "25:00 05.01.2024"),
        ("%d-%b-%Y", "05-Mai-2024"),
        ("%d-%b-%Y", "05-May-202"),
        ("%d/%m/%Y", "05/01/02024"),
        ("%d/%m/%Y", "05/01/-2024"),
    ] {
        let good = match format {
            "%Y%m%d" => "20240105",
            "%H:%M %d.%m.%Y" => "10:00 05.01.2024",
            "%d-%b-%Y" => "05-May-2024",
            _ => "05/01/2024",
        };
        log(&[good, bad]).set("time_format", format).run().refused(&["row 3", "date", bad]);
        let skipped = log(&[good, bad]).set("time_format", format).set("on_error", "skip").run();
        skipped.rejected(1);
    }
}

#[test]
fn other_orders_are_asked_for() {
    for time in [
        "05/01/2024",
        "31/12/2023",
        "1/5/2024 3:07 PM",
        "05.01.2024",
        "05-01-2024",
        "05-Jan-2024",
        "Jan 5, 2024",
        "5/1/24",
        "Fri Jan 05 10:30:15 PST 2024",
    ] {
        log(&[time]).run().refused(&["row 2", "date", time, "--time-format"]);
    }
    // Year first can be only one thing.
    for (time, second) in
        [("2024/01/05", 1_704_412_800), ("2024/1/5 10:30", 1_704_450_600), ("2024.01.05", 1_704_412_800)]
    {
        log(&[time]).run().right_or_refused(&[&format!("u0 i {second}")], &["--time-format"]);
    }
}

#[test]
fn a_format_that_is_none_is_refused_before_reading() {
    for format in ["%Q", "%", "", "%d/%m", "%H:%M"] {
        log(&["05/01/2024"]).set("time_format", format).run().refused(&["time"]);
    }
    log(&["05/01/2024"])
        .set("time_format", "%d/%m/%Y")
        .set("time_unit", "s")
        .run()
        .refused(&["time_unit", "time_format"]);
    // `dd/MM/yyyy` is how other programs write it.
    log(&["05/01/2024"]).set("time_format", "dd/MM/yyyy").run().refused(&["time", "%"]);
}

#[test]
fn names_of_zones() {
    // Sentiment140: a zone that nothing defines is hours off where it is passed over.
    let zoned = |time: &str| log(&[time]).set("time_format", "%a %b %d %H:%M:%S %Z %Y").run();
    zoned("Mon Apr 06 22:19:45 PDT 2009").right_or_refused(&["u0 i 1239081585"], &["Z"]);
    zoned("Mon Apr 06 22:19:45 UTC 2009").right_or_refused(&["u0 i 1239056385"], &["Z"]);
    // Written out in the format, it is a word that the file has and nothing else.
    let told = log(&["Mon Apr 06 22:19:45 PDT 2009"]).set("time_format", "%a %b %d %H:%M:%S PDT %Y").run();
    told.rows(&["u0 i 1239056385"]);
    log(&["2024-01-05 10:30:15 CET"]).run().refused(&["row 2", "--time-format"]);
}

#[test]
fn zeros_for_dates() {
    // MySQL's zero date; a year of two digits.
    for time in ["0000-00-00", "0000-00-00 00:00:00", "24-01-05", "2024-01-05 24:00:01", "2024-01-05 10:61", "2024-1"] {
        log(&["2024-01-05", time]).run().refused(&["row 3", "date", time]);
    }
}
