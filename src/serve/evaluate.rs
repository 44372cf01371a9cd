//! How good a model is.

use super::model::Model;
use super::{Event, Observer, Search};
use crate::data::dataset::{Dataset, Split};
use crate::eval::metrics::Metrics;
use crate::eval::{EvaluateOptions, Evaluation, Evaluator};
use crate::settings::{Baselines, View};
use crate::{Error, Result};

/// What to measure.
#[derive(Debug)]
#[must_use = "a request does nothing until it is passed to `Model::evaluate`"]
pub struct Evaluate<'a> {
    split: Split,
    options: EvaluateOptions,
    search: Search<'a>,
    observer: Observer<'a>,
}

impl<'a> Evaluate<'a> {
    /// Every user with items in this split, against the full catalogue, at 10 and 20: what they discover.
    pub fn split(split: Split) -> Evaluate<'a> {
        let options = EvaluateOptions::default();
        Evaluate { split, options, search: Search::Exact, observer: Observer::default() }
    }

    /// At these lengths of list.
    pub fn k(mut self, ks: &[usize]) -> Self {
        self.options.ks = ks.to_vec();
        self
    }

    /// What is looked at: what is new to users, or what they take next. Default [`View::Discovery`].
    pub fn view(mut self, view: View) -> Self {
        self.options.view = view;
        self
    }

    /// [`View::Next`] or [`View::Discovery`], by whether the model may return what a user has in training.
    pub fn include_seen(self, include_seen: bool) -> Self {
        self.view(if include_seen { View::Next } else { View::Discovery })
    }

    /// What stands beside the model and popularity. Default [`Baselines::None`].
    pub fn baselines(mut self, baselines: Baselines) -> Self {
        self.options.baselines = baselines;
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
    /// baselines beside it. A model of a [refitted](Dataset::refit) dataset is measured on the original as well: what users
    /// have, and what is popular, is what the model was trained on.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting that cannot be used; [`Error::Checkpoint`] when the dataset numbers its ids
    /// otherwise than the model; [`Error::Input`] when nobody has items in the split; what the observer answers; whatever
    /// the files or the device give.
    pub fn evaluate(&mut self, request: Evaluate<'_>, dataset: &Dataset) -> Result<Evaluation> {
        let mut last = None;
        let view = request.options.view;
        self.evaluate_views(request, &[view], dataset, |evaluation| last = Some(evaluation))?;
        last.ok_or_else(|| Error::config("view", "there is none to look at"))
    }

    /// [`evaluate`](Model::evaluate) in each of these views ([`views`](crate::eval::views) says which), whatever view was
    /// asked for; `take` gets each evaluation when it is done. The split and the baselines are read once.
    ///
    /// # Errors
    /// As [`evaluate`](Model::evaluate).
    pub fn evaluate_views(
        &mut self,
        request: Evaluate<'_>,
        views: &[View],
        dataset: &Dataset,
        mut take: impl FnMut(Evaluation),
    ) -> Result<()> {
        request.check()?;
        let Evaluate { split, options, search, mut observer } = request;
        let dataset = &*self.as_trained_on(dataset, split, &mut observer)?;
        let longest = options.ks.iter().copied().max().unwrap_or_default();
        let mut ranker = self.ranker(search, None, longest, &mut observer)?;
        let mut evaluator = Evaluator::open(dataset, split, &options)?;
        for &view in views {
            evaluator.look(view);
            take(evaluator.evaluate(&mut ranker, &mut |at| observer.progress(at))?);
        }
        Ok(())
    }
}
