//! The files that an ingest would read.

use std::path::PathBuf;

use tercel::data::ingest::{Format, files};

use crate::support::{Case, config};

/// The names of the files that are read, from the case's folder on.
fn read(case: &Case, inputs: &[&str], edit: impl FnOnce(&mut tercel::data::ingest::IngestConfig)) -> Vec<String> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|name| case.path(name)).collect();
    let found = files(&inputs, &config(edit)).unwrap();
    let name = |path: &PathBuf| path.strip_prefix(case.dir.path()).unwrap().display().to_string();
    found.iter().map(name).collect()
}

fn case(names: &[&str]) -> Case {
    let case = Case::new();
    names.iter().for_each(|name| drop(case.write(name, "user,item\na,x\n")));
    case
}

#[test]
fn files_folders_and_what_lies_beside() {
    let shop = case(&["d/transactions.csv", "d/households.csv.gz", "d/items.csv", "d/products.csv", "d/readme.md"]);
    assert_eq!(read(&shop, &["d"], |_| ()), ["d/transactions.csv", "d/households.csv.gz", "d/products.csv"]);
    assert_eq!(read(&shop, &["d/transactions.csv"], |_| ()), ["d/transactions.csv"], "a file is a file");
    let given = shop.path("d/readme.md");
    let found = read(&shop, &["d"], |c| c.user_features = Some(given));
    assert_eq!(found, ["d/transactions.csv", "d/readme.md", "d/products.csv"]);

    let lens = case(&["ml/ratings.dat", "ml/movies.dat", "ml/users.dat", "ml/tags.dat"]);
    for input in ["ml", "ml/ratings.dat"] {
        assert_eq!(read(&lens, &[input], |_| ()), ["ml/ratings.dat", "ml/users.dat", "ml/movies.dat"]);
    }

    let fashion = case(&["t.csv", "customers.csv", "articles.csv", "v.csv", "w.csv"]);
    let (valid, test) = (vec![fashion.path("v.csv")], vec![fashion.path("w.csv")]);
    let found = read(&fashion, &["t.csv"], |c| (c.format, c.valid, c.test) = (Some(Format::Hm), valid, test));
    assert_eq!(found, ["t.csv", "v.csv", "w.csv", "customers.csv", "articles.csv"]);

    let days = case(&["days/2.csv", "days/1.csv.zst", "days/.3.csv", "days/_4.csv", "more.csv"]);
    assert_eq!(read(&days, &["days", "more.csv"], |_| ()), ["days/1.csv.zst", "days/2.csv", "more.csv"]);
    let error = files(&[days.path("none")], &config(|_| ())).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}

/// The list is what ingest reads: without any one of its files, or with other bytes in it, ingest says or does
/// something else.
#[test]
fn ingest_reads_what_is_listed() {
    let case = case(&["d/transactions.csv"]);
    case.write("d/users.csv", "user,age\na,1\n");
    case.write("d/items.csv", "item,size\nx,2\n");
    let summary = case.run("d", &config(|_| ())).unwrap();
    let listed = read(&case, &["d"], |_| ());
    assert_eq!(listed, ["d/transactions.csv", "d/users.csv", "d/items.csv"]);
    for name in &listed[1..] {
        let name = name.trim_start_matches("d/");
        assert!(summary.notes.iter().any(|note| note.contains(name)), "{name}: {:?}", summary.notes);
    }
}
