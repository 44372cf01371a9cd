//! Checksums of whole files.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use xxhash_rust::xxh3::Xxh3Default;

use super::{AtomicFile, OpenedFile};
use crate::{Error, Result};

/// The xxh3-64 of a file's bytes as 16 hex digits.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    hash(&mut file).map_err(|e| Error::io(path, e))
}

/// [`hash_file`] of a file that is open.
pub(crate) fn hash_opened(opened: &OpenedFile) -> Result<String> {
    let file = opened.file().map_err(|e| Error::io(opened.path(), e))?;
    hash(&mut FromStart { file: &file, at: 0 }).map_err(|e| Error::io(opened.path(), e))
}

/// Copies a file that is open, and gives its [`hash_file`].
pub(crate) fn copy_hashed(from: &OpenedFile, to: &mut AtomicFile) -> Result<String> {
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 20];
    let file = from.file().map_err(|e| Error::io(from.path(), e))?;
    let mut source = FromStart { file: &file, at: 0 };
    loop {
        match source.read(&mut buffer).map_err(|e| Error::io(from.path(), e))? {
            0 => return Ok(format!("{:016x}", hasher.digest())),
            n => {
                hasher.update(&buffer[..n]);
                to.write_all(&buffer[..n]).map_err(|e| Error::io(to.path(), e))?;
            }
        }
    }
}

/// Reads a file from its start, wherever others that share it stand.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = std::os::unix::fs::FileExt::read_at(self.file, into, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

fn hash(file: &mut impl Read) -> std::io::Result<String> {
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(format!("{:016x}", hasher.digest())),
            n => hasher.update(&buffer[..n]),
        }
    }
}
