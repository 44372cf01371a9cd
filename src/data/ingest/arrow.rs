//! Arrow IPC and Parquet files, through arrow-rs.
//!
//! arrow-rs can panic on damaged files; every call that decodes is guarded, and a panic becomes an error.

mod footer;

use std::fmt::Write;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_cast::display::array_value_to_string;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::inputs::Stream;
use super::rows::{Columns, Layout, Reject, check_id, quoted};
use super::table::{EachRow, Kind};
use super::text::open_file;
use super::time::{check_seconds, parse_time};
use crate::{Error, Result};

/// Rows that a worker gets at once.
const BATCH: usize = 16 << 10;

/// What separates the values of a list column in text form.
pub(super) const LIST_SEPARATOR: &str = "\u{1f}";

/// Calls arrow-rs on data of `path`; a panic is damage.
fn guard<T>(path: &Path, at: &str, call: impl FnOnce() -> std::result::Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        // A seek to where a damaged footer points is an invalid argument.
        Ok(Err(ArrowError::IoError(_, source)))
            if source.raw_os_error().is_some() && source.kind() != std::io::ErrorKind::InvalidInput =>
        {
            Err(Error::io(path, source))
        }
        Ok(Err(error)) => Err(Error::damaged(path, at, error.to_string())),
        Err(_) => Err(Error::damaged(path, at, "arrow-rs cannot decode it")),
    }
}

enum Decoder {
    File(FileReader<BufReader<File>>),
    Stream(StreamReader<BufReader<File>>),
    Parquet(ParquetRecordBatchReader),
    /// And the columns that are read, where not all are.
    Table(Stream, Option<Vec<usize>>),
}

/// The record batches of a file, in pieces of [`BATCH`] rows.
pub(super) struct Batches {
    path: PathBuf,
    decoder: Decoder,
    schema: SchemaRef,
    rest: Option<RecordBatch>,
    failed: bool,
    rows: u64,
    total_rows: u64,
    file_bytes: u64,
    bytes: Arc<AtomicU64>,
}

impl Batches {
    /// Opens a file, to read all columns or those at these ascending places. `bytes` counts what was read; it is an
    /// estimate.
    pub(super) fn open(path: &Path, kind: &Kind, columns: Option<&[usize]>, bytes: &Arc<AtomicU64>) -> Result<Batches> {
        let projection = columns.map(<[usize]>::to_vec);
        if let Kind::Table(input) = kind {
            let schema = Arc::clone(&input.schema);
            let stream = input.take().ok_or_else(|| Error::input(path, "its rows have been read already"))?;
            return Ok(Batches::new(path, Decoder::Table(stream, projection), schema, 0, 0, bytes));
        }
        let mut file = open_file(path)?;
        let file_bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let mut magic = [0; 6];
        let known = file.read_exact(&mut magic).is_ok();
        file.rewind().map_err(|e| Error::io(path, e))?;
        let (decoder, schema, total_rows) = if *kind == Kind::Parquet {
            if !known || &magic[..4] != b"PAR1" {
                return Err(Error::input(path, "is not a Parquet file"));
            }
            guard(path, "footer", || {
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH);
                let rows = builder.metadata().file_metadata().num_rows();
                let schema = Arc::clone(builder.schema());
                let mask = match projection {
                    Some(columns) => ProjectionMask::roots(builder.parquet_schema(), columns),
                    None => ProjectionMask::all(),
                };
                Ok((Decoder::Parquet(builder.with_projection(mask).build()?), schema, rows.max(0) as u64))
            })?
        } else if known && &magic == b"ARROW1" {
            let reader = guard(path, "footer", || {
                footer::check_blocks(&mut file, file_bytes)?;
                FileReader::try_new_buffered(file, projection)
            })?;
            let schema = reader.schema();
            (Decoder::File(reader), schema, 0)
        } else if known && (magic[..4] == [0xff; 4] || &magic[..4] == b"FEA1") {
            if &magic[..4] == b"FEA1" {
                return Err(Error::input(
                    path,
                    "is a Feather file of version 1; write it again as version 2 (Arrow IPC)",
                ));
            }
            let reader = guard(path, "schema", || StreamReader::try_new_buffered(file, projection))?;
            let schema = reader.schema();
            (Decoder::Stream(reader), schema, 0)
        } else {
            return Err(Error::input(path, "is not an Arrow IPC file"));
        };
        Ok(Batches::new(path, decoder, schema, total_rows, file_bytes, bytes))
    }

    fn new(
        path: &Path,
        decoder: Decoder,
        schema: SchemaRef,
        total_rows: u64,
        file_bytes: u64,
        bytes: &Arc<AtomicU64>,
    ) -> Batches {
        let (path, bytes) = (path.to_owned(), Arc::clone(bytes));
        Batches { path, decoder, schema, rest: None, failed: false, rows: 0, total_rows, file_bytes, bytes }
    }
}

