//! How good a model is.

use super::model::Model;
use super::{Event, Observer, Search};
use crate::Result;
use crate::data::dataset::{Dataset, Split};
use crate::eval::metrics::Metrics;
use crate::eval::{EvaluateOptions, Evaluation};

/// What to measure.
#[derive(Debug)]
#[must_use = "a request does nothing by itself; give it to `Model::evaluate`"]
pub struct Evaluate<'a> {
    split: Split,
    options: EvaluateOptions,
    search: Search<'a>,
    observer: Observer<'a>,
}

impl<'a> Evaluate<'a> {
    /// Every user with items in this split, against the full catalogue, at 10 and 20. Training items are left out.
    pub fn split(split: Split) -> Evaluate<'a> {
        let options = EvaluateOptions::default();
        Evaluate { split, options, search: Search::Exact, observer: Observer::default() }
    }

    /// At these lengths of list.
    pub fn k(mut self, ks: &[usize]) -> Self {
        self.options.ks = ks.to_vec();
        self
    }

    /// Lets the model return what a user has in training: what is bought next, not what is discovered.
    pub fn include_seen(mut self, include_seen: bool) -> Self {
        self.options.include_seen = include_seen;
        self
    }

    /// Which items are searched. Default [`Search::Exact`].
    pub fn index(mut self, search: impl Into<Search<'a>>) -> Self {
        self.search = search.into();
        self
    }

    /// Bytes for the split's pairs and for blocks of users. Default 512 MiB.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.options.memory = bytes;
        self
    }

    /// Bootstrap resamples, and their seed; no resamples, no intervals. Default 1000 and 0.
    pub fn bootstrap(mut self, resamples: usize, seed: u64) -> Self {
        (self.options.bootstrap, self.options.seed) = (resamples, seed);
        self
    }

    /// Tells `observer` how far it is and what should be known. An error that it answers ends the call.
    pub fn observe<'b>(self, observer: &'b mut dyn FnMut(Event<'_>) -> Result<()>) -> Evaluate<'b>
    where
        'a: 'b,
    {
        let Evaluate { split, options, search, .. } = self;
        Evaluate { split, options, search, observer: Observer::new(observer) }
    }

    /// Checks what can be checked before any work: the list lengths and the recall.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn check(&self) -> Result<()> {
        Metrics::new(&self.options.ks)?;
        self.search.check()
    }
}

impl Model {
    /// Measures the model on a split of the dataset that it was trained on, or of one with the same vocabularies; the
    /// popularity baseline beside it. A model of a [refitted](Dataset::refit) dataset is measured on the original as well:
    /// what users have, and what is popular, is what the model was trained on.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot be used; [`Error::Checkpoint`] when the dataset numbers its ids
    /// otherwise than the model; [`Error::Input`] when nobody has items in the split; what the observer answers; whatever
    /// the files or the device give.
    pub fn evaluate(&mut self, request: Evaluate<'_>, dataset: &Dataset) -> Result<Evaluation> {
        request.check()?;
        let Evaluate { split, options, search, mut observer } = request;
        let dataset = &*self.as_trained_on(dataset, split, &mut observer)?;
        let longest = options.ks.iter().copied().max().unwrap_or_default();
        let mut ranker = self.ranker(search, None, longest, &mut observer)?;
        crate::eval::evaluate(dataset, split, &mut ranker, &options, &mut |at| observer.progress(at))
    }
}
