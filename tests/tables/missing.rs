//! Words for a missing value: no ids, no categories, and no reason to take a number for a category.

use super::example::{Example, batch, parquet, texts};

const WORDS: [&str; 12] = ["", "\\N", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A"];

#[test]
fn none_of_them_is_an_id() {
    for word in WORDS {
        for (row, column) in [(format!("{word},x"), "user_id"), (format!("b,{word}"), "item_id")] {
            let text = format!("user_id,item_id\na,x\n{row}\nc,z\n");
            let example = || Example::of("log.csv", &text);
            example().run().refused(&["log.csv", "row 3", column]);
            let skipped = example().set("on_error", "skip").run();
            skipped.rows(&["a x", "c z"]).rejected(1);
            Example::of("log.tsv", text.replace(',', "\t")).run().refused(&["log.tsv", "row 3", column]);
        }
    }
    // Quoted, it is the word still: who means a person of this name says so.
    for row in ["\"NULL\",x", "\"\",x", "b,\"nan\""] {
        Example::of("log.csv", format!("user_id,item_id\na,x\n{row}\n")).run().refused(&["row 3"]);
    }
    // frame["user"].astype(str) writes its holes as words.
    for word in ["nan", "None", "<NA>", "NULL", ""] {
        let table = batch(vec![("user_id", texts(&["a", word])), ("item_id", texts(&["x", "y"]))]);
        Example::of("log.parquet", parquet(&table)).run().refused(&["log.parquet", "row 2", "user_id"]);
    }
    for line in
        ["{\"user_id\":null,\"item_id\":\"x\"}", "{\"user_id\":\"None\",\"item_id\":\"x\"}", "{\"item_id\":\"x\"}"]
    {
        let text = format!("{{\"user_id\":\"a\",\"item_id\":\"x\"}}\n{line}\n");
        Example::of("log.jsonl", text).run().refused(&["log.jsonl", "row 2", "user_id"]);
    }
}

#[test]
fn words_that_only_look_like_it_are_ids() {
    let words =
        ["nano", "Nancy", "NULLARBOR", "none-1", "N", "A", "N\\A", "Nan a", "0", "-", "?", "nil", "missing", "false"];
    let text: String = words.iter().map(|word| format!("{word},{word}\n")).collect();
    let rows: Vec<String> = words.iter().map(|word| format!("{word} {word}")).collect();
    let outcome = Example::of("log.csv", format!("user_id,item_id\n{text}")).run();
    outcome.rows(&rows.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn the_words_can_be_given() {
    // Namibia is NA; here `-` and `?` stand for what is missing, and the empty id stays none.
    let text = "user_id,item_id\nNA,NULL\nNone,x\n";
    Example::of("log.csv", text).set("null", "-,?").run().rows(&["NA NULL", "None x"]);
    for row in ["-,x", "a,?"] {
        Example::of("log.csv", format!("{text}{row}\n")).set("null", "-,?").run().refused(&["row 4"]);
    }
    let users = "user_id,country,age\nNA,NA,-\nNone,?,31\n";
    let outcome = Example::of("log.csv", text).set("null", "-,?").users("users.csv", users).run();
    outcome.text("users", "NA", "country", "NA").text("users", "None", "country", "");
    Example::of("log.csv", "user_id,item_id\na,x\n,y\n").set("null", "-").run().refused(&["row 3", "user_id"]);
    // One word alone.
    Example::of("log.csv", "user_id,item_id\nNULL,x\n").set("null", "\\N").run().rows(&["NULL x"]);
}

/// Forty users with an age each, but for the last, who has this word.
fn ages(words: &[&str]) -> Example {
    let log: String = (0..40).map(|n| format!("u{n},x\n")).collect();
    let age = |n: usize| words.get(n).map_or_else(|| format!("{}.5", 20 + n), |word| word.to_string());
    let users: String =
        (0..40).map(|n| format!("u{n},{},{}\n", age(n), if n % 2 == 0 { "Rome" } else { "Oslo" })).collect();
    Example::of("log.csv", format!("user_id,item_id\n{log}")).users("users.csv", format!("user_id,age,city\n{users}"))
}

#[test]
fn numbers_stay_numbers() {
    for word in WORDS {
        let outcome = ages(&[word, word, word]).run();
        assert_eq!(outcome.contents().users.kinds["age"], "numeric", "`{word}`");
        outcome.number("users", "u0", "age", None).number("users", "u2", "age", None);
        outcome.number("users", "u3", "age", Some(23.5)).number("users", "u39", "age", Some(59.5));
        outcome.noted(&["users.csv", "age", "numeric", "3"]);
        // Declared, they are no error.
        let outcome = ages(&[word, word, word]).set("user_feature", "age=numeric:4").run();
        outcome.number("users", "u1", "age", None).number("users", "u20", "age", Some(40.5));
    }
    let mixed = ages(&["NULL", "", "nan", "N/A"]).run();
    assert_eq!(mixed.contents().users.kinds["age"], "numeric");
    mixed.number("users", "u3", "age", None).number("users", "u4", "age", Some(24.5)).noted(&["age", "numeric", "4"]);
}

#[test]
fn odd_values_are_counted_and_named() {
    // A word among numbers that is no word for missing: whatever the column becomes is said, with the word.
    let outcome = ages(&["forty", "unknown"]).run();
    outcome.noted(&["users.csv", "age", "2"]);
    assert!(
        outcome.notes().iter().any(|note| note.contains("forty") || note.contains("unknown")),
        "{:?}",
        outcome.notes()
    );
    // Infinite is no age.
    let outcome = ages(&["inf", "-inf", "Infinity"]).run();
    assert_eq!(outcome.contents().users.kinds["age"], "numeric");
    outcome.number("users", "u0", "age", None).noted(&["age", "3"]);
    // Declared numeric, a word is an error as it was.
    ages(&["30", "old"]).set("user_feature", "age=numeric").run().refused(&["users.csv", "row 3", "age", "old"]);
}

#[test]
fn no_word_is_a_category() {
    let users = "user_id,city,tags\na,Rome,x|y\nb,NULL,NULL\nc,\\N,\\N\nd,,\ne,N/A,nan\nf,Rome,None\ng,<NA>,y\n";
    let log = "user_id,item_id\na,x\nb,x\nc,x\nd,x\ne,x\nf,x\ng,x\n";
    let outcome = Example::of("log.csv", log).users("users.csv", users).set("user_feature", "tags=multi-hot:|").run();
    for (user, city, tags) in [("a", "Rome", &["x", "y"][..]), ("b", "", &[]), ("c", "", &[]), ("d", "", &[])] {
        outcome.text("users", user, "city", city).texts("users", user, "tags", tags);
    }
    outcome.text("users", "e", "city", "").texts("users", "e", "tags", &[]);
    outcome.text("users", "f", "city", "Rome").texts("users", "f", "tags", &[]);
    outcome.text("users", "g", "city", "").texts("users", "g", "tags", &["y"]);
    outcome.noted(&["users.csv", "city", "categorical", "5"]);
}

#[test]
fn movies_without_genres() {
    let outcome = Example::of(
        "ml/ratings.csv",
        "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,32,3,1260759179\n2,33,1,1260759182\n",
    )
    .file(
        "ml/movies.csv",
        "movieId,title,genres\n31,A (1995),Drama|War\n32,B (1995),(no genres listed)\n33,\"C, D (1995)\",War\n",
    )
    .run();
    outcome.texts("items", "31", "genres", &["Drama", "War"]).texts("items", "32", "genres", &[]);
    outcome.texts("items", "33", "genres", &["War"]);
}

#[test]
fn times_and_weights_that_are_missing() {
    for word in WORDS {
        let text = format!("user_id,item_id,timestamp\na,x,1704412800\nb,y,{word}\n");
        Example::of("log.csv", &text).run().refused(&["row 3", "timestamp"]);
        Example::of("log.csv", &text).set("on_error", "skip").run().rows(&["a x 1704412800"]).rejected(1);
        let text = format!("user_id,item_id,stars\na,x,1\nb,y,{word}\n");
        Example::of("log.csv", text).set("weight", "stars").run().refused(&["row 3", "stars"]);
    }
    // A hole in a column of dates does not turn the dates into something else.
    let text = "user_id,item_id,timestamp\na,x,2024-01-05\nb,y,NULL\nc,z,2024-01-06\n";
    Example::of("log.csv", text).set("on_error", "skip").run().rows(&["a x 1704412800", "c z 1704499200"]).rejected(1);
}
