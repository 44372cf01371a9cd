//! Input that cannot be used: what is said, and that nothing is left behind.

use std::io::Write;

use tercel::data::ingest::{IngestConfig, OnError};

use super::support::{Case, config};

fn error(content: impl AsRef<[u8]>) -> String {
    error_with(content, |_| {})
}

fn error_with(content: impl AsRef<[u8]>, edit: impl FnOnce(&mut IngestConfig)) -> String {
    let (error, code) = Case::with("a.csv", content).error("a.csv", &config(edit));
    assert!(code == 3 || code == 2, "{error}");
    error
}

#[test]
fn nothing_to_read() {
    assert_eq!(error(""), "a.csv: the file is empty");
    assert_eq!(error("\n\r\n\n"), "a.csv: the file has no rows");
    assert_eq!(error("user,item\n"), "a.csv: the input has no rows");
    assert_eq!(error("user,item"), "a.csv: the input has no rows");
    assert_eq!(
        error_with("user,item\n,\n,\n", |c| c.on_error = OnError::Skip),
        "a.csv: none of the input's 2 rows can be read; the first is row 2, column user: is empty; an id is required"
    );
    let case = Case::new();
    assert_eq!(case.error("none.csv", &config(|_| {})), ("none.csv: No such file or directory (os error 2)".into(), 3));
    std::fs::create_dir(case.path("empty")).unwrap();
    assert!(case.error("empty", &config(|_| {})).0.contains("a folder without files of interactions"));
}

#[test]
fn a_folder_where_a_file_is_due() {
    let case = Case::with("a.csv", "user,item\na,x\n");
    std::fs::create_dir(case.path("folder.csv")).unwrap();
    let (said, _) = case.error("a.csv", &config(|c| c.user_features = Some(case.path("folder.csv"))));
    assert_eq!(said, "folder.csv: is a folder; a file is required here");
}

#[test]
fn columns() {
    assert_eq!(
        error("a,b,c\n1,2,3\n"),
        "a.csv: no column looks like the user; it has the columns a, b, c: give user=COLUMN; for a file without a header line give columns=A,B,C"
    );
    assert!(error("user,b\n1,2\n").starts_with("a.csv: no column looks like the item; it has the columns user, b:"));
    let absent = error_with("user,item\n1,2\n", |c| c.time = Some("when".into()));
    assert_eq!(absent, "a.csv: column when: expected a column of this name, found the columns user, item");
    assert_eq!(error("user,item,user\n1,2,3\n"), "a.csv: two columns are called `user`; rename one");
    assert_eq!(
        error_with("user,item\n1,2\n", |c| (c.user, c.item) = (Some("user".into()), Some("user".into()))),
        "item: `user` is already the user column"
    );
    assert!(error("alone\nx\n").contains("no separator"));
    assert_eq!(error(b"user,it\xffem\n1,2\n"), "a.csv: the name of column 2 is not UTF-8");
    assert!(error(b"\xff\xfeu\0s\0").contains("UTF-16"));
}

#[test]
fn rows_say_file_line_and_column() {
    assert_eq!(error("user,item\n\na,x\nb\n"), "a.csv: row 4, column item: is missing: the row has 1 of 2 values");
    assert_eq!(
        error("user,item\na,x\n\"b\ny\",z\nc,y,1\n"),
        "a.csv: row 5, column item: the row has 3 values instead of 2; a value that contains the separator must be quoted (and quote=\" given where tabs or :: separate)"
    );
    assert_eq!(error("user,item\na,\n"), "a.csv: row 2, column item: is empty; an id is required");
    assert_eq!(
        error(b"user,item\na\xc3,x\n"),
        "a.csv: row 2, column user: `a\u{fffd}` is not UTF-8 (byte 2 of the value)"
    );
    assert_eq!(
        error("user,item\na,x\n\"b\",\"y\nc,x\n"),
        "a.csv: row 3, column item: the quote that opens here is never closed"
    );
    assert_eq!(
        error("user,item\na,\"x\"y\n"),
        "a.csv: row 2, column item: text follows the closing quote; a quote inside quotes must be doubled (escape=\\ is for files that have \\\" instead, quote=none for files whose quotes are text)"
    );
    assert_eq!(
        error("user,item,time\na,x,1512345600000\n"),
        "a.csv: row 2, column time: `1512345600000` is past the year 9999"
    );
    assert_eq!(error("user,item,time\na,x,\n"), "a.csv: row 2, column time: `` is empty; a time is required");
    assert_eq!(error("user,item,time\na,x,2017-02-29\n"), "a.csv: row 2, column time: `2017-02-29` has no such day");
    let weight = |c: &mut IngestConfig| c.weight = Some("w".into());
    for bad in ["-1", "nan", "inf", "x", "", "1e39"] {
        assert_eq!(
            error_with(format!("user,item,w\na,x,0\na,x,{bad}\n"), weight),
            format!("a.csv: row 3, column w: `{bad}` is not a weight; a finite number of at least 0 is required")
        );
    }
}

