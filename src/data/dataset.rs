//! A DATASET folder: what `dataset.json` says, and its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::shard::{Shard, ShardIndex, Summary};
use crate::data::vocabulary::Vocabulary;
use crate::files::{
    AtomicFile, Held, OpenedFile, Work, accept_json, copy_hashed, hash_opened, other_format, parse_json,
    read_unchecked, settled,
};
use crate::{Error, Result};

mod manifest;
pub(crate) mod parts;

pub use manifest::Manifest;
pub(crate) use parts::LATE;
pub use parts::{EntityInfo, Feature, FeatureKind, FileInfo, Filtered, SourceColumns, Split, SplitInfo};

pub use crate::files::{hash_file, write_json};

/// The version of the folder's layout that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// The format that a manifest names.
pub const FORMAT: &str = "tercel-dataset";

/// The folder's manifest.
pub(crate) const MANIFEST: &str = "dataset.json";

/// Datasets as outputs.
pub(crate) const WORK: Work = Work {
    what: "dataset",
    ending: "ingest",
    manifest: MANIFEST,
    parts: |dir| {
        let manifest: Manifest = read_unchecked(&dir.join(MANIFEST))?;
        Ok(manifest.files().map(|file| file.name.clone()).chain(["rejected.csv".into()]).collect())
    },
    written: &[],
    resumable: None,
};

/// An opened DATASET folder. Its files stay open: what is read is what the manifest described when it was opened, even
/// when another dataset takes its place.
#[derive(Clone, Debug)]
pub struct Dataset {
    dir: PathBuf,
    manifest: Manifest,
    /// The xxh3-64 of `dataset.json`.
    fingerprint: String,
    held: Held,
}

impl Dataset {
    /// Opens a folder: reads and checks `dataset.json` and the sizes of the files that it names. Their contents are
    /// compared with their checksums as they are read.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such folder or manifest, [`Error::Damaged`] when the manifest cannot be
    /// understood or its checksum differs, or a file is missing or has another size.
    pub fn open(dir: impl AsRef<Path>) -> Result<Dataset> {
        let dir = dir.as_ref();
        let path = dir.join(MANIFEST);
        let missing = || Error::input(dir, "no dataset.json here; create a dataset with `tercel ingest`");
        settled(&path, missing, |text| {
            let manifest = parse(&path, text)?;
            let held = Held::open(dir, manifest.files().map(|file| file.name.as_str()))?;
            let fingerprint = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text));
            let dataset = Dataset { dir: dir.to_owned(), manifest, fingerprint, held };
            for file in dataset.files() {
                let bytes = dataset.opened(file)?.bytes();
                if bytes != file.bytes {
                    let reason = format!("{bytes} bytes, dataset.json says {}; ingest again", file.bytes);
                    return Err(Error::damaged(dataset.path(file), "end of file", reason));
                }
            }
            check_rows(&dataset.manifest, &path)?;
            Ok(dataset)
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `dataset.json` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What tells it from another dataset: the xxh3-64 of its `dataset.json`, which holds the hashes of its files.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The shards of a split.
    pub fn split(&self, split: Split) -> &SplitInfo {
        self.manifest.split(split)
    }

    /// The path of one of the folder's files.
    pub fn path(&self, file: &FileInfo) -> PathBuf {
        self.dir.join(&file.name)
    }

    /// Every file that the manifest names.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        self.manifest.files()
    }

    /// One of the folder's files, as it was when the folder was opened.
    pub(crate) fn opened(&self, file: &FileInfo) -> Result<OpenedFile> {
        self.held.get(&self.dir, &file.name)
    }

    /// The dataset as another manifest describes it: `more` are files that this one's does not name.
    pub(crate) fn described_by(
        &self,
        manifest: Manifest,
        more: impl IntoIterator<Item = (String, OpenedFile)>,
    ) -> Dataset {
        let held = self.held.with(more);
        Dataset { dir: self.dir.clone(), manifest, fingerprint: self.fingerprint.clone(), held }
    }

    /// Copies one of the folder's files to `to`, in a folder that nobody else writes to, comparing it with its checksum on
    /// the way.
    pub(crate) fn copy(&self, file: &FileInfo, to: &Path) -> Result<()> {
        let from = self.opened(file)?;
        let mut out = AtomicFile::inside(to)?;
        let found = copy_hashed(&from, &mut out)?;
        if let Some(recorded) = file.xxh3.as_ref().filter(|recorded| **recorded != found) {
            return Err(differs(from.path(), &found, recorded));
        }
        out.commit()
    }

    /// One of its shards.
    pub(crate) fn shard(&self, file: &FileInfo) -> Result<Shard> {
        Arc::new(ShardIndex::of(self.opened(file)?, file)?).map()
    }

    /// What one of its shards holds: all of it is read.
    ///
    /// # Errors
    /// As [`Shard::open`] and [`Shard::block`].
    pub fn summarise(&self, file: &FileInfo) -> Result<Summary> {
        Summary::of(ShardIndex::of(self.opened(file)?, file)?)
    }

    /// The vocabulary and features of its users or its items.
    pub(crate) fn vocabulary(&self, side: &EntityInfo) -> Result<Vocabulary> {
        Vocabulary::of(side, |file| self.opened(file))
    }

