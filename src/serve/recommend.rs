//! The top items of users, in a file.

use std::path::Path;

use super::model::Model;
use super::{Event, Items, Note, Observer, Search, Who};
use crate::Result;
use crate::data::dataset::Dataset;
use crate::eval::metrics::check_k;
use crate::index::predictions::check_path;
use crate::index::{Exclude, RecommendOptions, Recommended, Seen};
use crate::table::ReadOptions;

/// What to recommend, and to whom.
#[derive(Debug)]
#[must_use = "a request does nothing until it is passed to `Model::recommend`"]
pub struct Recommend<'a> {
    k: usize,
    who: Who,
    items: Option<Items>,
    tags: Vec<String>,
    exclude: Exclude,
    seen: Option<&'a Dataset>,
    search: Search<'a>,
    memory: Option<u64>,
    by_user: bool,
    read: ReadOptions,
    observer: Observer<'a>,
}

impl<'a> Recommend<'a> {
    /// The `k` best items of everybody, from 1 to [`MAX_K`](crate::eval::metrics::MAX_K); items that they have are left
    /// out.
    pub fn top(k: usize) -> Recommend<'a> {
        Recommend {
            k,
            who: Who::Everyone,
            items: None,
            tags: Vec::new(),
            exclude: Exclude::default(),
            seen: None,
            search: Search::Exact,
            memory: None,
            by_user: false,
            read: ReadOptions::default(),
            observer: Observer::default(),
        }
    }

    /// For these users alone, in this order.
    pub fn users(mut self, who: impl Into<Who>) -> Self {
        self.who = who.into();
        self
    }

    /// Only these items.
    pub fn items(mut self, items: impl Into<Items>) -> Self {
        self.items = Some(items.into());
        self
    }

    /// Only items that have all of these, each `column=value` of an item feature.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// What is left out of a user's list. Default [`Exclude::All`]. Items that a table of users gives are left out too,
    /// unless this is [`Exclude::None`].
    pub fn exclude(mut self, exclude: Exclude) -> Self {
        self.exclude = exclude;
        self
    }

    /// The dataset that says what users have, and whose training rows are the histories that the model reads. Its ids
    /// are looked up in the model's vocabularies: it may be newer than the one the model was trained on. Without it the
    /// model's own training rows serve, and what users have in other splits is not known.
    pub fn seen(mut self, dataset: &'a Dataset) -> Self {
        self.seen = Some(dataset);
        self
    }

    /// Which items are searched. Default [`Search::Exact`].
    pub fn index(mut self, search: impl Into<Search<'a>>) -> Self {
        self.search = search.into();
        self
    }

    /// Bytes that blocks of users, what is found for them and the pieces of the file may take together, and the items of
    /// held-out splits as much again. Default 512 MiB.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Writes a line for every user, in JSON lines, instead of a row for every place.
    pub fn by_user(mut self, by_user: bool) -> Self {
        self.by_user = by_user;
        self
    }

    /// How the tables of users and items are read.
    pub fn read(mut self, options: ReadOptions) -> Self {
        self.read = options;
        self
    }

    /// Tells `observer` how far it is and what should be known. An error that it answers ends the call; a file that was
    /// there before stays.
    pub fn observe<'b>(self, observer: &'b mut dyn FnMut(Event<'_>) -> Result<()>) -> Recommend<'b>
    where
        'a: 'b,
    {
        let Recommend { k, who, items, tags, exclude, seen, search, memory, by_user, read, .. } = self;
        let observer = Observer::new(observer);
        Recommend { k, who, items, tags, exclude, seen, search, memory, by_user, read, observer }
    }

    /// Checks what can be checked before any work: the list length, the recall, how tables are read, and
    /// the file's name.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) or [`Error::Input`](crate::Error::Input).
    pub fn check(&self, out: impl AsRef<Path>) -> Result<()> {
        check_k(self.k)?;
        self.search.check()?;
        self.read.validate()?;
        check_path(out.as_ref(), self.by_user)
    }
}

/// A request that knows its model.
#[must_use = "nothing is computed until it is written"]
#[derive(Debug)]
pub struct Recommending<'m, 'a> {
    model: &'m mut Model,
    request: Recommend<'a>,
}

impl Model {
    /// Finds the top items of users; [`write`](Recommending::write) says where they go.
    pub fn recommend<'m, 'a>(&'m mut self, request: Recommend<'a>) -> Recommending<'m, 'a> {
        Recommending { model: self, request }
    }

    /// What users have: by `dataset`, else by the model's own training rows. Of a dataset that the model's is a refit of,
    /// those are what users have in training.
    fn seen(
        &self,
        dataset: Option<&Dataset>,
        exclude: Exclude,
        memory: u64,
        observer: &mut Observer<'_>,
    ) -> Result<Seen> {
        let Some(dataset) = dataset else {
            // Older models do not know whether their dataset had other splits.
            if exclude == Exclude::All && self.info().held_out_rows != Some(0) {
                observer.note(Note::TrainingItemsOnly)?;
            }
            return Ok(Seen::new(self.history()?));
        };
        let seen = match self.extends(dataset) {
            // The model's own rows are the training and validation rows, and its numbers are the dataset's.
            true => Seen::new(self.history()?),
            false => Seen::with_vocabularies(dataset, self.users(), self.items())?,
        };
        if exclude == Exclude::All { seen.with_held_out(dataset, memory) } else { Ok(seen) }
    }
}

impl Recommending<'_, '_> {
    /// Writes the lists to `out`: its ending decides the format
    /// ([`PredictionWriter`](crate::index::predictions::PredictionWriter)). Memory stays bounded whatever the number of
    /// users. After an error a file that was there is as it was.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a setting that cannot be used, an unknown user, or a tag that no item
    /// has; [`Error::Memory`](crate::Error::Memory) when no block fits; what the observer answers; whatever the files or the device give.
    pub fn write(self, out: impl AsRef<Path>) -> Result<Recommended> {
        let Recommending { model, request } = self;
        let out = out.as_ref();
        request.check(out)?;
        let Recommend { k, who, items, tags, exclude, seen, search, memory, by_user, read, mut observer } = request;
        let threads = model.threads();
        let mut options = RecommendOptions { exclude, threads, by_user, ..RecommendOptions::top(k) };
        options.memory = memory.unwrap_or(options.memory);
        let (user_ids, item_ids) = (model.users().clone(), model.items().clone());
        let elsewhere = seen.is_some();
        let seen = model.seen(seen, exclude, options.memory, &mut observer)?;
        let allowed = model.allowed(items.as_ref(), &tags, &read, &mut observer)?;
        let users = who.find(&user_ids, &item_ids, &model.info().columns, &read, elsewhere, &mut observer)?;
        let mut ranker = model.ranker(search, allowed, k, &mut observer)?;
        let progress = &mut |at| observer.progress(at);
        crate::index::recommend(&mut ranker, &users, &item_ids, Some(&seen), out, &options, progress)
    }
}
