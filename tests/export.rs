//! Files of vectors: what is written can be read, whole or not at all. Python's side of it is in `tests/python`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use tercel::Error;
use tercel::data::vocabulary::RawId;
use tercel::export::{Exported, VectorShape, VectorWriter, ids_path};
use tercel::index::predictions::IdKind;

#[cfg(unix)]
use crate::alone;

const ENDINGS: [&str; 5] = ["npy", "arrow", "safetensors", "faiss", "usearch"];

/// Ids that need quoting or escaping somewhere.
const NAMES: [&str; 8] = ["plain", "with,comma", "with \"quotes\"", "two\nlines", "Ünïcödé 🦅", " spaces ", "007", ""];

fn text(row: usize) -> String {
    format!("{}{row}", NAMES[row % NAMES.len()])
}

fn number(row: usize) -> i64 {
    [i64::MIN, -1, 0, 1 << 60][row % 4] + row as i64
}

fn vector(row: usize, dim: usize) -> Vec<f32> {
    (0..dim).map(|column| (row * 31 + column * 7) as f32 % 1009.0 / 100.0 - 5.0).collect()
}

fn shape(rows: usize, dim: usize, ids: IdKind) -> VectorShape {
    VectorShape { rows: rows as u64, dim, ids }
}

fn push(writer: &mut VectorWriter, row: usize, VectorShape { dim, ids, .. }: VectorShape) -> Result<(), Error> {
    match ids {
        IdKind::Text => writer.push(RawId::Text(&text(row)), &vector(row, dim)),
        IdKind::Integer => writer.push(RawId::Integer(number(row)), &vector(row, dim)),
    }
}