impl Iterator for Batches {
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
                    self.rest = Some(batch);
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// The schema of a file or table.
fn schema(path: &Path, kind: &Kind) -> Result<SchemaRef> {
    match kind {
        Kind::Table(input) => Ok(Arc::clone(&input.schema)),
        _ => Ok(Batches::open(path, kind, None, &Arc::default())?.schema),
    }
}

/// The names of the columns, which are unique.
///
/// # Errors
/// [`Error::Input`] where two columns have one name.
pub(super) fn columns(path: &Path, kind: &Kind) -> Result<Vec<String>> {
    let names: Vec<String> = schema(path, kind)?.fields().iter().map(|f| f.name().clone()).collect();
    match (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
        Some(i) => Err(Error::input(path, format!("two columns are called `{}`; rename one", names[i]))),
        None => Ok(names),
    }
}

/// Whether ids of this type are integers.
fn is_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_integer(values),
        other => other.is_integer(),
    }
}

/// Whether ids of this type can be read, and as text.
///
/// # Errors
/// [`Error::Schema`] for a type that is neither text nor integer.
pub(super) fn check_id_type(path: &Path, kind: &Kind, column: usize) -> Result<bool> {
    let schema = schema(path, kind)?;
    let field = schema.field(column);
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match field.data_type() {
        other if is_integer(other) => Ok(false),
        DataType::Dictionary(_, values) if text(values) => Ok(true),
        other if text(other) => Ok(true),
        other => Err(Error::Schema {
            path: path.to_owned(),
            column: field.name().clone(),
            expected: "texts or integers".into(),
            found: other.to_string(),
        }),
    }
}

/// An id column in one of three types.
enum IdArray {
    Text(ArrayRef),
    Signed(ArrayRef),
    Unsigned(ArrayRef),
}

impl IdArray {
    fn new(array: &ArrayRef) -> std::result::Result<IdArray, ArrowError> {
        match array.data_type() {
            DataType::UInt64 => Ok(IdArray::Unsigned(Arc::clone(array))),
            DataType::Dictionary(_, values) if **values == DataType::UInt64 => {
                Ok(IdArray::Unsigned(cast(array, &DataType::UInt64)?))
            }
            other if is_integer(other) => Ok(IdArray::Signed(cast(array, &DataType::Int64)?)),
            _ => Ok(IdArray::Text(cast(array, &DataType::LargeUtf8)?)),
        }
    }

    /// The id as text, in `buffer` where it is a number.
    fn get<'a>(&'a self, row: usize, buffer: &'a mut String) -> std::result::Result<&'a [u8], String> {
        let array = match self {
            IdArray::Text(array) | IdArray::Signed(array) | IdArray::Unsigned(array) => array,
        };
        if array.is_null(row) {
            return Err("is null; an id is needed".into());
        }
        buffer.clear();
        let written = match self {
            IdArray::Text(array) => return Ok(array.as_string::<i64>().value(row).as_bytes()),
            IdArray::Signed(array) => write!(buffer, "{}", array.as_primitive::<Int64Type>().value(row)),
            IdArray::Unsigned(array) => write!(buffer, "{}", array.as_primitive::<UInt64Type>().value(row)),
        };
        written.map_err(|e| e.to_string())?;
        Ok(buffer.as_bytes())
    }
}

/// A time column: numbers of a unit, or texts.
enum TimeArray {
    Days(ArrayRef),
    Units(ArrayRef, i64),
    Float(ArrayRef),
    Text(ArrayRef),
}

impl TimeArray {
    fn new(array: &ArrayRef) -> std::result::Result<TimeArray, ArrowError> {
        let unit = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        };
        Ok(match array.data_type() {
            DataType::Date32 => TimeArray::Days(cast(array, &DataType::Int32)?),
            DataType::Date64 => TimeArray::Units(cast(array, &DataType::Int64)?, 1_000),
            // As integers the instants stay what they are, whatever the time zone.
            DataType::Timestamp(u, _) => TimeArray::Units(cast(array, &DataType::Int64)?, unit(u)),
            other if other.is_integer() => TimeArray::Units(cast(array, &DataType::Int64)?, 1),
            other if other.is_floating() => TimeArray::Float(cast(array, &DataType::Float64)?),
            _ => TimeArray::Text(cast(array, &DataType::LargeUtf8)?),
        })
    }

    fn get(&self, row: usize) -> std::result::Result<i64, String> {
        let array = match self {
            TimeArray::Days(a) | TimeArray::Units(a, _) | TimeArray::Float(a) | TimeArray::Text(a) => a,
        };
        if array.is_null(row) {
            return Err("is null or too large; a time is needed".into());
        }
        let checked = |seconds: i64| check_seconds(seconds).map_err(|reason| format!("`{seconds}` {reason}"));
        match self {
            TimeArray::Days(a) => checked(i64::from(a.as_primitive::<Int32Type>().value(row)) * 86_400),
            TimeArray::Units(a, unit) => checked(a.as_primitive::<Int64Type>().value(row).div_euclid(*unit)),
            TimeArray::Float(a) => match a.as_primitive::<Float64Type>().value(row) {
                // The cast saturates, which the check refuses.
                seconds if seconds.is_finite() => checked(seconds as i64),
                other => Err(format!("`{other}` is not a time")),
            },
            TimeArray::Text(a) => {
                let text = a.as_string::<i64>().value(row).as_bytes();
                parse_time(text).map_err(|reason| format!("{} {reason}", quoted(text)))
            }
        }
    }
}

