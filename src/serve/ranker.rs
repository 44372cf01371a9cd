//! A model as a request asks it: through a scan of its items, or through an index that is found, checked and built here.

use std::path::Path;
use std::time::Instant;

use super::index::Answer;
use super::model::Engine;
use super::search::OwnIndex;
use super::{Event, INDEX_FILE, Model, Note, Observer, Search};
use crate::files::Lock;
use crate::index::ahead::{Gathered, Reader};
use crate::index::item_index::{Admit, Admitted, AskedOnDevice, IndexKind, IndexOptions, ItemIndex};
use crate::index::{Found, HitCounter, Lists, Ranker, UserBlock};
use crate::model::checkpoint::ModelDir;
use crate::model::gather::TowerBlock;
use crate::{Error, Result};

impl Model {
    /// The model as a request asks it: these items alone, found by this search. `k` is the length of its lists.
    pub(super) fn ranker<'m, 's>(
        &'m mut self,
        search: Search<'s>,
        allow: Option<Vec<u32>>,
        k: usize,
        observer: &mut Observer<'_>,
    ) -> Result<RequestRanker<'m, 's>> {
        let retrieval = match search {
            Search::Exact => Retrieval::Scan(allow),
            Search::Approx { recall } => {
                self.prepare_index(recall, k, observer)?;
                if let Some(own) = &mut self.own_index {
                    own.admit(allow.as_deref())?;
                }
                Retrieval::OwnIndex
            }
            Search::With(index) => {
                self.check_index(index)?;
                Retrieval::With(index, allow.map(|rows| index.admit(&Admit::Items(rows)).map(Box::new)).transpose()?)
            }
        };
        Ok(RequestRanker { model: self, retrieval, asked: None })
    }

    /// Whether an index is of this model's items.
    fn owns(&self, index: &ItemIndex) -> bool {
        let config = self.config();
        index.about().catalogue == self.catalogue()
            && index.dim() == config.model.dim
            && index.has_biases() == (config.popularity() != 0.0)
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
    fn prepare_index(&mut self, recall: f32, k: usize, observer: &mut Observer<'_>) -> Result<()> {
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
    fn check_index(&self, index: &ItemIndex) -> Result<()> {
        if self.owns(index) {
            return Ok(());
        }
        Err(Error::config("index", "it was built for another model; rebuild it"))
    }
}

/// A model, and how a request searches it.
pub(super) struct RequestRanker<'m, 's> {
    model: &'m mut Model,
    retrieval: Retrieval<'s>,
    /// What the index was asked for and has not been fetched.
    asked: Option<Box<AskedOnDevice>>,
}

/// How the items of a request are found.
enum Retrieval<'s> {
    Scan(Option<Vec<u32>>),
    /// Through the model's own index and its filter.
    OwnIndex,
    With(&'s ItemIndex, Option<Box<Admitted>>),
}

impl Ranker for RequestRanker<'_, '_> {
    fn history_len(&self) -> usize {
        self.model.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        if let Retrieval::Scan(allow) = &self.retrieval {
            return self.model.scan(allow.as_deref()).top_k(users, k, skip);
        }
        let (engine, (index, only), _) = self.search_of()?;
        let block = super::index::reader(engine, index, only)?.gather(users, skip.cloned())?;
        match super::index::ask(engine, index, &block, k, only)? {
            Answer::Found(found) => Ok(found),
            Answer::Asked(asked) => index.found_near(*asked),
        }
    }

    fn reader(&mut self) -> Result<Reader> {
        if let Retrieval::Scan(allow) = &self.retrieval {
            return self.model.scan(allow.as_deref()).reader();
        }
        let (engine, (index, only), under_way) = self.search_of()?;
        *under_way = None;
        Ok(super::index::reader(engine, index, only)?.for_ranker())
    }

    fn rank(&mut self, block: Gathered, k: usize) -> Result<Option<Found>> {
        if let Retrieval::Scan(allow) = &self.retrieval {
            return self.model.scan(allow.as_deref()).rank(block, k);
        }
        let (engine, (index, only), under_way) = self.search_of()?;
        match super::index::ask(engine, index, &*block.into_own::<TowerBlock>()?, k, only)? {
            Answer::Found(found) => Ok(Some(found)),
            Answer::Asked(asked) => under_way.replace(asked).map(|asked| index.found_near(*asked)).transpose(),
        }
    }

    fn rest(&mut self) -> Result<Option<Found>> {
        if let Retrieval::Scan(allow) = &self.retrieval {
            return self.model.scan(allow.as_deref()).rest();
        }
        let (_, (index, _), under_way) = self.search_of()?;
        under_way.take().map(|asked| index.found_near(*asked)).transpose()
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        match &self.retrieval {
            Retrieval::Scan(allow) => self.model.scan(allow.as_deref()).into_hit_counter(k).map(Some),
            // An index merges and renames what it finds on the host.
            Retrieval::OwnIndex | Retrieval::With(..) => Ok(None),
        }
    }
}

/// An index, and which of its items may be given.
type Searched<'a> = (&'a ItemIndex, Option<&'a Admitted>);

impl RequestRanker<'_, '_> {
    /// What searches through an index: the model, the index, and what was asked of it and has not been fetched.
    fn search_of(&mut self) -> Result<(&mut Engine, Searched<'_>, &mut Option<Box<AskedOnDevice>>)> {
        let (engine, own) = self.model.engine_and_index();
        let searched = match (&self.retrieval, own) {
            (Retrieval::With(index, only), _) => (*index, only.as_deref()),
            (_, Some(own)) => (&own.index, own.only.as_ref().map(|(_, only)| only)),
            _ => return Err(Error::config("index", "the model has none")),
        };
        Ok((engine, searched, &mut self.asked))
    }
}
