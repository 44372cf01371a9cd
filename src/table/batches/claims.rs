//! What an Arrow file claims, checked against its bytes before arrow-rs takes it on trust.
//!
//! arrow-rs allocates what a block, and what a compressed buffer, says that it needs, before it reads it. One damaged or
//! hostile number asks for any amount of memory, and memory that is not there ends the process.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow_ipc::{Block, CompressionType, Message, RecordBatch, root_as_footer, root_as_message};

use crate::{Error, Result, memory};

/// After the footer: its length and the magic.
const TAIL: u64 = 10;
/// What stands before a message from Arrow 0.15 on.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Before a compressed buffer: how long it is when it is not.
const PREFIX: u64 = 8;
/// The largest claim that is not tried before it is believed.
const SMALL: u64 = 64 << 20;

/// Which messages of a file are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that opening the file reads.
    Dictionaries,
    /// All of them.
    All,
}

/// A file, and how long it is.
struct SizedFile<'a> {
    path: &'a Path,
    file: &'a File,
    len: u64,
}

/// An error unless every block that the footer names lies in the file, and every buffer of the blocks in its block.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Io`], or [`Error::OutOfMemory`] for a claim that may be true but is too much for this host.
pub(super) fn check_file(path: &Path, file: &File, which: Which) -> Result<()> {
    let bytes = SizedFile::new(path, file)?;
    let bad = |what: &str| Error::damaged(path, "footer", what);
    let tail_start = bytes.len.checked_sub(TAIL).ok_or_else(|| bad("the file is too short for one"))?;
    let tail: [u8; 4] = bytes.word(tail_start)?;
    let length = u64::from(u32::from_le_bytes(tail));
    let start = tail_start.checked_sub(length).ok_or_else(|| bad("it is longer than the file"))?;
    let footer = bytes.read(start, length)?;
    let footer = root_as_footer(&footer).map_err(|e| bad(&format!("it cannot be understood: {e}")))?;
    let inside = |block: &Block| {
        let parts = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
        parts.iter().all(|part| *part >= 0)
            && parts.iter().try_fold(0u64, |end, part| end.checked_add(*part as u64)).is_some_and(|end| end <= start)
    };
    let batches = footer.recordBatches().into_iter().flatten().map(|block| (block, Which::All));
    let dictionaries = footer.dictionaries().into_iter().flatten().map(|block| (block, Which::Dictionaries));
    for (n, (block, kind)) in dictionaries.chain(batches).enumerate() {
        let at = || format!("block {n}");
        if !inside(block) {
            return Err(Error::damaged(path, at(), "it does not lie inside the file"));
        }
        if kind == Which::Dictionaries || which == Which::All {
            let (from, length) = (block.offset() as u64, block.metaDataLength() as u64);
            let header = bytes.read(from, length)?;
            let message = header.strip_prefix(&CONTINUATION).unwrap_or(&header);
            let message = message.get(4..).ok_or_else(|| Error::damaged(path, at(), "it has no header"))?;
            bytes.check_message(message, from + length, block.bodyLength() as u64, &at())?;
        }
    }
    Ok(())
}

/// The same of a stream in a file: every message and its buffers.
///
/// # Errors
/// As [`check_file`].
pub(super) fn check_stream(path: &Path, file: &File) -> Result<()> {
    let bytes = SizedFile::new(path, file)?;
    let (mut at, mut n) = (0, 0);
    while at + 4 <= bytes.len {
        let name = format!("message {n}");
        let mut word: [u8; 4] = bytes.word(at)?;
        at += 4;
        if word == CONTINUATION {
            if at + 4 > bytes.len {
                return Ok(());
            }
            word = bytes.word(at)?;
            at += 4;
        }
        let length = u64::from(u32::from_le_bytes(word));
        if length == 0 {
            return Ok(());
        }
        if length > bytes.len - at {
            return Err(Error::damaged(path, name, "its header does not lie inside the file"));
        }
        let header = bytes.read(at, length)?;
        at += length;
        let body = bytes.check_message(&header, at, bytes.len - at, &name)?;
        at += body;
        n += 1;
    }
    Ok(())
}

impl<'a> SizedFile<'a> {
    fn new(path: &'a Path, file: &'a File) -> Result<SizedFile<'a>> {
        let len = file.metadata().map_err(|e| Error::io(path, e))?.len();
        Ok(SizedFile { path, file, len })
    }

    fn word<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut word = [0; N];
        self.file.read_exact_at(&mut word, at).map_err(|e| Error::io(self.path, e))?;
        Ok(word)
    }

    /// `length` bytes from `at` on, which lie in the file.
    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = memory::zeros(length as usize, "the headers of an Arrow file")?;
        self.file.read_exact_at(&mut bytes, at).map_err(|e| Error::io(self.path, e))?;
        Ok(bytes)
    }

    /// Checks a message whose body begins at `body` and has `most` bytes at most; how many it has.
    fn check_message(&self, header: &[u8], body: u64, most: u64, at: &str) -> Result<u64> {
        let bad = |what: &str| Error::damaged(self.path, at, what);
        let message: Message = root_as_message(header).map_err(|e| bad(&format!("it cannot be understood: {e}")))?;
        let length = u64::try_from(message.bodyLength()).ok().filter(|length| *length <= most);
        let length = length.ok_or_else(|| bad("its body does not lie inside the file"))?;
        let batch = message
            .header_as_record_batch()
            .or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
        if let Some(batch) = batch {
            self.check_buffers(&batch, body, length, at)?;
        }
        Ok(length)
    }

    fn check_buffers(&self, batch: &RecordBatch, body: u64, length: u64, at: &str) -> Result<()> {
        let bad = |what: String| Error::damaged(self.path, at, what);
        let codec = batch.compression().map(|compression| compression.codec());
        for (n, buffer) in batch.buffers().into_iter().flatten().enumerate() {
            let (from, bytes) = (buffer.offset(), buffer.length());
            let end = u64::try_from(from).ok().zip(u64::try_from(bytes).ok()).and_then(|(a, b)| a.checked_add(b));
            if end.is_none_or(|end| end > length) {
                return Err(bad(format!("buffer {n} does not lie in it")));
            }
            let (Some(codec), true) = (codec, bytes > 0) else { continue };
            if (bytes as u64) < PREFIX {
                return Err(bad(format!("buffer {n} is too short for a compressed one")));
            }
            let claim = i64::from_le_bytes(self.word(body + from as u64)?);
            // -1: it is not compressed after all. 0: it is empty.
            let Some(claim) = u64::try_from(claim).ok().filter(|claim| *claim > 0) else { continue };
            if claim > most_of(codec, bytes as u64 - PREFIX) {
                return Err(bad(format!("buffer {n} of {bytes} bytes cannot hold the {claim} that it claims")));
            }
            if claim > SMALL {
                drop(memory::with_capacity::<u8>(claim as usize, "the values of an Arrow file")?);
            }
        }
        Ok(())
    }
}

/// No codec makes more than this many bytes of `compressed`: a sequence of LZ4 says at most 255 with each byte, a block of
/// zstd 128 KiB with at least four.
fn most_of(codec: CompressionType, compressed: u64) -> u64 {
    let each = if codec == CompressionType::LZ4_FRAME { 255 } else { (128 << 10) / 4 };
    compressed.saturating_mul(each)
}
