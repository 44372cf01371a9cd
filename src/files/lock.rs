//! One writer: a lock beside an output.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::{Deserialize, Serialize};

use super::place::{beside, real_place};
use crate::{Error, Result};

/// The ending of a lock's name.
pub(crate) const ENDING: &str = "tercel-lock";

/// The right to write an output, until this is dropped or the process ends, however it ends.
///
/// The lock is the operating system's (`flock`) on `.NAME.tercel-lock` beside the output, which says who holds it. A
/// kill leaves the file, not the lock.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    path: PathBuf,
    /// Held, not used.
    _file: File,
}

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    since: String,
}

impl Lock {
    /// Takes the lock of `output`, for which it waits so long.
    ///
    /// # Errors
    /// As [`take`](Lock::take), after that time.
    pub fn wait(output: &Path, patience: Duration) -> Result<Lock> {
        let begun = Instant::now();
        loop {
            match Lock::take(output) {
                Err(Error::Input { .. }) if begun.elapsed() < patience => thread::sleep(Duration::from_millis(20)),
                result => return result,
            }
        }
    }

    /// Takes the lock of `output`.
    ///
    /// # Errors
    /// [`Error::Input`] when another run holds it, with its process number and since when; [`Error::Io`].
    pub fn take(output: &Path) -> Result<Lock> {
        let output = &real_place(output)?;
        let path = beside(output, ENDING);
        loop {
            let file = File::options().create(true).read(true).write(true).truncate(false).open(&path);
            let mut file = file.map_err(|e| Error::io(output, e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(held(output, &mut file)),
                Err(TryLockError::Error(error)) => {
                    tracing::warn!(
                        "{}: cannot be locked here ({error}): nothing prevents a second run from writing it too",
                        output.display()
                    );
                }
            }
            // Whoever held it may have removed the file between the two calls.
            if !is_at(&file, &path).map_err(|e| Error::io(&path, e))? {
                continue;
            }
            let holder =
                Holder { pid: std::process::id(), since: Utc::now().format("%Y-%m-%d %H:%M:%S UTC").to_string() };
            let mut write = || -> std::io::Result<()> {
                file.set_len(0)?;
                file.rewind()?;
                serde_json::to_writer(&mut file, &holder)?;
                file.write_all(b"\n")
            };
            let written = write();
            let lock = Lock { path, _file: file };
            return written.map(|()| lock).map_err(|e| Error::io(output, e));
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held, so that nobody else's is removed.
        let _ = fs::remove_file(&self.path);
    }
}

/// The refusal, in the words of the lock's file.
fn held(output: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let holder = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let who = match holder {
        Some(Holder { pid, since }) => format!("process {pid} has been writing it since {since}"),
        None => "another process is writing it".to_owned(),
    };
    Error::input(output, format!("{who}; wait for it, or choose another output"))
}

/// Whether the file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let here = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> std::io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_is_refused_and_told_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("model");
        let first = Lock::take(&output).unwrap();
        let error = Lock::take(&output).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains(&format!("process {} has been writing", std::process::id())), "{error}");
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        // What a kill leaves is no lock.
        fs::write(beside(&output, ENDING), r#"{"pid":1,"since":"2000-01-01"}"#).unwrap();
        drop(Lock::take(&output).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
