//! What a run measures on the way: validations, and which epoch is the best.

use std::time::Instant;

use super::{EVALUATION_MEMORY, Run};
use crate::backend::Backend;
use crate::data::dataset::{Dataset, Split};
use crate::eval::{EvaluateOptions, Evaluation, Evaluator};
use crate::index::Ranker;
use crate::model::rank::{Catalogue, CoreRanker};
use crate::settings::{EarlyStop, View};
use crate::train::TrainEvent;
use crate::train::best::is_best;
use crate::train::stop::Stoppable;
use crate::{Error, Result};

impl<B: Backend> Run<'_, B> {
    /// Validates the epoch that has just ended, unless that is done. The checkpoint of an epoch's end comes first: a
    /// run killed in between validates the same parameters again.
    pub(super) fn validate(&mut self) -> Result<()> {
        let Some(stop) = self.config.early_stop() else { return Ok(()) };
        let epoch = self.state.cursor.epoch;
        if self.state.cursor.batch > 0 || epoch == self.state.validations.len() as u64 {
            return Ok(());
        }
        let begun = Instant::now();
        let evaluation = self.watched(stop)?;
        let value = evaluation.value(&stop.metric).unwrap_or(f64::NAN);
        let seconds = begun.elapsed().as_secs_f64();
        let metrics = evaluation.metrics.iter().map(|(name, metric)| (name.clone(), metric.value)).collect();
        (self.observer)(TrainEvent::Validation { epoch, view: evaluation.view, metrics, seconds });
        let best = is_best(value, &self.state.validations);
        self.state.validations.push(value);
        if best {
            self.state.best = Some(self.dir.save_best(&self.core)?);
        }
        Ok(())
    }

    /// What early stopping watches. Where it is not said in which view, that is discovery, and what users take next where
    /// there is nothing to discover.
    fn watched(&mut self, stop: &EarlyStop) -> Result<Evaluation> {
        let (before, ks) = (self.view, vec![stop.k()]);
        let mut of = |view| self.evaluate(Split::Valid, &[view], ks.clone(), 0).map(|mut found| found.swap_remove(0));
        let evaluation = of(stop.view.or(before).unwrap_or(View::Discovery))?;
        let evaluation = match &evaluation.nothing {
            Some(nothing) if stop.view.is_some() => {
                let (view, metric) = (evaluation.view, &stop.metric);
                let reason = format!("nothing to find in the view `{view}`: {nothing}; use next.{metric}");
                return Err(Error::config("train.early_stop", reason));
            }
            Some(nothing) if before.is_none() => {
                let (metric, reason) = (format!("{}.{}", View::Next, stop.metric), nothing.clone());
                let next = of(View::Next)?;
                (self.observer)(TrainEvent::Watching { metric, reason });
                next
            }
            // Where there is nothing to find at all, every epoch is as good as the last.
            _ => evaluation,
        };
        self.view = Some(evaluation.view);
        Ok(evaluation)
    }

    pub(super) fn evaluate(
        &mut self,
        split: Split,
        views: &[View],
        ks: Vec<usize>,
        bootstrap: usize,
    ) -> Result<Vec<Evaluation>> {
        let options = EvaluateOptions { ks, bootstrap, memory: EVALUATION_MEMORY, ..Default::default() };
        self.ranked(|dataset, ranker, observer| {
            let mut evaluator = Evaluator::open(dataset, split, &options)?;
            let evaluate = |&view: &View| {
                evaluator.look(view);
                evaluator.evaluate(ranker, &mut |at| {
                    observer(TrainEvent::Evaluating { done: at.done, users: at.total });
                    Ok(())
                })
            };
            views.iter().map(evaluate).collect()
        })
    }

    /// Does something with the model as a ranker, which fails once the run is to stop.
    pub(super) fn ranked<T>(
        &mut self,
        work: impl FnOnce(&Dataset, &mut dyn Ranker, &mut dyn FnMut(TrainEvent)) -> Result<T>,
    ) -> Result<T> {
        let catalogue = Catalogue::new(&mut self.core, &self.inputs.item_features, self.items.rows(), None)?;
        let mut ranker = Stoppable { ranker: CoreRanker::new(&mut self.core, catalogue), stop: self.stop };
        let done = work(self.dataset, &mut ranker, self.observer);
        done.map_err(|error| if matches!(error, Error::Interrupted { .. }) { self.interrupted() } else { error })
    }

    /// The epoch (from 1) with the best validation, or the last one.
    pub(super) fn best_epoch(&self) -> u64 {
        let validations = &self.state.validations;
        let best = (0..validations.len()).rfind(|&epoch| is_best(validations[epoch], &validations[..epoch]));
        best.map_or(self.state.cursor.epoch, |epoch| epoch as u64 + 1)
    }

    pub(super) fn out_of_patience(&self) -> bool {
        let since_best =
            self.state.validations.len() as u64 - self.best_epoch().min(self.state.validations.len() as u64);
        self.config.early_stop().is_some_and(|stop| since_best >= stop.patience)
    }
}
