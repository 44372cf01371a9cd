//! A ranker against the interactions that it has not seen: every user, the full catalogue.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::data::dataset::{Dataset, Split};
use crate::data::vocabulary::Vocabulary;
use crate::index::exact::check;
use crate::index::users::{Reading, Users};
use crate::index::{Exclude, Found, Lists, Progress, Ranker, Seen, UserBlock};
use crate::{Error, Result};

use super::baselines::Popularity;
use super::bootstrap::Bootstrap;
use super::metrics::{Metric, Metrics};
use super::report::{Estimate, Evaluation, Named};

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
}

/// Who has which relevant items.
#[derive(Debug)]
struct Truth {
    /// Users with items in the split, ascending: vocabulary rows, then unseen numbers.
    users: Vec<u32>,
    /// R of each: ascending, unique.
    relevant: Lists,
    rows: u64,
    anonymous_rows: u64,
}

impl Evaluator {
    /// Reads the split (8 bytes a row while it is sorted) and opens what evaluating needs.
    ///
    /// # Errors
    /// [`Error::Config`] for a k that cannot be used, [`Error::Input`] when nobody has items in the split,
    /// [`Error::Memory`] when its rows do not fit, [`Error::IdOutOfRange`], or whatever opening the files gives.
    pub fn open(dataset: &Dataset, split: Split, options: &EvaluateOptions) -> Result<Evaluator> {
        let metrics = Metrics::new(&options.ks)?;
        let truth = Truth::read(dataset, split, options.memory)?;
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
        let mut popular = Popularity::new(&self.item_counts, None);
        let bootstrap = (self.options.bootstrap > 0).then(|| Bootstrap::new(self.metrics.width(), users.len()));
        let mut model = Figures::new(&self.metrics, self.item_counts.len(), bootstrap);
        let mut baseline = Figures::new(&self.metrics, self.item_counts.len(), None);
        let (mut block, mut skip) = (UserBlock::default(), Lists::default());
        let (mut next, mut seen_relevant) = (0, 0);
        while next < users.len() {
            let first = next;
            next = users.block(first, &reading, &mut block, &mut skip)?;
            let skipped = (!self.options.include_seen).then_some(&skip);
            for (ranker, figures) in [(&mut *ranker, &mut model), (&mut popular, &mut baseline)] {
                let found = ranker.top_k(&block, k, skipped)?;
                check(&found, block.len(), k)?;
                figures.add(&self.metrics, &found, &self.truth.relevant, first)?;
            }
            if let Some(skip) = skipped {
                for i in 0..block.len() {
                    let own = self.truth.relevant.get(first + i);
                    seen_relevant += own.iter().filter(|item| skip.get(i).binary_search(item).is_ok()).count() as u64;
                }
            }
            progress(Progress::users(next, users.len()))?;
        }
        Ok(self.report(&model, &baseline, seen_relevant))
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
        let intervals = model.bootstrap.as_ref().and_then(|b| b.intervals(self.options.bootstrap, self.options.seed));
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

/// What one ranker's lists are worth.
struct Figures {
    users: u64,
    sums: Vec<f64>,
    bootstrap: Option<Bootstrap>,
    /// For each k which item rows were returned.
    returned: Vec<Vec<bool>>,
    ks: Vec<usize>,
}

impl Figures {
    fn new(metrics: &Metrics, items: usize, bootstrap: Option<Bootstrap>) -> Figures {
        Figures {
            users: 0,
            sums: vec![0.0; metrics.width()],
            bootstrap,
            returned: vec![vec![false; items]; metrics.ks().len()],
            ks: metrics.ks().to_vec(),
        }
    }

    /// Adds a block, whose first user is the `first` of `relevant`.
    fn add(&mut self, metrics: &Metrics, found: &Found, relevant: &Lists, first: usize) -> Result<()> {
        let users = found.ids.len() / found.k;
        self.users += users as u64;
        let of_user = |i: usize| {
            let mut values = Vec::with_capacity(metrics.width());
            metrics.of_user(found.items(i), relevant.get(first + i), &mut values);
            values
        };
        // Values are made in parallel and added in the order of the users.
        for values in (0..users).into_par_iter().with_min_len(64).map(of_user).collect::<Vec<_>>() {
            self.sums.iter_mut().zip(&values).for_each(|(sum, value)| *sum += value);
            if let Some(bootstrap) = &mut self.bootstrap {
                bootstrap.push(&values);
            }
        }
        for (&k, returned) in self.ks.iter().zip(&mut self.returned) {
            for i in 0..users {
                for &item in found.items(i).iter().take(k) {
                    *returned.get_mut(item as usize).ok_or_else(|| Error::Shape {
                        op: "top_k",
                        expected: "item rows of the dataset's vocabulary".into(),
                        found: format!("row {item}"),
                    })? = true;
                }
            }
        }
        Ok(())
    }

    fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.users.max(1) as f64).collect()
    }

    fn coverage(&self, at: usize) -> f64 {
        let catalogue = self.returned[at].len().saturating_sub(1).max(1);
        self.returned[at].iter().filter(|&&returned| returned).count() as f64 / catalogue as f64
    }
}

impl Truth {
    fn read(dataset: &Dataset, split: Split, memory: u64) -> Result<Truth> {
        let manifest = dataset.manifest();
        let info = dataset.split(split);
        let empty = || {
            let reason = format!("the {} split has no rows to evaluate on; ingest with a `split`", split.name());
            Err(Error::input(dataset.dir(), reason))
        };
        if info.rows == 0 {
            return empty();
        }
        let needed = info.rows.saturating_mul(8);
        if needed > memory {
            return Err(Error::Memory {
                what: format!("sorting the {} split", split.name()),
                needed,
                allowed: memory,
                advice: "raise `memory`".into(),
            });
        }
        let users = manifest.users.rows.saturating_add(manifest.users.unseen);
        let items = manifest.items.rows.saturating_add(manifest.items.unseen);
        let mut pairs: Vec<u64> = Vec::with_capacity(info.rows as usize);
        let mut anonymous_rows = 0;
        let mut rows = 0;
        for file in &info.files {
            let (path, shard) = (dataset.path(file), dataset.shard(file)?);
            let mut row = 0;
            for at in 0..shard.blocks() {
                let block = shard.block(at)?;
                for (&user, &item) in block.users.iter().zip(block.items) {
                    for (column, id, rows) in [("user", user, users), ("item", item, items)] {
                        if id >= rows {
                            return Err(Error::IdOutOfRange { path, row, column, id, rows });
                        }
                    }
                    match user {
                        0 => anonymous_rows += 1,
                        _ => pairs.push(u64::from(user) << 32 | u64::from(item)),
                    }
                    row += 1;
                }
            }
            rows += row;
        }
        pairs.par_sort_unstable();
        pairs.dedup();
        let mut truth = Truth { users: Vec::new(), relevant: Lists::default(), rows, anonymous_rows };
        for of_user in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            truth.users.push((of_user[0] >> 32) as u32);
            truth.relevant.values.extend(of_user.iter().map(|&pair| pair as u32));
            truth.relevant.close();
        }
        if truth.users.is_empty() { empty() } else { Ok(truth) }
    }
}
