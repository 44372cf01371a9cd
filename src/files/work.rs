//! Folders that are outputs: what belongs to them, and what may be put in their place.

use std::fs;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};

use super::{atomic, lock, remove_file};
use crate::{Error, Result};

/// In a draft until it is published: what tells a folder of ours from anybody's.
pub(super) const MARKER: &str = ".tercel-draft";

/// What a folder is, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// What it is called: a dataset, a model.
    pub(crate) what: &'static str,
    /// The ending of the draft's name.
    pub(crate) ending: &'static str,
    /// The file that says what else is in it.
    pub(crate) manifest: &'static str,
    /// The names that belong to it, as its manifest has them, `FOLDER/FILE` for what lies in a folder of it; an error
    /// where that cannot be understood.
    pub(crate) parts: fn(&Path) -> Result<Vec<String>>,
    /// Parts that other commands write into the folder while it is in its place.
    pub(crate) written: &'static [&'static str],
    /// The file with which a draft that was not published stays, to be gone on with.
    pub(crate) resumable: Option<&'static str>,
}

/// Refuses a place where something would be lost.
pub(crate) fn check_place(out: &Path, work: Work) -> Result<()> {
    let Work { what, manifest, .. } = work;
    if out.is_file() {
        return Err(Error::input(out, format!("is a file; a {what} must be a folder")));
    }
    let Some(names) = names(out)? else { return Ok(()) };
    if names.is_empty() {
        return Ok(());
    }
    if !names.iter().any(|name| name == manifest) {
        let reason =
            format!("is not empty and not a {what}: it contains `{}`; choose another folder, or remove it", names[0]);
        return Err(Error::input(out, reason));
    }
    let parts = (work.parts)(out).map_err(|error| match error {
        Error::Io { .. } => error,
        _ => Error::input(out, format!("is not empty and not a {what}: {error}; choose another folder, or remove it")),
    })?;
    match names.iter().find(|name| !belongs(name, work, &parts)) {
        None => Ok(()),
        Some(other) => Err(Error::input(
            out,
            format!("is a {what} that would be replaced, but `{other}` in it is not part of it; move that elsewhere"),
        )),
    }
}

/// [`check_place`], which a folder passes, too, that would if its manifest could be understood: with nothing in it but
/// `parts`. Answers what is in such a one.
pub(crate) fn check_known_place(out: &Path, work: Work, parts: &[String]) -> Result<Vec<PathBuf>> {
    let error = match check_place(out, work) {
        Ok(()) => return Ok(Vec::new()),
        // What could not be read is not damaged for that.
        Err(error @ Error::Io { .. }) => return Err(error),
        Err(error) => error,
    };
    let names = names(out)?.unwrap_or_default();
    match names.iter().all(|name| belongs(name, work, parts)) {
        true => Ok(names.iter().map(|name| out.join(name)).collect()),
        false => Err(error),
    }
}

/// Removes what is in a folder whose manifest cannot be understood, and which is known to hold nothing but `parts`.
pub(crate) fn remove_damaged(out: &Path, work: Work, parts: &[String]) -> Result<()> {
    check_known_place(out, work, parts)?.iter().try_for_each(|path| remove_file(path))
}

/// Whether a name in a folder is the folder's own.
pub(super) fn belongs(name: &str, work: Work, parts: &[String]) -> bool {
    let is_in = |part: &String, name: &str| part == name || folder_of_part(part) == Some(name);
    let is_part = |name: &str| {
        name == work.manifest || work.written.contains(&name) || parts.iter().any(|part| is_in(part, name))
    };
    // What is beside a part while it is written.
    let written = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    let beside =
        written.is_some_and(|(name, ending)| [lock::ENDING, atomic::ENDING].contains(&ending) && is_part(name));
    is_part(name) || beside || name == MARKER
}

/// The names in a folder, in order; `None` where there is none.
pub(super) fn names(folder: &Path) -> Result<Option<Vec<String>>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == NotFound => return Ok(None),
        Err(e) if e.kind() == NotADirectory => {
            return Err(Error::input(folder, "is a file where a folder is expected"));
        }
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|e| Error::io(folder, e))?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(Some(names))
}

/// The folder that a part named `FOLDER/FILE` lies in.
pub(super) fn folder_of_part(part: &str) -> Option<&str> {
    part.split_once('/').map(|(folder, _)| folder)
}
