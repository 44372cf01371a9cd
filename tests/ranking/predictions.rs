//! Predictions files: what is written can be read, whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt32Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tercel::Error;
use tercel::data::vocabulary::RawId;
use tercel::index::predictions::{IdKind, Place, PredictionWriter};

#[cfg(unix)]
use crate::alone;

type Row = (String, u32, i64, f32);

/// Ids that need quoting or escaping, scores with many digits, more rows than a record batch holds.
fn rows() -> Vec<Row> {
    let names = ["plain", "with,comma", "with \"quotes\"", "two\nlines", "Ünïcödé 🦅", " spaces ", "007"];
    let row = |i: usize| {
        let name = format!("{}{}", names[i / 12 % names.len()], i / 12);
        (name, (i % 12) as u32 + 1, i as i64 * 7 - 40, 1.0 / (i as f32 + 3.0))
    };
    (0..70_000).map(row).collect()
}

fn write(path: &Path, rows: &[Row]) -> Result<u64, Error> {
    let mut writer = PredictionWriter::create(path, IdKind::Text, IdKind::Integer, false)?;
    push_all(&mut writer, rows)?;
    writer.finish()
}

fn push_all(writer: &mut PredictionWriter, rows: &[Row]) -> Result<(), Error> {
    for list in rows.chunk_by(|a, b| a.0 == b.0) {
        let place = |row: &Row| Place { item: RawId::Integer(row.2), score: row.3 };
        writer.push(RawId::Text(&list[0].0), &list.iter().map(place).collect::<Vec<_>>())?;
    }
    Ok(())
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn of_batches(batches: impl Iterator<Item = RecordBatch>) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let fields: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(fields, ["user", "rank", "item", "score"]);
        assert!((0..4).all(|column| batch.column(column).null_count() == 0));
        let (users, ranks) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<UInt32Type>());
        let (items, scores) =
            (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_primitive::<Float32Type>());
        rows.extend(
            (0..batch.num_rows())
                .map(|row| (users.value(row).to_owned(), ranks.value(row), items.value(row), scores.value(row))),
        );
    }
    rows
}

fn text(path: &Path) -> String {
    let file = BufReader::new(File::open(path).unwrap());
    let mut text = String::new();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text),
        "zst" => zstd::Decoder::new(file).unwrap().read_to_string(&mut text),
        _ => BufReader::new(file).read_to_string(&mut text),
    }
    .unwrap();
    text
}

fn read(path: &Path) -> Vec<Row> {
    let name = path.to_str().unwrap();
    if name.ends_with(".arrow") {
        let reader = arrow_ipc::reader::FileReader::try_new(File::open(path).unwrap(), None).unwrap();
        of_batches(reader.map(Result::unwrap))
    } else if name.ends_with(".parquet") {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        of_batches(reader.map(Result::unwrap))
    } else if name.contains(".csv") {
        let text = text(path);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap(), vec!["user", "rank", "item", "score"]);
        reader.deserialize().map(Result::unwrap).collect()
    } else {
        let line = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["user", "rank", "item", "score"]);
            let text = value["user"].as_str().unwrap().to_owned();
            (
                text,
                value["rank"].as_u64().unwrap() as u32,
                value["item"].as_i64().unwrap(),
                value["score"].as_f64().unwrap() as f32,
            )
        };
        text(path).lines().map(line).collect()
    }
}

#[test]
fn every_format_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let rows = rows();
    for ending in ["arrow", "parquet", "csv", "jsonl", "csv.gz", "jsonl.zst"] {
        let path = folder.path().join(format!("out.{ending}"));
        assert_eq!(write(&path, &rows).unwrap(), rows.len() as u64);
        assert!(read(&path) == rows, "{ending}");
    }
    assert_eq!(names(folder.path()).len(), 6, "temp files are left");
}

#[test]
fn no_rows_are_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["arrow", "parquet", "csv", "jsonl", "csv.zst"] {
        let path = folder.path().join(format!("out.{ending}"));
        assert_eq!(write(&path, &[]).unwrap(), 0);
        assert_eq!(read(&path), []);
    }
}

fn place(item: &str, score: f32) -> Place<'_> {
    Place { item: RawId::Text(item), score }
}

