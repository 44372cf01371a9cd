//! The layout of an Arrow IPC file, read from its footer and record batch headers with every number checked.
//!
//! Values are found by arithmetic on numbers that the file gives, so every offset and length is checked against the
//! file before it is used, and a slice is only ever taken with `get`.

mod schema;

pub(crate) use schema::ColumnType;
use schema::Walk;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use arrow_format::ipc::planus::errors::ErrorKind;
use arrow_format::ipc::planus::table_reader::Table;
use arrow_format::ipc::planus::{self, ReadAsRoot, SliceWithStartOffset, TableRead};
use arrow_format::ipc::{self, FooterRef, MessageHeaderRef, MessageRef};

use xxhash_rust::xxh3::xxh3_64;

use super::checksum::RowChecksums;
use crate::files::OpenedFile;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"ARROW1";
const CONTINUATION: [u8; 4] = [0xff; 4];

/// What a layout is read from: a file without mapping it, or bytes.
pub(crate) trait ByteSource {
    /// Its length in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `into` from byte `at` on.
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()>;
}

impl ByteSource for File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
    #[cfg(unix)]
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, into, at)
    }
    #[cfg(not(unix))]
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(into)
    }
}

impl ByteSource for OpenedFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file()?.bytes()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file()?.read(at, into)
    }
}

impl ByteSource for [u8] {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)).and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A column of the schema, and where a record batch describes it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    /// Its first node in a record batch.
    node: usize,
    /// Its first buffer in a record batch, not counting the data buffers of view columns before it.
    buffer: usize,
    /// View columns before it: how many data buffers each has differs from batch to batch.
    views: usize,
}

/// What the footer says.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) columns: Vec<Column>,
    pub(crate) promise: Option<RowChecksums>,
    blocks: Vec<Block>,
    file_bytes: u64,
    xxh3: u64,
}

#[derive(Debug)]
struct Block {
    header: Range<u64>,
    body: Range<u64>,
}

/// What the header of a record batch says: where its values are.
#[derive(Debug)]
pub(crate) struct BatchHeader {
    pub(crate) rows: u64,
    nodes: Vec<(u64, u64)>,
    buffers: Vec<Range<u64>>,
    /// Data buffers of each view column.
    views: Vec<u64>,
}

fn damaged(path: &Path, at: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::damaged(path, at, format!("{}; write or ingest the file again", reason.into()))
}

fn fill<S: ByteSource + ?Sized>(source: &S, path: &Path, at: u64, into: &mut [u8]) -> Result<()> {
    source.read(at, into).map_err(|e| Error::io(path, e))
}

