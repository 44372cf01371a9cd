//! JSON lines: one object per line, whatever order and whatever other keys.

use super::example::{Example, gzip};

#[test]
fn logs_as_services_write_them() {
    // Amazon reviews 2014.
    let text = r#"{"reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "helpful": [0, 0], "reviewText": "I \"bought\" this\nfor my husband", "overall": 5.0, "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009"}
{"reviewerID": "A14VAT5EAX3D9S", "asin": "0000013714", "overall": 4.0, "unixReviewTime": 1363392000}
"#;
    for (name, bytes) in [
        ("reviews.json", text.as_bytes().to_vec()),
        ("reviews.jsonl", text.replace('\n', "\r\n").into_bytes()),
        ("reviews.ndjson", format!("\u{feff}\n{text}\n\n").into_bytes()),
        ("reviews.json.gz", gzip(text)),
        ("reviews.jsonl.zst", zstd::encode_all(text.as_bytes(), 1).expect("packed")),
    ] {
        let outcome = Example::of(name, bytes).set("weight", "overall").run();
        outcome.rows(&["A2SUAM1J3GNN3B 0000013714 1252800000 5", "A14VAT5EAX3D9S 0000013714 1363392000 4"]);
        outcome.taken("user", "reviewerID").taken("item", "asin").taken("time", "unixReviewTime");
    }
    // Yelp; Kafka's events with milliseconds and a nested object.
    let text = r#"{"review_id":"r1","user_id":"u-1_","business_id":"b1","stars":5,"date":"2018-07-07 22:09:11"}
{"business_id":"b2","date":"2012-01-03 15:28:18","stars":3,"user_id":"u2","review_id":"r2"}
"#;
    Example::of("review.json", text).run().rows(&["u-1_ b1 1531001351", "u2 b2 1325604498"]);
    let text = r#"{"ts":1704412800123,"user_id":7,"ctx":{"ip":"1.1.1.1","user_id":"not me"},"item_id":"x"}
{"ts":1704412801000,"user_id":8,"item_id":"y","ctx":{"page":[1,2,{"item_id":"z"}]}}
"#;
    Example::of("events.jsonl", text)
        .run()
        .rows(&["7 x 1704412800", "8 y 1704412801"])
        .taken("time_read_as", "epoch milliseconds");
}

#[test]
fn ids_come_back_as_they_are_written() {
    let text = r#"{"user_id":"0012","item_id":"\u00fcnal \ud83d\ude00"}
{"user_id":"12345678901234567890","item_id":"a\"b\\c\/d"}
{"user_id":" x ","item_id":"two\nlines\tand a tab"}
{"user_id":"{\"a\":1}","item_id":"é"}
"#;
    let outcome = Example::of("log.jsonl", text).run();
    outcome.rows(&["0012 ünal 😀", "12345678901234567890 a\"b\\c/d", " x  two\nlines\tand a tab", "{\"a\":1} é"]);
    // Numbers: past 53 and 64 bits no digit is lost.
    let text = "{\"user_id\":9007199254740993,\"item_id\":1}\n{\"user_id\":18446744073709551615,\"item_id\":-5}\n\
                {\"user_id\":123456789012345678901234567890,\"item_id\":0}\n";
    let outcome = Example::of("log.jsonl", text).run();
    outcome.rows(&["9007199254740993 1", "18446744073709551615 -5", "123456789012345678901234567890 0"]);
    // A number and a text of the same digits are one id, as they are in a text file.
    let text = "{\"user_id\":12,\"item_id\":1}\n{\"user_id\":\"12\",\"item_id\":\"1\"}\n";
    let outcome = Example::of("log.jsonl", text).run();
    outcome.rows(&["12 1", "12 1"]);
    assert_eq!(outcome.contents().users.values.len(), 1);
}