#[test]
fn columns_have_the_types_of_the_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let mut writer = PredictionWriter::create(&path, IdKind::Integer, IdKind::Text, false).unwrap();
    writer.push(RawId::Integer(-5), &[place("a\"b", 0.25)]).unwrap();
    writer.push(RawId::Integer(6), &[place("c", 1e-7)]).unwrap();
    writer.finish().unwrap();
    let expected = "{\"user\":-5,\"rank\":1,\"item\":\"a\\\"b\",\"score\":0.25}\n{\"user\":6,\"rank\":1,\"item\":\"c\",\"score\":1e-7}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);

    let path = folder.path().join("out.arrow");
    let mut writer = PredictionWriter::create(&path, IdKind::Integer, IdKind::Text, false).unwrap();
    assert!(matches!(writer.push(RawId::Text("x"), &[place("c", 1.0)]), Err(Error::Input { .. })));
    drop(writer);
    assert!(!path.exists());
}

#[test]
fn by_user_has_a_line_for_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let lists = [(-5, vec![place("a\"b", 0.25), place("two\nlines", -0.5)]), (6, vec![]), (7, vec![place("🦅", 1e-7)])];
    for ending in ["jsonl", "jsonl.gz", "jsonl.zst"] {
        let path = folder.path().join(format!("out.{ending}"));
        let mut writer = PredictionWriter::create(&path, IdKind::Integer, IdKind::Text, true).unwrap();
        for (user, places) in &lists {
            writer.push(RawId::Integer(*user), places).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), 3, "{ending}");
        let expected = "{\"user\":-5,\"items\":[\"a\\\"b\",\"two\\nlines\"],\"scores\":[0.25,-0.5]}\n\
                        {\"user\":6,\"items\":[],\"scores\":[]}\n\
                        {\"user\":7,\"items\":[\"🦅\"],\"scores\":[1e-7]}\n";
        assert_eq!(text(&path), expected, "{ending}");
    }
    for ending in ["arrow", "parquet", "csv", "csv.gz"] {
        let path = folder.path().join(format!("out.{ending}"));
        let error = PredictionWriter::create(&path, IdKind::Integer, IdKind::Text, true).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{ending}");
        assert!(error.to_string().contains(".jsonl"), "{error}");
    }
}

#[test]
fn an_unfinished_file_leaves_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["arrow", "parquet", "csv", "jsonl"] {
        let path = folder.path().join(format!("out.{ending}"));
        fs::write(&path, "yesterday's").unwrap();
        let before = names(folder.path());
        let mut writer = PredictionWriter::create(&path, IdKind::Text, IdKind::Integer, false).unwrap();
        push_all(&mut writer, &rows()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "yesterday's", "{ending}");
        drop(writer);
        assert_eq!(fs::read_to_string(&path).unwrap(), "yesterday's", "{ending}");
        assert_eq!(names(folder.path()), before);
    }
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let create =
        |name: &str| PredictionWriter::create(&folder.path().join(name), IdKind::Text, IdKind::Text, false).err();
    for name in ["out", "out.xlsx", "out.gz", "out.arrow.gz", "out.parquet.zst", ".csv.txt"] {
        let error = create(name).unwrap();
        assert_eq!(error.exit_code(), 2, "{name}");
        assert!(error.to_string().contains(".parquet"), "{error}");
    }
    fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let error = create("folder.csv").unwrap();
    assert!(error.to_string().contains("is a folder"), "{error}");
    let error = create("missing/out.csv").unwrap();
    assert!(error.to_string().contains("does not exist; create it first"), "{error}");
    assert_eq!(error.exit_code(), 3);
}

const FULL: &str = "TERCEL_TEST_FULL_DISK";

/// Does nothing by itself: [`a_full_disk_leaves_the_old_file`] runs it in a process that may not write large files.
#[test]
fn a_full_disk_child() {
    let Some(path) = std::env::var_os(FULL) else { return };
    let error = write(Path::new(&path), &rows()).unwrap_err();
    let Error::Io { path: named, source } = &error else { panic!("{error}") };
    assert_eq!(named.as_os_str(), path);
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge, "{error}");
}

/// A limit on the size of files fails writes as a full disk does: at any point, with an error.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["arrow", "parquet", "csv", "jsonl", "jsonl.gz"] {
        let path = folder.path().join(format!("out.{ending}"));
        fs::write(&path, "yesterday's").unwrap();
        let before = names(folder.path());
        // 32 blocks of 512 or 1024 bytes; without the trap the signal would end the process.
        let mut child = alone::command("trap '' XFSZ; ulimit -f 32;", module_path!(), "a_full_disk_child");
        let done = alone::output(child.env(FULL, &path));
        assert!(done.status.success(), "{ending}: {}", String::from_utf8_lossy(&done.stderr));
        assert!(String::from_utf8_lossy(&done.stdout).contains("1 passed"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "yesterday's", "{ending}");
        assert_eq!(names(folder.path()), before, "{ending}: temp files are left");
    }
}
