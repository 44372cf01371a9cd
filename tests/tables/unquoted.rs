//! Tabs and `::`: a quote is a letter, unless the file proves otherwise.

use super::example::{Example, gzip};

/// Rows of a tab-separated file with a title, as Hive, MySQL and IMDb write them.
fn titles(titles: &[&str]) -> (String, Vec<String>) {
    let lines = titles.iter().enumerate().map(|(n, title)| format!("u{n}\t{title}\ti{n}\n"));
    let rows = (0..titles.len()).map(|n| format!("u{n} i{n}"));
    (format!("user_id\ttitle\titem_id\n{}", lines.collect::<String>()), rows.collect())
}

#[test]
fn stray_quotes_swallow_nothing() {
    for strays in [
        &["\"Crocodile\" Dundee", "plain", "\"Heroes", "other"][..],
        &["\"'Round Midnight", "x", "y", "\"Bad\" Boys"],
        &["7\" single", "12\" mix", "\"7", "z"],
        &["\"", "a", "\"\"\"", "b"],
        &["open \"", "\"closed", "\"", "c"],
        &["\"a\" and \"b\"", "plain", "\"c\" or d", "plain"],
    ] {
        let (text, rows) = titles(strays);
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        Example::of("log.tsv", &text).run().rows(&rows);
        Example::of("log.tsv.gz", gzip(&text)).run().rows(&rows);
        Example::of("log.txt", text.replace('\n', "\r\n")).run().rows(&rows);
        Example::of("log.dat", text.replace('\t', "::")).run().rows(&rows);
    }
}

#[test]
fn stray_quotes_far_apart() {
    // The first quote stands a megabyte behind the start, and the next one another megabyte on.
    let mut text = String::from("user_id\ttitle\titem_id\n");
    let mut rows = Vec::new();
    for n in 0..90_000 {
        let title = if n % 30_000 == 29_999 { "\"Weird" } else { "a title of some length" };
        text += &format!("u{n}\t{title}\ti{}\n", n % 9);
        rows.push(format!("u{n} i{}", n % 9));
    }
    let outcome = Example::of("log.tsv", text).run();
    assert!(outcome.contents().rows == rows, "{} of {} rows", outcome.contents().rows.len(), rows.len());
}

#[test]
fn quotes_in_ids_stay() {
    let text = "user_id\titem_id\n\"Weird Al\tx\nb\t5\" disk\n\"c\"s\t\"\n";
    Example::of("log.tsv", text).run().rows(&["\"Weird Al x", "b 5\" disk", "\"c\"s \""]);
    // MovieLens has no quoting, and a title with two of them.
    let movies = "1::\"Great Performances\" Cats (1998)::Musical\n2::\"Open (1990)::Drama|War\n3::Plain (1991)::War\n";
    let outcome = Example::of("ml/ratings.dat", "1::1::5::978300760\n2::2::3::978302109\n3::3::4::978301968\n")
        .file("ml/movies.dat", movies)
        .run();
    outcome.rows(&["1 1 978300760", "2 2 978302109", "3 3 978301968"]);
    outcome.texts("items", "2", "genres", &["Drama", "War"]).texts("items", "3", "genres", &["War"]);
}

#[test]
fn a_file_that_is_quoted_proves_it() {
    // pandas, Polars and DuckDB quote a value with a tab, a quote or a line break in it, and no other.
    let text = "user_id\tnote\titem_id\nplain\tx\t1\n\"a\tb\"\tx\t2\n\"say \"\"hi\"\"\"\tx\t3\nc\t\"two\nlines\"\t4\n";
    let outcome = Example::of("log.tsv", text).run();
    outcome.rows(&["plain 1", "a\tb 2", "say \"hi\" 3", "c 4"]).noted(&["log.tsv", "1", "line"]);
    // Every text is quoted, the header too (pyarrow, R, spreadsheets).
    let text = "\"user_id\"\t\"item_id\"\n\"a\"\t\"x\"\n\"b c\"\t\"y\"\n";
    Example::of("log.tsv", text).run().rows(&["a x", "b c y"]);
    // The header proves it where no row does; a column of quoted texts alone.
    let text = "\"user_id\"\t\"item_id\"\t\"n\"\n\"0012\"\t7\t1\n\"0013\"\t8\t2\n";
    Example::of("log.tsv", text).run().rows(&["0012 7", "0013 8"]);
}

#[test]
fn a_file_that_proves_both_is_asked_about() {
    // A quoted tab, and a stray quote: one of the two readings loses rows.
    let text = "user_id\ttitle\titem_id\na\t\"one\ttwo\"\tx\nb\t\"Weird Al\ty\nc\tplain\tz\n";
    Example::of("log.tsv", text).run().refused(&["log.tsv", "--quote"]);
    let told = Example::of("log.tsv", text).set("quote", "none").set("on_error", "skip").run();
    told.rows(&["b y", "c z"]).rejected(1);
    let text = "user_id\ttitle\titem_id\na\t\"Weird Al\tx\nb\t\"one\ttwo\"\ty\nc\tplain\tz\n";
    Example::of("log.tsv", text).run().refused(&["log.tsv", "--quote"]);
}