fn write(path: &Path, shape: VectorShape) -> Result<Exported, Error> {
    let mut writer = VectorWriter::create(path, shape, 2)?;
    (0..shape.rows as usize).try_for_each(|row| push(&mut writer, row, shape))?;
    writer.finish(&mut |_| Ok(()))
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The values of a file, and its ids where they are in it (as they print).
fn read(path: &Path, shape: VectorShape) -> (Vec<f32>, Option<Vec<String>>) {
    let bytes = fs::read(path).unwrap();
    let (rows, dim) = (shape.rows as usize, shape.dim);
    match path.extension().unwrap().to_str().unwrap() {
        "npy" => {
            let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            let text = String::from_utf8_lossy(&bytes[10..header]);
            assert!(text.contains(&format!("'shape': ({rows}, {dim})")), "{text}");
            (floats(&bytes[header..]), None)
        }
        "faiss" => {
            assert_eq!((&bytes[..4], u32_at(&bytes, 4), u64_at(&bytes, 8)), (&b"IxFI"[..], dim as u32, rows as u64));
            (floats(&bytes[45..]), None)
        }
        "usearch" => {
            assert_eq!((u32_at(&bytes, 0), u32_at(&bytes, 4)), (rows as u32, 4 * dim as u32));
            check_graph(&bytes[8 + 4 * rows * dim..], rows, dim);
            (floats(&bytes[8..8 + 4 * rows * dim]), None)
        }
        "arrow" => {
            let reader = arrow_ipc::reader::FileReader::try_new(File::open(path).unwrap(), None).unwrap();
            let (mut values, mut ids) = (Vec::new(), Vec::new());
            for batch in reader.map(Result::unwrap) {
                values.extend_from_slice(
                    batch["vector"].as_fixed_size_list().values().as_primitive::<Float32Type>().values(),
                );
                ids.extend(arrow_ids(&batch));
            }
            (values, Some(ids))
        }
        _ => {
            let (_, about) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let vectors = tensors.tensor("vectors").unwrap();
            assert_eq!((vectors.dtype(), vectors.shape()), (safetensors::Dtype::F32, &[rows, dim][..]));
            let kind = &about.metadata().as_ref().unwrap()["ids"];
            let longs = |name: &str| -> Vec<u64> {
                let tensor = tensors.tensor(name).unwrap();
                assert_eq!(tensor.dtype(), safetensors::Dtype::I64);
                tensor.data().chunks_exact(8).map(|bytes| u64_at(bytes, 0)).collect()
            };
            let ids = if kind == "text" {
                let (offsets, texts) = (longs("id_offsets"), tensors.tensor("id_bytes").unwrap());
                let cut = |pair: &[u64]| texts.data()[pair[0] as usize..pair[1] as usize].to_vec();
                offsets.windows(2).map(|pair| String::from_utf8(cut(pair)).unwrap()).collect()
            } else {
                assert_eq!(kind, "integer");
                longs("ids").iter().map(|&id| (id as i64).to_string()).collect()
            };
            (floats(vectors.data()), Some(ids))
        }
    }
}

fn arrow_ids(batch: &RecordBatch) -> Vec<String> {
    let ids = &batch["id"];
    assert_eq!(ids.null_count(), 0);
    match ids.as_any().downcast_ref::<arrow_array::StringArray>() {
        Some(texts) => texts.iter().map(|text| text.unwrap().to_owned()).collect(),
        None => ids.as_primitive::<Int64Type>().values().iter().map(|id| id.to_string()).collect(),
    }
}

/// Head, levels and nodes take all bytes; links lead to rows.
fn check_graph(bytes: &[u8], rows: usize, dim: usize) {
    assert_eq!(&bytes[..7], b"usearch");
    assert_eq!((bytes[13], bytes[14]), (b'i', 11), "inner products of f32");
    assert_eq!((u64_at(bytes, 17), u64_at(bytes, 25), u64_at(bytes, 33)), (rows as u64, 0, dim as u64));
    let numbers: Vec<u64> = (0..5).map(|i| u64_at(bytes, 64 + 8 * i)).collect();
    assert_eq!(numbers[..3], [rows as u64, 16, 32]);
    let mut at = 104 + 2 * rows;
    for row in 0..rows {
        assert_eq!(u64_at(bytes, at), row as u64);
        let level = u16::from_le_bytes([bytes[at + 8], bytes[at + 9]]);
        assert_eq!(bytes[at + 8..at + 10], bytes[104 + 2 * row..106 + 2 * row]);
        assert!(u64::from(level) <= numbers[3]);
        at += 10;
        for width in std::iter::once(32).chain(std::iter::repeat_n(16, level.into())) {
            let count = u32_at(bytes, at) as usize;
            assert!(count <= width && (0..count).all(|i| (u32_at(bytes, at + 4 + 4 * i) as usize) < rows));
            at += 4 + 4 * width;
        }
    }
    assert_eq!(at, bytes.len());
}

#[test]
fn every_format_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    for ids in [IdKind::Text, IdKind::Integer] {
        // No rows, one, ragged ones; more than a record batch of either format holds.
        for (rows, dim) in [(0, 3), (1, 1), (7, 65), (700, 5), (2000, 1000)] {
            let shape = shape(rows, dim, ids);
            let values: Vec<f32> = (0..rows).flat_map(|row| vector(row, dim)).collect();
            let printed = |row| if ids == IdKind::Text { text(row) } else { number(row).to_string() };
            let expected: Vec<String> = (0..rows).map(printed).collect();
            for ending in ENDINGS {
                if ending == "usearch" && dim == 1000 {
                    continue; // The graph is tested beside its source; here it would only take long.
                }
                let path = folder.path().join(format!("v.{ending}"));
                let about = write(&path, shape).unwrap();
                assert_eq!((about.rows, about.dim), (rows as u64, dim));
                assert_eq!(about.bytes, fs::metadata(&path).unwrap().len());
                let (found, inside) = read(&path, shape);
                assert!(found == values, "{ending} {rows} x {dim}");
                assert_eq!(about.ids_file.is_none(), inside.is_some());
                let beside = |path: &PathBuf| -> Vec<String> {
                    let line = |(row, line): (usize, &str)| {
                        let line: serde_json::Value = serde_json::from_str(line).unwrap();
                        assert_eq!(line["row"], row);
                        line["id"].as_str().map_or_else(|| line["id"].to_string(), str::to_owned)
                    };
                    fs::read_to_string(path).unwrap().lines().enumerate().map(line).collect()
                };
                let ids = inside.unwrap_or_else(|| beside(about.ids_file.as_ref().unwrap()));
                assert!(ids == expected, "{ending} {rows} x {dim}");
            }
        }
    }
    assert_eq!(names(folder.path()).len(), 8, "five files, three of ids, no temp file");
}