impl Footer {
    /// Reads the footer of an Arrow file.
    pub(crate) fn read<S: ByteSource + ?Sized>(source: &S, path: &Path) -> Result<Footer> {
        let file_bytes = source.bytes().map_err(|e| Error::io(path, e))?;
        if file_bytes == 0 {
            return Err(Error::input(path, "the file is empty"));
        }
        let mut magic = [0; 8];
        let mut tail = [0; 10];
        if file_bytes < (magic.len() + tail.len()) as u64 {
            return Err(Error::input(path, format!("not an Arrow IPC file: {file_bytes} bytes are too few")));
        }
        fill(source, path, 0, &mut magic)?;
        fill(source, path, file_bytes - tail.len() as u64, &mut tail)?;
        if &magic[..6] != MAGIC {
            return Err(Error::input(path, "not an Arrow IPC file (it must begin with ARROW1)"));
        }
        if &tail[4..] != MAGIC {
            return Err(damaged(path, "end of file", "an Arrow IPC file ends with ARROW1; was it cut off?"));
        }
        let length = i32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]);
        let end = file_bytes - tail.len() as u64;
        let start = u64::try_from(length)
            .ok()
            .and_then(|length| end.checked_sub(length))
            .filter(|&start| start >= magic.len() as u64)
            .ok_or_else(|| damaged(path, "footer", format!("its length cannot be {length}")))?;
        let mut bytes = vec![0; (end - start) as usize];
        fill(source, path, start, &mut bytes)?;
        let footer = Self::parse(&bytes, start, file_bytes, path)?;
        let footer = footer.map_err(|e: planus::Error| damaged(path, "footer", e.to_string()))?;
        Ok(Footer { xxh3: xxh3_64(&bytes), ..footer })
    }

    /// The outer result is about what the footer says, the inner one about whether it can be read at all.
    fn parse(bytes: &[u8], start: u64, file_bytes: u64, path: &Path) -> Result<planus::Result<Footer>> {
        let read = || -> planus::Result<Result<Footer>> {
            let footer = FooterRef::read_as_root(bytes)?;
            let Some(schema) = footer.schema()? else { return Ok(Err(damaged(path, "footer", "no schema"))) };
            if schema.endianness()? != ipc::Endianness::Little {
                return Ok(Err(Error::input(path, "big-endian; write the file on a little-endian machine")));
            }
            let mut walk = Walk::default();
            let mut columns = Vec::new();
            for field in schema.fields()?.into_iter().flatten() {
                let field = field?;
                let (node, buffer, views) = (walk.nodes, walk.buffers, walk.views);
                let known = !walk.lost;
                let mut kind = walk.field(field, 0)?;
                if !known {
                    kind = ColumnType::Other("a place behind a column of unknown type; move it to the front".into());
                }
                columns.push(Column { name: field.name()?.unwrap_or_default().to_owned(), kind, node, buffer, views });
            }
            if walk.too_much {
                return Ok(Err(damaged(path, "footer", "the schema has too many fields")));
            }
            let mut pairs = Vec::new();
            for pair in footer.custom_metadata()?.into_iter().flatten() {
                let pair = pair?;
                if let (Some(key), Some(value)) = (pair.key()?, pair.value()?) {
                    pairs.push((key, value));
                }
            }
            let promise = match RowChecksums::from_metadata(pairs.into_iter()) {
                Ok(promise) => promise,
                Err(reason) => return Ok(Err(damaged(path, "footer", reason))),
            };
            let mut blocks = Vec::new();
            for (i, block) in footer.record_batches()?.into_iter().flatten().enumerate() {
                let place = || -> Option<Block> {
                    let header_start = u64::try_from(block.offset()).ok()?;
                    let header_end = header_start.checked_add(u64::try_from(block.meta_data_length()).ok()?)?;
                    let body_end = header_end.checked_add(u64::try_from(block.body_length()).ok()?)?;
                    (header_start >= 8 && body_end <= start)
                        .then_some(Block { header: header_start..header_end, body: header_end..body_end })
                };
                match place() {
                    Some(block) => blocks.push(block),
                    None => return Ok(Err(damaged(path, format!("record batch {i}"), "it lies outside the file"))),
                }
            }
            Ok(Ok(Footer { columns, promise, blocks, file_bytes, xxh3: 0 }))
        };
        match read() {
            Ok(Ok(footer)) => Ok(Ok(footer)),
            Ok(Err(error)) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The xxh3-64 of its bytes, as a manifest has it.
    pub(crate) fn xxh3(&self) -> String {
        format!("{:016x}", self.xxh3)
    }

    /// The number of record batches.
    pub(crate) fn batches(&self) -> usize {
        self.blocks.len()
    }

    /// The file's length when the footer was read.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The only column of this name; `None` where there is none.
    pub(crate) fn column(&self, name: &str, path: &Path) -> Result<Option<&Column>> {
        let mut found = self.columns.iter().filter(|column| column.name == name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Error::Schema {
                path: path.to_owned(),
                column: name.to_owned(),
                expected: "one column of this name".into(),
                found: "several".into(),
            }),
            None => Ok(first),
        }
    }

    /// Reads the header of record batch `i`.
    pub(crate) fn batch<S: ByteSource + ?Sized>(&self, source: &S, path: &Path, i: usize) -> Result<BatchHeader> {
        let at = || format!("record batch {i}");
        let block = self.blocks.get(i).ok_or_else(|| damaged(path, at(), "there is no such batch"))?;
        let mut bytes = vec![0; usize::try_from(block.header.end - block.header.start).unwrap_or(0)];
        fill(source, path, block.header.start, &mut bytes)?;
        let message = match bytes.strip_prefix(&CONTINUATION) {
            Some(rest) => rest,
            // Arrow before 0.15 wrote no continuation mark.
            None => &bytes,
        };
        let message = message
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.get(..usize::try_from(i32::from_le_bytes(*length)).ok()?))
            .ok_or_else(|| damaged(path, at(), "the length of its header"))?;
        Self::parse_batch(message, block, path, &at)
            .unwrap_or_else(|e: planus::Error| Err(damaged(path, at(), e.to_string())))
    }

    fn parse_batch(
        message: &[u8],
        block: &Block,
        path: &Path,
        at: &dyn Fn() -> String,
    ) -> planus::Result<Result<BatchHeader>> {
        let views = view_buffers(message)?;
        let message = MessageRef::read_as_root(message)?;
        let Some(MessageHeaderRef::RecordBatch(header)) = message.header()? else {
            return Ok(Err(damaged(path, at(), "its header is not that of a record batch")));
        };
        if header.compression()?.is_some() {
            return Ok(Err(Error::input(
                path,
                "compressed; write it uncompressed (pyarrow: ipc.IpcWriteOptions(compression=None), Polars: \
                 write_ipc(compression=\"uncompressed\")), or run `tercel ingest` on it",
            )));
        }
        let read = || -> planus::Result<Option<BatchHeader>> {
            let Ok(rows) = u64::try_from(header.length()?) else { return Ok(None) };
            let (mut nodes, mut buffers) = (Vec::new(), Vec::new());
            for node in header.nodes()?.into_iter().flatten() {
                let (Ok(length), Ok(nulls)) = (u64::try_from(node.length()), u64::try_from(node.null_count())) else {
                    return Ok(None);
                };
                nodes.push((length, nulls));
            }
            for buffer in header.buffers()?.into_iter().flatten() {
                let place = || -> Option<Range<u64>> {
                    let start = block.body.start.checked_add(u64::try_from(buffer.offset()).ok()?)?;
                    let end = start.checked_add(u64::try_from(buffer.length()).ok()?)?;
                    (end <= block.body.end).then_some(start..end)
                };
                let Some(place) = place() else { return Ok(None) };
                buffers.push(place);
            }
            let views: Option<Vec<u64>> = views.into_iter().map(|count| u64::try_from(count).ok()).collect();
            Ok(views.map(|views| BatchHeader { rows, nodes, buffers, views }))
        };
        Ok(read()?.ok_or_else(|| damaged(path, at(), "a length or offset does not fit")))
    }
}

