//! Models of refitted datasets, beside the dataset that was refitted.

use std::borrow::Cow;

use super::{Model, Note, Observer};
use crate::data::dataset::{Dataset, EntityInfo, FileInfo, Manifest, Split};
use crate::data::vocabulary::Vocabulary;
use crate::files::OpenedFile;
use crate::{Error, Result};

impl Model {
    /// Whether the model was trained on a [refit](Dataset::refit) of the dataset: on its training and validation rows,
    /// with ids of the same numbers.
    pub fn extends(&self, dataset: &Dataset) -> bool {
        self.info().extends.as_ref().is_some_and(|extends| extends.dataset == dataset.fingerprint())
    }

    /// The dataset as the model is measured on it: with the model's vocabularies and its training rows.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when ids have other numbers in the model; what the observer answers to the note that the model
    /// was trained on the split; as reading the files else.
    pub(super) fn as_trained_on<'d>(
        &self,
        dataset: &'d Dataset,
        split: Split,
        observer: &mut Observer<'_>,
    ) -> Result<Cow<'d, Dataset>> {
        let (ours, theirs) = (self.info(), dataset.manifest());
        if ours.users.file == theirs.users.file && ours.items.file == theirs.items.file {
            return Ok(Cow::Borrowed(dataset));
        }
        let continues = |ours: &EntityInfo, theirs: &EntityInfo| {
            theirs.rows.checked_add(theirs.unseen_valid) == Some(ours.rows) && theirs.unseen_valid <= theirs.unseen
        };
        let same_numbers = continues(&ours.users, &theirs.users) && continues(&ours.items, &theirs.items);
        if !self.extends(dataset) || !same_numbers {
            let other = dataset.dir().display();
            let reason = format!("was not trained on {other}: the ids differ; train a model on that dataset");
            return Err(Error::checkpoint(self.dir(), reason));
        }
        if split != Split::Test {
            observer.note(Note::TrainedOn { split })?;
        }
        self.extended(dataset, split).map(Cow::Owned)
    }

    /// The refit, with what the model keeps of it in the place of the dataset's own files. The validation split stays, to
    /// be measured; the training split is the dataset's own where that is measured.
    fn extended(&self, dataset: &Dataset, split: Split) -> Result<Dataset> {
        let (ours, theirs) = (self.info(), dataset.manifest());
        let mut more = Vec::new();
        let mut add = |file: &FileInfo, opened: OpenedFile| {
            // A name that no file of a dataset has.
            let name = format!("model/{}", file.name);
            more.push((name.clone(), opened));
            FileInfo { name, ..file.clone() }
        };
        let mut own = |file: &FileInfo| Ok::<_, Error>(add(file, self.files().opened(file)?));
        let unseen_users = ours.users.unseen_file.as_ref().map(&mut own).transpose()?;
        let users = EntityInfo { file: own(&ours.users.file)?, unseen_file: unseen_users, ..ours.users.clone() };
        let (items_file, history) = (own(&ours.items.file)?, own(&ours.history)?);
        let left = unseen_items(dataset)?;
        let items = EntityInfo {
            unseen: left.as_ref().map_or(0, |(file, _)| file.rows as u32),
            file: items_file,
            unseen_file: left.map(|(file, opened)| add(&file, opened)),
            ..ours.items.clone()
        };
        // Rows that the refit left out are in no training split.
        let all_joined = ours.extends.as_ref().is_some_and(|extends| extends.left_out == 0);
        let train = match split {
            Split::Valid | Split::Test if all_joined => theirs.train.alone().join(theirs.valid.alone()),
            _ => theirs.train.alone(),
        };
        let manifest = Manifest {
            train,
            valid: theirs.valid.alone(),
            test: theirs.test.alone(),
            users,
            items,
            history: Some(history),
            ..theirs.clone()
        };
        Ok(dataset.described_by(manifest, more))
    }
}

/// The dataset's unseen items but for those that validation names, as a file of their own: a model does not keep them.
fn unseen_items(dataset: &Dataset) -> Result<Option<(FileInfo, OpenedFile)>> {
    let info = &dataset.manifest().items;
    let joined = info.unseen_valid as usize;
    let Vocabulary { unseen: Some(unseen), .. } = dataset.vocabulary(info)? else { return Ok(None) };
    let mut left = unseen.new_like();
    left.append(&unseen, joined..unseen.len())?;
    if left.is_empty() {
        return Ok(None);
    }
    let dir = tempfile::tempdir().map_err(|e| Error::io(std::env::temp_dir(), e))?;
    let path = dir.path().join("items-unseen.arrow");
    let file = left.write(&path, &info.features)?;
    // The file stays readable through its open handle when the folder is removed.
    Ok(Some((file, OpenedFile::open(&path)?)))
}
