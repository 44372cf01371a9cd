//! Text files: unpacking (plain, gzip, zstd; byte order mark), and cutting into pieces that end where a row ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memchr::{memchr, memrchr};

use super::dialect::{Dialect, RowEnd};
use super::foreign;
use super::rows::{MAX_LINE, Reject, RowReader, TOO_LONG};
use crate::{Error, Result};

/// Bytes that are looked at to tell how a file is to be read.
const SAMPLE: usize = 1 << 18;

/// A text file that is being read, decompressed on the way.
pub(crate) struct TextFile {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    compressed: bool,
}

/// Counts the bytes that come off the disk.
struct Counting {
    inner: File,
    bytes: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

impl TextFile {
    /// Begins to read an open file; `start` are the bytes that have been taken from it already, and `bytes` counts what is
    /// read from the disk. A byte order mark is skipped.
    pub(crate) fn new(path: &Path, file: File, start: Vec<u8>, bytes: &Arc<AtomicU64>) -> Result<TextFile> {
        let file = Counting { inner: file, bytes: Arc::clone(bytes) };
        let mut raw = BufReader::with_capacity(1 << 18, Cursor::new(start).chain(file));
        let magic = raw.fill_buf().map_err(|e| Error::io(path, e))?;
        let (input, compressed): (Box<dyn BufRead + Send>, bool) = match magic {
            [0x1f, 0x8b, ..] => (unpacked(flate2::bufread::MultiGzDecoder::new(raw)), true),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                (unpacked(zstd::stream::read::Decoder::with_buffer(raw).map_err(|e| Error::io(path, e))?), true)
            }
            _ => (Box::new(raw), false),
        };
        let mut text = TextFile { path: path.to_owned(), input, compressed };
        let start = text.input.fill_buf().map_err(|e| read_error(path, compressed, e))?;
        let mark = match start {
            [0xef, 0xbb, 0xbf, ..] => 3,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(Error::input(path, "is UTF-16; convert it to UTF-8 (iconv -f utf-16 -t utf-8)"));
            }
            _ => 0,
        };
        text.input.consume(mark);
        Ok(text)
    }

    /// Whole lines from where the reading stands, which they do not move: at most [`SAMPLE`] bytes, and at least the
    /// first line that is not empty.
    ///
    /// # Errors
    /// [`Error::Input`] for a first line that is too long, and for what is no text.
    pub(crate) fn sample(&mut self) -> Result<Vec<u8>> {
        let mut sample = Vec::new();
        let mut want = SAMPLE;
        let ended = loop {
            let missing = (want - sample.len()) as u64;
            let read = (&mut self.input).take(missing).read_to_end(&mut sample);
            let read = read.map_err(|e| read_error(&self.path, self.compressed, e))? as u64;
            if let Some(reason) = foreign::of(&sample, &self.path) {
                return Err(Error::input(&self.path, reason));
            }
            let begin = sample.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(sample.len());
            let first_line = memchr(b'\n', &sample[begin..]).unwrap_or(sample.len() - begin);
            if first_line <= MAX_LINE && (read < missing || begin + first_line < sample.len()) {
                break read < missing;
            }
            if want > MAX_LINE {
                return Err(Error::input(&self.path, format!("its first line is longer than {MAX_LINE} bytes")));
            }
            want *= 2;
        };
        let input = std::mem::replace(&mut self.input, Box::new(io::empty()));
        let lines = match ended {
            true => sample.len(),
            false => memrchr(b'\n', &sample).map_or(sample.len(), |n| n + 1),
        };
        let whole = sample[..lines].to_vec();
        self.input = Box::new(Cursor::new(sample).chain(input));
        Ok(whole)
    }

    /// Passes over so many lines.
    pub(crate) fn skip_lines(&mut self, lines: u64) -> Result<()> {
        let mut line = Vec::new();
        for _ in 0..lines {
            line.clear();
            let read = (&mut self.input).take(2 * MAX_LINE as u64).read_until(b'\n', &mut line);
            read.map_err(|e| read_error(&self.path, self.compressed, e))?;
        }
        Ok(())
    }
}

