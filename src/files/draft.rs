//! A folder that is replaced as a whole: filled beside its place, moved there by one rename.

use std::fs::{self, File};
use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::Lock;
use super::place::{beside, folder_of, real_place};
use super::work::{MARKER, Work, belongs, check_place, folder_of_part, names};
use super::{create_folder, keep_mode, remove_file, sync_folder};
use crate::{Error, Result};

/// The ending of a folder that is out of its place for a moment, where the system cannot exchange two folders.
pub(crate) const OLD: &str = "tercel-old";

/// How long a folder that is to be replaced waits for those who write into it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A folder in the making, and the lock of its place.
#[derive(Debug)]
pub(crate) struct Draft {
    work: Work,
    out: PathBuf,
    dir: PathBuf,
    published: bool,
    _lock: Lock,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let resumable = self.work.resumable.is_some_and(|file| self.dir.join(file).exists());
        if !self.published && !resumable {
            // What cannot be removed now goes when the next run starts.
            let _ = discard(&self.dir, self.work);
        }
    }
}

impl Draft {
    /// Takes the lock of `out` and opens the folder beside it: an empty one, or with `keep` the one that an earlier run
    /// left. `out` may be missing, empty, or of the same kind: it will be replaced.
    ///
    /// # Errors
    /// [`Error::Input`] when another run writes `out`, or when something in its place, or in the draft's, is not ours;
    /// [`Error::Io`].
    pub(crate) fn open(out: &Path, work: Work, keep: bool) -> Result<Draft> {
        let out = real_place(out)?;
        create_folder(folder_of(&out))?;
        let lock = Lock::take(&out)?;
        put_back(&out, work)?;
        check_place(&out, work)?;
        let dir = beside(&out, work.ending);
        if !keep {
            discard(&dir, work)?;
        } else if dir.exists() && !is_ours(&dir, work)? {
            return Err(not_ours(&dir));
        }
        create_folder(&dir)?;
        let marker = dir.join(MARKER);
        File::create(&marker).map_err(|e| Error::io(&marker, e))?;
        Ok(Draft { work, out, dir, published: false, _lock: lock })
    }

    /// Where the draft of `out` is.
    pub(crate) fn place(out: &Path, work: Work) -> Result<PathBuf> {
        Ok(beside(&real_place(out)?, work.ending))
    }

    /// Where it will be.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Removes what an earlier run left in it.
    pub(crate) fn clear(&self) -> Result<()> {
        empty(&self.dir)
    }

    /// Removes it.
    pub(crate) fn discard(mut self) -> Result<()> {
        self.published = true;
        discard(&self.dir, self.work)
    }

    /// The folder to be filled.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Makes it durable in its place. What was there goes.
    ///
    /// # Errors
    /// [`Error::Input`] when something that is not ours came to be in its place; [`Error::Io`].
    pub(crate) fn publish(mut self) -> Result<()> {
        let Draft { work, out, dir, .. } = &self;
        check_place(out, *work)?;
        let folder = File::open(dir).map_err(|e| Error::io(dir, e))?;
        keep_mode(&folder, dir, out)?;
        remove_file(&dir.join(MARKER))?;
        sync_folder(dir)?;
        let replaced = out.exists();
        // Whoever writes into what is replaced is done before it goes: what it writes is not the successor's.
        let written = work.written.iter().map(|part| Lock::wait(&out.join(part), PATIENCE));
        let written = if replaced { written.collect::<Result<Vec<_>>>()? } else { Vec::new() };
        if !replaced {
            fs::rename(dir, out).map_err(|e| Error::io(out, e))?;
        } else if !exchange(dir, out)? {
            let old = beside(out, OLD);
            fs::rename(out, &old).map_err(|e| Error::io(out, e))?;
            if let Err(error) = fs::rename(dir, out) {
                // Back to what was there; should even that fail, the next run puts it back.
                let _ = fs::rename(&old, out);
                return Err(Error::io(out, error));
            }
            fs::rename(&old, dir).map_err(|e| Error::io(&old, e))?;
        }
        drop(written);
        sync_folder(folder_of(out))?;
        if replaced && let Err(error) = remove_published(dir, *work) {
            tracing::warn!("{}: the replaced version could not be removed: {error}", dir.display());
        }
        self.published = true;
        Ok(())
    }
}

/// Whether a folder at a draft's place is one, or what a draft has replaced.
fn is_ours(dir: &Path, work: Work) -> Result<bool> {
    let Some(names) = names(dir)? else { return Ok(true) };
    Ok(names.is_empty() || names.iter().any(|name| name == MARKER || name == work.manifest))
}

fn not_ours(dir: &Path) -> Error {
    Error::input(dir, "is in the way, and was not recognizably created by Tercel; move it elsewhere")
}

/// Removes what an earlier run left at a draft's place.
pub(crate) fn discard(dir: &Path, work: Work) -> Result<()> {
    let failed = |e| Error::io(dir, e);
    if !dir.exists() {
        return Ok(());
    }
    if !is_ours(dir, work)? {
        return Err(not_ours(dir));
    }
    if !dir.join(MARKER).exists() {
        return remove_published(dir, work);
    }
    // The marker last: a kill in between leaves a folder that is still known for ours.
    empty(dir)?;
    remove_file(&dir.join(MARKER))?;
    fs::remove_dir(dir).map_err(failed)
}

