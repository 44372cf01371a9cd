//! Arrow IPC and Parquet files and streams of record batches, through arrow-rs.
//!
//! arrow-rs can panic on damaged files; every call that decodes is guarded, and a panic becomes an error.

mod claims;
mod pages;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow_array::{RecordBatch, StringArray};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;

use claims::Which;

use super::inputs::Stream;
use super::{InputTable, TableFormat};
use crate::guard::guarded;
use crate::{Error, Result};

/// Rows that a worker gets at once.
const BATCH: usize = 16 << 10;

/// Calls arrow-rs on data of `path`; a panic is damage.
pub(crate) fn guard<T>(path: &Path, at: &str, call: impl FnOnce() -> std::result::Result<T, ArrowError>) -> Result<T> {
    match guarded(call) {
        Ok(Ok(value)) => Ok(value),
        // A seek to where a damaged footer points is an invalid argument.
        Ok(Err(ArrowError::IoError(_, source)))
            if source.raw_os_error().is_some() && source.kind() != std::io::ErrorKind::InvalidInput =>
        {
            Err(Error::io(path, source))
        }
        Ok(Err(error)) => match codec(&error.to_string()) {
            Some(codec) => Err(Error::input(
                path,
                format!("is compressed with {codec}, which is not supported; write it again with zstd or snappy"),
            )),
            None => Err(Error::damaged(path, at, error.to_string())),
        },
        Err(_) => Err(Error::damaged(path, at, "arrow-rs cannot decode it")),
    }
}

/// The codec that an error of arrow-rs says it lacks.
fn codec(error: &str) -> Option<&'static str> {
    let lacks = error.contains("Disabled feature at compile time")
        || error.contains("codec type")
        || error.contains("ompression type");
    let lower = error.to_lowercase();
    let names = [
        ("brotli", "brotli"),
        ("lzo", "LZO"),
        ("lz4", "LZ4"),
        ("zstd", "zstd"),
        ("gzip", "gzip"),
        ("snappy", "snappy"),
    ];
    let named = names.iter().find(|(word, _)| lower.contains(word)).map_or("a codec", |(_, name)| name);
    lacks.then_some(named)
}

enum Decoder {
    File(FileReader<BufReader<File>>),
    Stream(StreamReader<BufReader<File>>),
    Parquet(ParquetRecordBatchReader),
    /// And the columns that are read, where not all are.
    Table(Stream, Option<Vec<usize>>),
}

/// The record batches of a table, in pieces of [`BATCH`] rows.
pub(crate) struct TableBatches {
    path: PathBuf,
    decoder: Decoder,
    /// Columns behind those of the file: their names and values.
    constants: Vec<(String, String)>,
    rest: Option<RecordBatch>,
    failed: bool,
    rows: u64,
    total_rows: u64,
    file_bytes: u64,
    bytes: Arc<AtomicU64>,
}

/// A Parquet file's schema as it is read. The old timestamps of 96 bits become milliseconds: nanoseconds of 64 bits
/// would wrap after 2262.
fn parquet_metadata(file: &File) -> std::result::Result<ArrowReaderMetadata, ArrowError> {
    let found = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let leaves = found.parquet_schema().columns();
    if !leaves.iter().any(|leaf| leaf.physical_type() == PhysicalType::INT96) {
        return Ok(found);
    }
    let milliseconds = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, zone)
            if leaves.iter().any(|leaf| {
                leaf.physical_type() == PhysicalType::INT96 && leaf.path().parts() == [field.name().clone()]
            }) =>
        {
            Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Millisecond, zone.clone())))
        }
        _ => Arc::clone(field),
    };
    let schema = Schema::new(found.schema().fields().iter().map(milliseconds).collect::<Vec<_>>());
    ArrowReaderMetadata::load(file, ArrowReaderOptions::new().with_schema(Arc::new(schema))).map_err(Into::into)
}

impl TableBatches {
    /// The schema of a file, and whether it is a part of a dataset.
    pub(super) fn schema(path: &Path, kind: &TableFormat, mut file: File) -> Result<(SchemaRef, bool)> {
        match kind {
            TableFormat::Parquet => {
                guard(path, "footer", || Ok((Arc::clone(parquet_metadata(&file)?.schema()), false)))
            }
            _ => match ipc(path, &mut file)? {
                Ipc::File => {
                    claims::check_file(path, &file, Which::Dictionaries)?;
                    guard(path, "footer", || {
                        let reader = FileReader::try_new_buffered(file, None)?;
                        let ours = reader.custom_metadata().keys().any(|key| key.starts_with("tercel."));
                        Ok((reader.schema(), ours))
                    })
                }
                Ipc::Stream => {
                    guard(path, "schema", || Ok((StreamReader::try_new_buffered(file, None)?.schema(), false)))
                }
            },
        }
    }

