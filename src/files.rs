//! How an output comes to be: beside its place, under a lock, moved there by one rename when it is whole.
//!
//! A file `NAME` is written as `.NAME.tercel-tmp`, a folder in one of its own beside `NAME` (`.NAME.training`, say). Whoever holds
//! the lock of `NAME` ([`Lock`]) owns these names: what a killed run left there goes when the next one starts. A reader
//! sees what was there before, or what is there now.

mod atomic;
mod draft;
mod hash;
mod json;
mod lock;
mod opened;
mod place;
mod work;

use std::fs::{self, File};
use std::path::Path;

use crate::{Error, Result};

pub(crate) use atomic::{AtomicFile, ENDING as TEMP, write_inside};
pub(crate) use draft::{Draft, OLD, discard, put_back};
pub use hash::hash_file;
pub(crate) use hash::{copy_hashed, hash_opened};
pub use json::{accept_json, other_format, parse_json, read_json, write_json, write_json_locked};
pub(crate) use json::{read_unchecked, write_json_inside};
pub(crate) use lock::ENDING as LOCK;
pub use lock::Lock;
pub use opened::settled;
pub(crate) use opened::{Held, OpenedFile};
pub(crate) use place::{beside, folder_of, real_place};
pub(crate) use work::{Work, check_known_place, remove_damaged};

/// Makes a folder's entries durable: what a rename needs to survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, e))
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::io(path, source))
}

/// Writes a text whole or not at all. On an error the file that was there stays as it was.
///
/// # Errors
/// [`Error::Input`] when another run writes it; [`Error::Io`].
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    atomic::write_atomic(path, |out| std::io::Write::write_all(out, text.as_bytes()))
}

/// Removes a file, which may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

/// Gives `to` the permissions of `like`, where there is such a thing.
pub(crate) fn keep_mode(to: &File, path: &Path, like: &Path) -> Result<()> {
    match fs::metadata(like) {
        Ok(about) => to.set_permissions(about.permissions()).map_err(|e| Error::io(path, e)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(like, e)),
    }
}