/// Removes what is in a draft, but for its marker.
fn empty(dir: &Path) -> Result<()> {
    let failed = |e| Error::io(dir, e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|name| name == MARKER) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        } else {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes a published folder that is out of its place now: its parts, its manifest last, and the folder, unless
/// something else is in it.
fn remove_published(dir: &Path, work: Work) -> Result<()> {
    let parts = if dir.join(work.manifest).exists() { (work.parts)(dir)? } else { Vec::new() };
    for name in names(dir)?.unwrap_or_default() {
        let path = dir.join(&name);
        if name == work.manifest || !belongs(&name, work, &parts) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            let mut inside = parts.iter().filter(|part| folder_of_part(part) == Some(&name));
            inside.try_for_each(|part| remove_file(&dir.join(part)))?;
            remove_emptied(&path)?;
        } else {
            remove_file(&path)?;
        }
    }
    remove_file(&dir.join(work.manifest))?;
    remove_emptied(dir)
}

/// Removes a folder whose parts are gone, unless something else is in it.
fn remove_emptied(dir: &Path) -> Result<()> {
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == DirectoryNotEmpty => {
            Err(Error::input(dir, "holds files that are not Tercel's; they stay there"))
        }
        Err(e) if e.kind() != NotFound => Err(Error::io(dir, e)),
        _ => Ok(()),
    }
}

/// After a kill between two renames: what was moved aside comes back, unless its successor is in its place.
pub(crate) fn put_back(out: &Path, work: Work) -> Result<()> {
    let old = beside(out, OLD);
    if !old.exists() {
        return Ok(());
    }
    if out.exists() {
        return remove_published(&old, work);
    }
    fs::rename(&old, out).map_err(|e| Error::io(&old, e))?;
    sync_folder(folder_of(out))
}

/// Exchanges two folders in one step, where the system can.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(e) => Err(Error::io(b, e.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        what: "thing",
        ending: "thing",
        manifest: "thing.json",
        parts: |dir| {
            let text = fs::read_to_string(dir.join("thing.json")).map_err(|e| Error::io(dir, e))?;
            Ok(text.split(' ').map(String::from).collect())
        },
        written: &["thing.json"],
        resumable: None,
    };

    fn fill(folder: &Path, part: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(part), part).unwrap();
        fs::write(folder.join("thing.json"), part).unwrap();
    }

    fn listed(folder: &Path) -> Vec<String> {
        names(folder).unwrap().unwrap()
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        for part in ["old", "new"] {
            let draft = Draft::open(&out, WORK, false).unwrap();
            fill(draft.path(), part);
            assert!(Draft::open(&out, WORK, false).unwrap_err().to_string().contains("has been writing"));
            draft.publish().unwrap();
            assert_eq!(listed(&out), [part, "thing.json"]);
            assert_eq!(listed(folder.path()), ["out"]);
        }
    }

    #[test]
    fn what_is_not_ours_is_neither_replaced_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let refused = |words: &str| {
            let error = Draft::open(&out, WORK, false).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        };
        fill(&out, "part");
        fs::write(out.join("notes"), "foreign").unwrap();
        refused("`notes`");
        fs::remove_file(out.join("notes")).unwrap();
        // It came while the new one was made.
        let draft = Draft::open(&out, WORK, false).unwrap();
        fill(draft.path(), "new");
        fs::write(out.join("notes"), "foreign").unwrap();
        assert!(draft.publish().unwrap_err().to_string().contains("`notes`"));
        assert_eq!(listed(&out), ["notes", "part", "thing.json"]);
        fs::remove_dir_all(&out).unwrap();
        // At the draft's place.
        let dir = beside(&out, "thing");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("notes"), "foreign").unwrap();
        refused("is in the way");
        fs::remove_dir_all(&dir).unwrap();
        fs::write(&out, "a file").unwrap();
        refused("is a file");
    }

    #[test]
    fn what_a_kill_left_goes_and_what_was_moved_aside_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let dir = beside(&out, "thing");
        // In the middle of the work, before the marker, after the exchange.
        for left in [vec![MARKER, "half"], vec![], vec!["part", "thing.json"], vec!["thing.json"]] {
            fs::create_dir(&dir).unwrap();
            left.iter().for_each(|name| fs::write(dir.join(name), "part").unwrap());
            drop(Draft::open(&out, WORK, false).unwrap());
            assert_eq!(listed(folder.path()), Vec::<String>::new(), "{left:?}");
        }
        fill(&beside(&out, OLD), "part");
        drop(Draft::open(&out, WORK, false).unwrap());
        assert_eq!(listed(folder.path()), ["out"]);
        fill(&beside(&out, OLD), "part");
        drop(Draft::open(&out, WORK, false).unwrap());
        assert_eq!(listed(folder.path()), ["out"]);
    }
}
