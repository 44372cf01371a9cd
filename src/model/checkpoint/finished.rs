//! A finished model's folder, as its readers take it.

use std::path::{Path, PathBuf};

use super::{MANIFEST, MODEL, ModelDir, ModelInfo, WORK, parse_info};
use crate::data::dataset::{EntityInfo, FileInfo, accept_file, accept_shard};
use crate::data::history::History;
use crate::data::vocabulary::Vocabulary;
use crate::files::{Held, OpenedFile, accept_json, beside, hash_opened, settled};
use crate::model::tensors::TensorFile;
use crate::{Error, Result};

/// A finished model, all of its files open: what is read is what `config.json` described when it was opened, even when
/// another model takes its place.
#[derive(Debug)]
pub(crate) struct FinishedModel {
    dir: PathBuf,
    pub(crate) info: ModelInfo,
    held: Held,
}

impl FinishedModel {
    /// Opens a folder and compares the sizes of its files with `config.json`; their contents are compared as they are
    /// read.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is no model, or an unfinished one; [`Error::Damaged`]; [`Error::Io`].
    pub(crate) fn open(dir: &Path) -> Result<FinishedModel> {
        let path = dir.join(MANIFEST);
        settled(
            &path,
            || missing(dir),
            |text| {
                let info = parse_info(&path, text)?;
                if info.parameters.is_none() {
                    let reason = "is not finished, so it cannot be read: continue with `tercel train --resume`";
                    return Err(Error::checkpoint(dir, reason));
                }
                let held = Held::open(dir, info.files().map(|file| file.name.as_str()))?;
                for file in info.files() {
                    let opened = held.get(dir, &file.name)?;
                    if opened.bytes() != file.bytes {
                        let reason = format!("{} bytes, config.json says {}; train again", opened.bytes(), file.bytes);
                        return Err(Error::damaged(opened.path(), "end of file", reason));
                    }
                }
                Ok(FinishedModel { dir: dir.to_owned(), info, held })
            },
        )
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// One of its files.
    pub(crate) fn opened(&self, file: &FileInfo) -> Result<OpenedFile> {
        self.held.get(&self.dir, &file.name)
    }

    /// The vocabulary and features of its users or its items.
    pub(crate) fn vocabulary(&self, side: &EntityInfo) -> Result<Vocabulary> {
        Vocabulary::of(side, |file| self.opened(file))
    }

    /// The training rows by user.
    pub(crate) fn history(&self) -> Result<History> {
        let (file, info) = (&self.info.history, &self.info);
        History::of(self.opened(file)?, file, info.users.rows, info.items.rows)
    }

    /// The parameters, compared with their checksum.
    pub(crate) fn parameters(&self) -> Result<TensorFile> {
        let Some(recorded) = &self.info.parameters else { return Err(missing(&self.dir)) };
        let file = self.opened(recorded)?;
        let found = hash_opened(&file)?;
        if recorded.xxh3.as_ref() != Some(&found) {
            let reason = "is not the file that config.json describes: damaged, or from another model; train again";
            return Err(Error::checkpoint(file.path(), reason));
        }
        TensorFile::of(file)
    }
}

/// The error where a folder has no `config.json`.
pub(super) fn missing(dir: &Path) -> Error {
    let draft = beside(dir, WORK.ending);
    if draft.join(MANIFEST).is_file() {
        let reason = format!(
            "there is no model yet: {} contains an unfinished run, which `tercel train --resume` continues",
            draft.display()
        );
        return Error::checkpoint(dir, reason);
    }
    Error::checkpoint(dir.join(MANIFEST), "no such file: not a model folder; create a model with `tercel train`")
}

/// Takes a model's folder as it is now, after one of its files was changed by hand: sizes and checksums of all files, and
/// those of its JSON texts, are computed anew.
///
/// # Errors
/// [`Error::Damaged`] for a text that cannot be understood; [`Error::Checkpoint`] for a run that is not finished;
/// [`Error::Io`].
pub fn accept(dir: impl AsRef<Path>) -> Result<()> {
    let dir = dir.as_ref();
    let at = |name: &str| dir.join(name);
    let mut parameters = None;
    if at(super::STATE).exists() {
        accept_json(&at(super::STATE), |state: &mut super::TrainerState| {
            if !state.finished {
                return Err(Error::checkpoint(dir, "is an unfinished run, which only training may change"));
            }
            for file in &mut state.files {
                // Whoever gives a model away may leave the optimizer's state out.
                if dir.join(&file.name).exists() {
                    accept_file(dir, file)?;
                }
            }
            parameters = state.files.iter().find(|file| file.name == MODEL).cloned();
            Ok(())
        })?;
    }
    if at("metrics.json").exists() {
        accept_json(&at("metrics.json"), |_: &mut serde_json::Map<String, serde_json::Value>| Ok(()))?;
    }
    accept_json(&at(MANIFEST), |info: &mut ModelInfo| {
        info.config.validate()?;
        let mut fallback = FileInfo { name: MODEL.into(), rows: 0, bytes: 0, xxh3: None, footer: None };
        fallback = info.parameters.take().or(parameters).unwrap_or(fallback);
        accept_file(dir, &mut fallback)?;
        info.parameters = Some(fallback);
        accept_shard(dir, &mut info.history)?;
        for side in [&mut info.users, &mut info.items] {
            for file in [Some(&mut side.file), side.unseen_file.as_mut()].into_iter().flatten() {
                accept_file(dir, file)?;
            }
        }
        Ok(())
    })?;
    ModelDir::new(dir).info().map(drop)
}
