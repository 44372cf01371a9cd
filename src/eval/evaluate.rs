//! A ranker against the interactions that it has not seen: every user, the full catalogue.

use std::sync::{Mutex, PoisonError};

use crate::data::dataset::{Dataset, Split};
use crate::data::vocabulary::Vocabulary;
use crate::index::exact::check;
use crate::index::users::{Reading, Users};
use crate::index::{Exclude, Found, Lists, Progress, Ranker, Seen, UserBlock};
use crate::threads::Threads;
use crate::{Error, Result, memory};

use super::baselines::Popularity;
use super::bootstrap::Bootstrap;
use super::figures::{self, Figures};
use super::metrics::{Metric, Metrics};
use super::report::{Estimate, Evaluation, Named};
use super::truth::Truth;

/// How an evaluation is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// The lengths of list that are judged. Default 10 and 20.
    pub ks: Vec<usize>,
    /// Lets rankers return a user's training items. Default false.
    pub include_seen: bool,
    /// Bytes for the split's pairs and for blocks of users. Default 512 MiB.
    pub memory: u64,
    /// Bootstrap resamples; 0 for no intervals. Default 1000.
    pub bootstrap: usize,
    /// The seed of the bootstrap. Default 0.
    pub seed: u64,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        EvaluateOptions { ks: vec![10, 20], include_seen: false, memory: 512 << 20, bootstrap: 1000, seed: 0 }
    }
}

impl EvaluateOptions {
    /// The defaults, with these lengths of list.
    pub fn at(ks: &[usize]) -> EvaluateOptions {
        EvaluateOptions { ks: ks.to_vec(), ..EvaluateOptions::default() }
    }

    /// Sets whether rankers may return a user's training items.
    #[must_use]
    pub fn include_seen(mut self, include_seen: bool) -> EvaluateOptions {
        self.include_seen = include_seen;
        self
    }

    /// Sets the bytes that the split's pairs and blocks of users may take.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> EvaluateOptions {
        self.memory = bytes;
        self
    }

    /// Sets the resamples of the intervals (0 for none) and their seed.
    #[must_use]
    pub fn bootstrap(mut self, resamples: usize, seed: u64) -> EvaluateOptions {
        (self.bootstrap, self.seed) = (resamples, seed);
        self
    }
}

