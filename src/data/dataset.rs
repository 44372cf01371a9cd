//! A DATASET folder: what `dataset.json` says, and the paths of its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The version of the folder's layout that this build writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// A split of the interactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the model learns from. Vocabularies, counts and bucket edges come from it alone.
    Train,
    /// What early stopping and tuning look at.
    Valid,
    /// What is reported.
    Test,
}

impl Split {
    /// Every split, in the order of time.
    pub const ALL: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

    /// `train`, `valid` or `test`: also the prefix of the shards' names.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

impl std::str::FromStr for Split {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == text)
            .ok_or_else(|| Error::config("split", format!("`{text}` is not one of train, valid, test")))
    }
}

/// One file of the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name inside the folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The xxh3-64 of its bytes, 16 hex digits; absent for a file that another program put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xxh3: Option<String>,
}

/// The shards of one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// Rows in all shards.
    pub rows: u64,
    /// The smallest timestamp (seconds), where there are timestamps and rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_timestamp: Option<i64>,
    /// The largest timestamp (seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_timestamp: Option<i64>,
    /// The shards, in the order of their rows.
    pub files: Vec<FileInfo>,
}

/// The names that the interaction columns had in the input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceColumns {
    /// The user column.
    pub user: String,
    /// The item column.
    pub item: String,
    /// The time column, if the shards have timestamps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The weight column, if the shards have weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// What the times were taken for: `dates`, `epoch milliseconds`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_read_as: Option<String>,
    /// Columns of the input that are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

/// Users or items: their vocabulary and features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntityInfo {
    /// Rows of the vocabulary: 1 for the unknown id (row 0) + the ids that the training split names.
    pub rows: u32,
    /// Ids that only the other splits name. They have no table row; in `valid` and `test` shards they are numbered
    /// `rows, rows + 1, …`, so that an id of such a shard is below `rows + unseen`.
    pub unseen: u32,
    /// The vocabulary (`users.arrow`, `items.arrow`), `rows` rows.
    pub file: FileInfo,
    /// Raw ids and features of the unseen ids, `unseen` rows, the same columns; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_file: Option<FileInfo>,
    /// The feature columns, in the order of the vocabulary file's columns.
    pub features: Vec<Feature>,
}

/// One feature column, as fitted on the training split. Codes start at 1; code 0 is missing or unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name in the input and in the vocabulary file.
    pub name: String,
    /// What its codes mean.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// What the codes of a feature column mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeatureKind {
    /// One value of a closed set: code i + 1 is `values[i]`.
    Categorical {
        /// The values, most frequent first, ties in byte order.
        values: Vec<String>,
    },
    /// Several values of a closed set, split at `separator`.
    MultiHot {
        /// What stands between two values.
        separator: String,
        /// The values, most frequent first, ties in byte order.
        values: Vec<String>,
    },
    /// A number: code 1 + the count of edges that are <= it.
    Numeric {
        /// Ascending quantile edges.
        edges: Vec<f64>,
    },
}

impl Feature {
    /// Rows of an embedding table for this feature: the codes and row 0.
    pub fn rows(&self) -> usize {
        1 + match &self.kind {
            FeatureKind::Categorical { values } | FeatureKind::MultiHot { values, .. } => values.len(),
            FeatureKind::Numeric { edges } => edges.len() + 1,
        }
    }

    /// Whether a row has a list of codes and not just one.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, FeatureKind::MultiHot { .. })
    }
}

/// What the lower bounds on counts ([`MinCount`](super::ingest::MinCount)) left out of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Users below the bound.
    pub users: u64,
    /// Items below the bound.
    pub items: u64,
    /// Training rows of either.
    pub train_rows: u64,
    /// Validation rows of either; none where they are kept.
    pub valid_rows: u64,
    /// Test rows of either; none where they are kept.
    pub test_rows: u64,
}

/// The text of `dataset.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `tercel-dataset`.
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// The input's column names.
    pub columns: SourceColumns,
    /// The training shards.
    pub train: SplitInfo,
    /// The validation shards; no files when there is no validation split.
    #[serde(default)]
    pub valid: SplitInfo,
    /// The test shards; no files when there is no test split.
    #[serde(default)]
    pub test: SplitInfo,
    /// The users.
    pub users: EntityInfo,
    /// The items.
    pub items: EntityInfo,
    /// The training rows once more, sorted by user, then time, then input order (`history.arrow`): user histories,
    /// seen items and known positives are read from it. Absent where another program wrote the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<FileInfo>,
    /// What the lower bounds on counts left out; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered: Option<Filtered>,
}

