//! A feature file's key: the column with the side's name, never "the first"; and keys that meet.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array};

use super::example::{Example, Outcome, batch, integers, parquet, texts};

const LOG: &str = "user_id,item_id\n1,10\n2,20\n3,30\n1,20\n";

#[track_caller]
fn colours(outcome: &Outcome, side: &str, expected: &[(&str, &str)]) {
    for (id, colour) in expected {
        outcome.text(side, id, "colour", colour);
    }
}

const RIGHT: [(&str, &str); 3] = [("10", "red"), ("20", "blue"), ("30", "")];

#[test]
fn the_key_is_the_column_with_the_sides_name() {
    for items in [
        ",item_id,colour\n10,20,blue\n20,10,red\n", // pandas: its index meets ids by chance
        "Unnamed: 0,item_id,colour\n10,20,blue\n20,10,red\n", // … read and written again
        "\"\",\"colour\",\"item_id\"\n\"10\",\"blue\",\"20\"\n\"20\",\"red\",\"10\"\n", // R
        "size,colour,item_id\n10,blue,20\n20,red,10\n", // the key last
        "colour,sku\nblue,20\nred,10\n",            // a known name of the side
        "price,productId,colour\n10,20,blue\n20,10,red\n",
        "product_id,colour,item_id\n10,blue,20\n20,red,10\n", // the interactions' own name wins
        "item,colour,Item ID\nTea,blue,20\nCup,red,10\n",     // an id wins over a name
    ] {
        let outcome = Example::of("log.csv", LOG).items("items.csv", items).run();
        colours(&outcome, "items", &RIGHT);
    }
    let users = "age,colour,customer_id\n1,blue,2\n2,red,1\n";
    let outcome = Example::of("log.csv", LOG).users("users.csv", users).run();
    colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
    // A frame that was written with its index.
    let table = batch(vec![
        ("colour", texts(&["blue", "red"])),
        ("item_id", integers(&[20, 10])),
        ("__index_level_0__", integers(&[10, 20])),
    ]);
    let outcome = Example::of("log.csv", LOG).items("items.parquet", parquet(&table)).run();
    colours(&outcome, "items", &RIGHT);
    // The interactions' own name counts, whatever it is.
    let outcome = Example::of("log.csv", LOG.replace("item_id", "gtin"))
        .set("item", "gtin")
        .items("items.csv", "item_id,gtin,colour\n10,20,blue\n20,10,red\n")
        .run();
    colours(&outcome, "items", &RIGHT);
}

#[test]
fn a_key_that_nothing_tells_is_asked_for() {
    for (side, items, words) in [
        ("item", "code,colour\n10,red\n20,blue\n", &["items.csv", "--item-key", "code, colour"][..]),
        ("item", ",code,colour\n10,10,red\n20,20,blue\n", &["items.csv", "--item-key"]),
        ("item", "0,1\n10,red\n20,blue\n", &["items.csv", "--item-key"]),
        ("item", "sku,asin,colour\n10,20,red\n20,10,blue\n", &["items.csv", "--item-key", "sku", "asin"]),
        ("user", "age,colour\n1,red\n2,blue\n", &["items.csv", "--user-key", "age, colour"]),
        ("user", "item_id,colour\n1,red\n2,blue\n", &["items.csv", "--user-key"]),
    ] {
        let setting = format!("{side}_features");
        let example = || Example::of("log.csv", LOG).file("items.csv", items).set(&setting, "items.csv");
        example().run().refused(words);
    }
    let keyed = |key: &str| {
        Example::of("log.csv", LOG)
            .items("items.csv", "code,old,colour\n10,20,red\n20,10,blue\n")
            .set("item_key", key)
            .run()
    };
    colours(&keyed("code"), "items", &RIGHT);
    colours(&keyed("old"), "items", &[("20", "red"), ("10", "blue")]);
    keyed("Code").refused(&["items.csv", "Code", "code, old, colour"]);
    let keyed =
        Example::of("log.csv", LOG).users("users.csv", "who,colour\n2,blue\n1,red\n").set("user_key", "who").run();
    colours(&keyed, "users", &[("1", "red"), ("2", "blue")]);
    // A key that is given wins over a name.
    let outcome = Example::of("log.csv", LOG)
        .items("items.csv", "item_id,ean,colour\n10,20,blue\n20,10,red\n")
        .set("item_key", "ean")
        .run();
    colours(&outcome, "items", &RIGHT);
    Example::of("log.csv", LOG).set("item_key", "ean").run().refused(&["item"]);
}

