//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that comes to be when it is [committed](AtomicFile::commit): until then it is a temp file in the same folder,
/// which goes when this is dropped, and a file that was there before stays as it was.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    temp: tempfile::NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will be at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`.
    pub(crate) fn create(path: &Path) -> Result<AtomicFile> {
        tempfile::Builder::new()
            .prefix(".tercel-")
            .suffix(".tmp")
            .tempfile_in(folder_of(path))
            .map(|temp| AtomicFile { temp, path: path.to_owned() })
            .map_err(|source| Error::io(path, source))
    }

    /// The temp file, to be written.
    pub(crate) fn file(&self) -> &File {
        self.temp.as_file()
    }

    /// Makes it durable under its name: fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub(crate) fn commit(self) -> Result<()> {
        let AtomicFile { temp, path } = self;
        let work = || {
            keep_default_mode(temp.as_file())?;
            temp.as_file().sync_all()?;
            temp.persist(&path).map_err(|e| e.error)?;
            sync_folder(folder_of(&path))
        };
        work().map_err(|source| Error::io(&path, source))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.temp.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.temp.flush()
    }
}

/// The folder that a path lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes `path` through a temp file in the same folder: write, fsync, rename, fsync of the folder. On an error the
/// file that was there stays as it was.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let target = AtomicFile::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, target.file());
    write(&mut out).and_then(|()| out.flush()).map_err(|source| Error::io(path, source))?;
    drop(out);
    target.commit()
}

/// Makes a folder's entries durable: what a rename needs to survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::io(path, source))
}

/// Temp files are private by default; a finished file is readable as any other.
#[cfg(unix)]
fn keep_default_mode(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn keep_default_mode(_: &File) -> std::io::Result<()> {
    Ok(())
}