#[test]
fn the_first_bad_row_is_the_one_that_is_named() {
    // Two megabytes apart, so that different threads meet them.
    let filler = "user-1,item-1,5\n".repeat(150_000);
    let text = format!("user,item,time\n{filler},x,1\n{filler},y,1\n");
    for threads in [1, 4] {
        let said = error_with(&text, |c| c.threads = threads);
        assert_eq!(said, "a.csv: row 150002, column user: is empty; an id is required");
    }
}

#[test]
fn long_lines() {
    let long = "x".repeat(10 << 20);
    // A line of 10 MB is read; an id of 10 MB is none.
    let case = Case::with("a.csv", format!("user,item,note\na,x,{long}\nb,y,\"{long}\"\n"));
    assert_eq!(case.open("a.csv", &config(|_| {})).summary.rows, 2);
    assert_eq!(
        error(format!("user,item\na,x\nb,{long}\n")),
        "a.csv: row 3, column item: is 10485760 bytes long; ids are limited to 1048576"
    );
    let longer = long.repeat(2);
    for line in [format!("a,x,{longer}"), format!("a,x,\"{longer}\"")] {
        let said = error(format!("user,item,note\na,x,1\n{line}\n"));
        assert_eq!(said, "a.csv: row 3, column user: the line is longer than 16 MiB");
    }
    let rows = "b,y,2\n".repeat(3 << 20);
    let said = error(format!("user,item,note\na,x,1\na,x,\"\n{rows}"));
    assert_eq!(said, "a.csv: row 3, column note: the quote that opens here is not closed within 16 MiB");
    assert!(error(longer).contains("its first line is longer"));
}

#[test]
fn settings_that_do_not_fit() {
    let log = "user,item,time\na,x,5\nb,y,6\n";
    let no_time = error_with("user,item\na,x\n", |c| c.split = "time:5".parse().unwrap());
    assert_eq!(no_time, "split: a split by time needs a time column; give time=COLUMN");
    let none_left = error_with(log, |c| c.split = "time:5".parse().unwrap());
    assert_eq!(none_left, "split: none of the 2 rows is in the training split; check split=");
    let filtered = error_with(log, |c| c.min_count.user = 2);
    assert_eq!(filtered, "min_count: none of the 2 training rows remain; lower min_count=");
    let case = Case::with("log.bin", log);
    assert_eq!(case.open("log.bin", &config(|_| {})).summary.rows, 2, "a name tells nothing, the text does");
    std::fs::remove_dir_all(case.out()).unwrap();
    assert!(
        case.error("log.bin", &config(|c| c.format = Some("movielens".parse().unwrap()))).0.contains("ratings.dat")
    );
}

#[test]
fn damaged_compression() {
    let text = "user,item\n".to_owned() + &(0..50_000).map(|n| format!("{n},{}\n", n % 7)).collect::<String>();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    for (name, packed) in
        [("a.csv.gz", gzip.finish().unwrap()), ("a.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap())]
    {
        let half = &packed[..packed.len() / 2];
        let mut flipped = packed.clone();
        flipped[packed.len() / 2] ^= 0x55;
        for damaged in [half, &flipped] {
            let (said, code) = Case::with(name, damaged).error(name, &config(|_| {}));
            // A flipped bit may also decompress to a row that cannot be read.
            assert!(code == 3 && said.starts_with(name), "{said}");
        }
        let (said, _) = Case::with(name, half).error(name, &config(|_| {}));
        assert!(said.contains("damaged at compressed data"), "{said}");
    }
}