#[test]
fn an_unfinished_file_leaves_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("v.{ending}"));
        fs::write(&path, "yesterday's").unwrap();
        fs::write(ids_path(&path), "yesterday's ids").unwrap();
        let before = names(folder.path());
        let shape = shape(5, 3, IdKind::Text);
        let mut writer = VectorWriter::create(&path, shape, 1).unwrap();
        (0..4).for_each(|row| push(&mut writer, row, shape).unwrap());
        if ending == "npy" {
            drop(writer);
        } else {
            assert!(matches!(writer.finish(&mut |_| Ok(())), Err(Error::Shape { .. })), "a row is missing");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "yesterday's", "{ending}");
        assert_eq!(fs::read_to_string(ids_path(&path)).unwrap(), "yesterday's ids", "{ending}");
        assert_eq!(names(folder.path()), before);
    }
}

const FULL: &str = "TERCEL_TEST_FULL_DISK";

/// Does nothing by itself: [`a_full_disk_leaves_the_old_file`] runs it in a process that may not write large files.
#[test]
fn a_full_disk_child() {
    let Some(path) = std::env::var_os(FULL) else { return };
    let error = write(Path::new(&path), shape(2000, 40, IdKind::Text)).unwrap_err();
    let Error::Io { path: named, source } = &error else { panic!("{error}") };
    assert!(named.as_os_str() == path || *named == ids_path(Path::new(&path)), "{error}");
    assert_eq!(source.kind(), io::ErrorKind::FileTooLarge, "{error}");
}

/// A limit on the size of files fails writes as a full disk does: at any point, with an error.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("v.{ending}"));
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

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ENDINGS {
        let path = folder.path().join(format!("v.{ending}"));
        let mut writer = VectorWriter::create(&path, shape(1, 3, IdKind::Integer), 1).unwrap();
        assert!(matches!(writer.push(RawId::Integer(1), &[1.0; 2]), Err(Error::Shape { .. })));
        writer.push(RawId::Integer(1), &[1.0; 3]).unwrap();
        assert!(matches!(writer.push(RawId::Integer(2), &[1.0; 3]), Err(Error::Shape { .. })), "one row too many");
        assert!(matches!(VectorWriter::create(&path, shape(1, 0, IdKind::Text), 1), Err(Error::Shape { .. })));
    }
    for ending in ["arrow", "safetensors"] {
        let path = folder.path().join(format!("v.{ending}"));
        let mut writer = VectorWriter::create(&path, shape(1, 3, IdKind::Integer), 1).unwrap();
        let error = writer.push(RawId::Text("x"), &[1.0; 3]).unwrap_err();
        assert!(matches!(error, Error::Input { .. }) && error.to_string().contains("`x`"), "{error}");
    }
    let many = |ending: &str, rows, dim| {
        let shape = VectorShape { rows, dim, ids: IdKind::Text };
        VectorWriter::create(&folder.path().join(format!("v.{ending}")), shape, 1).err()
    };
    for (ending, rows, dim) in [
        ("arrow", 1, 1 << 31),
        ("safetensors", u64::MAX, 1),
        ("safetensors", 1 << 60, 64),
        ("faiss", 1, 1 << 31),
        ("usearch", 1 << 32, 1),
    ] {
        assert!(matches!(many(ending, rows, dim), Some(Error::Input { .. })), "{ending} {rows} x {dim}");
    }
    assert_eq!(names(folder.path()).len(), 0, "nothing is left");
}

#[test]
fn places_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let create =
        |name: &str| VectorWriter::create(&folder.path().join(name), shape(1, 1, IdKind::Text), 1).err().unwrap();
    for name in ["v", "v.csv", "v.npy.gz", ".faiss"] {
        let error = create(name);
        assert_eq!(error.exit_code(), 2, "{name}");
        assert!(error.to_string().contains(".safetensors"), "{error}");
    }
    fs::create_dir(folder.path().join("folder.npy")).unwrap();
    assert!(create("folder.npy").to_string().contains("is a folder"));
    let error = create("missing/v.npy");
    assert!(error.to_string().contains("does not exist; create it first"), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn a_graph_does_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.usearch"), folder.path().join("two.usearch"));
    for (path, threads) in [(&one, 1), (&two, 2)] {
        let shape = shape(900, 12, IdKind::Integer);
        let mut writer = VectorWriter::create(path, shape, threads).unwrap();
        (0..900).for_each(|row| push(&mut writer, row, shape).unwrap());
        let mut last = None;
        writer
            .finish(&mut |at| {
                last = Some((at.done, at.total));
                Ok(())
            })
            .unwrap();
        assert!(last.is_some_and(|(done, rows)| done == rows), "{last:?}");
    }
    assert!(fs::read(one).unwrap() == fs::read(two).unwrap());
}
