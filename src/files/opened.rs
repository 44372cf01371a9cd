//! Open files, and folders of them: what is read from them is of one state, whatever takes their place later.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

/// An open file, and the path that errors call it by.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
}

impl Opened {
    /// Opens a file to be read; a folder is an error that says so.
    pub(crate) fn open(path: &Path) -> Result<Opened> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let about = file.metadata().map_err(|e| Error::io(path, e))?;
        if about.is_dir() {
            return Err(Error::input(path, "is a folder where an Arrow file is due"));
        }
        Ok(Opened { path: path.to_owned(), file: Arc::new(file), bytes: about.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its size when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Files of a folder, all opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    files: Arc<BTreeMap<String, Opened>>,
}

impl Held {
    /// Opens these files of `dir`.
    pub(crate) fn open<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<Held> {
        let open = |name: &str| Ok((name.to_owned(), Opened::open(&dir.join(name))?));
        let files = names.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Held { files: Arc::new(files) })
    }

    /// One of them; another file of `dir` is opened now.
    pub(crate) fn get(&self, dir: &Path, name: &str) -> Result<Opened> {
        match self.files.get(name) {
            Some(file) => Ok(file.clone()),
            None => Opened::open(&dir.join(name)),
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
    Err(Error::input(manifest, "was replaced again and again while it was opened; try again later"))
}