#[test]
fn values_that_are_no_ids() {
    for value in ["null", "\"\"", "true", "1.5", "1e3", "12.0", "[1]", "[]"] {
        let text = format!("{{\"user_id\":\"a\",\"item_id\":\"x\"}}\n{{\"user_id\":{value},\"item_id\":\"x\"}}\n");
        Example::of("log.jsonl", &text).run().refused(&["log.jsonl", "row 2", "user_id"]);
        let skipped = Example::of("log.jsonl", &text).set("on_error", "skip").run();
        skipped.rows(&["a x"]).rejected(1);
    }
    let nested = "{\"user_id\":\"a\",\"item_id\":\"x\"}\n{\"user_id\":{\"id\":1},\"item_id\":\"x\"}\n";
    Example::of("log.jsonl", nested).run().refused(&["log.jsonl", "user_id", "object"]);
}

#[test]
fn lines_that_are_no_json() {
    let good = "{\"user_id\":\"a\",\"item_id\":\"x\"}\n";
    for bad in [
        "{\"user_id\":\"b\",\"item_id\":\"y\"",
        "{'user_id': 'b', 'item_id': 'y'}", // Python's own notation, as in the Amazon files of 2014
        "{\"user_id\":\"b\",\"item_id\":NaN}",
        "{\"user_id\":\"b\",\"item_id\":\"y\"} {\"user_id\":\"c\",\"item_id\":\"y\"}",
        "{\"user_id\":\"b\",\"item_id\":\"y\"},",
        "user_id,item_id",
        "[1,2]",
        "7",
        "{\"user_id\":\"b\",\"item_id\":\"\\ud83d\"}",
        "{\"user_id\":\"b\",\"item_id\":\"a\\qb\"}",
    ] {
        let text = format!("{good}{bad}\n{good}");
        Example::of("log.jsonl", &text).run().refused(&["log.jsonl", "row 2"]);
        let skipped = Example::of("log.jsonl", &text).set("on_error", "skip").run();
        skipped.rows(&["a x", "a x"]).rejected(1);
    }
    let bad = [good.as_bytes(), b"{\"user_id\":\"\xff\",\"item_id\":\"y\"}\n"].concat();
    Example::of("log.jsonl", bad).run().refused(&["log.jsonl", "row 2"]);
    // One array, pretty or not, is no file of lines; read or told apart.
    for array in [
        "[{\"user_id\":\"a\",\"item_id\":\"x\"},{\"user_id\":\"b\",\"item_id\":\"y\"}]",
        "[\n  {\n    \"user_id\": \"a\",\n    \"item_id\": \"x\"\n  },\n  {\"user_id\": \"b\", \"item_id\": \"y\"}\n]\n",
        "{\n  \"user_id\": \"a\",\n  \"item_id\": \"x\"\n}\n",
    ] {
        let rows = if array.starts_with('[') { &["a x", "b y"][..] } else { &["a x"] };
        Example::of("log.json", array).run().right_or_refused(rows, &["log.json", "line"]);
    }
}

#[test]
fn keys_that_come_and_go() {
    // A key that the first line lacks is a column all the same.
    let text = r#"{"item_id":"x","user_id":"a","timestamp":1704412800}
{"note":"late","user_id":"b","item_id":"y","timestamp":1704412801}
"#;
    Example::of("log.jsonl", text).run().rows(&["a x 1704412800", "b y 1704412801"]);
    let text = "{\"event\":\"start\"}\n{\"user_id\":\"b\",\"item_id\":\"y\"}\n";
    let outcome = Example::of("log.jsonl", text).set("on_error", "skip").run();
    outcome.right_or_refused(&["b y"], &["log.jsonl", "user"]);
    let text =
        "{\"user_id\":\"a\",\"item_id\":\"x\",\"timestamp\":1704412800}\n{\"user_id\":\"b\",\"item_id\":\"y\"}\n";
    Example::of("log.jsonl", text).run().refused(&["row 2", "timestamp"]);
    // The same key twice in one line: one of the two is wrong.
    let text = "{\"user_id\":\"a\",\"item_id\":\"x\",\"user_id\":\"b\"}\n";
    Example::of("log.jsonl", text).run().refused(&["log.jsonl", "user_id"]);
    // Two that say user, the second of them only later.
    let text = "{\"user_id\":\"a\",\"item_id\":\"x\"}\n{\"user_id\":\"b\",\"customer_id\":\"c\",\"item_id\":\"y\"}\n";
    Example::of("log.jsonl", text).run().right_or_refused(&["a x", "b y"], &["--user", "customer_id"]);
}

