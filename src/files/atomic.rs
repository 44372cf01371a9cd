//! A file that is written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::lock::Lock;
use super::place::{beside, folder_of, real_place};
use super::{keep_mode, remove_file, sync_folder};
use crate::{Error, Result};

/// The ending of an unfinished file's name.
pub(crate) const ENDING: &str = "tercel-tmp";

/// A file that comes to be when it is [committed](AtomicFile::commit): until then it lies beside its place under another
/// name, and goes when this is dropped; a file that was there before stays as it was.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    temp: PathBuf,
    path: PathBuf,
    committed: bool,
    /// Of its place, where that is anybody's to write.
    _lock: Option<Lock>,
}

impl AtomicFile {
    /// Starts a file that will be at `path`, whose lock it holds.
    ///
    /// # Errors
    /// [`Error::Input`] when another run writes it, or when it is a link to nothing; [`Error::Io`] naming `path`.
    pub(crate) fn create(path: &Path) -> Result<AtomicFile> {
        Self::locked(path, Lock::take(path)?)
    }

    /// [`create`](AtomicFile::create) of a file whose lock is held.
    pub(crate) fn locked(path: &Path, lock: Lock) -> Result<AtomicFile> {
        let mut file = Self::start(real_place(path)?)?;
        file._lock = Some(lock);
        Ok(file)
    }

    /// Starts a file in a folder that nobody else writes to.
    ///
    /// # Errors
    /// [`Error::Io`] naming `path`.
    pub(crate) fn inside(path: &Path) -> Result<AtomicFile> {
        Self::start(path.to_owned())
    }

    fn start(path: PathBuf) -> Result<AtomicFile> {
        let temp = beside(&path, ENDING);
        remove_file(&temp)?;
        // The mode is what the umask leaves of rw-rw-rw-.
        let file = File::options().create_new(true).read(true).write(true).open(&temp);
        let file = file.map_err(|e| Error::io(&path, e))?;
        let started = AtomicFile { file, temp, path, committed: false, _lock: None };
        // As readable as the file that it replaces.
        keep_mode(&started.file, &started.temp, &started.path)?;
        Ok(started)
    }

    /// The unfinished file, to be written.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it durable under its name: fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.file.sync_all().and_then(|()| fs::rename(&self.temp, &self.path)).map_err(|e| Error::io(&self.path, e))?;
        self.committed = true;
        sync_folder(folder_of(&self.path))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_file(&self.temp);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Writes `path` as an [`AtomicFile`]. On an error the file that was there stays as it was.
///
/// # Errors
/// As [`AtomicFile::create`].
pub(crate) fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let target = AtomicFile::create(path)?;
    let mut out = BufWriter::with_capacity(1 << 18, target.file());
    write(&mut out).and_then(|()| out.flush()).map_err(|source| Error::io(path, source))?;
    drop(out);
    target.commit()
}

/// Writes a file of a folder that is being filled.
pub(crate) fn write_inside(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::inside(path)?;
    file.write_all(bytes).map_err(|e| Error::io(path, e))?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn what_fails_leaves_what_was_there_and_what_a_kill_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::write(beside(&path, ENDING), "left by a kill").unwrap();
        let failed = write_atomic(&path, |out| {
            out.write_all(b"half")?;
            Err(std::io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["a".into()], "old".into()));
        write_atomic(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!((names(folder.path()), fs::read_to_string(&path).unwrap()), (vec!["a".into()], "new".into()));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").unwrap();
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("file", at("link")).unwrap();
        write_atomic(&at("link"), |out| out.write_all(b"new")).unwrap();
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "new");
        assert_eq!(fs::metadata(at("file")).unwrap().permissions().mode() & 0o777, 0o640);
        // A new one is as readable as any that this process makes.
        write_atomic(&at("new"), |out| out.write_all(b"new")).unwrap();
        File::create(at("any")).unwrap();
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
        assert_eq!(mode("new"), mode("any"));
    }
}
