//! What killed runs left beside their outputs, removed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::dataset;
use crate::files::{LOCK, Lock, OLD, TEMP, Work, discard, folder_of, put_back, remove_file};
use crate::model::checkpoint::{self, ModelDir};
use crate::synth::{hm, planted};
use crate::tune;
use crate::{Error, Result};

/// The kinds of folders that are outputs. A model is saved by the Python package, too, whose drafts have another name.
const WORKS: [Work; 6] = [
    dataset::WORK,
    checkpoint::WORK,
    Work { ending: "saving", resumable: None, ..checkpoint::WORK },
    hm::WORK,
    planted::WORK,
    tune::WORK,
];

/// What a sweep met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swept {
    /// It is gone.
    Removed(PathBuf),
    /// A dataset or a model that a kill had left out of its place is back there.
    PutBack(PathBuf),
    /// It stays, for this reason.
    Left(PathBuf, String),
}

/// Removes what killed runs left in `folder`, in the datasets and models that lie in it, and beside it where it is an
/// output itself. What a run is writing stays, and so does an unfinished training run, which can be gone on with.
///
/// # Errors
/// [`Error::Io`] when a folder cannot be listed, or something in it cannot be removed.
pub fn sweep(folder: &Path) -> Result<Vec<Swept>> {
    let mut sweep = Sweep { met: Vec::new() };
    let is_output = |path: &Path| WORKS.iter().any(|work| path.join(work.manifest).is_file());
    if !folder.is_dir() || is_output(folder) {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        sweep.folder(folder_of(folder), name.as_deref())?;
    }
    if folder.is_dir() {
        sweep.folder(folder, None)?;
        for entry in entries(folder)? {
            let (path, hidden) = (folder.join(&entry), entry.starts_with('.'));
            if !hidden && path.is_dir() && is_output(&path) {
                sweep.folder(&path, None)?;
            }
        }
    }
    Ok(sweep.met)
}

/// Whether earlier builds gave this name to what they had not finished: `.tercel-*.tmp` to files, `.tercel-ingest-*` to
/// folders, which have a lock inside.
fn is_older(name: &str, path: &Path) -> bool {
    let file = name.strip_prefix(".tercel-").is_some_and(|rest| rest.ends_with(".tmp")) && path.is_file();
    file || (name.starts_with(".tercel-ingest-") && path.join(OLDER_LOCK).is_file())
}

const OLDER_LOCK: &str = "ingest.lock";

fn remove_older(path: &Path) -> Result<Swept> {
    if path.is_file() {
        return remove_file(path).map(|()| Swept::Removed(path.to_owned()));
    }
    let lock = path.join(OLDER_LOCK);
    let held = fs::File::open(&lock).map_err(|e| Error::io(&lock, e))?;
    if held.try_lock().is_err() {
        return Ok(Swept::Left(path.to_owned(), "another process is writing it".into()));
    }
    fs::remove_dir_all(path).map_err(|e| Error::io(path, e))?;
    Ok(Swept::Removed(path.to_owned()))
}

/// Whether a folder holds what an unfinished run can go on from.
fn is_resumable(draft: &Path, work: &Work) -> bool {
    let Some(file) = work.resumable else { return false };
    match file == checkpoint::STATE {
        true => ModelDir::new(draft).state().is_ok_and(|state| state.is_some_and(|state| !state.finished)),
        // With a manifest it is finished, or what was replaced.
        false => draft.join(file).exists() && !draft.join(work.manifest).exists(),
    }
}

struct Sweep {
    met: Vec<Swept>,
}

impl Sweep {
    /// What lies in `folder`: of every output, or of the one of this name.
    fn folder(&mut self, folder: &Path, only: Option<&str>) -> Result<()> {
        for entry in entries(folder)? {
            let path = folder.join(&entry);
            if only.is_none() && is_older(&entry, &path) {
                self.met.push(remove_older(&path)?);
                continue;
            }
            let Some((name, ending)) = entry.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')) else { continue };
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let work = WORKS.iter().find(|work| work.ending == ending);
            if ending == LOCK || ending == TEMP || ending == OLD || work.is_some() {
                self.one(&folder.join(name), &path, ending, work)?;
            }
        }
        Ok(())
    }

    /// `path`, which a run that wrote `output` left.
    fn one(&mut self, output: &Path, path: &Path, ending: &str, work: Option<&Work>) -> Result<()> {
        // The lock's own file goes with it.
        let lock = match Lock::take(output) {
            Ok(lock) => lock,
            Err(error) => {
                self.met.push(Swept::Left(path.to_owned(), error.to_string()));
                return Ok(());
            }
        };
        let removed = |path: &Path| Swept::Removed(path.to_owned());
        let met = match work {
            Some(work) if is_resumable(path, work) => {
                Swept::Left(path.to_owned(), "a run can continue from it (`--resume`)".into())
            }
            Some(work) => match discard(path, *work) {
                Ok(()) => removed(path),
                Err(Error::Input { reason, .. }) => Swept::Left(path.to_owned(), reason),
                Err(error) => return Err(error),
            },
            None if ending == OLD => {
                let is = |work: &&Work| path.join(work.manifest).is_file();
                match WORKS.iter().find(is) {
                    None => Swept::Left(path.to_owned(), "it was not created by Tercel".into()),
                    Some(work) => {
                        let was_there = output.exists();
                        put_back(output, *work)?;
                        if was_there { removed(path) } else { Swept::PutBack(output.to_owned()) }
                    }
                }
            }
            None if ending == TEMP && path.is_file() => {
                remove_file(path)?;
                removed(path)
            }
            None if ending == LOCK => removed(path),
            None => Swept::Left(path.to_owned(), "it is not a file".into()),
        };
        drop(lock);
        self.met.push(met);
        Ok(())
    }
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).and_then(|all| all.collect::<std::io::Result<Vec<_>>>());
    let entries = entries.map_err(|e| Error::io(folder, e))?;
    let mut names: Vec<String> = entries.iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_builds_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".tercel-ingest-a-x", ".tercel-ingest-b-x", ".tercel-ingest-mine"] {
            fs::create_dir(at(name)).unwrap();
        }
        let held = fs::File::create(at(".tercel-ingest-b-x/ingest.lock")).unwrap();
        held.lock().unwrap();
        fs::write(at(".tercel-ingest-a-x/ingest.lock"), "").unwrap();
        fs::write(at(".tercel-abc.tmp"), "").unwrap();
        assert_eq!(sweep(folder.path()).unwrap().len(), 3);
        assert_eq!(entries(folder.path()).unwrap(), [".tercel-ingest-b-x", ".tercel-ingest-mine"]);
    }

    #[test]
    fn what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".a.csv.tercel-tmp", ".b.csv.tercel-tmp", ".c.tercel-lock", ".d.tmp", "e"] {
            fs::write(at(name), "").unwrap();
        }
        let held = Lock::take(&at("b.csv")).unwrap();
        let met = sweep(folder.path()).unwrap();
        assert_eq!(met[0], Swept::Removed(at(".a.csv.tercel-tmp")));
        assert!(
            matches!(&met[1], Swept::Left(path, why) if path == &at(".b.csv.tercel-lock") && why.contains("process"))
        );
        assert!(matches!(&met[2], Swept::Left(path, _) if path == &at(".b.csv.tercel-tmp")));
        drop(held);
        assert_eq!(entries(folder.path()).unwrap(), [".b.csv.tercel-tmp", ".d.tmp", "e"]);
    }
}