#[test]
fn features_in_json_lines() {
    let users = r#"{"user_id":2,"colour":"blue","tags":["x","y, z"],"place":{"lat":1.5},"old":true,"age":31}
{"colour":null,"user_id":1,"tags":[],"old":false,"age":null}
{"user_id":3,"age":4.5}
"#;
    let outcome = Example::of("log.csv", "user_id,item_id\n1,x\n2,x\n3,x\n").users("users.jsonl", users).run();
    outcome.text("users", "2", "colour", "blue").text("users", "1", "colour", "").text("users", "3", "colour", "");
    outcome.texts("users", "2", "tags", &["x", "y, z"]).texts("users", "1", "tags", &[]).texts(
        "users",
        "3",
        "tags",
        &[],
    );
    outcome.text("users", "2", "old", "true").text("users", "1", "old", "false");
    outcome.text("users", "2", "age", "31").text("users", "3", "age", "4.5").noted(&["users.jsonl", "place"]);
    let declared = Example::of("log.csv", "user_id,item_id\n1,x\n2,x\n3,x\n").users("users.jsonl", users);
    let declared = declared.set("user_feature", "age=numeric:2").run();
    declared.number("users", "2", "age", Some(31.0)).number("users", "1", "age", None).number(
        "users",
        "3",
        "age",
        Some(4.5),
    );
}

#[test]
fn many_lines_and_long_ones() {
    // Several pieces, on several threads, in order; and a value longer than a piece.
    let mut text = String::new();
    let mut rows = Vec::new();
    for n in 0..40_000 {
        text +=
            &format!("{{\"n\":{n},\"user_id\":\"u{}\",\"item_id\":{},\"note\":\"some more text\"}}\n", n % 97, n % 31);
        rows.push(format!("u{} {}", n % 97, n % 31));
    }
    text += &format!("{{\"user_id\":\"u\",\"note\":\"{}\",\"item_id\":1}}\n", "\\n".repeat(2 << 20));
    rows.push("u 1".into());
    let outcome = Example::of("log.jsonl", text).run();
    assert!(outcome.contents().rows == rows);
}

#[test]
fn keys_that_come_late() {
    // Nothing before the last line says that there are times, or another user.
    let plain = "{\"user_id\":\"a\",\"item_id\":\"x\",\"note\":\"some more text\"}\n".repeat(60_000);
    for late in ["\"timestamp\":1704412800", "\"customer_id\":\"c\""] {
        let outcome =
            Example::of("log.jsonl", format!("{plain}{{\"user_id\":\"b\",\"item_id\":\"y\",{late}}}\n")).run();
        let name = late.split('"').nth(1).expect("a name");
        match &outcome.result {
            Ok(contents) => {
                let left = contents.columns["left"].to_string();
                let said = left.contains(name) || outcome.notes().iter().any(|note| note.contains(name));
                assert!(said, "{name} is neither left nor noted: {left} {:?}", outcome.notes());
            }
            Err(said) => assert!(said.contains(name), "{said}"),
        }
    }
    // A feature that few have.
    let log: String = (0..20_000).map(|n| format!("{n},x\n")).collect();
    let mut users: String =
        (0..19_999).map(|n| format!("{{\"user_id\":{n},\"colour\":\"red\",\"note\":\"t\"}}\n")).collect();
    users += "{\"user_id\":19999,\"colour\":\"blue\",\"vip\":true}\n";
    let outcome = Example::of("log.csv", format!("user_id,item_id\n{log}")).users("users.jsonl", users).run();
    if outcome.contents().users.kinds.contains_key("vip") {
        outcome.text("users", "19999", "vip", "true");
    } else {
        outcome.noted(&["users.jsonl", "vip"]);
    }
}
