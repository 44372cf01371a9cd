//! The file that pieces are appended to.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_ipc::writer::FileWriter;
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::columns::{from_arrow, schema_of};
use super::encode::{Encoded, EncodedBytes, Encoding, Form, ROW_GROUP_ROWS, parquet};
use super::format::{Packing, PredictionFormat};
use super::gzip::GzipFile;
use super::{IdKind, check_path};
use crate::files::AtomicFile;
use crate::{Error, Result};

/// What stands over the columns of CSV.
const CSV_HEADER: &[u8] = b"user,rank,item,score\n";

/// A file of predictions that is being written. Dropped before it is finished, or after an error, it leaves what was there.
pub(crate) struct PredictionFile {
    path: PathBuf,
    target: AtomicFile,
    out: Out,
    rows: u64,
}

enum Out {
    Arrow(Box<FileWriter<BufWriter<File>>>),
    Parquet(Box<SerializedFileWriter<BufWriter<File>>>),
    Text(BufWriter<File>),
    Gzip(GzipFile<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl PredictionFile {
    /// Starts the file, and says how its pieces are made; see [`PredictionWriter::create`](super::PredictionWriter::create).
    pub(crate) fn create(
        path: &Path,
        users: IdKind,
        items: IdKind,
        by_user: bool,
    ) -> Result<(PredictionFile, Encoding)> {
        check_path(path, by_user)?;
        let format = PredictionFormat::of(path)?;
        let folder = crate::files::folder_of(path);
        if !folder.is_dir() {
            return Err(Error::input(path, format!("the folder {} does not exist; create it first", folder.display())));
        }
        let target = AtomicFile::create(path)?;
        let file = target.file().try_clone().map_err(|e| Error::io(path, e))?;
        let schema = schema_of(users, items);
        let (out, form) = Out::start(format, BufWriter::with_capacity(1 << 20, file), schema, by_user)
            .map_err(|e| Error::io(path, e))?;
        let file = PredictionFile { path: path.to_owned(), target, out, rows: 0 };
        Ok((file, Encoding { form, users, items }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn append(&mut self, piece: Encoded) -> Result<()> {
        if piece.rows == 0 {
            return Ok(());
        }
        self.rows += piece.rows;
        self.out.append(piece.bytes).map_err(|e| self.failed(e))
    }

    /// Ends the file and puts it in its place. Returns its rows.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn finish(self) -> Result<u64> {
        let PredictionFile { path, target, out, rows } = self;
        out.finish().map_err(|e| Error::io(&path, e))?;
        target.commit()?;
        Ok(rows)
    }

    /// The error of a piece of this file.
    pub(crate) fn failed(&self, error: io::Error) -> Error {
        failed(&self.path, error)
    }
}

/// The error of a piece of the file at `path`.
pub(crate) fn failed(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::input(path, error.to_string()),
        _ => Error::io(path, error),
    }
}

impl Out {
    fn start(
        format: PredictionFormat,
        mut out: BufWriter<File>,
        schema: Arc<Schema>,
        by_user: bool,
    ) -> io::Result<(Out, Form)> {
        let (packing, form) = match format {
            PredictionFormat::Arrow => {
                let writer = FileWriter::try_new(out, &schema).map_err(from_arrow)?;
                return Ok((Out::Arrow(Box::new(writer)), Form::Arrow(schema)));
            }
            PredictionFormat::Parquet => {
                let (writer, factory) = start_parquet(out, &schema)?;
                return Ok((Out::Parquet(Box::new(writer)), Form::Parquet(schema, factory)));
            }
            PredictionFormat::Csv(packing) => (packing, Form::Csv { gzip: matches!(packing, Packing::Gzip) }),
            PredictionFormat::JsonLines(packing) => {
                (packing, Form::JsonLines { by_user, gzip: matches!(packing, Packing::Gzip) })
            }
        };
        let header = if matches!(form, Form::Csv { .. }) { CSV_HEADER } else { &[] };
        let out = match packing {
            Packing::None => {
                out.write_all(header)?;
                Out::Text(out)
            }
            Packing::Gzip => {
                let mut out = GzipFile::start(out)?;
                out.append(&super::gzip::GzipPiece::pack(header)?)?;
                Out::Gzip(out)
            }
            Packing::Zstd => {
                let mut out = zstd::Encoder::new(out, 0)?;
                out.write_all(header)?;
                Out::Zstd(out)
            }
        };
        Ok((out, form))
    }

    fn append(&mut self, bytes: EncodedBytes) -> io::Result<()> {
        match (self, bytes) {
            (Out::Arrow(writer), EncodedBytes::Batches(batches)) => {
                batches.iter().try_for_each(|batch| writer.write(batch)).map_err(from_arrow)
            }
            (Out::Parquet(writer), EncodedBytes::RowGroup(columns)) => parquet(|| {
                let mut group = writer.next_row_group()?;
                columns.into_iter().try_for_each(|column| column.append_to_row_group(&mut group))?;
                group.close().map(|_| ())
            }),
            (Out::Text(out), EncodedBytes::Text(text)) => out.write_all(&text),
            (Out::Zstd(out), EncodedBytes::Text(text)) => out.write_all(&text),
            (Out::Gzip(out), EncodedBytes::Gzip(piece)) => out.append(&piece),
            _ => Err(io::Error::other("a piece of another format")),
        }
    }

    /// Writes what is left, to the operating system.
    fn finish(self) -> io::Result<()> {
        match self {
            Out::Arrow(mut writer) => {
                writer.finish().map_err(from_arrow)?;
                writer.get_mut().flush()
            }
            Out::Parquet(mut writer) => {
                parquet(|| writer.finish())?;
                writer.inner_mut().flush()
            }
            Out::Text(mut out) => out.flush(),
            Out::Gzip(out) => out.finish()?.flush(),
            Out::Zstd(out) => out.finish()?.flush(),
        }
    }
}

fn start_parquet(
    out: BufWriter<File>,
    schema: &Arc<Schema>,
) -> io::Result<(SerializedFileWriter<BufWriter<File>>, ArrowRowGroupWriterFactory)> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    parquet(|| ArrowWriter::try_new(out, Arc::clone(schema), Some(properties))?.into_serialized_writer())
}