/// Evaluates `ranker`, whose vocabularies must be the dataset's, on a split. `progress` is called
/// after each block; its error ends the call.
///
/// # Errors
/// Those of [`Evaluator::open`] and [`Evaluator::evaluate`].
pub fn evaluate(
    dataset: &Dataset,
    split: Split,
    ranker: &mut dyn Ranker,
    options: &EvaluateOptions,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Evaluation> {
    Evaluator::open(dataset, split, options)?.evaluate(ranker, progress)
}

/// An opened split: evaluates one ranker after another, as early stopping does.
#[derive(Debug)]
pub struct Evaluator {
    split: Split,
    options: EvaluateOptions,
    metrics: Metrics,
    users: Vocabulary,
    /// Training counts of the item vocabulary's rows.
    item_counts: Vec<u64>,
    dataset: Dataset,
    /// The users' items, once a ranker or its lists have needed them.
    seen: Mutex<Option<Seen>>,
    truth: Truth,
    threads: Threads,
}

impl Evaluator {
    /// Reads the split (8 bytes a row while it is sorted) and opens what evaluating needs.
    ///
    /// # Errors
    /// [`Error::Config`] for a k that cannot be used, [`Error::Input`] when nobody has items in the split,
    /// [`Error::Memory`] when its rows do not fit, [`Error::IdOutOfRange`], or whatever opening the files gives.
    pub fn open(dataset: &Dataset, split: Split, options: &EvaluateOptions) -> Result<Evaluator> {
        let metrics = Metrics::new(&options.ks)?;
        let threads = Threads::available();
        let truth = Truth::read(dataset, split, options.memory, &threads)?;
        let manifest = dataset.manifest();
        Ok(Evaluator {
            split,
            options: options.clone(),
            metrics,
            users: dataset.vocabulary(&manifest.users)?,
            item_counts: dataset.vocabulary(&manifest.items)?.table.counts,
            dataset: dataset.clone(),
            seen: Mutex::new(None),
            truth,
            threads,
        })
    }

    /// Evaluates a ranker whose vocabularies are the dataset's, and the popularity baseline beside it.
    ///
    /// # Errors
    /// [`Error::Memory`] when no block of users fits, or whatever the ranker or the history gives.
    pub fn evaluate(
        &self,
        ranker: &mut dyn Ranker,
        progress: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Evaluation> {
        let mut popular = Popularity::new(&self.item_counts, None);
        let users = self.truth.users.len();
        let bootstrap = (self.options.bootstrap > 0).then(|| Bootstrap::new(self.metrics.width(), users));
        let mut model = Figures::new(&self.metrics, self.item_counts.len(), bootstrap);
        let mut baseline = Figures::new(&self.metrics, self.item_counts.len(), None);
        let mut seen_relevant = 0;
        self.walk(ranker, &mut [&mut popular], progress, &mut |at, found, skip, first| {
            let figures = if at == 0 { &mut model } else { &mut baseline };
            if let (Some(skip), 0) = (skip, at) {
                for i in 0..skip.len() {
                    let own = self.truth.relevant.get(first + i);
                    seen_relevant += own.iter().filter(|item| skip.get(i).binary_search(item).is_ok()).count() as u64;
                }
            }
            figures.add(&self.threads, &self.metrics, found, &self.truth.relevant, first)
        })?;
        Ok(self.report(&model, &baseline, seen_relevant))
    }

    /// One metric, such as `ndcg@10`, of every user that the figures are means over. Their order is the same for every
    /// ranker: two vectors can be compared pair by pair ([`paired`](super::bootstrap::paired)).
    ///
    /// # Errors
    /// [`Error::Config`] for a metric that is not computed for each user, or at a k that the options do not have; as
    /// [`evaluate`](Evaluator::evaluate) else.
    pub fn values(
        &self,
        ranker: &mut dyn Ranker,
        metric: &str,
        progress: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let mut names = self.metrics.names().map(|(metric, k)| format!("{metric}@{k}"));
        let Some(place) = names.position(|name| name == metric) else {
            let all: Vec<String> = self.metrics.names().map(|(metric, k)| format!("{metric}@{k}")).collect();
            return Err(Error::config("metric", format!("`{metric}` is not one of {}", all.join(", "))));
        };
        let mut values = memory::with_capacity(self.truth.users.len(), "a metric of every user")?;
        self.walk(ranker, &mut [], progress, &mut |_, found, _, first| {
            let users = figures::of_users(&self.threads, &self.metrics, found, &self.truth.relevant, first);
            values.extend(users.iter().map(|user| user[place]));
            Ok(())
        })?;
        Ok(values)
    }

    /// Hands every block of users to `ranker` and to `others`, which read nothing of a user, and what they find to
    /// `take`: which of them it was (0 is `ranker`), what was found, the skip lists, the place of the block's first user.
    fn walk(
        &self,
        ranker: &mut dyn Ranker,
        others: &mut [&mut dyn Ranker],
        progress: &mut dyn FnMut(Progress) -> Result<()>,
        take: &mut dyn FnMut(usize, &Found, Option<&Lists>, usize) -> Result<()>,
    ) -> Result<()> {
        let k = self.metrics.max_k();
        let needed = !self.options.include_seen || ranker.history_len() > 0;
        let seen = if needed { Some(self.seen()?) } else { None };
        let users = Users::of(&self.users, self.truth.users.clone());
        let reading = Reading {
            seen: seen.as_ref(),
            exclude: if self.options.include_seen { Exclude::None } else { Exclude::Train },
            history: ranker.history_len(),
            memory: self.options.memory,
            k,
        };
        let (mut block, mut skip) = (UserBlock::default(), Lists::default());
        let mut next = 0;
        while next < users.len() {
            let first = next;
            next = users.block(first, &reading, &mut block, &mut skip)?;
            let skipped = (!self.options.include_seen).then_some(&skip);
            let found = ranker.top_k(&block, k, skipped)?;
            check(&found, block.len(), k)?;
            take(0, &found, skipped, first)?;
            for (at, other) in others.iter_mut().enumerate() {
                let found = other.top_k(&block, k, skipped)?;
                check(&found, block.len(), k)?;
                take(at + 1, &found, skipped, first)?;
            }
            progress(Progress::users(next, users.len()))?;
        }
        Ok(())
    }

    fn seen(&self) -> Result<Seen> {
        let mut kept = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(seen) => Ok(seen.clone()),
            None => Ok(kept.insert(Seen::of_dataset(&self.dataset)?).clone()),
        }
    }

    fn report(&self, model: &Figures, baseline: &Figures, seen_relevant: u64) -> Evaluation {
        let truth = &self.truth;
        let known_items = self.item_counts.len() as u32;
        let unknown = |&item: &u32| item == 0 || item >= known_items;
        let known_users = truth.users.partition_point(|&user| (user as usize) < self.users.rows());
        let means = model.means();
        let (resamples, seed) = (self.options.bootstrap, self.options.seed);
        let intervals = model.bootstrap.as_ref().and_then(|b| b.intervals_by(&self.threads, resamples, seed));
        let mut metrics = Named::default();
        let mut popularity = Named::default();
        let popular = baseline.means();
        for (at, (metric, k)) in self.metrics.names().enumerate() {
            let name = format!("{metric}@{k}");
            let interval = intervals.as_ref().map(|intervals| intervals[at]);
            let estimate =
                Estimate { value: means[at], low: interval.map(|ends| ends.0), high: interval.map(|ends| ends.1) };
            metrics.0.push((name.clone(), estimate));
            popularity.0.push((name, popular[at]));
        }
        for (at, k) in self.metrics.ks().iter().enumerate() {
            let name = format!("coverage@{k}");
            metrics.0.push((name.clone(), Estimate { value: model.coverage(at), low: None, high: None }));
            popularity.0.push((name, baseline.coverage(at)));
        }
        Evaluation {
            split: self.split,
            users: truth.users.len() as u64,
            skipped_users: (self.users.rows() - 1 - known_users) as u64,
            cold_users: (truth.users.len() - known_users) as u64,
            rows: truth.rows,
            anonymous_rows: truth.anonymous_rows,
            relevant: truth.relevant.values.len() as u64,
            unknown_items: truth.relevant.values.iter().filter(|item| unknown(item)).count() as u64,
            seen_relevant,
            include_seen: self.options.include_seen,
            metrics,
            popularity,
            definitions: definitions(self.options.include_seen),
        }
    }
}

fn definitions(include_seen: bool) -> Named<String> {
    let seen = match include_seen {
        true => "the user's training items may be returned",
        false => "the user's training items are not returned, but count in R where the split repeats them",
    };
    let relevant = format!(
        "the user's distinct items in the split, unknown items included; full catalogue; {seen}; ties by item row"
    );
    let mut named = Named(vec![("R".to_owned(), relevant)]);
    named.0.extend(Metric::ALL.map(|metric| (metric.to_string(), metric.definition().to_owned())));
    named.0.push(("coverage".to_owned(), "distinct items returned to the users / items of the vocabulary".to_owned()));
    named.0.push(("interval".to_owned(), "95 % percentile bootstrap over users".to_owned()));
    named
}
