//! What is held out does not train, whatever folder it lies in; side files and datasets are no interactions.

use super::example::{Example, link};
use crate::support::{events, tercel};

const A: &str = "user_id,item_id\na,x\n";
const B: &str = "user_id,item_id\nb,y\n";
const C: &str = "user_id,item_id\nc,z\n";

#[test]
fn held_out_files_inside_the_training_folder() {
    let example = || Example::new().file("in/1.csv", A).file("in/2.csv", B).file("in/late/3.csv", C).input("in");
    let outcome = example().set("valid", "in/2.csv").set("test", "in/late/3.csv").run();
    outcome.rows(&["a x", "valid: b y", "test: c z"]).noted(&["2.csv"]).noted(&["3.csv"]);
    // A whole folder; another spelling; a link.
    let outcome = example().set("test", "in/late").run();
    outcome.rows(&["a x", "b y", "test: c z"]).noted(&["3.csv"]);
    let outcome = example().set("test", "in/late/../2.csv").run();
    outcome.rows(&["a x", "c z", "test: b y"]);
    let linked = example().set("test", "held.csv");
    link(&linked, "in/2.csv", "held.csv");
    linked.run().rows(&["a x", "c z", "test: b y"]);
    // Beside the training file, not inside a folder.
    let same = Example::of("1.csv", A).file("2.csv", B).input("2.csv").set("test", "2.csv").run();
    same.rows(&["a x", "test: b y"]).noted(&["2.csv"]);
    // Nothing is left to train on.
    Example::of("1.csv", A).set("test", "1.csv").run().refused(&["1.csv"]);
    // One file that is named for both held-out splits is in both, which is said.
    let both = Example::of("1.csv", A).file("2.csv", B).set("valid", "2.csv").set("test", "2.csv").run();
    both.rows(&["a x", "valid: b y", "test: b y"]).noted(&["2.csv"]);
}

#[test]
fn feature_files_inside_the_training_folder() {
    let users = "user_id,item_id,colour\na,1,red\nb,2,blue\n";
    let outcome = Example::new()
        .file("in/1.csv", A)
        .file("in/2.csv", B)
        .file("in/profiles.csv", users)
        .input("in")
        .set("user_features", "in/profiles.csv")
        .set("user_feature", "item_id=skip")
        .run();
    outcome.rows(&["a x", "b y"]).text("users", "b", "colour", "blue");
    // By a name that is known, beside the interactions.
    let outcome = Example::new()
        .file("shop/transactions.csv", A)
        .file("shop/customers.csv", "customer_id,user_id,colour\n9,a,red\n")
        .file("shop/products.csv", "product_id,item_id,size\n9,x,L\n")
        .input("shop")
        .run();
    outcome.rows(&["a x"]).text("users", "a", "colour", "red").text("items", "x", "size", "L");
    outcome.noted(&["customers.csv"]).noted(&["products.csv"]);
    // One feature file for both sides is read twice.
    let both = "user_id,item_id,colour\na,x,red\nb,y,blue\n";
    let outcome = Example::of("1.csv", format!("{A}b,y\n"))
        .file("both.csv", both)
        .set("user_features", "both.csv")
        .set("item_features", "both.csv")
        .set("user_feature", "item_id=skip")
        .set("item_feature", "user_id=skip")
        .run();
    outcome.text("users", "b", "colour", "blue").text("items", "x", "colour", "red");
}

#[test]
fn datasets_inside_the_folder_are_not_read() {
    let example = Example::new().file("log.csv", A).file("more/log.csv", "user_id,item_id,note\nb,y,bad\n,y,bad\n");
    let at = example.dir();
    let first = events(at, &["ingest", ".", "--out", "data", "--on-error", "skip"]);
    let again = events(at, &["ingest", ".", "--out", "data", "--on-error", "skip"]);
    let third = events(at, &["ingest", ".", "--out", "other", "--on-error", "skip"]);
    for found in [&first, &again, &third] {
        let event = found.iter().find(|event| event["event"] == "ingest").expect("the event");
        assert_eq!((&event["rows"], &event["rejected"]), (&2.into(), &1.into()), "{event}");
    }
    let notes = third.iter().find(|event| event["event"] == "ingest").expect("the event")["notes"].to_string();
    assert!(notes.contains("data"), "a dataset that is passed over is named: {notes}");
    // Nor is a model's folder, or a file of lists.
    events(at, &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "1"]);
    let run = tercel(at, &["ingest", ".", "--out", "data", "--on-error", "skip", "--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("\"rows\":2,"), "{}", run.stdout);
}

#[test]
fn a_dataset_as_the_input_is_refused() {
    let example = Example::of("log.csv", A);
    events(example.dir(), &["ingest", "log.csv", "--out", "data"]);
    for input in ["data", "data/train-00000.arrow"] {
        let run = tercel(example.dir(), &["ingest", input, "--out", "again", "--quiet"]);
        // A shard has columns called user and item: numbers that mean nothing outside.
        assert_eq!(run.code, 3, "{input}: {}", run.stdout);
        assert!(run.stderr.contains("data") && run.stderr.lines().count() == 1, "{}", run.stderr);
    }
}
