//! Files that name people and items for lists: a header or none, whatever format, by the rules of every other table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::example::{arrow, batch, gzip, integers, parquet, stream, texts};
use crate::support::{command, events, tercel};

/// A model of a shop: customers `c0` to `c39` under this name, items `s0` to `s19`.
fn shop(user_column: &str, prefix: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temp folder");
    let mut text = format!("{user_column},sku\n");
    for user in 0..40 {
        for step in 0..6 {
            text += &format!("{prefix}{user},s{}\n", (user * 3 + step * 7) % 20);
        }
    }
    fs::write(folder.path().join("log.csv"), text).expect("written");
    events(folder.path(), &["ingest", "log.csv", "--out", "data"]);
    events(folder.path(), &["train", "--data", "data", "--out", "model", "--dim", "8", "--epochs", "1"]);
    folder
}

/// Whom lists are for, when `file` names them.
fn listed(at: &Path, file: &str, flags: &[&str]) -> Result<BTreeSet<String>, String> {
    let mut arguments =
        vec!["recommend", "--model", "model", "--out", "top.csv", "--k", "3", "--users", file, "--quiet"];
    arguments.extend(flags);
    let run = tercel(at, &arguments);
    if run.code != 0 {
        assert!([2, 3].contains(&run.code) && run.stderr.lines().count() == 1, "{}", run.stderr);
        return Err(run.stderr);
    }
    Ok(people(at))
}

