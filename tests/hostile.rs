//! Files that claim more than they hold, and values that are no numbers: typed errors, before memory is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use tercel::data::ingest::{IngestConfig, ingest};
use tercel::index::item_index::IndexOptions;
use tercel::{Config, Dataset, Device, Error, Index, Model};

const ROWS: i64 = 50_000;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Users, items and times; most values are equal, so that they are compressed well.
fn batch() -> RecordBatch {
    let column = |of: fn(i64) -> i64| Arc::new(Int64Array::from_iter_values((0..ROWS).map(of))) as ArrayRef;
    let columns = vec![column(|n| n / 10_000), column(|_| 7), column(|n| 1_500_000_000 + n / 5000)];
    let fields = ["user", "item", "time"].map(|name| Field::new(name, DataType::Int64, false));
    RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap()
}

fn read(path: &Path) -> Result<u64, Error> {
    let config = IngestConfig { split: "none".parse().unwrap(), ..Default::default() };
    Ok(ingest(&[path.to_owned()], &path.with_extension("data"), &config, &|_| {})?.rows)
}

fn refused(path: &Path, words: &str) {
    let error = read(path).unwrap_err();
    assert!(matches!(&error, Error::Damaged { .. }) && error.to_string().contains(words), "{error}");
    assert_eq!(error.exit_code(), 3);
}

fn arrow(path: &Path, codec: CompressionType, stream: bool) {
    let options = IpcWriteOptions::default().try_with_compression(Some(codec)).unwrap();
    let (batch, file) = (batch(), fs::File::create(path).unwrap());
    if stream {
        let mut writer = StreamWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    }
}

/// Puts `new` in the place of every word of 8 bytes that is `old`; how many there were.
fn replace_words(path: &Path, old: i64, new: i64) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let mut found = 0;
    for at in (0..bytes.len() - 8).step_by(8) {
        if bytes[at..at + 8] == old.to_le_bytes() {
            bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
            found += 1;
        }
    }
    fs::write(path, bytes).unwrap();
    found
}

#[test]
fn a_compressed_arrow_buffer_is_as_long_as_it_can_be() {
    let folder = folder();
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        for stream in [false, true] {
            let path = folder.path().join(format!("{codec:?}-{stream}.arrow"));
            arrow(&path, codec, stream);
            assert_eq!(read(&path).unwrap(), ROWS as u64, "an honest one is read");
            // What stands before each buffer: how long it is when it is not compressed.
            assert_eq!(replace_words(&path, 8 * ROWS, 1 << 40), 3, "{codec:?}");
            refused(&path, "cannot hold the 1099511627776 that it claims");
        }
    }
}

#[test]
fn arrow_blocks_and_buffers_lie_in_the_file() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let path = at("plain.arrow");
    let mut writer = FileWriter::try_new(fs::File::create(&path).unwrap(), &batch().schema()).unwrap();
    writer.write(&batch()).unwrap();
    writer.finish().unwrap();
    for (name, new) in [("huge", 1 << 40), ("more", i64::MAX), ("negative", -5)] {
        let path = at(&format!("{name}.arrow"));
        fs::copy(at("plain.arrow"), &path).unwrap();
        assert!(replace_words(&path, 8 * ROWS, new) > 0);
        assert!(matches!(read(&path), Err(Error::Damaged { .. })), "{name}");
    }
}

