//! Open files, and folders of them: what is read from them is of one state, whatever takes their place later.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

/// An open file, and the path that errors call it by.
#[derive(Clone, Debug)]
pub(crate) struct OpenedFile {
    path: PathBuf,
    /// Absent for one of too many to be held: it is opened again whenever it is read.
    file: Option<Arc<File>>,
    bytes: u64,
}

impl OpenedFile {
    /// Opens a file to be read; a folder is an error that says so.
    pub(crate) fn open(path: &Path) -> Result<OpenedFile> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let about = file.metadata().map_err(|e| Error::io(path, e))?;
        if about.is_dir() {
            return Err(Error::input(path, "is a folder where an Arrow file is expected"));
        }
        Ok(OpenedFile { path: path.to_owned(), file: Some(Arc::new(file)), bytes: about.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> std::io::Result<Arc<File>> {
        match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            None => File::open(&self.path).map(Arc::new),
        }
    }

    /// Its size when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Files that a folder holds open at most: a process may often have 1024. What lies in more is compared with its
/// checksums all the same, so that another folder's file is found.
const MOST_HELD: usize = 256;

/// Files of a folder, all opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    files: Arc<BTreeMap<String, OpenedFile>>,
}

impl Held {
    /// Opens these files of `dir`.
    pub(crate) fn open<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<Held> {
        let open = |(i, name): (usize, &str)| {
            let mut opened = OpenedFile::open(&dir.join(name))?;
            if i >= MOST_HELD {
                opened.file = None;
            }
            Ok((name.to_owned(), opened))
        };
        let files = names.into_iter().enumerate().map(open).collect::<Result<_>>()?;
        Ok(Held { files: Arc::new(files) })
    }

    /// With `more` files beside these, or in the place of those with the same names.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = (String, OpenedFile)>) -> Held {
        let mut files = BTreeMap::clone(&self.files);
        files.extend(more);
        Held { files: Arc::new(files) }
    }

    /// One of them; another file of `dir` is opened now.
    pub(crate) fn get(&self, dir: &Path, name: &str) -> Result<OpenedFile> {
        match self.files.get(name) {
            Some(file) => Ok(file.clone()),
            None => OpenedFile::open(&dir.join(name)),
        }
    }
}

/// How often a folder may be replaced while it is opened.
const TRIES: usize = 10;

/// Reads a folder by its manifest: `read` gets the manifest's bytes. When the folder was replaced meanwhile, which its
/// manifest tells, it is read again; so what comes of it is of one state. `missing` is the error where there is no
/// manifest.
///
/// # Errors
/// What `missing` or `read` gives; [`Error::Input`] when the folder is replaced all the time.
pub fn settled<T>(manifest: &Path, missing: impl Fn() -> Error, read: impl Fn(&[u8]) -> Result<T>) -> Result<T> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let text = || {
        std::fs::read(manifest).map_err(|source| match source.kind() {
            NotFound | NotADirectory => missing(),
            _ => Error::io(manifest, source),
        })
    };
    let mut before = text()?;
    for _ in 0..TRIES {
        let found = read(&before);
        let now = text()?;
        if now == before {
            return found;
        }
        before = now;
    }
    Err(Error::input(manifest, "was replaced again and again while being opened; try again later"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::hash_opened;

    #[test]
    fn what_is_held_stays_readable_and_what_is_not_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, gone) = (folder.path().join("a"), folder.path().join("b"));
        let names: Vec<String> = (0..=MOST_HELD).map(|i| format!("{i:04}")).collect();
        std::fs::create_dir(&dir).unwrap();
        names.iter().for_each(|name| std::fs::write(dir.join(name), "old").unwrap());
        let held = Held::open(&dir, names.iter().map(String::as_str)).unwrap();
        let read = |name: &str| hash_opened(&held.get(&dir, name).unwrap());
        let old = read(&names[0]).unwrap();
        assert_eq!(read(&names[MOST_HELD]).unwrap(), old);
        std::fs::rename(&dir, &gone).unwrap();
        assert_eq!(read(&names[0]).unwrap(), old);
        assert!(read(&names[MOST_HELD]).is_err());
    }

    #[test]
    fn a_folder_that_is_replaced_while_it_is_read_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        std::fs::write(&path, "1").unwrap();
        let missing = || Error::input(&path, "missing");
        let read = |text: &[u8]| {
            if text == b"1" {
                std::fs::write(&path, "2").unwrap();
                return Err(Error::input(&path, "half"));
            }
            Ok(text.to_vec())
        };
        assert_eq!(settled(&path, missing, read).unwrap(), b"2");
        let ever = |text: &[u8]| {
            std::fs::write(&path, [text, b"+"].concat()).unwrap();
            Ok(())
        };
        assert!(settled(&path, missing, ever).unwrap_err().to_string().contains("again and again"));
        std::fs::remove_file(&path).unwrap();
        assert!(settled(&path, missing, |_| Ok(())).unwrap_err().to_string().contains("missing"));
    }
}