impl Columns {
    /// Reads the rows of a batch behind what is here. With `stop` it ends at the first that cannot be read.
    ///
    /// # Errors
    /// [`Error::Damaged`] when arrow-rs cannot convert a column.
    pub(super) fn read_batch(&mut self, path: &Path, batch: &RecordBatch, layout: &Layout, stop: bool) -> Result<()> {
        let column = |i: usize| format!("column {}", layout.columns[i]);
        let id = |i: usize| guard(path, &column(i), || IdArray::new(batch.column(i)));
        let (users, items) = (id(layout.user)?, id(layout.item)?);
        let time = |i: usize| Ok((i, guard(path, &column(i), || TimeArray::new(batch.column(i)))?));
        let times: Option<(usize, TimeArray)> = layout.time.map(time).transpose()?;
        let weight = |i: usize| Ok((i, guard(path, &column(i), || cast(batch.column(i), &DataType::Float32))?));
        let weights: Option<(usize, ArrayRef)> = layout.weight.map(weight).transpose()?;
        let (mut user_text, mut item_text) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            let mut read = || {
                let user = users.get(row, &mut user_text).map_err(|reason| (layout.user, reason))?;
                check_id(user, true).map_err(|reason| (layout.user, reason))?;
                let item = items.get(row, &mut item_text).map_err(|reason| (layout.item, reason))?;
                check_id(item, true).map_err(|reason| (layout.item, reason))?;
                let time =
                    times.as_ref().map(|(i, array)| array.get(row).map_err(|reason| (*i, reason))).transpose()?;
                if let Some((i, array)) = &weights {
                    let value = array.is_valid(row).then(|| array.as_primitive::<Float32Type>().value(row));
                    match value {
                        Some(weight) if weight.is_finite() && weight >= 0.0 => self.weights.push(weight),
                        _ => return Err((*i, "is not a weight; a finite number from 0 is needed".to_owned())),
                    }
                }
                self.times.extend(time);
                self.users.push(user);
                self.items.push(item);
                Ok(())
            };
            if let Err((column, reason)) = read() {
                let column = layout.columns[column].clone();
                self.rejects.push(Reject { line: self.lines, column, reason, text: row_text(batch, row) });
                if stop {
                    return Ok(());
                }
            }
            self.lines += 1;
        }
        Ok(())
    }
}

/// A row's values, for `rejected.csv`.
fn row_text(batch: &RecordBatch, row: usize) -> Vec<u8> {
    let values = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap_or_default());
    values.collect::<Vec<_>>().join(",").into_bytes()
}

/// A column as texts; the values of a list stand between [`LIST_SEPARATOR`]s.
fn as_text(array: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let field = Arc::new(arrow_schema::Field::new_list_field(DataType::LargeUtf8, true));
            let lists = cast(array, &DataType::LargeList(field))?;
            let lists = lists.as_list::<i64>();
            let joined = (0..lists.len()).map(|row| {
                lists.is_valid(row).then(|| {
                    let values = lists.value(row);
                    values.as_string::<i64>().iter().flatten().collect::<Vec<_>>().join(LIST_SEPARATOR)
                })
            });
            Ok(Arc::new(joined.collect::<arrow_array::LargeStringArray>()))
        }
        _ => cast(array, &DataType::LargeUtf8),
    }
}

/// Calls `each` with the number (behind `before` rows) and the values as text of every row; how many rows are behind
/// it then.
pub(super) fn for_each_row(path: &Path, batch: &RecordBatch, before: u64, each: &mut EachRow<'_>) -> Result<u64> {
    let schema = batch.schema();
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(array, field)| guard(path, &format!("column {}", field.name()), || as_text(array)))
        .collect::<Result<_>>()?;
    let texts: Vec<_> = columns.iter().map(|column| column.as_string::<i64>()).collect();
    let mut values: Vec<&[u8]> = Vec::with_capacity(texts.len());
    for row in 0..batch.num_rows() {
        values.clear();
        values.extend(texts.iter().map(|t| if t.is_valid(row) { t.value(row).as_bytes() } else { &b""[..] }));
        each(before + row as u64 + 1, Ok(&values))?;
    }
    Ok(before + batch.num_rows() as u64)
}

/// The columns of a file that hold lists.
pub(super) fn list_columns(path: &Path, kind: &Kind) -> Result<Vec<String>> {
    let schema = schema(path, kind)?;
    let is_list = |t: &DataType| matches!(t, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    Ok(schema.fields().iter().filter(|f| is_list(f.data_type())).map(|f| f.name().clone()).collect())
}