/// An opened DATASET folder.
#[derive(Clone, Debug)]
pub struct Dataset {
    dir: PathBuf,
    manifest: Manifest,
}

impl Dataset {
    /// Opens a folder: reads and checks `dataset.json` and the sizes of the files that it names.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no such folder or manifest, [`Error::Damaged`] when the manifest cannot be
    /// understood or a file is missing or has another size.
    pub fn open(dir: impl AsRef<Path>) -> Result<Dataset> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join("dataset.json");
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                Error::input(&dir, "no dataset.json here; make a dataset with `tercel ingest`")
            }
            _ => Error::io(&path, source),
        })?;
        let manifest: Manifest = serde_json::from_str(&text)
            .map_err(|e| Error::damaged(&path, format!("line {}, column {}", e.line(), e.column()), e.to_string()))?;
        if manifest.format != "tercel-dataset" || manifest.version != FORMAT_VERSION {
            return Err(Error::input(
                &path,
                format!(
                    "format {} version {} (this build reads tercel-dataset version {FORMAT_VERSION}); ingest again",
                    manifest.format, manifest.version
                ),
            ));
        }
        let dataset = Dataset { dir, manifest };
        for file in dataset.files() {
            if file.name.contains(['/', '\\']) || file.name.starts_with('.') {
                return Err(Error::damaged(&path, "files", format!("`{}` is not a plain file name", file.name)));
            }
            let path = dataset.path(file);
            let bytes = fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
            if bytes != file.bytes {
                return Err(Error::damaged(
                    &path,
                    "end of file",
                    format!("{bytes} bytes, dataset.json says {}; ingest again", file.bytes),
                ));
            }
        }
        Ok(dataset)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `dataset.json` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The shards of a split.
    pub fn split(&self, split: Split) -> &SplitInfo {
        match split {
            Split::Train => &self.manifest.train,
            Split::Valid => &self.manifest.valid,
            Split::Test => &self.manifest.test,
        }
    }

    /// The path of one of the folder's files.
    pub fn path(&self, file: &FileInfo) -> PathBuf {
        self.dir.join(&file.name)
    }

    /// Every file that the manifest names.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        let m = &self.manifest;
        [&m.train, &m.valid, &m.test]
            .into_iter()
            .flat_map(|split| &split.files)
            .chain([&m.users.file, &m.items.file])
            .chain(m.users.unseen_file.as_ref())
            .chain(m.items.unseen_file.as_ref())
            .chain(m.history.as_ref())
    }

    /// Reads every file whole and compares its xxh3-64 with the manifest's.
    ///
    /// # Errors
    /// [`Error::Damaged`] naming the first file that differs.
    pub fn verify(&self) -> Result<()> {
        for file in self.files() {
            verify_file(&self.path(file), file)?;
        }
        Ok(())
    }
}

/// Compares the xxh3-64 of the file at `path` with `info`'s, where it has one.
///
/// # Errors
/// [`Error::Io`] or [`Error::Damaged`].
pub fn verify_file(path: &Path, info: &FileInfo) -> Result<()> {
    let Some(expected) = &info.xxh3 else { return Ok(()) };
    let found = hash_file(path)?;
    if &found != expected {
        return Err(Error::damaged(path, "file", format!("checksum {found}, expected {expected}; ingest again")));
    }
    Ok(())
}

/// The xxh3-64 of a file's bytes as 16 hex digits.
///
/// # Errors
/// [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut hasher = xxhash_rust::xxh3::Xxh3Default::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).map_err(|e| Error::io(path, e))? {
            0 => return Ok(format!("{:016x}", hasher.digest())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// Writes a JSON file whole or not at all: a temp file in the same folder, fsync, rename.
///
/// # Errors
/// [`Error::Io`].
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    crate::files::write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value).map_err(std::io::Error::from)?;
        std::io::Write::write_all(out, b"\n")
    })
}