/// Interactions of these users, and a file with a colour for each of these keys.
fn meet(ids: &[&str], keys: &[&str]) -> Outcome {
    let rows: String = ids.iter().map(|id| format!("\"{id}\",x\n")).collect();
    let users: String = keys.iter().map(|key| format!("\"{key}\",red\n")).collect();
    Example::of("log.csv", format!("user_id,item_id\n{rows}"))
        .users("users.csv", format!("user_id,colour\n{users}"))
        .run()
}

#[test]
fn keys_that_meet_nobody_say_what_would() {
    for (ids, keys) in [
        (["17", "18", "19"], ["17.0", "18.0", "19.0"]), // a column of floats, for one hole
        (["17.0", "18.0", "19.0"], ["17", "18", "19"]),
        (["17", "18", "19"], ["00017", "00018", "00019"]),
        (["00017", "00018", "00019"], ["17", "18", "19"]),
        (["u1", "u2", "u3"], ["u1        ", "u2        ", "u3        "]), // CHAR(10)
        (["u1 ", "u2 ", "u3 "], ["u1", "u2", "u3"]),
        (["u1", "u2", "u3"], [" u1", " u2", " u3"]),
        (["abc-1", "abc-2", "abc-3"], ["ABC-1", "ABC-2", "ABC-3"]), // GUIDs of SQL Server
        (["ÜNAL", "ŽOFIE", "ÉVA"], ["ünal", "žofie", "éva"]),
        (["1200", "1300", "1400"], ["1.2e3", "1.3e3", "1.4e3"]), // a spreadsheet
        (["u1", "u2", "u3"], ["'u1", "'u2", "'u3"]),
        (["17", "18", "19"], ["1,7", "1,8", "1,9"]),
    ] {
        let outcome = meet(&ids, &keys);
        // An example is in the words.
        let said = outcome.result.as_ref().expect_err("refused");
        assert!(said.contains("users.csv") && keys.iter().any(|key| said.contains(key.trim())), "{said}");
    }
    for (ids, keys, word) in [
        (["17", "18"], ["17.0", "18.0"], ".0"),
        (["17", "18"], ["0017", "0018"], "zero"),
        (["u1", "u2"], ["u1  ", "u2  "], "space"),
        (["abc", "def"], ["ABC", "DEF"], "case"),
    ] {
        let outcome = meet(&ids, &keys);
        outcome.refused(&["users.csv", "user_id", word]);
        let said = outcome.result.as_ref().expect_err("refused");
        // How the same one is written on both sides.
        let both = |n: usize| said.contains(&format!("`{}`", ids[n])) && said.contains(&format!("`{}`", keys[n]));
        assert!(both(0) || both(1), "{said}");
    }
    meet(&["a", "b", "c"], &["d", "e", "f"]).refused(&["users.csv", "a"]);
}

#[test]
fn keys_that_meet_almost_nobody() {
    // 3 of 2,000 meet by chance: leading zeros hide the others.
    let log: String = (0..2000).map(|n| format!("{},x\n", 9000 + n)).collect();
    let users: String = (0..2000)
        .map(|n| if n < 3 { format!("{},red\n", 9000 + n) } else { format!("00{},red\n", 9000 + n) })
        .collect();
    let outcome = Example::of("log.csv", format!("user_id,item_id\n{log}"))
        .users("users.csv", format!("user_id,colour\n{users}"))
        .run();
    outcome.refused(&["users.csv", "zero"]);
    // A small file of features is none: 20 of 2,000, and each of its keys meets.
    let few: String = (0..20).map(|n| format!("{},{}\n", 9000 + n, if n % 2 == 0 { "red" } else { "blue" })).collect();
    let outcome = Example::of("log.csv", format!("user_id,item_id\n{log}"))
        .users("users.csv", format!("user_id,colour\n{few}"))
        .run();
    outcome
        .text("users", "9001", "colour", "blue")
        .text("users", "9020", "colour", "")
        .noted(&["users.csv", "20 of 2000"]);
    // Nor is a catalogue of everything that is sold, of which few have interactions.
    let all: String = (0..20_000).map(|n| format!("{n},{}\n", if n % 2 == 0 { "red" } else { "blue" })).collect();
    let outcome = Example::of("log.csv", "user_id,item_id\n7,x\n9,x\n")
        .users("users.csv", format!("user_id,colour\n{all}"))
        .run();
    outcome.text("users", "7", "colour", "blue");
}

