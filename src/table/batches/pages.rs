//! Parquet files whose page headers are checked before the library takes them on trust.
//!
//! The library allocates what a page header says that it needs: the page's bytes, compressed or not, the values of a
//! dictionary, the bytes of a statistic. [`Checked`] looks at each header first, as it is asked for, and compares what it
//! claims with the bytes that are there.

use std::fs::File;
use std::io::{BufReader, Error, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

/// The most bytes that zstd makes of one: a block of 128 KiB from four. Snappy, LZ4 and gzip make fewer.
const MOST: u64 = (128 << 10) / 4;
/// The same of brotli, whose blocks have 16 MiB.
const MOST_BROTLI: u64 = 16 << 20;
/// Levels of structures in a page header; its statistics are the third.
const DEEPEST: usize = 8;

/// A Parquet file that vouches for its page headers.
pub(super) struct Checked {
    file: File,
    bytes: u64,
    /// How many bytes a compressed one may stand for.
    each: u64,
}

impl Checked {
    pub(super) fn new(file: File, metadata: &ParquetMetaData) -> Result<Checked> {
        let brotli = |codec: Compression| matches!(codec, Compression::BROTLI(_));
        let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
        let each = if columns.map(|column| column.compression()).any(brotli) { MOST_BROTLI } else { MOST };
        Ok(Checked { bytes: file.metadata()?.len(), file, each })
    }

    /// Checks the page header that starts at byte `at`.
    fn check(&self, at: u64) -> Result<()> {
        let mut header = Header::new(&self.file, at, self.bytes);
        header.structure(0, 0)?;
        let (compressed, uncompressed) = (header.claim(COMPRESSED)?, header.claim(UNCOMPRESSED)?);
        if compressed > self.bytes.saturating_sub(header.at) {
            return Err(bad(format!("a page of {compressed} bytes does not lie inside the file")));
        }
        if uncompressed > compressed.saturating_mul(self.each).saturating_add(self.each) {
            return Err(bad(format!("a page of {compressed} bytes cannot hold the {uncompressed} that it claims")));
        }
        match header.claim(DICTIONARY)? {
            values if values > uncompressed => {
                Err(bad(format!("a dictionary of {uncompressed} bytes cannot hold the {values} values that it claims")))
            }
            _ => Ok(()),
        }
    }
}

impl Length for Checked {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Checked {
    type T = BufReader<File>;

    /// The library reads a page header from here.
    fn get_read(&self, start: u64) -> parquet::errors::Result<BufReader<File>> {
        self.check(start)?;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(BufReader::new(file))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if (length as u64) > self.bytes.saturating_sub(start) {
            return Err(ParquetError::EOF(format!("{length} bytes from byte {start} on do not lie inside the file")));
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::with_capacity(length);
        if file.take(length as u64).read_to_end(&mut bytes)? != length {
            return Err(ParquetError::EOF("the file was cut while it was read".into()));
        }
        Ok(bytes.into())
    }
}

fn bad(reason: String) -> Error {
    Error::new(std::io::ErrorKind::InvalidData, reason)
}

/// Claims of a page header, by their place in [`Header::claims`].
const UNCOMPRESSED: usize = 0;
const COMPRESSED: usize = 1;
const DICTIONARY: usize = 2;

/// A page header on its way: a structure of Thrift's compact protocol, of which a few numbers count.
struct Header<'a> {
    file: &'a File,
    /// Where the file ends.
    end: u64,
    at: u64,
    /// Bytes of the file that were read, and how many of them are behind `at`.
    buffer: [u8; 256],
    ready: usize,
    claims: [Option<i64>; 3],
}

impl<'a> Header<'a> {
    fn new(file: &'a File, at: u64, end: u64) -> Header<'a> {
        Header { file, end, at, buffer: [0; 256], ready: 0, claims: [None; 3] }
    }

    fn claim(&self, which: usize) -> Result<u64> {
        let claim = self.claims[which].unwrap_or(0);
        u64::try_from(claim).map_err(|_| bad(format!("a page header says {claim} where it counts")))
    }

    fn byte(&mut self) -> Result<u8> {
        if self.ready == 0 {
            let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(self.buffer.len());
            if left == 0 {
                return Err(bad("a page header does not lie inside the file".into()));
            }
            // At the end of the buffer, so that `ready` says where the next byte is.
            let from = self.buffer.len() - left;
            self.file.read_exact_at(&mut self.buffer[from..], self.at)?;
            self.ready = left;
        }
        let byte = self.buffer[self.buffer.len() - self.ready];
        self.ready -= 1;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(bad("a number in a page header does not end".into()))
    }

    fn signed(&mut self) -> Result<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.end.saturating_sub(self.at) {
            return Err(bad(format!("{bytes} bytes of a page header do not lie inside the file")));
        }
        self.at += bytes;
        self.ready = (self.ready as u64).saturating_sub(bytes) as usize;
        Ok(())
    }

    /// Reads a structure, the field `of` of the one around it.
    fn structure(&mut self, depth: usize, of: i64) -> Result<()> {
        let mut field = 0i64;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Ok(());
            }
            field = match i64::from(byte >> 4) {
                0 => self.signed()?,
                step => field.saturating_add(step),
            };
            let which = match (depth, of, field) {
                (0, _, 2) => Some(UNCOMPRESSED),
                (0, _, 3) => Some(COMPRESSED),
                (1, 7, 1) => Some(DICTIONARY),
                _ => None,
            };
            match (byte & 0x0f, which) {
                (4..=6, Some(which)) => self.claims[which] = Some(self.signed()?),
                (1 | 2, _) => {}
                (kind, _) => self.value(kind, depth, field)?,
            }
        }
    }

    /// Reads a value of this kind, which does not count.
    fn value(&mut self, kind: u8, depth: usize, field: i64) -> Result<()> {
        if depth > DEEPEST {
            return Err(bad("a page header is nested too deeply".into()));
        }
        match kind {
            // In a list a truth value is a byte.
            1..=3 => self.skip(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = if byte >> 4 == 15 { self.number()? } else { u64::from(byte >> 4) };
                if count > self.end.saturating_sub(self.at) {
                    return Err(bad("a list in a page header does not lie inside the file".into()));
                }
                (0..count).try_for_each(|_| self.value(byte & 0x0f, depth + 1, field))
            }
            12 => self.structure(depth + 1, field),
            13 => self.skip(16),
            _ => Err(bad("a page header cannot be understood".into())),
        }
    }
}
