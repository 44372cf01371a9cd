//! A folder means all its data files, and what is not read is named.

use super::example::{Example, arrow, batch, gzip, integers, link, parquet, texts};

fn log(users: &[&str]) -> String {
    let rows: String = users.iter().map(|user| format!("{user},x\n")).collect();
    format!("user_id,item_id\n{rows}")
}

#[test]
fn folders_in_folders() {
    let deep = Example::new()
        .file("in/a.csv", log(&["a"]))
        .file("in/2024/01/05/part-0.csv.gz", gzip(log(&["b"])))
        .file("in/2024/01/06/part-0.csv", log(&["c"]))
        .file("in/other/z.tsv", log(&["d"]).replace(',', "\t"))
        .input("in");
    let outcome = deep.run();
    let mut rows = outcome.contents().rows.clone();
    rows.sort();
    assert_eq!(rows, ["a x", "b x", "c x", "d x"]);
    // Parts beside a file of a well-known name.
    let parts = Example::new()
        .file("in/ratings.csv", "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n")
        .file("in/ratings_2.csv", "userId,movieId,rating,timestamp\n2,31,2.5,1260759144\n")
        .file("in/more/ratings.csv", "userId,movieId,rating,timestamp\n3,31,2.5,1260759144\n")
        .input("in");
    let mut rows = parts.run().contents().rows.clone();
    rows.sort();
    assert_eq!(rows, ["1 31 1260759144", "2 31 1260759144", "3 31 1260759144"]);
    let parts = Example::new()
        .file("in/transactions.csv", log(&["a"]))
        .file("in/transactions-2024.csv", log(&["b"]))
        .input("in");
    let mut rows = parts.run().contents().rows.clone();
    rows.sort();
    assert_eq!(rows, ["a x", "b x"]);
}

#[test]
fn hive_partitions_are_columns() {
    let text = "user_id,item_id\na,x\n";
    let days = Example::new()
        .file("in/date=2024-01-05/000.csv", text)
        .file("in/date=2024-01-06/000.csv", "user_id,item_id\nb,y\n")
        .input("in")
        .run();
    days.rows(&["a x 1704412800", "b y 1704499200"]).taken("time", "date");
    // The user stands in the path, with what a path cannot hold.
    let users = Example::new()
        .file("in/user_id=a%20b%2Fc/p.csv", "item_id,stars\nx,1\n")
        .file("in/user_id=%C3%BCnal/p.csv", "item_id,stars\ny,2\n")
        .file("in/user_id=0012/p.csv", "item_id,stars\nz,3\n")
        .input("in")
        .set("weight", "stars")
        .run();
    let mut rows = users.contents().rows.clone();
    rows.sort();
    assert_eq!(rows, ["0012 z 3", "a b/c x 1", "ünal y 2"]);
    // Several levels, typed files; numbers of a path beside numbers of another side.
    let table = |user| parquet(&batch(vec![("user_id", integers(&[user])), ("item_id", texts(&["x"]))]));
    let levels = Example::new()
        .file("in/year=2024/month=01/stars=2.5/part-0.parquet", table(1))
        .file("in/year=2024/month=02/stars=1/part-0.parquet", table(2))
        .input("in")
        .set("weight", "stars")
        .run();
    levels.rows(&["1 x 2.5", "2 x 1"]);
    levels.left(&["year", "month"]);
    // A missing partition is no id.
    let missing = Example::new()
        .file("in/user_id=a/p.csv", "item_id\nx\n")
        .file("in/user_id=__HIVE_DEFAULT_PARTITION__/p.csv", "item_id\ny\n")
        .input("in");
    missing.run().refused(&["user_id"]);
    // A file of one column beside a partition has no separator: that is no error.
    let one = Example::new().file("in/user_id=a/p.csv", "item_id\nx\ny\n").input("in");
    one.run().rows(&["a x", "a y"]);
    // Dates of a partition as digits are asked about as a column's are.
    let digits = Example::new().file("in/date=20240105/p.csv", text).file("in/date=20240106/p.csv", text).input("in");
    digits.run().refused(&["--time-format"]);
}