fn unpacked(input: impl Read + Send + 'static) -> Box<dyn BufRead + Send> {
    Box::new(BufReader::with_capacity(1 << 16, input))
}

/// A failure of the disk is an I/O error, one of the decompression is damage.
fn read_error(path: &Path, compressed: bool, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof | Other if compressed => {
            Error::damaged(path, "compressed data", format!("{error}; is the file cut off?"))
        }
        _ => Error::io(path, error),
    }
}

/// A part of a text file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole rows, in the buffer.
    Rows,
    /// Lines that are no row, in the buffer (cut to [`MAX_LINE`]): `line` is the one to blame, counted from the piece's
    /// start, of `lines`; `quote` is where the quote stands that stays open, if that is the trouble.
    Bad { line: u64, lines: u64, quote: Option<usize>, reason: String },
}

/// Cuts a text file into pieces of about `target` bytes.
pub(crate) struct Pieces {
    file: TextFile,
    dialect: Dialect,
    target: usize,
    carry: Vec<u8>,
    ended: bool,
}

impl Pieces {
    pub(crate) fn new(file: TextFile, dialect: Dialect, target: usize) -> Pieces {
        Pieces { file, dialect, target, carry: Vec::new(), ended: false }
    }

    /// Fills `buffer` with the next piece; None at the end.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Piece>> {
        buffer.clear();
        buffer.append(&mut self.carry);
        let mut target = self.target;
        loop {
            self.fill(buffer, target)?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let (end, open) = self.last_row_end(buffer);
            if end > 0 {
                self.carry.extend_from_slice(&buffer[end..]);
                buffer.truncate(end);
                return Ok(Some(Piece::Rows));
            }
            match open {
                Some(opened)
                    if self.ended || (buffer.len() > MAX_LINE && memchr(b'\n', &buffer[opened..]).is_some()) =>
                {
                    let reason = if self.ended { "is never closed" } else { "is not closed within 16 MiB" };
                    return Ok(Some(self.cut_at_quote(buffer, opened, reason)));
                }
                _ if buffer.len() > MAX_LINE => return self.cut_long_line(buffer).map(Some),
                // The last line may lack its line feed.
                _ if self.ended => return Ok(Some(Piece::Rows)),
                _ => target = buffer.len() + self.target,
            }
        }
    }

    fn fill(&mut self, buffer: &mut Vec<u8>, target: usize) -> Result<()> {
        if !self.ended && buffer.len() < target {
            let want = (target - buffer.len()) as u64;
            buffer.reserve(want as usize);
            let read = (&mut self.file.input).take(want).read_to_end(buffer);
            let read = read.map_err(|e| read_error(&self.file.path, self.file.compressed, e))?;
            self.ended = (read as u64) < want;
        }
        Ok(())
    }

    /// The end of the last row that is whole, and where the row after it opens a quote that stays open.
    fn last_row_end(&self, buffer: &[u8]) -> (usize, Option<usize>) {
        let (quote, escape) = (self.dialect.quote, self.dialect.escape);
        if ![quote, escape].into_iter().flatten().any(|special| memchr(special, buffer).is_some()) {
            return (memrchr(b'\n', buffer).map_or(0, |n| n + 1), None);
        }
        let mut end = 0;
        while end < buffer.len() {
            match self.dialect.row_end(buffer, end, self.ended) {
                RowEnd::At(next) | RowEnd::Stray(_, next) => end = next,
                RowEnd::Beyond => return (end, None),
                RowEnd::Quoted(opened) => return (end, Some(opened)),
            }
        }
        (end, None)
    }

    /// Gives up the row up to the end of the line in which the quote opens; reading goes on behind that line.
    fn cut_at_quote(&mut self, buffer: &mut Vec<u8>, opened: usize, reason: &str) -> Piece {
        let end = memchr(b'\n', &buffer[opened..]).map_or(buffer.len(), |n| opened + n + 1);
        let line = memchr::memchr_iter(b'\n', &buffer[..opened]).count() as u64;
        self.carry.extend_from_slice(&buffer[end..]);
        buffer.truncate(end);
        Piece::Bad { line, lines: line + 1, quote: Some(opened), reason: format!("the quote that opens here {reason}") }
    }

    /// Skips the rest of a line that is too long.
    fn cut_long_line(&mut self, buffer: &mut Vec<u8>) -> Result<Piece> {
        let line = memchr::memchr_iter(b'\n', buffer).count() as u64;
        buffer.truncate(MAX_LINE);
        loop {
            let input = &mut self.file.input;
            let rest = input.fill_buf().map_err(|e| read_error(&self.file.path, self.file.compressed, e))?;
            if rest.is_empty() {
                self.ended = true;
                break;
            }
            if let Some(n) = memchr(b'\n', rest) {
                input.consume(n + 1);
                break;
            }
            let all = rest.len();
            input.consume(all);
        }
        Ok(Piece::Bad { line: 0, lines: line + 1, quote: None, reason: TOO_LONG.into() })
    }
}

