//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes `path` through a temp file in the same folder: write, fsync, rename, fsync of the folder. On an error the
/// file that was there stays as it was.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let work = || -> std::io::Result<()> {
        let temp = tempfile::Builder::new().prefix(".tercel-").suffix(".tmp").tempfile_in(folder)?;
        let mut out = BufWriter::with_capacity(1 << 20, temp.as_file());
        write(&mut out)?;
        out.flush()?;
        drop(out);
        keep_default_mode(temp.as_file())?;
        temp.as_file().sync_all()?;
        temp.persist(path).map_err(|e| e.error)?;
        sync_folder(folder)
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
