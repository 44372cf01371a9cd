//! A small reader that stands in until the core has its own: text and Parquet.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchIterator};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use tercel::data::ingest::Stream;
use tercel::{Error, Result};

const ROWS: usize = 16_384;
const MISSING: [&str; 9] = ["", "\\n", "null", "nan", "none", "n/a", "na", "<na>", "#n/a"];

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    sep: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
    null: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    #[allow(dead_code)]
    time_unit: Option<String>,
    #[allow(dead_code)]
    time_format: Option<String>,
}

pub(super) fn open(path: &Path, options: &str) -> Result<Stream> {
    let options: Options = serde_json::from_str(options).map_err(|e| Error::config("configuration", e.to_string()))?;
    file(path, &options)
}

fn file(path: &Path, options: &Options) -> Result<Stream> {
    let io = |e| Error::io(path, e);
    if path.is_dir() {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(path).map_err(io)?.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        files.retain(|file| file.is_file());
        files.sort();
        let streams = files.iter().map(|path| file(path, options)).collect::<Result<Vec<_>>>()?;
        let schema = streams.first().map_or_else(|| Arc::new(Schema::empty()), |stream| stream.schema());
        return Ok(Box::new(RecordBatchIterator::new(streams.into_iter().flatten(), schema)));
    }
    let mut opened = File::open(path).map_err(io)?;
    let mut magic = [0; 4];
    let n = opened.read(&mut magic).map_err(io)?;
    let opened = File::open(path).map_err(io)?;
    if &magic[..n] == b"PAR1" {
        let bad = |e: parquet::errors::ParquetError| Error::input(path, e.to_string());
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(bad)?.build().map_err(bad)?;
        return Ok(Box::new(reader));
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    let unpacked: Box<dyn Read + Send> = match ending {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(opened)),
        _ => Box::new(opened),
    };
    text(path, BufReader::with_capacity(1 << 16, unpacked), options)
}

fn text(path: &Path, mut unpacked: BufReader<Box<dyn Read + Send>>, options: &Options) -> Result<Stream> {
    let head = unpacked.fill_buf().map_err(|e| Error::io(path, e))?;
    let mark = if head.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
    let line = head[mark..].split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let separator = match options.sep.as_deref() {
        Some("tab") => b'\t',
        Some(sep) => sep.as_bytes()[0],
        None => [b'\t', b',', b';'].into_iter().find(|sep| line.contains(sep)).unwrap_or(b','),
    };
    unpacked.consume(mark);
    let quoting = options.quote.as_deref().map_or(separator != b'\t', |quote| quote != "none");
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).delimiter(separator).quoting(quoting);
    if let Some(escape) = &options.escape {
        reader.escape(Some(escape.as_bytes()[0]));
    }
    let mut records = reader.from_reader(unpacked).into_records();
    let names: Vec<String> = match &options.columns {
        Some(names) => names.clone(),
        None => match records.next() {
            Some(first) => first.map_err(|e| row_error(path, &e))?.iter().map(|cell| cell.trim().to_owned()).collect(),
            None => return Err(Error::input(path, "is empty")),
        },
    };
    let schema: SchemaRef =
        Arc::new(Schema::new(names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()));
    let null = options.null.clone();
    let missing = move |cell: &str| match &null {
        Some(words) => words.iter().any(|word| word == cell),
        None => MISSING.contains(&cell.to_lowercase().as_str()),
    };
    let (path, of) = (path.to_owned(), Arc::clone(&schema));
    let batches = std::iter::from_fn(move || {
        let mut columns: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
        let mut rows = 0;
        for record in records.by_ref().take(ROWS) {
            let record = match record {
                Ok(record) => record,
                Err(error) => return Some(Err(ArrowError::ExternalError(Box::new(row_error(&path, &error))))),
            };
            if record.len() != columns.len() {
                let row = record.position().map_or(0, csv::Position::line);
                let reason = format!("{} values, the header has {}", record.len(), columns.len());
                let error = Error::Row { path: path.clone(), row, column: "any".into(), reason };
                return Some(Err(ArrowError::ExternalError(Box::new(error))));
            }
            rows += 1;
            for (cell, column) in record.iter().zip(&mut columns) {
                let cell = cell.trim_matches([' ', '\r']);
                column.append_option((!missing(cell)).then_some(cell));
            }
        }
        let columns = columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect();
        (rows > 0).then(|| RecordBatch::try_new(Arc::clone(&of), columns))
    });
    Ok(Box::new(RecordBatchIterator::new(batches, schema)))
}

fn row_error(path: &Path, error: &csv::Error) -> Error {
    let row = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} values, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8; save the file as UTF-8".to_owned(),
        _ => error.to_string(),
    };
    Error::Row { path: path.to_owned(), row, column: "any".into(), reason }
}
