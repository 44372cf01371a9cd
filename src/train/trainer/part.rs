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
pub(crate) struct PartialRun<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) out: &'a Path,
    /// Without early stopping: who trains in parts decides when to stop.
    pub(crate) config: &'a Resolved,
    pub(crate) stop: &'a AtomicBool,
}

impl PartialRun<'_> {
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
    part: &'a PartialRun<'a>,
    until: u64,
    judge: &'b mut (dyn FnMut(&mut dyn Ranker) -> Result<()> + Send),
    observer: &'b mut dyn FnMut(TrainEvent),
}

impl super::Job for Job<'_, '_> {
    type Done = f64;

    fn run<B: Backend>(self, backend: B) -> Result<f64> {
        let PartialRun { dataset, out, config, stop } = *self.part;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Split;
    use crate::data::ingest::{IngestConfig, ingest};
    use crate::data::shape::Shape;
    use crate::eval::{EvaluateOptions, Evaluator};
    use crate::{Config, Device};

    /// Forty people of two tastes, ten purchases each, the last one held out.
    fn dataset(folder: &Path) -> Dataset {
        let row =
            |n: usize| format!("u{},i{},{}\n", n % 40, (n / 40 * 7 + n % 40 * 3) % 20 * 2 + n % 2, 1_600_000_000 + n);
        let rows: String = (0..400).map(row).collect();
        std::fs::write(folder.join("buys.csv"), "user,item,time\n".to_owned() + &rows).unwrap();
        let config = IngestConfig { split: "last-per-user:1".parse().unwrap(), ..IngestConfig::default() };
        ingest(&[folder.join("buys.csv")], &folder.join("data"), &config, &|_| {}).unwrap();
        Dataset::open(folder.join("data")).unwrap()
    }

    #[test]
    fn a_part_is_what_a_run_of_so_many_epochs_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset(folder.path());
        let options = EvaluateOptions::at(&[10]).bootstrap(0, 0);
        let evaluator = Evaluator::open(&dataset, Split::Test, &options).unwrap();
        let trained = |name: &str, epochs: u64, parts: &[u64]| {
            let mut config = Config::default();
            (config.model.dim, config.train.device, config.train.epochs) = (8, Device::Cpu, Some(epochs));
            config.train.batch_size = Some(32);
            let config = config.for_shape(&Shape::of(&dataset).unwrap());
            let out = folder.path().join(name);
            let part = PartialRun { dataset: &dataset, out: &out, config: &config, stop: &AtomicBool::new(false) };
            let mut values = Vec::new();
            let losses = parts.iter().map(|&until| {
                let mut judge = |ranker: &mut dyn Ranker| {
                    values = evaluator.values(ranker, "ndcg@10", &mut |_| Ok(()))?;
                    Ok(())
                };
                part.train(until, &mut judge, &mut |_| {}).unwrap()
            });
            let losses: Vec<f64> = losses.collect();
            (losses, values)
        };
        let (short, long) = (trained("short", 2, &[2]), trained("long", 6, &[2]));
        assert_eq!(short, long);
        let (whole, parts) = (trained("whole", 6, &[6]), trained("parts", 6, &[2, 6]));
        assert_ne!(whole.0[0], parts.0[1], "its first part ended, and went on");
        assert!((whole.0[0] / parts.0[1] - 1.0).abs() < 0.1, "{whole:?} and {parts:?}");
        assert_eq!(trained("again", 6, &[2, 6]), parts);
    }
}
