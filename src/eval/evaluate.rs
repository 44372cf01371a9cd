//! A ranker against the interactions that it has not seen: every user, the full catalogue.

use std::sync::{Mutex, PoisonError};

use crate::data::dataset::{Dataset, Split};
use crate::data::vocabulary::Vocabulary;
use crate::index::{Progress, Ranker, Seen};
use crate::settings::{Baselines, View};
use crate::threads::Threads;
use crate::{Error, Result, memory};

use super::baselines::{Others, Popularity};
use super::bootstrap::Bootstrap;
use super::figures::{Figures, JudgedLists};
use super::item_knn::ItemKnn;
use super::metrics::Metrics;
use super::report::{Estimate, Evaluation, Named, definitions};
use super::truth::Truth;

mod walk;

/// How an evaluation is done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// The lengths of list that are judged. Default 10 and 20.
    pub ks: Vec<usize>,
    /// What is looked at. Default [`View::Discovery`].
    pub view: View,
    /// What stands beside the ranker and popularity. Default [`Baselines::None`].
    pub baselines: Baselines,
    /// Bytes for the split's pairs and for blocks of users. Default 512 MiB.
    pub memory: u64,
    /// Bootstrap resamples; 0 for no intervals. Default 1000.
    pub bootstrap: usize,
    /// The seed of the bootstrap. Default 0.
    pub seed: u64,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        EvaluateOptions {
            ks: vec![10, 20],
            view: View::default(),
            baselines: Baselines::default(),
            memory: 512 << 20,
            bootstrap: 1000,
            seed: 0,
        }
    }
}

impl EvaluateOptions {
    /// The defaults, with these lengths of list.
    pub fn at(ks: &[usize]) -> EvaluateOptions {
        EvaluateOptions { ks: ks.to_vec(), ..EvaluateOptions::default() }
    }

    /// Sets what is looked at.
    #[must_use]
    pub fn view(mut self, view: View) -> EvaluateOptions {
        self.view = view;
        self
    }

    /// Sets what stands beside the ranker and popularity.
    #[must_use]
    pub fn baselines(mut self, baselines: Baselines) -> EvaluateOptions {
        self.baselines = baselines;
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

/// An opened split: evaluates one ranker after another, as early stopping does, in one view after the other.
#[derive(Debug)]
pub struct Evaluator {
    split: Split,
    options: EvaluateOptions,
    metrics: Metrics,
    users: Vocabulary,
    /// Training counts of the item vocabulary's rows.
    item_counts: Vec<u64>,
    dataset: Dataset,
    seen: Seen,
    /// What users have in the split, and what of it they do not have in training.
    next: Truth,
    discovery: Truth,
    others: Mutex<Option<Others>>,
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
        let next = Truth::read(dataset, split, options.memory, &threads)?;
        let seen = Seen::of_dataset(dataset)?;
        let manifest = dataset.manifest();
        Ok(Evaluator {
            split,
            options: options.clone(),
            metrics,
            users: dataset.vocabulary(&manifest.users)?,
            item_counts: dataset.vocabulary(&manifest.items)?.table.counts,
            dataset: dataset.clone(),
            discovery: next.without(&seen)?,
            seen,
            next,
            others: Mutex::new(None),
            threads,
        })
    }

    /// The view that it looks at from now on.
    pub fn look(&mut self, view: View) {
        self.options.view = view;
    }

    /// Who has what, in the view.
    fn truth(&self) -> &Truth {
        match self.options.view {
            View::Discovery => &self.discovery,
            View::Next => &self.next,
        }
    }

    /// Evaluates a ranker whose vocabularies are the dataset's, and the baselines beside it. Where the view has nothing
    /// to find, the ranker is not asked, and [`Evaluation::nothing`] says why.
    ///
    /// # Errors
    /// [`Error::Memory`] when no block of users fits, or whatever the ranker or the history gives.
    pub fn evaluate(
        &self,
        ranker: &mut dyn Ranker,
        progress: &mut dyn FnMut(Progress) -> Result<()>,
    ) -> Result<Evaluation> {
        let users = self.truth().users.len();
        if users == 0 {
            return Ok(self.report());
        }
        let figures = |bootstrap| Figures::new(&self.metrics, self.item_counts.len(), bootstrap);
        let bootstrap = (self.options.bootstrap > 0).then(|| Bootstrap::new(self.metrics.width(), users));
        let others = self.others()?;
        let (names, popular): (Vec<&str>, Vec<Popularity>) = others.popular.into_iter().unzip();
        let mut all: Vec<Figures> = vec![figures(bootstrap)];
        all.extend(popular.iter().map(|_| figures(None)));
        let first_places = self.walk(ranker, &popular, progress, |judged| {
            all.iter_mut().zip(judged).try_for_each(|(figures, lists)| figures.add(&lists))
        })?;
        all[0].add_places(&first_places)?;
        let mut named: Vec<(&str, Figures)> = names.into_iter().zip(all.drain(1..)).collect();
        if let Some(neighbours) = others.neighbours {
            let popular = Popularity::new(&self.item_counts, None);
            let mut ranker = ItemKnn::new(neighbours, popular, self.options.view == View::Next);
            let mut of_neighbours = figures(None);
            // The users are counted once; whoever watches can end this, too.
            let done = Progress::users(users, users);
            let add = |judged: Vec<JudgedLists>| judged.iter().try_for_each(|lists| of_neighbours.add(lists));
            self.walk(&mut ranker, &[], &mut |_| progress(done), add)?;
            named.push(("item_knn", of_neighbours));
        }
        let mut report = self.report();
        report.metrics = self.estimates(&all[0]);
        let mut values = named.iter().map(|(name, figures)| ((*name).to_owned(), self.values_of(figures)));
        report.popularity = values.next().map(|(_, popularity)| popularity).unwrap_or_default();
        report.baselines = Named(values.collect());
        Ok(report)
    }

    /// Users that have something to be found in the view.
    pub fn users(&self) -> u64 {
        self.truth().users.len() as u64
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
        let mut values = memory::with_capacity(self.truth().users.len(), "a metric of every user")?;
        self.walk(ranker, &[], progress, |judged| {
            values.extend(judged.iter().flat_map(|lists| lists.users()).map(|user| user[place]));
            Ok(())
        })?;
        Ok(values)
    }

    /// What stands beside the ranker: made once for all of them.
    fn others(&self) -> Result<Others> {
        let mut kept = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(others) => Ok(others.clone()),
            None => {
                let history = self.seen.history();
                let options = &self.options;
                let made =
                    Others::new(&self.dataset, history, &self.item_counts, options.baselines, options.memory / 2)?;
                Ok(kept.insert(made).clone())
            }
        }
    }