#[test]
fn quoting_can_be_told() {
    let text = "user_id\titem_id\n\"a\"\tx\nb\t\"y\"\n";
    Example::of("log.tsv", text).set("quote", "\"").run().rows(&["a x", "b y"]);
    Example::of("log.tsv", text).set("quote", "none").run().rows(&["\"a\" x", "b \"y\""]);
    let text = "user_id::item_id\n'a::b'::x\n";
    Example::of("log.dat", text).set("quote", "'").run().right_or_refused(&["a::b x"], &["quote"]);
}

#[test]
fn quotes_in_feature_files() {
    let log = "user_id\titem_id\nu1\tx\nu2\ty\nu3\tz\n";
    // A catalogue of titles, beside a column that counts.
    let items = "item_id\ttitle\tcolour\nx\t\"Weird Al\tred\ny\tplain\tblue\nz\t\"Heroes\" (live)\tred\n";
    let outcome = Example::of("log.tsv", log).items("items.tsv", items).run();
    for (item, colour) in [("x", "red"), ("y", "blue"), ("z", "red")] {
        outcome.text("items", item, "colour", colour);
    }
    outcome.text("items", "x", "title", "\"Weird Al");
    let items = "item_id\ttitle\tcolour\nx\t\"one\ttwo\"\tred\ny\t\"say \"\"hi\"\"\"\tblue\nz\tplain\tred\n";
    let outcome = Example::of("log.tsv", log).items("items.tsv", items).run();
    outcome.text("items", "x", "title", "one\ttwo").text("items", "y", "title", "say \"hi\"");
}

#[test]
fn quotes_that_come_late() {
    // A megabyte of rows without a quote says nothing of the row behind them.
    let plain: String = (0..60_000).map(|n| format!("u{n}\ti{}\ttitle\n", n % 9)).collect();
    for late in ["\"u\tx\"\ti0\tt\n", "u\ti0\t\"two\nlines\"\n", "\"say \"\"hi\"\"\"\ti0\tt\n", "\"quoted\"\ti0\tt\n"] {
        let outcome = Example::of("log.tsv", format!("user_id\titem_id\ttitle\n{plain}{late}")).run();
        match &outcome.result {
            Ok(contents) => {
                let last = contents.rows.last().expect("rows");
                assert!(["u\tx i0", "u i0", "say \"hi\" i0", "quoted i0"].contains(&last.as_str()), "{last}");
            }
            Err(_) => outcome.refused(&["log.tsv", "--quote"]),
        }
    }
    // In a feature file a value with its quotes would be another category.
    let log: String = (0..60_000).map(|n| format!("u{n}\tx\n")).collect();
    let users: String = (0..59_000).map(|n| format!("u{n}\tplain\n")).collect();
    let users = format!("user_id\tcolour\n{users}u59001\t\"so \"\"called\"\"\"\n");
    let outcome = Example::of("log.tsv", format!("user_id\titem_id\n{log}")).users("users.tsv", users).run();
    if outcome.result.is_ok() {
        outcome.text("users", "u59001", "colour", "so \"called\"");
    } else {
        outcome.refused(&["users.tsv", "--quote"]);
    }
}

#[test]
fn a_column_of_quoted_values() {
    // DuckDB's FORCE_QUOTE (colour): neither the header nor the other columns are quoted.
    let outcome = Example::of("log.tsv", "user_id\titem_id\na\tx\nb\ty\n")
        .users("users.tsv", "user_id\tcolour\na\t\"red\"\nb\t\"blue\"\n")
        .run();
    if outcome.result.is_ok() {
        outcome.text("users", "a", "colour", "red").text("users", "b", "colour", "blue");
    } else {
        outcome.refused(&["users.tsv", "--quote"]);
    }
    let ids = Example::of("log.tsv", "user_id\titem_id\n\"a\"\t1\n\"b\"\t2\n").run();
    ids.right_or_refused(&["a 1", "b 2"], &["log.tsv", "--quote"]);
}

#[test]
fn a_stray_tab_proves_nothing() {
    // Read with quotes, the file is regular: five rows are one then. A line in the midst of it is a row by itself.
    let text = "user_id\ttitle\titem_id\na\t\"open\tx\nb\t\tone too many\ty\nc\tplain\tz\nd\tclosed\"\tw\ne\tt\tv\n";
    Example::of("log.tsv", text).run().refused(&["log.tsv"]);
    Example::of("log.tsv", text).set("quote", "none").run().refused(&["row 3"]);
    let told = Example::of("log.tsv", text).set("quote", "none").set("on_error", "skip").run();
    told.rows(&["a x", "c z", "d w", "e v"]).rejected(1);
}