#[test]
fn numbers_with_a_type_are_ids() {
    let decimal = |values: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(38, scale).expect("digits"))
    };
    // Oracle's NUMBER, Snowflake's NUMBER(38,0).
    let log = batch(vec![("user_id", decimal(vec![1, 2, 3], 0)), ("item_id", integers(&[10, 20, 30]))]);
    let users = batch(vec![("user_id", decimal(vec![2, 1], 0)), ("colour", texts(&["blue", "red"]))]);
    let outcome = Example::of("log.parquet", parquet(&log)).users("users.parquet", parquet(&users)).run();
    outcome.rows(&["1 10", "2 20", "3 30"]);
    colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
    // Against texts and integers of other files.
    let outcome = Example::of("log.parquet", parquet(&log)).users("users.csv", "user_id,colour\n2,blue\n1,red\n").run();
    colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
    let outcome = Example::of("log.csv", LOG).users("users.parquet", parquet(&users)).run();
    colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
    // Far past 64 bits.
    let long = 10_i128.pow(37) + 7;
    let log = batch(vec![("user_id", decimal(vec![long, -long], 0)), ("item_id", integers(&[10, 20]))]);
    Example::of("log.parquet", parquet(&log)).run().rows(&[&format!("{long} 10"), &format!("-{long} 20")]);
    // A fraction is an amount.
    let log = batch(vec![("user_id", decimal(vec![100, 250], 2)), ("item_id", integers(&[10, 20]))]);
    Example::of("log.parquet", parquet(&log)).run().refused(&["user_id", "ecimal"]);
    // A data frame's floats: 1.0 is asked about, not taken for "1.0".
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 1.0]));
    let users = batch(vec![("user_id", floats), ("colour", texts(&["blue", "red"]))]);
    let outcome = Example::of("log.csv", LOG).users("users.parquet", parquet(&users)).run();
    if outcome.result.is_ok() {
        colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
    } else {
        outcome.refused(&["users.parquet", "user_id", "loat"]);
    }
}

#[test]
fn other_side_files_join_as_well() {
    // The same person twice is an error, also where only the spelling of a number differs.
    meet(&["1", "2"], &["1", "1"]).refused(&["row 3", "user_id"]);
    // Text ids with zeros beside integers of a typed file.
    let users = batch(vec![("user_id", integers(&[1, 2])), ("colour", texts(&["red", "blue"]))]);
    let outcome =
        Example::of("log.csv", "user_id,item_id\n001,x\n002,x\n").users("users.parquet", parquet(&users)).run();
    outcome.refused(&["users.parquet", "001", "zero"]);
    // Keys in JSON lines: numbers and texts meet as they are written.
    let users = "{\"user_id\": 2, \"colour\": \"blue\"}\n{\"user_id\": \"1\", \"colour\": \"red\"}\n";
    let outcome = Example::of("log.csv", LOG).users("users.jsonl", users).run();
    colours(&outcome, "users", &[("1", "red"), ("2", "blue"), ("3", "")]);
}

#[test]
fn a_frames_index_is_no_feature() {
    // Forty row numbers would make a number of it.
    let log: String = (0..40).map(|n| format!("u,{n}\n")).collect();
    let log = format!("user_id,item_id\n{log}");
    let row = |n: i64| format!("{},{n},{}\n", 39 - n, if n % 2 == 0 { "red" } else { "blue" });
    let rows: String = (0..40).map(row).collect();
    for name in ["", "Unnamed: 0", "Unnamed: 0.1"] {
        let items = format!("{name},item_id,colour\n{rows}");
        let outcome = Example::of("log.csv", &log).items("items.csv", items).run();
        outcome.text("items", "7", "colour", "blue");
        assert_eq!(outcome.contents().items.kinds.keys().collect::<Vec<_>>(), ["colour"], "{name}");
        outcome.noted(&["items.csv", "left out"]);
    }
    let numbers: Vec<i64> = (0..40).collect();
    let colours: Vec<&str> = (0..40).map(|n| if n % 2 == 0 { "red" } else { "blue" }).collect();
    let reversed: Vec<i64> = (0..40).rev().collect();
    let table = batch(vec![
        ("item_id", integers(&numbers)),
        ("colour", texts(&colours)),
        ("__index_level_0__", integers(&reversed)),
    ]);
    let outcome = Example::of("log.csv", &log).items("items.parquet", parquet(&table)).run();
    outcome.text("items", "7", "colour", "blue");
    assert_eq!(outcome.contents().items.kinds.keys().collect::<Vec<_>>(), ["colour"]);
}
