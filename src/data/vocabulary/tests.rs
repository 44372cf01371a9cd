use std::fs;

use super::*;
use crate::data::dataset::{Feature, FeatureKind, FileInfo};

fn features() -> Vec<Feature> {
    let values = |n: usize| (0..n).map(|i| i.to_string()).collect();
    vec![
        Feature { name: "color".into(), kind: FeatureKind::Categorical { values: values(4) } },
        Feature { name: "tags".into(), kind: FeatureKind::MultiHot { separator: "|".into(), values: values(9) } },
    ]
}

fn table(ids: &[&str]) -> EntityTable {
    let mut raw = RawIds::text();
    let (mut colors, mut offsets, mut codes) = (Vec::new(), vec![0], Vec::new());
    for (row, id) in ids.iter().enumerate() {
        raw.push_text(id);
        colors.push(row as u32 % 5);
        codes.extend((0..row as u32 % 4).map(|i| i + 1));
        offsets.push(codes.len() as u32);
    }
    EntityTable {
        ids: raw,
        counts: (0..ids.len() as u64).collect(),
        features: vec![FeatureColumn::Codes(colors), FeatureColumn::Lists { offsets, codes }],
    }
}

fn numbers(values: &[i64]) -> EntityTable {
    EntityTable { ids: RawIds::Integer(values.to_vec()), counts: vec![1; values.len()], features: Vec::new() }
}

fn vocabulary(table: &EntityTable, unseen: Option<&EntityTable>, features: &[Feature]) -> Result<Vocabulary> {
    let dir = tempfile::tempdir().unwrap();
    let file = table.write(&dir.path().join("users.arrow"), features)?;
    let unseen_file = unseen.map(|unseen| unseen.write(&dir.path().join("unseen.arrow"), features)).transpose()?;
    let info = EntityInfo {
        rows: table.len() as u32,
        unseen: unseen.map_or(0, |unseen| unseen.len() as u32),
        unseen_valid: 0,
        file,
        unseen_file,
        features: features.to_vec(),
    };
    Vocabulary::open(dir.path(), &info)
}

#[test]
fn a_table_comes_back() {
    let known = table(&["", "a", "βγ", "", "d d", "e"]);
    let unseen = table(&["x", "y"]);
    let vocabulary = vocabulary(&known, Some(&unseen), &features()).unwrap();
    assert_eq!(vocabulary.table, known);
    assert_eq!(vocabulary.unseen.as_ref(), Some(&unseen));
    assert_eq!(vocabulary.raw(0), None);
    assert_eq!(vocabulary.raw(2), Some(RawId::Text("βγ")));
    assert_eq!(vocabulary.raw(7), Some(RawId::Text("y")));
    assert_eq!(vocabulary.raw(8), None);
    assert_eq!(vocabulary.find(RawId::Text("d d")), Some(4));
    assert_eq!(vocabulary.find(RawId::Text("")), Some(3), "row 0 has no raw id");
    assert_eq!(vocabulary.find(RawId::Text("x")), None, "unseen ids have no table row");
    let numbers = ["a", "x", "y", "z"].map(|id| vocabulary.number(RawId::Text(id)));
    assert_eq!(numbers, [Some(1), Some(6), Some(7), None]);
    assert_eq!(
        vocabulary.features_of(&[3, 7, 99, 0]),
        [
            FeatureColumn::Codes(vec![3, 1, 0, 0]),
            FeatureColumn::Lists { offsets: vec![0, 3, 4, 4, 4], codes: vec![1, 2, 3, 1] }
        ]
    );
}

#[test]
fn integers_and_the_texts_that_print_so_are_the_same_id() {
    let vocabulary = vocabulary(&numbers(&[0, 12, -7, i64::MIN, 0]), None, &[]).unwrap();
    assert_eq!(vocabulary.raw(3).unwrap().to_string(), "-9223372036854775808");
    for (text, row) in [("12", Some(1)), ("-7", Some(2)), ("0", Some(4)), ("012", None), ("+12", None), ("-0", None)] {
        assert_eq!(vocabulary.find(RawId::Text(text)), row, "{text}");
    }
    assert_eq!(vocabulary.find(RawId::Integer(12)), Some(1));
}

#[test]
fn many_rows_are_several_record_batches() {
    let ids: Vec<String> = (0..150_000).map(|i| if i == 0 { String::new() } else { format!("user-{i}") }).collect();
    let known = table(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let vocabulary = vocabulary(&known, None, &features()).unwrap();
    assert_eq!(vocabulary.table, known);
    assert_eq!(vocabulary.find(RawId::Text("user-149999")), Some(149_999));
}

#[test]
fn what_does_not_fit_is_refused() {
    let reserved = [Feature { name: "count".into(), kind: FeatureKind::Numeric { edges: vec![] } }];
    let mut one = numbers(&[0]);
    one.features = vec![FeatureColumn::Codes(vec![1])];
    assert!(matches!(vocabulary(&one, None, &reserved), Err(Error::Config { .. })));
    assert!(matches!(vocabulary(&one, None, &[]), Err(Error::Shape { .. })));
    let row_0_named = vocabulary(&numbers(&[5, 6]), None, &[]);
    assert!(matches!(row_0_named, Err(Error::Damaged { .. })), "{row_0_named:?}");
    let mut bad_code = table(&["", "a"]);
    bad_code.features[0] = FeatureColumn::Codes(vec![0, 5]);
    let error = vocabulary(&bad_code, None, &features()).unwrap_err().to_string();
    assert!(error.contains("code 5") && error.contains("color"), "{error}");
}

/// Every byte set to five values: with the manifest's checksum nothing gets through, without it nothing panics.
#[test]
fn damage_is_an_error_and_never_a_panic() {
    let known = table(&["", "a", "bc", "def"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("items.arrow");
    let info = known.write(&path, &features()).unwrap();
    let foreign = FileInfo { xxh3: None, ..info.clone() };
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            let _ = super::read::parse(&bytes, &path, &features());
            // Through the files only now and then: every byte of every file is the damaged_shards test's work.
            if at % 37 == 0 {
                fs::write(&path, &bytes).unwrap();
                let opened = EntityTable::open(&path, &info, &features());
                assert_eq!(opened.is_ok(), bytes == good, "byte {at} set to {value}");
                let _ = EntityTable::open(&path, &foreign, &features());
            }
        }
    }
    for length in 0..good.len() {
        assert!(super::read::parse(&good[..length], &path, &features()).is_err());
    }
}