#[test]
fn a_parquet_page_is_as_long_as_it_can_be() {
    let folder = folder();
    let path = folder.path().join("in.parquet");
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_dictionary_enabled(false);
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch().schema(), Some(properties.build())).unwrap();
    writer.write(&batch()).unwrap();
    writer.close().unwrap();
    assert_eq!(read(&path).unwrap(), ROWS as u64);
    // The first page header is behind the magic: a field of type i32 each, its kind and then its size.
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[4..6], [0x15, 0x00], "a data page");
    assert_eq!(bytes[6], 0x15, "its size");
    // The number that follows has three bytes: the largest one of three, with the fewest bytes to hold it.
    let length = bytes[7..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    assert_eq!(bytes[7 + length], 0x15, "its compressed size");
    // Its compressed size becomes 1.
    let second = 8 + length;
    let width = bytes[second..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    bytes[second] = 2 | 0x80;
    bytes[second + 1..second + width - 1].fill(0x80);
    bytes[second + width - 1] = 0;
    fs::write(&path, bytes).unwrap();
    refused(&path, "cannot hold the");
}

/// A dataset of the usual kind, and a model of it.
fn trained(folder: &Path) -> (PathBuf, PathBuf) {
    let rows: String = (0..2000).map(|n| format!("{},{},{}\n", n % 40, n * 7 % 23, 1_500_000_000 + n)).collect();
    fs::write(folder.join("in.csv"), format!("user,item,time\n{rows}")).unwrap();
    let config = IngestConfig { split: "last-per-user:1".parse().unwrap(), ..Default::default() };
    let (data, model) = (folder.join("data"), folder.join("model"));
    ingest(&[folder.join("in.csv")], &data, &config, &|_| {}).unwrap();
    let mut config = Config::from_toml("[model]\ndim = 8\n[train]\nbatch_size = 64\nepochs = 1").unwrap();
    config.train.device = Device::Cpu;
    tercel::train::train(&Dataset::open(&data).unwrap(), &model, &config, false, &mut |_| {}).unwrap();
    (data, model)
}

#[test]
fn a_dataset_claims_no_more_rows_than_its_files_hold() {
    let folder = folder();
    let (data, _) = trained(folder.path());
    let path = data.join("dataset.json");
    let honest: Value = tercel::files::read_json(&path).unwrap();
    let big = Value::from(u32::MAX - 2);
    for pointers in [
        &["/users/rows"][..],
        &["/users/rows", "/users/file/rows"],
        &["/items/rows", "/items/file/rows"],
        &["/train/rows"],
        &["/train/files/0/rows", "/train/rows"],
        &["/history/rows"],
        &["/users/unseen"],
    ] {
        let mut forged = honest.clone();
        for pointer in pointers {
            *forged.pointer_mut(pointer).unwrap() = big.clone();
        }
        tercel::files::write_json(&path, &forged).unwrap();
        let error = Dataset::open(&data).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{pointers:?}: {error}");
    }
    tercel::files::write_json(&path, &honest).unwrap();
    Dataset::open(&data).unwrap();
}

#[test]
fn a_model_of_nan_is_refused_by_its_tensors_name() {
    let folder = folder();
    let (_, model) = trained(folder.path());
    let path = model.join("model.safetensors");
    let honest = fs::read(&path).unwrap();
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = honest.clone();
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&odd.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        tercel::model::checkpoint::accept(&model).unwrap();
        let error = Model::open(&model, Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        assert!(error.to_string().contains("tensor `") && error.to_string().contains("NaN"), "{error}");
    }
}

#[test]
fn an_index_of_nan_is_refused() {
    let vectors = |odd: f32| (0..80).map(|n| if n == 37 { odd } else { n as f32 }).collect::<Vec<_>>();
    for odd in [f32::NAN, f32::INFINITY] {
        let error = Index::build(vectors(odd), 8, None, None, &IndexOptions::exact()).unwrap_err();
        assert!(error.to_string().contains("row 4"), "{error}");
        let mut index = Index::build(vectors(0.0), 8, None, None, &IndexOptions::exact()).unwrap();
        assert!(matches!(index.add(&[100], &vectors(odd)[32..40]), Err(Error::Shape { .. })));
    }
    // In a file whose checksums hold.
    let folder = folder();
    let path = folder.path().join("items.index");
    Index::build(vectors(1.0), 8, None, None, &IndexOptions::exact()).unwrap().save(&path).unwrap();
    Index::open(&path, Device::Cpu, 1).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let header_len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let body = (24 + header_len).next_multiple_of(64);
    bytes[body..body + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let old: Value = serde_json::from_slice(&bytes[24..24 + header_len]).unwrap();
    let (old, new) = (old["checksums"][0].to_string(), xxhash_rust::xxh3::xxh3_64(&bytes[body..]).to_string());
    assert!(new.len() <= old.len() + 1);
    let header = String::from_utf8(bytes[24..24 + header_len].to_vec()).unwrap().replace(&old, &new);
    let mut forged = bytes[..12].to_vec();
    forged.extend((header.len() as u32).to_le_bytes());
    forged.extend(xxhash_rust::xxh3::xxh3_64(header.as_bytes()).to_le_bytes());
    forged.extend(header.as_bytes());
    forged.resize(forged.len().next_multiple_of(64), 0);
    forged.extend(&bytes[body..]);
    fs::write(&path, forged).unwrap();
    for opened in [Index::open(&path, Device::Cpu, 2), Index::read(&path, Device::Cpu, 2)] {
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }) && error.to_string().contains("NaN"), "{error}");
    }
}
