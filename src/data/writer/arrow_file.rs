//! An Arrow file that is written as a stream, hashed on the way and given its name at the end.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_format::ipc::planus::{Builder, ReadAsRoot};
use arrow_format::ipc::{Footer, FooterRef, KeyValue};
use arrow2::array::Array;
use arrow2::chunk::Chunk;
use arrow2::datatypes::{Field, Schema};
use arrow2::io::ipc::write::{FileWriter, WriteOptions};
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::data::dataset::FileInfo;
use crate::files::AtomicFile;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"ARROW1";
/// Bytes of the mark before the footer.
const END_OF_STREAM: usize = 8;
/// Bytes after the footer: its length and the magic.
const FOOTER_END: usize = 4 + MAGIC.len();

/// One uncompressed Arrow file in the making.
pub(crate) struct ArrowFile {
    path: PathBuf,
    writer: FileWriter<Hashing<BufWriter<AtomicFile>>>,
    /// Set while the writer's footer is held back; the writer does not lend out what it writes to.
    hold: Arc<AtomicBool>,
    rows: u64,
}

impl ArrowFile {
    /// Starts the file.
    pub(crate) fn create(path: &Path, fields: Vec<Field>) -> Result<ArrowFile> {
        let file = AtomicFile::inside(path)?;
        let hold = Arc::new(AtomicBool::new(false));
        let out = Hashing {
            inner: BufWriter::with_capacity(1 << 18, file),
            hasher: Xxh3Default::new(),
            bytes: 0,
            hold: hold.clone(),
            held: Vec::new(),
        };
        let schema = Schema { fields, metadata: Default::default() };
        let writer = FileWriter::try_new(out, schema, None, WriteOptions { compression: None })
            .map_err(|e| Error::io(path, io_error(e)))?;
        Ok(ArrowFile { path: path.to_owned(), writer, hold, rows: 0 })
    }

    /// Appends a record batch.
    pub(crate) fn write(&mut self, columns: Vec<Box<dyn Array>>) -> Result<()> {
        let chunk = Chunk::try_new(columns).map_err(|e| Error::io(&self.path, io_error(e)))?;
        self.writer.write(&chunk, None).map_err(|e| Error::io(&self.path, io_error(e)))?;
        self.rows += chunk.len() as u64;
        Ok(())
    }

    /// Writes the footer with `metadata` in it, and gives the file its name.
    ///
    /// The metadata is the file's, not the schema's: a program that reads the file, changes rows and writes them again
    /// keeps a schema's metadata, and checksums in it would be wrong. arrow2 writes no such metadata, so the footer
    /// that it makes is extended before it is written.
    pub(crate) fn finish(mut self, metadata: Vec<(String, String)>) -> Result<FileInfo> {
        let path = self.path;
        let failed = |e| Error::io(&path, e);
        self.hold.store(true, Ordering::Relaxed);
        self.writer.finish().map_err(io_error).map_err(failed)?;
        self.hold.store(false, Ordering::Relaxed);
        let mut out = self.writer.into_inner();
        let tail = extend_footer(&out.held, metadata)
            .ok_or_else(|| failed(std::io::Error::other("the Arrow writer made a footer that cannot be read")))?;
        out.write_all(&tail).and_then(|()| out.flush()).map_err(failed)?;
        let footer = tail.get(END_OF_STREAM..tail.len() - FOOTER_END).map(xxh3_64);
        let info = FileInfo {
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            rows: self.rows,
            bytes: out.bytes,
            xxh3: Some(format!("{:016x}", out.hasher.digest())),
            footer: footer.map(|xxh3| format!("{xxh3:016x}")),
        };
        let file = out.inner.into_inner().map_err(|e| failed(e.into_error()))?;
        file.commit()?;
        Ok(info)
    }
}

/// End-of-stream mark, footer, its length and the magic, with `metadata` added to the footer.
fn extend_footer(tail: &[u8], metadata: Vec<(String, String)>) -> Option<Vec<u8>> {
    let (end_of_stream, rest) = tail.split_at_checked(END_OF_STREAM)?;
    let footer = rest.get(..rest.len().checked_sub(FOOTER_END)?)?;
    let mut footer: Footer = FooterRef::read_as_root(footer).ok()?.try_into().ok()?;
    let pairs = metadata.into_iter().map(|(key, value)| KeyValue { key: Some(key), value: Some(value) }).collect();
    footer.custom_metadata = Some(pairs);
    let mut builder = Builder::new();
    let footer = builder.finish(&footer, None);
    let length = i32::try_from(footer.len()).ok()?;
    Some([end_of_stream, footer, &length.to_le_bytes(), MAGIC].concat())
}

fn io_error(error: arrow2::error::Error) -> std::io::Error {
    match error {
        arrow2::error::Error::Io(e) => e,
        other => std::io::Error::other(other.to_string()),
    }
}

/// Counts and hashes what passes; while `hold` is set, keeps it in `held` instead.
struct Hashing<W> {
    inner: W,
    hasher: Xxh3Default,
    bytes: u64,
    hold: Arc<AtomicBool>,
    held: Vec<u8>,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.hold.load(Ordering::Relaxed) {
            self.held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let n = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
