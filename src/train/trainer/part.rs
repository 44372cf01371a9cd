//! A part of a run: up to some epoch, judged there, to be gone on with or given up.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{Run, on_backend};
use crate::Result;
use crate::backend::Backend;
use crate::config::Resolved;
use crate::data::dataset::Dataset;
use crate::index::Ranker;
use crate::train::TrainEvent;

/// A run that is trained in parts. Its checkpoint lies beside `out` (`.NAME.training`), where nothing comes to be.
pub(crate) struct Part<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) out: &'a Path,
    /// Without early stopping: who trains in parts decides when to stop.
    pub(crate) config: &'a Resolved,
    pub(crate) stop: &'a AtomicBool,
}

impl Part<'_> {
    /// Trains from the last checkpoint, or from the start where there is none, to the end of epoch `until`, and gives
    /// the model to `judge`. Answers the mean loss of the last epoch.
    ///
    /// The learning rate falls as if the run ended there, and goes on from where a longer run's would be in the next part (warm
    /// restarts, Loshchilov and Hutter 2017). In the middle of a schedule a model is worse than the one that it becomes, by
    /// how much depends on its settings: with a decay of 2 NDCG@20 on MovieLens-1M is 0.146 after 8 of 30 epochs, below what
    /// it is with a decay of 0.15, and no worse than that at the end.
    ///
    /// # Errors
    /// As [`train_until`](super::train_until); what `judge` gives.
    pub(crate) fn train(
        &self,
        until: u64,
        judge: &mut (dyn FnMut(&mut dyn Ranker) -> Result<()> + Send),
        observer: &mut dyn FnMut(TrainEvent),
    ) -> Result<f64> {
        on_backend(self.config, Job { part: self, until, judge, observer })
    }
}

struct Job<'a, 'b> {
    part: &'a Part<'a>,
    until: u64,
    judge: &'b mut (dyn FnMut(&mut dyn Ranker) -> Result<()> + Send),
    observer: &'b mut dyn FnMut(TrainEvent),
}

impl super::Job for Job<'_, '_> {
    type Done = f64;

    fn run<B: Backend>(self, backend: B) -> Result<f64> {
        let Part { dataset, out, config, stop } = *self.part;
        let mut run = Run::start(backend, dataset, out, config, true, stop, self.observer)?;
        run.epochs = self.until;
        while run.state.cursor.epoch < self.until {
            run.epoch()?;
        }
        let judge = self.judge;
        run.ranked(|_, ranker, _| judge(ranker))?;
        Ok(run.state.epoch_losses.last().copied().unwrap_or(f64::NAN))
    }
}