    /// What is known before anything was ranked.
    fn report(&self) -> Evaluation {
        let (truth, view) = (self.truth(), self.options.view);
        let known_items = self.item_counts.len() as u32;
        let unknown = |&item: &u32| item == 0 || item >= known_items;
        let known = |truth: &Truth| truth.users.partition_point(|&user| (user as usize) < self.users.rows());
        let pairs = |truth: &Truth| truth.relevant.values.len() as u64;
        let repeated = pairs(&self.next) - pairs(&self.discovery);
        let nothing = truth.users.is_empty().then(|| {
            format!(
                "all {repeated} pairs of user and item in the {} split are also in the training split",
                self.split.name()
            )
        });
        Evaluation {
            split: self.split,
            view,
            users: truth.users.len() as u64,
            skipped_users: (self.users.rows() - 1 - known(&self.next)) as u64,
            repeating_users: (self.next.users.len() - truth.users.len()) as u64,
            cold_users: (truth.users.len() - known(truth)) as u64,
            rows: truth.rows,
            anonymous_rows: truth.anonymous_rows,
            relevant: pairs(truth),
            unknown_items: truth.relevant.values.iter().filter(|item| unknown(item)).count() as u64,
            repeated,
            include_seen: view == View::Next,
            nothing,
            metrics: Named::default(),
            popularity: Named::default(),
            baselines: Named::default(),
            definitions: definitions(view),
        }
    }

    /// The figures with their intervals.
    fn estimates(&self, figures: &Figures) -> Named<Estimate> {
        let (resamples, seed) = (self.options.bootstrap, self.options.seed);
        let intervals = figures.bootstrap.as_ref().and_then(|b| b.intervals_by(&self.threads, resamples, seed));
        let estimate = |(at, (name, value)): (usize, (String, f64))| {
            // Coverage, which stands behind the means, has none.
            let (low, high) = intervals.as_ref().and_then(|intervals| intervals.get(at)).copied().unzip();
            (name, Estimate { value, low, high })
        };
        Named(self.values_of(figures).0.into_iter().enumerate().map(estimate).collect())
    }

    /// The means, in the order of the metrics, then how much of the catalogue is returned.
    fn values_of(&self, figures: &Figures) -> Named<f64> {
        let means = self.metrics.names().map(|(metric, k)| format!("{metric}@{k}")).zip(figures.means());
        let coverage = |(at, k)| (format!("coverage@{k}"), figures.coverage(at));
        Named(means.chain(self.metrics.ks().iter().enumerate().map(coverage)).collect())
    }
}
