//! Where an output goes, and the names beside it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A name beside another one, made longer by `.` and an ending, is still a name of at most 255 bytes.
const LONGEST: usize = 200;

/// The path that an output really has: a symbolic link is followed, so that its target is replaced and the link stays.
///
/// # Errors
/// [`Error::Input`] for a link that leads nowhere and for a path without a name of its own (`.`, `/`, `a/..`);
/// [`Error::Io`].
pub(crate) fn real_place(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::input(
            path,
            "has no name of its own that could be replaced; name a new folder or file in it",
        ));
    };
    // Without a slash at its end, which would be followed before anybody looks.
    let path = path.with_file_name(name);
    let place = match fs::symlink_metadata(&path) {
        Ok(about) if about.is_symlink() => fs::canonicalize(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::input(&path, "is a broken symbolic link; remove it, or create its target")
            }
            _ => Error::io(&path, e),
        })?,
        _ => path,
    };
    match fs::metadata(&place) {
        Ok(about) if !about.is_file() && !about.is_dir() => Err(Error::input(
            &place,
            "is a device, a pipe or a socket, which cannot be replaced by a file; name a file",
        )),
        _ => Ok(place),
    }
}

/// The folder that a path lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `.NAME.ENDING` beside `path`.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let mut hidden = OsString::from(".");
    if name.len() > LONGEST {
        hidden.push(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(name.as_encoded_bytes())));
    } else {
        hidden.push(name);
    }
    hidden.push(".");
    hidden.push(ending);
    folder_of(path).join(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_stay_in_the_folder() {
        assert_eq!(beside(Path::new("a/model"), "training"), Path::new("a/.model.training"));
        assert_eq!(beside(Path::new("model"), "training"), Path::new("./.model.training"));
        let long = "x".repeat(255);
        let name = beside(Path::new(&long), "training");
        assert!(name.file_name().unwrap().len() < 100);
    }

    #[test]
    fn places_without_a_name_are_refused() {
        for path in [".", "/", "..", "a/.."] {
            assert!(matches!(real_place(Path::new(path)), Err(Error::Input { .. })), "{path}");
        }
        assert_eq!(real_place(Path::new("a/b/")).unwrap(), Path::new("a/b"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("target", at("link")).unwrap();
        assert!(matches!(real_place(&at("link")), Err(Error::Input { .. })));
        fs::write(at("target"), "").unwrap();
        assert_eq!(real_place(&at("link")).unwrap(), fs::canonicalize(at("target")).unwrap());
        std::os::unix::fs::symlink("/dev/null", at("null")).unwrap();
        for path in [at("null"), PathBuf::from("/dev/null")] {
            assert!(real_place(&path).unwrap_err().to_string().contains("is a device"));
        }
    }
}
