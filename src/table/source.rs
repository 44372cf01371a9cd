//! Opening: files, pipes, standard input.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::{Error, Result};

/// The name under which standard input is asked for.
const DASH: &str = "-";

/// A file or pipe, opened once.
#[derive(Debug)]
pub(super) struct OpenedInput {
    /// Its name in messages.
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// The bytes that have been taken from it to see what it is.
    pub(super) start: Vec<u8>,
    /// Its size; 0 for a pipe.
    pub(super) bytes: u64,
    /// Of a file that can be opened again.
    pub(super) stamp: Option<FileStamp>,
}

/// What a file is told by between two times that it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    id: FileId,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Which file of the system a path leads to.
#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(u64, u64);
/// Which file of the system a path leads to.
#[cfg(not(unix))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId(PathBuf);

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(_: &Path, about: &Metadata) -> FileId {
        use std::os::unix::fs::MetadataExt;
        FileId(about.dev(), about.ino())
    }

    #[cfg(not(unix))]
    pub(crate) fn of(path: &Path, _: &Metadata) -> FileId {
        FileId(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }
}

impl FileStamp {
    fn of(path: &Path, about: &Metadata) -> FileStamp {
        FileStamp { id: FileId::of(path, about), bytes: about.len(), modified: about.modified().ok() }
    }
}

/// Whether this stands for standard input.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == DASH
}

/// Whether what is at this path can be read only once.
pub(crate) fn is_pipe(path: &Path) -> bool {
    is_dash(path) || std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// Checks that there is something to read at this path. A pipe and standard input (`-`) can be read only once: they are
/// not asked.
///
/// # Errors
/// [`Error::Io`], [`Error::Input`] where `path` is a folder or empty.
pub fn check(path: &Path) -> Result<()> {
    if is_pipe(path) { Ok(()) } else { OpenedInput::open(path).map(drop) }
}

fn standard_input() -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    }
    #[cfg(not(unix))]
    {
        Err(io::Error::new(io::ErrorKind::Unsupported, "standard input cannot be read here; name a file"))
    }
}

impl OpenedInput {
    /// Opens what is at `path` and takes its first bytes. `-` is standard input.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Input`] where `path` is a folder or empty.
    pub(super) fn open(path: &Path) -> Result<OpenedInput> {
        let (name, mut file) = match is_dash(path) {
            true => (PathBuf::from("standard input"), standard_input().map_err(|e| Error::io(path, e))?),
            false => (path.to_owned(), File::open(path).map_err(|e| Error::io(path, e))?),
        };
        let about = file.metadata().map_err(|e| Error::io(&name, e))?;
        if about.is_dir() {
            return Err(Error::input(path, "is a folder; a file is required here"));
        }
        let stamp = (about.is_file() && !is_dash(path)).then(|| FileStamp::of(path, &about));
        let mut start = Vec::new();
        (&mut file).take(8).read_to_end(&mut start).map_err(|e| Error::io(&name, e))?;
        if start.is_empty() {
            return Err(Error::input(&name, "the file is empty"));
        }
        let bytes = if stamp.is_some() { about.len() } else { 0 };
        Ok(OpenedInput { path: name, file, start, bytes, stamp })
    }

    /// The whole as a file that can be read at any place: a pipe is written to a temp file first.
    pub(super) fn seekable(self) -> Result<File> {
        let OpenedInput { path, mut file, start, stamp, .. } = self;
        let io = |e| Error::io(&path, e);
        if stamp.is_some() {
            file.rewind().map_err(io)?;
            return Ok(file);
        }
        let mut whole = tempfile::tempfile().map_err(io)?;
        io::copy(&mut start.chain(file), &mut whole).map_err(io)?;
        whole.rewind().map_err(io)?;
        Ok(whole)
    }
}

/// Opens a file again, which has to be the one that it was.
pub(super) fn reopen(path: &Path, stamp: &FileStamp) -> Result<File> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    match FileStamp::of(path, &file.metadata().map_err(|e| Error::io(path, e))?) == *stamp {
        true => Ok(file),
        false => Err(Error::input(path, "was changed while being read; read it again once it is complete")),
    }
}