#[test]
fn a_partition_that_disagrees_with_its_files() {
    // The path says one day, the file another: one of them is wrong.
    let twice = Example::new().file("in/user_id=a/p.csv", "user_id,item_id\nb,x\n").input("in");
    twice.run().right_or_refused(&["b x"], &["user_id"]);
    let same = Example::new().file("in/user_id=a/p.csv", "user_id,item_id\na,x\n").input("in");
    same.run().right_or_refused(&["a x"], &["user_id"]);
    // Files above the partitions lack the column.
    let some = Example::new().file("in/user_id=a/p.csv", "item_id\nx\n").file("in/q.csv", "item_id\ny\n").input("in");
    some.run().refused(&["q.csv"]);
}

#[test]
fn what_other_programs_leave_is_passed_over() {
    let outcome = Example::new()
        .file("in/part-0.csv", log(&["a"]))
        .file("in/_SUCCESS", "")
        .file("in/_committed_123", "{}")
        .file("in/_delta_log/00000.json", "{\"user_id\":\"b\",\"item_id\":\"x\"}\n")
        .file("in/.part-0.csv.crc", "crc\0")
        .file("in/._part-0.csv", "\0\u{5}\u{16}\u{7}")
        .file("in/.ipynb_checkpoints/part-0-checkpoint.csv", log(&["c"]))
        .file("in/.DS_Store", "\0\0\0\u{1}Bud1")
        .file("in/_temporary/0/part-0.csv", log(&["d"]))
        .file("in/empty.csv", "")
        .file("in/empty.parquet", "")
        .input("in")
        .run();
    outcome.rows(&["a x"]);
    // An empty file that is named is a mistake.
    Example::of("empty.csv", "").run().refused(&["empty.csv", "empty"]);
    let rest = Example::new().file("in/_SUCCESS", "").file("in/empty.csv", "").input("in");
    rest.run().refused(&["in"]);
    // A file with a header alone has no rows, which is no error beside others.
    let part = Example::new().file("in/0.csv", log(&[])).file("in/1.csv", log(&["b"])).input("in");
    part.run().rows(&["b x"]);
}

#[test]
fn what_is_not_read_is_named() {
    let outcome = Example::new()
        .file("in/log.csv", log(&["a"]))
        .file("in/README.md", "# Data\n")
        .file("in/schema.sql", "create table log;\n")
        .file("in/figures.png", "\u{89}PNG\r\n")
        .file("in/model.pkl", "\u{80}\u{4}")
        .file("in/LICENSE", "free\n")
        .file("in/old/backup.xlsx", "PK\u{3}\u{4}")
        .input("in")
        .run();
    outcome.rows(&["a x"]);
    for name in ["README.md", "schema.sql", "figures.png", "model.pkl", "LICENSE", "backup.xlsx"] {
        outcome.noted(&[name]);
    }
    // A text that is no table: read as one, it would be an error; passed over, it is named.
    for (name, text) in [("README.txt", "These are our logs.\nUse with care.\n"), ("columns.txt", "user_id\nitem_id\n")]
    {
        let outcome =
            Example::new().file("in/log.csv", log(&["a"])).file(&format!("in/{name}"), text).input("in").run();
        outcome.right_or_refused(&["a x"], &[name]);
        if outcome.result.is_ok() {
            outcome.noted(&[name]);
        }
    }
    // Tables of something else in the folder.
    let outcome =
        Example::new().file("in/log.csv", log(&["a"])).file("in/stores.csv", "store,town\n1,Rome\n").input("in").run();
    outcome.right_or_refused(&["a x"], &["stores.csv"]);
    if outcome.result.is_ok() {
        outcome.noted(&["stores.csv"]);
    }
}

#[test]
fn files_of_several_formats() {
    let table = batch(vec![("user_id", texts(&["b"])), ("item_id", texts(&["x"]))]);
    let example = || {
        Example::new()
            .file("in/a.csv", log(&["a"]))
            .file("in/b.parquet", parquet(&table))
            .file("in/c.arrow", arrow(&batch(vec![("user_id", texts(&["c"])), ("item_id", texts(&["x"]))])))
            .input("in")
    };
    example().run().right_or_refused(&["a x", "b x", "c x"], &["in", "--format"]);
    for (format, row, others) in [
        ("csv", "a x", ["b.parquet", "c.arrow"]),
        ("parquet", "b x", ["a.csv", "c.arrow"]),
        ("arrow", "c x", ["a.csv", "b.parquet"]),
    ] {
        let outcome = example().set("format", format).run();
        outcome.rows(&[row]);
        for name in others {
            outcome.noted(&[name]);
        }
    }
    // Hive writes text without an ending.
    let hive = Example::new()
        .file("in/000000_0", "a\tx\n")
        .file("in/000001_0", "b\ty\n")
        .input("in")
        .set("columns", "user_id,item_id")
        .set("sep", "tab");
    hive.set("format", "csv").run().right_or_refused(&["a x", "b y"], &["in"]);
}

