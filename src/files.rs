//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that appears under its name only when it is complete: a temp file in the same folder, then fsync, rename,
/// fsync of the folder. Dropped before [`commit`](AtomicFile::commit) it leaves nothing behind.
pub(crate) struct AtomicFile {
    path: PathBuf,
    temp: tempfile::NamedTempFile,
}

impl AtomicFile {
    /// Opens the temp file beside `path`.
    pub(crate) fn create(path: &Path) -> std::io::Result<AtomicFile> {
        let temp = tempfile::Builder::new().prefix(".tercel-").suffix(".tmp").tempfile_in(folder_of(path))?;
        Ok(AtomicFile { path: path.to_owned(), temp })
    }

    /// The temp file.
    pub(crate) fn as_file(&self) -> &File {
        self.temp.as_file()
    }

    /// Makes what was written durable and gives it its name.
    pub(crate) fn commit(self) -> std::io::Result<()> {
        keep_default_mode(self.temp.as_file())?;
        self.temp.as_file().sync_all()?;
        self.temp.persist(&self.path).map_err(|e| e.error)?;
        sync_folder(folder_of(&self.path))
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

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes `path` through an [`AtomicFile`]. On an error the file that was there stays as it was.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let work = || -> std::io::Result<()> {
        let file = AtomicFile::create(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        file.commit()
    };
    work().map_err(|source| Error::io(path, source))
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