    /// Begins to read a file: all columns or those at these ascending places. `bytes` counts what was read; it is an
    /// estimate.
    pub(super) fn file(
        table: &InputTable,
        mut file: File,
        columns: Option<&[usize]>,
        bytes: &Arc<AtomicU64>,
    ) -> Result<TableBatches> {
        let path = &table.path;
        file.rewind().map_err(|e| Error::io(path, e))?;
        let own = table.file_columns();
        let projection: Option<Vec<usize>> =
            columns.map(|columns| columns.iter().copied().filter(|column| *column < own).collect());
        let file_bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let (decoder, total_rows) = if matches!(table.kind, TableFormat::Parquet) {
            guard(path, "footer", || {
                let metadata = parquet_metadata(&file)?;
                let file = pages::Checked::new(file, metadata.metadata())?;
                let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(BATCH);
                let rows = builder.metadata().file_metadata().num_rows();
                let mask = match projection {
                    Some(columns) => ProjectionMask::roots(builder.parquet_schema(), columns),
                    None => ProjectionMask::all(),
                };
                Ok((Decoder::Parquet(builder.with_projection(mask).build()?), rows.max(0) as u64))
            })?
        } else {
            match ipc(path, &mut file)? {
                Ipc::File => {
                    claims::check_file(path, &file, Which::All)?;
                    guard(path, "footer", || Ok((Decoder::File(FileReader::try_new_buffered(file, projection)?), 0)))?
                }
                Ipc::Stream => {
                    claims::check_stream(path, &file)?;
                    guard(path, "schema", || {
                        Ok((Decoder::Stream(StreamReader::try_new_buffered(file, projection)?), 0))
                    })?
                }
            }
        };
        Ok(TableBatches::new(table, decoder, columns, (total_rows, file_bytes), bytes))
    }

    /// Begins to read what somebody hands in.
    pub(super) fn stream(
        table: &InputTable,
        stream: Stream,
        columns: Option<&[usize]>,
        bytes: &Arc<AtomicU64>,
    ) -> TableBatches {
        let own = table.file_columns();
        let projection = columns.map(|columns| columns.iter().copied().filter(|column| *column < own).collect());
        TableBatches::new(table, Decoder::Table(stream, projection), columns, (0, 0), bytes)
    }

    fn new(
        table: &InputTable,
        decoder: Decoder,
        columns: Option<&[usize]>,
        (total_rows, file_bytes): (u64, u64),
        bytes: &Arc<AtomicU64>,
    ) -> TableBatches {
        let own = table.file_columns();
        let constant = |at: usize| {
            let value = String::from_utf8_lossy(&table.constants[at]).into_owned();
            (table.columns[own + at].clone(), value)
        };
        let wanted = |at: &usize| columns.is_none_or(|columns| columns.contains(&(own + at)));
        TableBatches {
            path: table.path.clone(),
            decoder,
            constants: (0..table.constants.len()).filter(wanted).map(constant).collect(),
            rest: None,
            failed: false,
            rows: 0,
            total_rows,
            file_bytes,
            bytes: Arc::clone(bytes),
        }
    }

    /// The batch with the columns behind those of the file.
    fn complete(&self, batch: RecordBatch) -> Result<RecordBatch> {
        if self.constants.is_empty() {
            return Ok(batch);
        }
        let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for (name, value) in &self.constants {
            fields.push(Arc::new(Field::new(name, DataType::Utf8, false)));
            columns.push(Arc::new(StringArray::from(vec![value.as_str(); batch.num_rows()])));
        }
        guard(&self.path, "columns", || RecordBatch::try_new(Arc::new(Schema::new(fields)), columns))
    }
}

enum Ipc {
    File,
    Stream,
}

fn ipc(path: &Path, file: &mut File) -> Result<Ipc> {
    let mut magic = [0; 6];
    let io = |e| Error::io(path, e);
    file.rewind().map_err(io)?;
    let known = file.read_exact(&mut magic).is_ok();
    file.rewind().map_err(io)?;
    match magic {
        _ if !known => Err(Error::input(path, "is not an Arrow IPC file")),
        [b'A', b'R', b'R', b'O', b'W', b'1'] => Ok(Ipc::File),
        [0xff, 0xff, 0xff, 0xff, ..] => Ok(Ipc::Stream),
        [b'F', b'E', b'A', b'1', ..] => {
            Err(Error::input(path, "is a Feather file of version 1; write it again as version 2 (Arrow IPC)"))
        }
        _ => Err(Error::input(path, "is not an Arrow IPC file")),
    }
}

impl Iterator for TableBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            if let Some(batch) = self.rest.take() {
                if batch.num_rows() > BATCH {
                    self.rest = Some(batch.slice(BATCH, batch.num_rows() - BATCH));
                    return Some(Ok(batch.slice(0, BATCH)));
                }
                if batch.num_rows() > 0 {
                    return Some(Ok(batch));
                }
            }
            let decoder = &mut self.decoder;
            let next = guard(&self.path, &format!("row {}", self.rows + 1), || match decoder {
                Decoder::File(reader) => reader.next().transpose(),
                Decoder::Stream(reader) => reader.next().transpose(),
                Decoder::Parquet(reader) => reader.next().transpose(),
                Decoder::Table(stream, None) => stream.next().transpose(),
                Decoder::Table(stream, Some(columns)) => stream.next().map(|batch| batch?.project(columns)).transpose(),
            });
            match next {
                Ok(None) => {
                    return None;
                }
                Ok(Some(batch)) => {
                    let rows = batch.num_rows() as u64;
                    self.rows += rows;
                    if self.total_rows > 0 {
                        let share = rows as f64 / self.total_rows as f64 * self.file_bytes as f64;
                        self.bytes.fetch_add(share as u64, Relaxed);
                    } else {
                        self.bytes.fetch_add(batch.get_array_memory_size() as u64, Relaxed);
                    }
                    match self.complete(batch) {
                        Ok(batch) => self.rest = Some(batch),
                        Err(error) => {
                            self.failed = true;
                            return Some(Err(error));
                        }
                    }
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
