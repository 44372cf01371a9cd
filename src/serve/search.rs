//! Which items a request searches: all, or those of an index that is found, checked and built here.

use std::path::Path;
use std::time::Instant;

use super::{Event, INDEX_FILE, Model, Note, Observer};
use crate::files::Lock;
use crate::index::item_index::{Admit, Admitted, IndexKind, IndexOptions, ItemIndex};
use crate::model::checkpoint::ModelDir;
use crate::settings::SearchSettings;
use crate::{Error, Result};

/// Which items a request searches.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Search<'a> {
    /// All of them.
    #[default]
    Exact,
    /// Those of the model's approximate index that are likely to matter: the file [`INDEX_FILE`] in its folder, which is
    /// built where it is missing, damaged, of another model or of a lower recall.
    Approx {
        /// The recall that is kept, between 0 and 1.
        recall: f32,
    },
    /// Those of this index, which [`Model::index`] has built.
    With(&'a ItemIndex),
}

impl Search<'_> {
    /// An approximate search with the usual recall, 0.95.
    pub fn approx() -> Search<'static> {
        Search::Approx { recall: Search::RECALL }
    }

    /// The recall that is kept where none is asked for.
    pub const RECALL: f32 = crate::settings::RECALL;

    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Error::Config`] for a recall that no index can keep.
    pub fn check(&self) -> Result<()> {
        match self {
            Search::Approx { recall } => IndexOptions::approx(*recall).check(),
            _ => Ok(()),
        }
    }
}

impl From<&SearchSettings> for Search<'_> {
    fn from(settings: &SearchSettings) -> Self {
        settings.kept().map_or(Search::Exact, |recall| Search::Approx { recall })
    }
}

impl<'a> From<&'a ItemIndex> for Search<'a> {
    fn from(index: &'a ItemIndex) -> Search<'a> {
        Search::With(index)
    }
}

/// The model's own index, and the filter that it was asked with last.
pub(super) struct OwnIndex {
    pub(super) index: ItemIndex,
    pub(super) only: Option<(Vec<u32>, Admitted)>,
}

impl OwnIndex {
    fn new(index: ItemIndex) -> OwnIndex {
        OwnIndex { index, only: None }
    }

    /// Makes `only` the filter for these rows.
    pub(super) fn admit(&mut self, rows: Option<&[u32]>) -> Result<()> {
        let Some(rows) = rows else {
            self.only = None;
            return Ok(());
        };
        if self.only.as_ref().is_none_or(|(known, _)| known != rows) {
            let admitted = self.index.admit(&Admit::Items(rows.to_vec()))?;
            self.only = Some((rows.to_vec(), admitted));
        }
        Ok(())
    }
}

impl Model {
    /// Whether an index is of this model's items.
    pub(super) fn owns(&self, index: &ItemIndex) -> bool {
        index.about().catalogue == self.catalogue() && index.dim() == self.compared_width()
    }

    /// Whether an index is of this model's items and keeps this recall.
    fn fits(&self, index: &ItemIndex, recall: f32) -> bool {
        let about = index.about();
        let kept = match about.kind {
            IndexKind::Exact => true,
            IndexKind::Approx { recall: kept } => about.measured.is_none() || kept >= recall,
        };
        kept && self.owns(index)
    }

    /// Sees to it that the index in use keeps this recall: the one in use, the one of the folder, or a new one, which is
    /// left there. `k` is what a new one is measured at.
    pub(super) fn prepare_index(&mut self, recall: f32, k: usize, observer: &mut Observer<'_>) -> Result<()> {
        if self.own_index.as_ref().is_some_and(|own| self.fits(&own.index, recall)) {
            return Ok(());
        }
        let file = self.dir().join(INDEX_FILE);
        let index = match self.open_index(&file, recall, observer)? {
            Some(index) => index,
            None => self.new_index(&file, recall, k, observer)?,
        };
        self.own_index = Some(OwnIndex::new(index));
        Ok(())
    }

    fn open_index(&self, file: &Path, recall: f32, observer: &mut Observer<'_>) -> Result<Option<ItemIndex>> {
        if !file.exists() {
            return Ok(None);
        }
        match ItemIndex::open(file, self.device(), self.threads()) {
            Ok(index) if self.fits(&index, recall) => {
                observer.tell(Event::IndexOpened { file, about: index.about() })?;
                Ok(Some(index))
            }
            Ok(_) => observer.note(Note::IndexOutdated { file: file.to_owned() }).map(|()| None),
            Err(error) => observer.note(Note::IndexUnreadable { reason: error.to_string() }).map(|()| None),
        }
    }

    /// Leaves an index in the model's folder, unless another model has taken its place.
    fn keep_index(&self, index: &mut ItemIndex, file: &Path) -> Result<()> {
        let lock = Lock::take(file)?;
        self.check_in_place()?;
        index.save_locked(file, lock)
    }

    /// Whether this model is still the one in its folder.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when another has taken its place.
    pub fn check_in_place(&self) -> Result<()> {
        match ModelDir::new(self.dir()).info()?.catalogue() {
            Some(now) if now == self.catalogue() => Ok(()),
            _ => Err(Error::checkpoint(self.dir(), "was replaced while it was in use; run again")),
        }
    }

    fn new_index(&mut self, file: &Path, recall: f32, k: usize, observer: &mut Observer<'_>) -> Result<ItemIndex> {
        let start = Instant::now();
        let mut index = self.index(&IndexOptions::approx(recall).k(k))?;
        let seconds = start.elapsed().as_secs_f64();
        observer.tell(Event::IndexBuilt { about: index.about(), items: index.len(), seconds })?;
        if let Err(error) = self.keep_index(&mut index, file) {
            // A model folder that cannot be written (a shared mount, say) is as good to search.
            observer.note(Note::IndexNotKept { reason: error.to_string() })?;
        }
        Ok(index)
    }

    /// [`Error::Config`] for an index of other items.
    pub(super) fn check_index(&self, index: &ItemIndex) -> Result<()> {
        if self.owns(index) {
            return Ok(());
        }
        Err(Error::config("index", "it was built for another model; rebuild it"))
    }
}
