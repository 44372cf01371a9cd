//! The JSON texts of a MODEL folder.

use serde::{Deserialize, Serialize};

use crate::config::Resolved;
use crate::data::batch::Cursor;
use crate::data::dataset::{EntityInfo, FileInfo, Manifest, SourceColumns};
use crate::data::derive::{Derived, DerivedKind};

/// The format that a `config.json` names.
pub const FORMAT: &str = "tercel-model";
/// The version of the folder's layout.
pub const FORMAT_VERSION: u32 = 1;

/// The text of `config.json`: what the model is and which vocabulary it was trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// Always `tercel-model`.
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// Every setting of the run.
    pub config: Resolved,
    /// The input's column names.
    pub columns: SourceColumns,
    /// The users (`users.arrow`).
    pub users: EntityInfo,
    /// The items (`items.arrow`).
    pub items: EntityInfo,
    /// The training rows by user: seen items and histories.
    pub history: FileInfo,
    /// The xxh3-64 of the dataset's `dataset.json`.
    pub dataset: String,
    /// Rows of the dataset's validation and test splits, which the model does not keep; absent in older folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_rows: Option<u64>,
    /// The dataset whose validation rows it was trained on, too, where its own dataset is a refit of that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<Extends>,
    /// The parameters (`model.safetensors`); absent until the model is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<FileInfo>,
}

/// The dataset that a model's own dataset is a [refit](crate::Dataset::refit) of: ids have the same numbers in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Extends {
    /// The xxh3-64 of its `dataset.json`.
    pub dataset: String,
    /// Its validation rows that the refit left out ([`DerivedKind::Refit`]).
    pub left_out: u64,
}

impl Extends {
    /// Of a dataset's manifest.
    pub(super) fn of(manifest: &Manifest) -> Option<Extends> {
        match &manifest.derived {
            Some(Derived { from, kind: DerivedKind::Refit { left_out } }) => {
                Some(Extends { dataset: from.clone(), left_out: *left_out })
            }
            _ => None,
        }
    }
}

impl ModelInfo {
    /// What tells one run from another: the xxh3-64 of all that was settled before it began.
    pub fn run(&self) -> String {
        let settled = ModelInfo { parameters: None, ..self.clone() };
        // Neither maps with other keys than texts nor numbers that JSON lacks are in it.
        format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(&settled).unwrap_or_default()))
    }

    /// What a finished model's items are called, so that an index of them is told from another's: the xxh3-64 of
    /// [`run`](ModelInfo::run) and the parameters' checksum; `None` until it is finished.
    pub fn catalogue(&self) -> Option<String> {
        let parameters = self.parameters.as_ref()?.xxh3.as_ref()?;
        Some(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(format!("{} {parameters}", self.run()).as_bytes())))
    }

    /// Every file that it names.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        let files = [&self.users.file, &self.items.file, &self.history].into_iter();
        files.chain(&self.users.unseen_file).chain(&self.parameters)
    }
}

/// The text of `trainer.json`: where training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainerState {
    /// The next batch.
    pub cursor: Cursor,
    /// Steps done.
    pub step: u64,
    /// Sum of the losses of this epoch's batches, each times its rows.
    pub loss_sum: f64,
    /// Rows of this epoch so far.
    pub examples: u64,
    /// The loss of every finished epoch.
    pub epoch_losses: Vec<f64>,
    /// The early-stopping metric after every validated epoch; NaN, which JSON has as null, where there was nothing to
    /// find.
    #[serde(deserialize_with = "numbers_or_null")]
    pub validations: Vec<f64>,
    /// Whether training is over.
    pub finished: bool,
    /// The first free place in the candidate queue.
    pub queue_next: usize,
    /// `model.safetensors` and `trainer.safetensors` of this checkpoint.
    pub files: Vec<FileInfo>,
    /// `best.safetensors`, where early stopping keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<FileInfo>,
    /// The run that it belongs to ([`ModelInfo::run`]).
    #[serde(default)]
    pub run: String,
    /// What decided the bits so far, beside the seed: the CPU's instructions (`avx2`, …), or `cuda sm_90`.
    #[serde(default)]
    pub path: String,
}

fn numbers_or_null<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(from)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

impl Default for TrainerState {
    fn default() -> Self {
        TrainerState {
            cursor: Cursor { epoch: 0, batch: 0 },
            step: 0,
            loss_sum: 0.0,
            examples: 0,
            epoch_losses: Vec::new(),
            validations: Vec::new(),
            finished: false,
            queue_next: 0,
            files: Vec::new(),
            best: None,
            run: String::new(),
            path: String::new(),
        }
    }
}
