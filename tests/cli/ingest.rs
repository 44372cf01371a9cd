//! `tercel ingest`: bad rows, columns, separators and least counts.

use std::fs;

use crate::support::{event, events, folder, write};

#[test]
fn a_bad_row_can_be_skipped_and_is_kept() {
    let folder = folder();
    let at = folder.path();
    write(at, "row.csv", "user_id,item_id,timestamp\na,b,1600000001\na,c,soon\nb,c,1600000003\n");
    let found = events(at, &["ingest", "row.csv", "--out", "d", "--on-error", "skip"]);
    let ingested = event(&found, "ingest");
    assert_eq!((&ingested["rows"], &ingested["rejected"]), (&2.into(), &1.into()));
    let rejected = fs::read_to_string(at.join("d/rejected.csv")).expect("the bad rows");
    assert!(rejected.contains("soon"), "{rejected}");
}

#[test]
fn columns_separators_and_least_counts() {
    let folder = folder();
    let at = folder.path();
    write(at, "r.dat", "1::10::5::1600000100\n1::11::4::1600000200\n2::10::3::1600000300\n3::12::1::1600000400\n");
    let args = ["ingest", "r.dat", "--out", "d", "--columns", "u,i,stars,t", "--sep", "::", "--user", "u"];
    let rest = ["--item", "i", "--time", "t", "--weight", "stars", "--min-item-count", "2"];
    let found = events(at, &[&args[..], &rest[..]].concat());
    let ingested = event(&found, "ingest");
    assert_eq!((&ingested["rows"], &ingested["users"], &ingested["items"]), (&2.into(), &2.into(), &1.into()));
}