/// What to say about lines that are no row: see [`Piece::Bad`].
pub(crate) fn bad_lines(
    (line, quote, reason): (u64, Option<usize>, String),
    text: &[u8],
    columns: &[String],
    dialect: &Dialect,
) -> Reject {
    let column = quote.map_or(0, |quote| {
        let mut reader = RowReader::new(dialect);
        reader.next(&text[..quote], &mut 0).map_or(0, |row| row.len() - 1)
    });
    let column = columns.get(column).or(columns.last()).cloned().unwrap_or_default();
    Reject { line, column, reason, text: text.trim_ascii_end().to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn pieces(text: &[u8], target: usize) -> Vec<(Piece, Vec<u8>)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        let mut open = TextFile::new(file.path(), file.reopen().unwrap(), Vec::new(), &Arc::default()).unwrap();
        // What is looked at stays to be read.
        let _ = open.sample();
        let dialect = Dialect {
            sep: b",".to_vec(),
            quote: Some(b'"'),
            escape: None,
            width: 2,
            quote_is_said: false,
            json: false,
        };
        let mut pieces = Pieces::new(open, dialect, target);
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        while let Some(piece) = pieces.next(&mut buffer).unwrap() {
            found.push((piece, buffer.clone()));
        }
        found
    }

    #[test]
    fn pieces_end_where_rows_end_whatever_their_size() {
        let text = b"a,b\n\"x\ny\",\"\"\"\n\"\n5\" pipe,\"\"\n\n\"\"\"\",1\nlast,row";
        for target in 1..60 {
            let found = pieces(text, target);
            assert!(found.iter().all(|(piece, _)| *piece == Piece::Rows));
            assert_eq!(found.concat_bytes(), text);
            let starts: Vec<usize> = found
                .iter()
                .scan(0, |at, (_, b)| {
                    *at += b.len();
                    Some(*at)
                })
                .collect();
            assert!(starts.iter().all(|s| [4, 16, 27, 28, 35, 43].contains(s)), "{target}: {starts:?}");
        }
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }
    impl Concat for Vec<(Piece, Vec<u8>)> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
        }
    }

    #[test]
    fn an_open_quote_costs_its_own_line_only() {
        let found = pieces(b"1,2\n\"a\nb\",\"open\n3,4\n5,6", 1000);
        let reason = "the quote that opens here is never closed".into();
        let bad = Piece::Bad { line: 1, lines: 2, quote: Some(6), reason };
        let expected: Vec<(Piece, &[u8])> =
            vec![(Piece::Rows, b"1,2\n"), (bad, b"\"a\nb\",\"open\n"), (Piece::Rows, b"3,4\n"), (Piece::Rows, b"5,6")];
        assert_eq!(found, expected.into_iter().map(|(p, b)| (p, b.to_vec())).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let mut text = b"1,2\n".to_vec();
        text.resize(text.len() + MAX_LINE + (3 << 20), b'x');
        text.extend_from_slice(b"\n3,4\n");
        let found = pieces(&text, 1 << 20);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].1, b"1,2\n");
        assert!(
            matches!(&found[1].0, Piece::Bad { line: 0, lines: 1, quote: None, reason } if reason.contains("16 MiB"))
        );
        assert_eq!(found[2].1, b"3,4\n");
    }
}