/// The counts of data buffers of view columns: a field of record batches that is newer than the format library, read
/// with the library's own reader of tables.
fn view_buffers(message: &[u8]) -> planus::Result<Vec<i64>> {
    const HEADER: usize = 2;
    const VARIADIC_BUFFER_COUNTS: usize = 4;
    struct Header<'a>(Table<'a>);
    impl<'a> TableRead<'a> for Header<'a> {
        fn from_buffer(buffer: SliceWithStartOffset<'a>, offset: usize) -> std::result::Result<Self, ErrorKind> {
            Table::from_buffer(buffer, offset).map(Header)
        }
    }
    let root = SliceWithStartOffset { buffer: message, offset_from_start: 0 };
    let Ok(message) = Table::from_buffer(root, 0) else { return Ok(Vec::new()) };
    let Some(Header(header)) = message.access(HEADER, "Message", "header")? else { return Ok(Vec::new()) };
    let counts: Option<planus::Vector<'_, i64>> =
        header.access(VARIADIC_BUFFER_COUNTS, "RecordBatch", "variadicBufferCounts")?;
    Ok(counts.into_iter().flatten().collect())
}

impl BatchHeader {
    /// Where the values of a primitive column with `width` bytes a value are; `None` where the header does not give
    /// room for them or has nulls.
    pub(crate) fn primitive(&self, column: &Column, width: u64) -> Option<Range<u64>> {
        let (length, nulls) = *self.nodes.get(column.node)?;
        (length == self.rows && nulls == 0).then_some(())?;
        self.values(column, 1, self.rows, width)
    }

    /// How many nulls a column has, and where the bitmap of those that are none is.
    pub(crate) fn validity(&self, column: &Column) -> Option<(u64, Range<u64>)> {
        let (length, nulls) = *self.nodes.get(column.node)?;
        (length == self.rows).then_some(())?;
        Some((nulls, self.buffer(column, 0)?))
    }

    /// Buffer `number` of a column.
    pub(crate) fn buffer(&self, column: &Column, number: usize) -> Option<Range<u64>> {
        let before = self.views.get(..column.views)?.iter().try_fold(0u64, |sum, &count| sum.checked_add(count))?;
        let at = usize::try_from(before).ok()?.checked_add(column.buffer)?.checked_add(number)?;
        self.buffers.get(at).cloned()
    }

    /// Where values 0..`count` of buffer `number` of a column are.
    fn values(&self, column: &Column, number: usize, count: u64, width: u64) -> Option<Range<u64>> {
        let place = self.buffer(column, number)?;
        let end = place.start.checked_add(count.checked_mul(width)?)?;
        (end <= place.end).then_some(place.start..end)
    }

    /// Where a column's values are, nulls or not: `width` bytes each.
    pub(crate) fn values_with_nulls(&self, column: &Column, width: u64) -> Option<Range<u64>> {
        self.values(column, 1, self.rows, width)
    }

    /// Where the offsets (rows + 1 of them, `width` bytes each) of a text or list column are. A batch without rows may
    /// have none.
    pub(crate) fn offsets(&self, column: &Column, width: u64) -> Option<Range<u64>> {
        let (length, _) = *self.nodes.get(column.node)?;
        (length == self.rows).then_some(())?;
        match self.rows {
            0 => self.values(column, 1, 0, width),
            rows => self.values(column, 1, rows.checked_add(1)?, width),
        }
    }

    /// Where the bytes of a text column are.
    pub(crate) fn text(&self, column: &Column) -> Option<Range<u64>> {
        self.buffer(column, 2)
    }

    /// How many data buffers a view column has; they are its buffers from number 2 on.
    pub(crate) fn view_buffers(&self, column: &Column) -> Option<u64> {
        self.views.get(column.views).copied()
    }

    /// Where the values of a list column of 4-byte values are; `None` when some are null.
    pub(crate) fn list_values(&self, column: &Column) -> Option<Range<u64>> {
        let (length, nulls) = *self.nodes.get(column.node + 1)?;
        (nulls == 0).then_some(())?;
        self.values(column, 3, length, 4)
    }
}
