//! The text of `dataset.json`.

use serde::{Deserialize, Serialize};

use super::parts::{EntityInfo, FileInfo, Filtered, SourceColumns, Split, SplitInfo};
use crate::data::derive::Derived;
use crate::data::shape::Shape;
use crate::data::split::SplitRule;

/// The text of `dataset.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always `tercel-dataset`.
    pub format: String,
    /// [`FORMAT_VERSION`](super::FORMAT_VERSION).
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
    /// What is known of the training rows as a whole; absent where another program wrote the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// How the held-out splits were made, `none` where files were given for them or nothing is held out; absent where
    /// another program, or an earlier build, wrote the folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitRule>,
    /// The dataset that this one was made of, and how; absent where ingest made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derived: Option<Derived>,
}

impl Manifest {
    /// The shards of a split.
    pub fn split(&self, split: Split) -> &SplitInfo {
        match split {
            Split::Train => &self.train,
            Split::Valid => &self.valid,
            Split::Test => &self.test,
        }
    }

    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        let shards = [&self.train, &self.valid, &self.test].into_iter().flat_map(|split| &split.files);
        let sides =
            [&self.users, &self.items].into_iter().flat_map(|side| [Some(&side.file), side.unseen_file.as_ref()]);
        shards.chain(sides.flatten()).chain(self.history.as_ref())
    }
}
