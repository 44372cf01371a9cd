//! The files that an ingest would read.

use std::path::PathBuf;

use tercel::data::ingest::files;

use super::support::{Case, config};

/// The names of the files that are read, from the case's folder on.
fn read(case: &Case, inputs: &[&str], edit: impl FnOnce(&mut tercel::data::ingest::IngestConfig)) -> Vec<String> {
    let inputs: Vec<PathBuf> = inputs.iter().map(|name| case.path(name)).collect();
    let found = files(&inputs, &config(edit)).unwrap();
    let name = |path: &PathBuf| path.strip_prefix(case.dir.path()).unwrap().display().to_string();
    found.iter().map(name).collect()
}

#[test]
fn ingest_reads_what_is_listed() {
    let case = Case::with("d/transactions.csv", "user,item\na,x\nb,y\n");
    case.write("d/users.csv", "user,age\na,1\nb,2\n");
    case.write("d/items.csv", "item,size\nx,2\ny,3\n");
    case.write("d/readme.md", "nothing of it");
    let listed = read(&case, &["d"], |_| ());
    assert_eq!(listed, ["d/items.csv", "d/transactions.csv", "d/users.csv"]);
    let summary = case.run("d", &config(|_| ())).unwrap();
    for name in ["items.csv", "users.csv"] {
        assert!(summary.notes.iter().any(|note| note.contains(name)), "{name}: {:?}", summary.notes);
    }
    let test = vec![case.write("test/late.csv", "user,item\na,y\n")];
    let users = case.write("people.csv", "user,age\na,1\nb,2\n");
    let found = read(&case, &["d"], |c| (c.test, c.user_features) = (test, Some(users)));
    assert_eq!(found, ["d/items.csv", "d/transactions.csv", "people.csv", "test/late.csv"]);
    let error = files(&[case.path("none")], &config(|_| ())).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}
