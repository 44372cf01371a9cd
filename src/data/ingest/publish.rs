//! The dataset's folder: built under another name beside its place, moved there when it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::data::dataset::Dataset;
use crate::files::{create_folder, sync_folder};
use crate::{Error, Result};

/// In a draft, locked while its ingest lives: tells an unfinished draft from one that a kill left behind.
const LOCK: &str = "ingest.lock";

/// A folder that becomes the dataset, or goes.
pub(super) struct Draft {
    out: PathBuf,
    parent: PathBuf,
    dir: TempDir,
    _lock: File,
}

impl Draft {
    /// Starts a folder beside `out`. `out` may be missing, empty, or a dataset, which will be replaced.
    ///
    /// # Errors
    /// [`Error::Input`] when `out` holds anything else, [`Error::Io`].
    pub(super) fn create(out: &Path) -> Result<Draft> {
        check_place(out)?;
        // `a/b/` and `.` have no file name to stand beside.
        let name = out.file_name().ok_or_else(|| Error::input(out, "cannot be a dataset's folder; name a new one"))?;
        let out = out.with_file_name(name);
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        create_folder(&parent)?;
        let prefix = format!(".tercel-ingest-{}-", name.to_string_lossy());
        sweep(&parent, &prefix);
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
        let dir = dir.map_err(|e| Error::io(&parent, e))?;
        let path = dir.path().join(LOCK);
        let lock = File::create(&path).map_err(|e| Error::io(&path, e))?;
        // Where the file system has no locks, drafts that a kill leaves behind stay.
        let _ = lock.try_lock();
        Ok(Draft { out, parent, dir, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Moves the folder to its place. A dataset that was there is moved aside first and then removed.
    pub(super) fn publish(self) -> Result<()> {
        check_place(&self.out)?;
        let lock = self.dir.path().join(LOCK);
        fs::remove_file(&lock).map_err(|e| Error::io(&lock, e))?;
        open_to_all(self.dir.path()).map_err(|e| Error::io(self.dir.path(), e))?;
        sync_folder(self.dir.path()).map_err(|e| Error::io(self.dir.path(), e))?;
        let old = if self.out.join("dataset.json").exists() {
            let aside = tempfile::Builder::new().prefix(".tercel-old-").tempdir_in(&self.parent);
            let aside = aside.map_err(|e| Error::io(&self.parent, e))?;
            fs::rename(&self.out, aside.path().join("dataset")).map_err(|e| Error::io(&self.out, e))?;
            Some(aside)
        } else {
            None
        };
        if let Err(error) = fs::rename(self.dir.path(), &self.out) {
            if let Some(aside) = old {
                // Back to what was there; should even that fail, it stays beside its place.
                if fs::rename(aside.path().join("dataset"), &self.out).is_err() {
                    let _ = aside.keep();
                }
            }
            return Err(Error::io(&self.out, error));
        }
        // It has another name now: there is nothing left to remove under the old one.
        let _ = self.dir.keep();
        sync_folder(&self.parent).map_err(|e| Error::io(&self.parent, e))
    }
}

/// Removes the drafts of the same dataset that killed runs left behind: those whose lock nobody holds.
fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let abandoned = entry.file_name().to_string_lossy().starts_with(prefix)
            && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if abandoned {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Refuses a place where something would be lost.
fn check_place(out: &Path) -> Result<()> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(Error::input(out, "is a file; a dataset is a folder"));
        }
        Err(e) => return Err(Error::io(out, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|e| Error::io(out, e))?.file_name().to_string_lossy().into_owned());
    }
    if names.is_empty() {
        return Ok(());
    }
    names.sort_unstable();
    let Ok(dataset) = Dataset::open(out) else {
        return Err(Error::input(out, "is not empty and not a dataset; choose another folder, or remove it"));
    };
    let ours =
        |name: &str| name == "dataset.json" || name == "rejected.csv" || dataset.files().any(|file| file.name == name);
    match names.iter().find(|name| !ours(name)) {
        None => Ok(()),
        Some(other) => Err(Error::input(
            out,
            format!("is a dataset that would be replaced, but `{other}` in it is not part of it; move that elsewhere"),
        )),
    }
}

#[cfg(unix)]
fn open_to_all(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_run_builds_stays() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("data");
        let alive = Draft::create(&out).unwrap();
        let killed = folder.path().join(".tercel-ingest-data-old");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        fs::write(killed.join("rows.tmp"), "left").unwrap();
        let second = Draft::create(&out).unwrap();
        assert!(!killed.exists() && alive.path().exists() && second.path().exists());
        fs::write(second.path().join("dataset.json"), "{}").unwrap();
        second.publish().unwrap();
        let names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["dataset.json"]);
    }
}