#[test]
fn one_file_is_read_once() {
    let once = |example: Example, name: &str| {
        let outcome = example.run();
        outcome.rows(&["a x", "b x"]).noted(&[name]);
    };
    let log = log(&["a", "b"]);
    once(Example::of("log.csv", &log).input("log.csv"), "log.csv");
    once(Example::of("log.csv", &log).input("./log.csv"), "log.csv");
    once(Example::of("in/log.csv", &log).input("in"), "log.csv");
    once(Example::new().file("in/log.csv", &log).input("in").input("in/../in/log.csv"), "log.csv");
    once(Example::new().file("in/log.csv", &log).input("in").input("in/"), "log.csv");
    let linked = Example::new().file("in/log.csv", &log).input("in");
    link(&linked, "log.csv", "in/today.csv");
    once(linked, "csv");
    let twice = Example::new().file("real/log.csv", &log).file("in/placeholder/.keep", "").input("in");
    link(&twice, "../real/log.csv", "in/one.csv");
    link(&twice, "../real", "in/two");
    once(twice, "log.csv");
    // A folder that holds itself ends.
    let circle = Example::of("in/log.csv", &log);
    link(&circle, ".", "in/again");
    let circle = circle.input("in");
    circle.run().rows(&["a x", "b x"]);
    // A copy is no link: who has the same rows twice under two names may mean it.
    let copies = Example::new().file("in/a.csv", &log).file("in/b.csv", &log).input("in");
    copies.run().right_or_refused(&["a x", "b x", "a x", "b x"], &["a.csv", "b.csv"]);
}

#[test]
fn a_file_beside_its_packed_self() {
    let text = log(&["a", "b"]);
    for (packed, bytes) in
        [("in/log.csv.gz", gzip(&text)), ("in/log.csv.zst", zstd::encode_all(text.as_bytes(), 1).expect("packed"))]
    {
        let outcome = Example::new().file("in/log.csv", &text).file(packed, bytes).input("in").run();
        outcome.right_or_refused(&["a x", "b x"], &["log.csv", &packed[3..]]);
        if outcome.result.is_ok() {
            outcome.noted(&[&packed[3..]]);
        }
    }
    // The same name in other folders is another day.
    let days = Example::new().file("in/1/log.csv", log(&["a"])).file("in/2/log.csv.gz", gzip(log(&["b"]))).input("in");
    days.run().rows(&["a x", "b x"]);
}

#[test]
fn parts_in_the_order_of_their_numbers() {
    // Without times the order of the rows is the order in which they came; Dask and DuckDB do not pad their numbers.
    let mut example = Example::new();
    for part in 0..12 {
        example = example.file(&format!("in/part.{part}.csv"), format!("user_id,item_id\na,x{part}\n"));
    }
    let outcome = example.input("in").set("split", "last-per-user:1").run();
    let rows = &outcome.contents().rows;
    assert_eq!(rows[rows.len() - 2..], ["valid: a x10", "test: a x11"]);
}

#[test]
fn files_named_after_splits() {
    let example = || {
        Example::new()
            .file("in/train.csv", log(&["a"]))
            .file("in/valid.csv", log(&["b"]))
            .file("in/test.csv", log(&["c"]))
            .input("in")
    };
    // Their names say what they are: that all of them train is asked about, or said.
    let outcome = example().run();
    if outcome.result.is_ok() {
        outcome.noted(&["test.csv"]);
    } else {
        outcome.refused(&["test.csv"]);
    }
    let told = example().set("valid", "in/valid.csv").set("test", "in/test.csv").run();
    told.rows(&["a x", "valid: b x", "test: c x"]);
}