fn people(at: &Path) -> BTreeSet<String> {
    let mut reader = csv::Reader::from_path(at.join("top.csv")).expect("lists");
    reader.records().map(|row| row.expect("a row")[0].to_owned()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn one_list_of_people_in_every_form() {
    let folder = shop("customer_id", "c");
    let at = folder.path();
    let table = batch(vec![("age", integers(&[5, 6])), ("customer_id", texts(&["c3", "c5"]))]);
    let other = batch(vec![("user_id", texts(&["c3", "c5"])), ("age", integers(&[5, 6]))]);
    for (name, bytes) in [
        ("plain.txt", b"c3\nc5\n".to_vec()),
        ("plain.csv", b"c3\r\nc5".to_vec()),
        ("named.csv", b"customer_id\nc3\nc5\n".to_vec()),
        ("named.txt", b"\xef\xbb\xbfcustomer_id\nc3\nc5\n".to_vec()),
        // Another of the side's names is a header too, and no person.
        ("other.csv", b"user_id\nc3\nc5\n".to_vec()),
        ("other.txt", b"User ID\nc3\nc5\n".to_vec()),
        ("quoted.csv", b"\"customer_id\"\n\"c3\"\n\"c5\"\n".to_vec()),
        ("wide.csv", b"age,customer_id,name\n5,c3,\"Ann, A\"\n6,c5,Bob\n".to_vec()),
        ("wide.tsv", b"name\tuser_id\nAnn\tc3\n\"Bob\tc5\n".to_vec()),
        ("wide.csv.gz", gzip("age,customer_id\n5,c3\n6,c5\n")),
        ("lines.jsonl", b"{\"customer_id\":\"c3\"}\n{\"age\":1,\"customer_id\":\"c5\"}\n".to_vec()),
        ("table.parquet", parquet(&table)),
        ("table.arrow", arrow(&table)),
        ("table.arrows", stream(&table)),
        ("other.parquet", parquet(&other)),
    ] {
        fs::write(at.join(name), bytes).expect("written");
        assert_eq!(listed(at, name, &[]), Ok(set(&["c3", "c5"])), "{name}");
    }
    // A pipe.
    for flags in [&["--users", "-"][..], &["--users", "/dev/stdin"]] {
        let mut arguments = vec!["recommend", "--model", "model", "--out", "top.csv", "--k", "3", "--quiet"];
        arguments.extend(flags);
        let mut child =
            command(at, &arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), b"c3\nc5\n").expect("written");
        let done = child.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(people(at), set(&["c3", "c5"]), "{flags:?}");
    }
}

#[test]
fn a_list_that_cannot_be_told_is_asked_about() {
    let folder = shop("customer_id", "c");
    let at = folder.path();
    let table = |name: &str| parquet(&batch(vec![(name, texts(&["c3"])), ("age", integers(&[5]))]));
    for (name, bytes, words) in [
        ("a.csv", b"code,age\nc3,5\n".to_vec(), &["a.csv"][..]),
        ("b.parquet", table("code"), &["b.parquet", "code"]),
        ("c.csv", b"".to_vec(), &["c.csv"]),
        ("d.csv", b"customer_id\n".to_vec(), &["d.csv"]),
        ("e.csv", b"customer_id\nc3\n\nNULL\n".to_vec(), &["e.csv"]),
        ("f.csv", b"user_id,member_id\nc3,c4\n".to_vec(), &["f.csv", "user_id", "member_id"]),
        ("g.zip", b"PK\x03\x04".to_vec(), &["g.zip"]),
    ] {
        fs::write(at.join(name), bytes).expect("written");
        let said = listed(at, name, &[]).expect_err(name);
        words.iter().for_each(|word| assert!(said.contains(word), "`{word}` is not in: {said}"));
    }
    // Dialects are told as everywhere.
    fs::write(at.join("odd.txt"), "c3|5\nc5|6\n").expect("written");
    let found = listed(at, "odd.txt", &["--sep", "|", "--columns", "customer_id,age"]);
    assert_eq!(found, Ok(set(&["c3", "c5"])));
}

#[test]
fn numbers_name_the_same_people() {
    let folder = shop("user_id", "");
    let at = folder.path();
    let floats = arrow_array::Float64Array::from(vec![3.0, 5.0]);
    let decimals = arrow_array::Decimal128Array::from(vec![3, 5]).with_precision_and_scale(38, 0).expect("digits");
    let of = |column: arrow_array::ArrayRef| parquet(&batch(vec![("user_id", column)]));
    for (name, bytes) in [
        ("integers.parquet", of(integers(&[3, 5]))),
        ("texts.parquet", of(texts(&["3", "5"]))),
        ("decimals.parquet", of(std::sync::Arc::new(decimals))),
        ("plain.txt", b"3\n5\n".to_vec()),
    ] {
        fs::write(at.join(name), bytes).expect("written");
        assert_eq!(listed(at, name, &[]), Ok(set(&["3", "5"])), "{name}");
    }
    // Nobody of these is known: new people get the average list, and 003 and 3.0 are not new people.
    for (name, bytes) in [
        ("zeros.txt", b"003\n005\n".to_vec()),
        ("points.csv", b"user_id\n3.0\n5.0\n".to_vec()),
        ("floats.parquet", of(std::sync::Arc::new(floats))),
        ("spaces.txt", b"3  \n5  \n".to_vec()),
    ] {
        fs::write(at.join(name), bytes).expect("written");
        match listed(at, name, &[]) {
            Ok(found) => assert_eq!(found, set(&["3", "5"]), "{name}"),
            Err(said) => assert!(said.contains(name), "{said}"),
        }
    }
    // A first line that is a person, and one that looks like a name but is one.
    fs::write(at.join("new.txt"), "3\nnobody-yet\n").expect("written");
    assert_eq!(listed(at, "new.txt", &[]), Ok(set(&["3", "nobody-yet"])));
}

#[test]
fn lists_of_items_follow_the_same_rules() {
    let folder = shop("user_id", "u");
    let at = folder.path();
    let table = batch(vec![("price", integers(&[1, 2, 3])), ("sku", texts(&["s1", "s2", "s3"]))]);
    for (name, bytes) in [
        ("plain.txt", b"s1\ns2\ns3\n".to_vec()),
        ("named.csv", b"sku\ns1\ns2\ns3\n".to_vec()),
        ("other.csv", b"price,item_id\n5,s1\n5,s2\n5,s3\n".to_vec()),
        ("lines.jsonl", b"{\"sku\":\"s1\"}\n{\"sku\":\"s2\"}\n{\"sku\":\"s3\"}\n".to_vec()),
        ("table.parquet", parquet(&table)),
        ("table.arrow", arrow(&table)),
    ] {
        fs::write(at.join(name), bytes).expect("written");
        let arguments =
            ["recommend", "--model", "model", "--out", "top.csv", "--k", "3", "--items", name, "--include-seen"];
        events(at, &arguments);
        let mut reader = csv::Reader::from_path(at.join("top.csv")).expect("lists");
        let items: BTreeSet<String> = reader.records().map(|row| row.expect("a row")[2].to_owned()).collect();
        assert_eq!(items, set(&["s1", "s2", "s3"]), "{name}");
        assert_eq!(people(at).len(), 40, "{name}");
    }
    for (name, bytes) in
        [("none.txt", &b"S1\nS2\n"[..]), ("zeros.csv", b"sku\ns01\ns02\n"), ("none.csv", b"price,weight\n1,2\n")]
    {
        fs::write(at.join(name), bytes).expect("written");
        let run = tercel(at, &["recommend", "--model", "model", "--out", "top.csv", "--items", name, "--quiet"]);
        assert!([2, 3].contains(&run.code), "{name}: {}", run.stdout);
        assert!(run.stderr.contains(name) && run.stderr.lines().count() == 1, "{}", run.stderr);
    }
}