    /// Reads every file whole and compares its xxh3-64 with the manifest's.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the first file that differs.
    pub fn verify(&self) -> Result<()> {
        for file in self.files() {
            let Some(recorded) = &file.xxh3 else { continue };
            let found = hash_opened(&self.opened(file)?)?;
            if found != *recorded {
                return Err(differs(&self.path(file), &found, recorded));
            }
        }
        Ok(())
    }

    /// Takes a folder as it is now, after `dataset.json` or one of its files was changed by hand: the sizes, numbers of
    /// rows and checksums of all files, and that of the manifest, are computed anew.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the manifest or a shard cannot be understood; [`Error::Io`].
    pub fn accept(dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        let path = dir.join(MANIFEST);
        check_version(&path, &fs::read(&path).map_err(|e| Error::io(&path, e))?)?;
        accept_json(&path, |manifest: &mut Manifest| {
            manifest.files().try_for_each(|file| check_name(file, &path))?;
            for split in [&mut manifest.train, &mut manifest.valid, &mut manifest.test] {
                for file in &mut split.files {
                    accept_shard(dir, file)?;
                }
                split.repeats = None;
                split.later = None;
                split.rows = split.files.iter().map(|file| file.rows).sum();
            }
            if let Some(file) = &mut manifest.history {
                accept_shard(dir, file)?;
            }
            // Its rows may be others.
            manifest.shape = None;
            for side in [&mut manifest.users, &mut manifest.items] {
                for file in [Some(&mut side.file), side.unseen_file.as_mut()].into_iter().flatten() {
                    accept_file(dir, file)?;
                }
            }
            Ok(())
        })
    }
}

/// Numbers of rows that the files can hold, whose sizes were compared: whoever reads them asks for memory by these.
fn check_rows(manifest: &Manifest, path: &Path) -> Result<()> {
    /// A row of a shard has a user and an item, one of a vocabulary a count.
    const ROW_BYTES: u64 = 8;
    let damaged = |at: &str, reason: String| Error::damaged(path, at, format!("{reason}; ingest again"));
    if let Some(file) = manifest.files().find(|file| file.rows > file.bytes / ROW_BYTES) {
        let reason = format!("{} bytes cannot hold the {} rows that it lists for {}", file.bytes, file.rows, file.name);
        return Err(damaged("files", reason));
    }
    for (name, side) in [("users", &manifest.users), ("items", &manifest.items)] {
        let unseen = side.unseen_file.as_ref().map_or(0, |file| file.rows);
        if (u64::from(side.rows), u64::from(side.unseen)) != (side.file.rows, unseen) {
            let reason =
                format!("{} and {} rows, its files have {} and {unseen}", side.rows, side.unseen, side.file.rows);
            return Err(damaged(name, reason));
        }
        if side.unseen_valid > side.unseen {
            let reason = format!("{} of {} unseen ids are the validation split's", side.unseen_valid, side.unseen);
            return Err(damaged(name, reason));
        }
    }
    for split in [&manifest.train, &manifest.valid, &manifest.test] {
        if Some(split.rows) != split.files.iter().try_fold(0u64, |sum, file| sum.checked_add(file.rows)) {
            return Err(damaged("splits", format!("{} rows of a split are not those of its files", split.rows)));
        }
    }
    Ok(())
}

fn parse(path: &Path, text: &[u8]) -> Result<Manifest> {
    check_version(path, text)?;
    let manifest: Manifest = parse_json(path, text)?;
    manifest.files().try_for_each(|file| check_name(file, path))?;
    Ok(manifest)
}

fn check_version(path: &Path, text: &[u8]) -> Result<()> {
    let Some(found) = other_format(text, FORMAT, FORMAT_VERSION) else { return Ok(()) };
    let reason = format!("{found} (this build reads {FORMAT} version {FORMAT_VERSION}); ingest again");
    Err(Error::input(path, reason))
}

/// A file of a folder lies in the folder.
pub(crate) fn check_name(file: &FileInfo, manifest: &Path) -> Result<()> {
    if file.name.contains(['/', '\\']) || file.name.starts_with('.') {
        return Err(Error::damaged(manifest, "files", format!("`{}` is not a plain file name", file.name)));
    }
    Ok(())
}

/// What the manifest says of a file becomes what the file is.
pub(crate) fn accept_file(dir: &Path, file: &mut FileInfo) -> Result<()> {
    let path = dir.join(&file.name);
    file.bytes = OpenedFile::open(&path)?.bytes();
    file.xxh3 = Some(hash_file(&path)?);
    Ok(())
}

/// [`accept_file`] of a shard.
pub(crate) fn accept_shard(dir: &Path, file: &mut FileInfo) -> Result<()> {
    accept_file(dir, file)?;
    let index = ShardIndex::read(OpenedFile::open(&dir.join(&file.name))?)?;
    file.rows = index.rows;
    // Without checksums in it the file is compared as a whole.
    file.footer = index.checked.then_some(index.footer);
    Ok(())
}

fn differs(path: &Path, found: &str, expected: &str) -> Error {
    Error::damaged(path, "file", format!("checksum {found}, expected {expected}; ingest again"))
}

/// Compares the xxh3-64 of the file at `path` with `info`'s, where it has one.
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`].
pub fn verify_file(path: &Path, info: &FileInfo) -> Result<()> {
    let Some(expected) = &info.xxh3 else { return Ok(()) };
    let found = hash_file(path)?;
    if &found == expected { Ok(()) } else { Err(differs(path, &found, expected)) }
}
