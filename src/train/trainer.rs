//! The loop.

mod part;
mod start;
#[cfg(test)]
mod tests;
mod thresholds;
mod validate;

pub(crate) use part::PartialRun;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::schedule::learning_rate;
use super::{TrainEvent, TrainSummary, diagnostics, report};
use crate::backend::cpu::simd::Isa;
use crate::backend::open::{OpenedDevice, open};
use crate::backend::{Backend, OptimizerStep};
use crate::config::{Config, Resolved};
use crate::data::batch::Cursor;
use crate::data::dataset::{Dataset, Split};
use crate::data::loader::Loader;
use crate::data::shape::Shape;
use crate::data::vocabulary::Vocabulary;
use crate::eval::views;
use crate::files::Draft;
use crate::model::checkpoint::{ModelDir, TrainerState};
use crate::model::core::Core;
use crate::model::inputs::{ModelBatch, ModelInputs};
use crate::model::step::Stepper;
use crate::settings::View;
use crate::{Error, Result};

/// Time between two [`TrainEvent::Progress`].
const PROGRESS: Duration = Duration::from_millis(200);

/// Trains a model on `dataset` into the MODEL folder `out`.
///
/// The work is done in a folder beside it (`.NAME.training`), which takes its place in one step when the model is
/// finished; a model that was there stays until then. With `resume`, goes on from the last checkpoint of an unfinished
/// run, where there is one: the model ends bit for bit where the unbroken run ends (CPU).
///
/// # Errors
/// [`Error::Config`] for settings that cannot be used, alone or with this dataset; [`Error::Checkpoint`] when the
/// folder holds an unfinished run and `resume` is false, or another run than the one to resume;
/// [`Error::NonFinite`] when the loss or a parameter becomes NaN or infinite; whatever reading and writing reports.
pub fn train(
    dataset: &Dataset,
    out: impl AsRef<Path>,
    config: &Config,
    resume: bool,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainSummary> {
    train_until(dataset, out, config, resume, &AtomicBool::new(false), observer)
}

/// [`train`], until `stop` is set: then the step under way is finished and a checkpoint written, from which another call
/// with `resume` goes on. An evaluation under way ends at once: the checkpoint of its epoch is written already.
///
/// # Errors
/// As [`train`]; [`Error::Interrupted`] once that checkpoint is on disk.
pub fn train_until(
    dataset: &Dataset,
    out: impl AsRef<Path>,
    config: &Config,
    resume: bool,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainSummary> {
    config.validate()?;
    let shape = Shape::of(dataset)?;
    let config = &config.for_shape(&shape);
    observer(TrainEvent::settings(config, shape));
    on_backend(config, Whole { dataset, out: out.as_ref(), config, resume, measured: true, stop, observer })
}

/// [`train_until`], which measures nothing at its end and so reads no split but the training rows.
///
/// # Errors
/// As [`train_until`].
pub(crate) fn train_unmeasured(
    dataset: &Dataset,
    out: &Path,
    config: &Resolved,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainSummary> {
    on_backend(config, Whole { dataset, out, config, resume: true, measured: false, stop, observer })
}

/// What is done on a backend, whichever it is.
trait Job {
    type Done;
    fn run<B: Backend>(self, backend: B) -> Result<Self::Done>;
}

/// Does it where the settings say.
fn on_backend<J: Job>(config: &Resolved, job: J) -> Result<J::Done> {
    let train = &config.train;
    match open(train.device, train.threads, Isa::asked(train.instructions), train.precision)? {
        OpenedDevice::Cpu(cpu) => job.run(cpu),
        OpenedDevice::Cuda(cuda) => job.run(*cuda),
    }
}

/// A run from its start, or from its checkpoint, to its end.
struct Whole<'a> {
    dataset: &'a Dataset,
    out: &'a Path,
    config: &'a Resolved,
    resume: bool,
    /// Whether the finished model is measured on the validation or test split.
    measured: bool,
    stop: &'a AtomicBool,
    observer: &'a mut dyn FnMut(TrainEvent),
}

impl Job for Whole<'_> {
    type Done = TrainSummary;

    fn run<B: Backend>(self, backend: B) -> Result<TrainSummary> {
        let Whole { dataset, out, config, resume, measured, stop, observer } = self;
        Run::start(backend, dataset, out, config, resume, stop, observer)?.run(measured)
    }
}

/// What evaluating takes beside the model: training promises to stay below 512 MiB in all.
const EVALUATION_MEMORY: u64 = 128 << 20;

struct Run<'a, B: Backend> {
    dataset: &'a Dataset,
    config: &'a Resolved,
    stop: &'a AtomicBool,
    observer: &'a mut dyn FnMut(TrainEvent),
    /// The folder that the run works in, and the lock of its place; absent where the model was finished before.
    draft: Option<Draft>,
    dir: ModelDir,
    items: Vocabulary,
    loader: Loader,
    inputs: Arc<ModelInputs>,
    core: Core<B>,
    stepper: Stepper<B>,
    state: TrainerState,
    started: Instant,
    /// Epochs at whose end it ends, and with them the schedule of the learning rate: the settings', or those of a part.
    epochs: u64,
    /// What early stopping looks at, once that is known.
    view: Option<View>,
    /// Rows trained by this call.
    examples: u64,
    /// Rows of the batches whose losses are still to come.
    pending: VecDeque<u64>,
    arrived: Vec<f32>,
}

impl<B: Backend> Run<'_, B> {
    fn run(mut self, measured: bool) -> Result<TrainSummary> {
        if self.state.finished {
            self.publish()?;
            return Ok(self.summary(true));
        }
        loop {
            self.validate()?;
            if self.state.cursor.epoch == self.epochs || self.out_of_patience() {
                break;
            }
            self.epoch()?;
        }
        self.finish(measured)
    }

    /// From the cursor to the end of its epoch, or until it is to stop.
    fn epoch(&mut self) -> Result<()> {
        self.take_thresholds()?;
        let (epoch, begun, mut shown) = (self.state.cursor.epoch, Instant::now(), Instant::now());
        let examples_before = self.state.examples;
        for batch in self.loader.batches(self.state.cursor, Arc::clone(&self.inputs)) {
            let mut batch = batch?;
            self.step(&mut batch)?;
            let every = self.config.train.checkpoint_every;
            let within = self.state.cursor.batch < self.loader.batches_per_epoch();
            let stopped = self.stop.load(Ordering::Relaxed) && within;
            if stopped || within && every > 0 && self.state.step.is_multiple_of(every) {
                self.checkpoint()?;
            }
            if stopped {
                return Err(self.interrupted());
            }
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                self.progress();
            }
        }
        self.account(true, None)?;
        let (examples, seconds) = (self.state.examples, begun.elapsed().as_secs_f64());
        let loss = self.state.loss_sum / examples.max(1) as f64;
        self.state.epoch_losses.push(loss);
        self.state.cursor = Cursor { epoch: epoch + 1, batch: 0 };
        (self.state.loss_sum, self.state.examples) = (0.0, 0);
        let examples_per_second = (examples - examples_before) as f64 / seconds;
        (self.observer)(TrainEvent::Epoch { epoch: epoch + 1, loss, examples, seconds, examples_per_second });
        self.checkpoint()?;
        if self.stop.load(Ordering::Relaxed) { Err(self.interrupted()) } else { Ok(()) }
    }

    /// Steps of the whole run.
    fn steps(&self) -> u64 {
        self.epochs * self.loader.batches_per_epoch()
    }

    fn interrupted(&self) -> Error {
        let dir = self.draft.as_ref().map_or(self.dir.path(), Draft::out).display();
        Error::Interrupted { what: format!("training at step {} (`resume` continues from {dir})", self.state.step) }
    }

    fn step(&mut self, batch: &mut ModelBatch) -> Result<()> {
        let optimizer = &self.config.optimizer;
        let step = OptimizerStep {
            kind: optimizer.name,
            lr: learning_rate(optimizer, self.config.lr(), self.state.step, self.steps()),
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            eps: optimizer.eps,
            weight_decay: self.config.weight_decay(),
            number: self.state.step + 1,
            seed: self.config.train.seed,
            grad_scale: 1.0,
        };
        self.stepper.step(&mut self.core, &self.inputs.sampler, batch, &step, optimizer.clip_norm)?;
        let rows = batch.rows as u64;
        self.pending.push_back(rows);
        self.state.step += 1;
        self.state.cursor.batch += 1;
        self.examples += rows;
        self.account(false, Some(batch))
    }

    /// Adds up the losses that have come (with `all`, waits for those under way). `batch`: the last one, if it is still
    /// there.
    fn account(&mut self, all: bool, batch: Option<&ModelBatch>) -> Result<()> {
        self.core.backend.arrived(all, &mut self.arrived)?;
        for loss in self.arrived.drain(..) {
            let rows = self.pending.pop_front().unwrap_or_default();
            if !loss.is_finite() {
                let behind = self.pending.len() as u64;
                let batch = batch.filter(|_| behind == 0);
                return Err(diagnostics::non_finite(&self.core, loss, batch, self.state.step - 1 - behind)?);
            }
            self.state.loss_sum += f64::from(loss) * rows as f64;
            self.state.examples += rows;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.account(true, None)?;
        diagnostics::check_finite(&self.core, self.state.step)?;
        self.dir.save(&mut self.state, &self.core, &self.stepper)?;
        let Cursor { epoch, batch } = self.state.cursor;
        // At an epoch's end the cursor already stands at the next epoch's first batch.
        let (epoch, batch) = if batch == 0 { (epoch, self.loader.batches_per_epoch()) } else { (epoch + 1, batch) };
        let seconds = begun.elapsed().as_secs_f64();
        (self.observer)(TrainEvent::Checkpoint { epoch, batch, step: self.state.step, seconds });
        Ok(())
    }

    fn finish(mut self, measured: bool) -> Result<TrainSummary> {
        let best_epoch = self.best_epoch();
        let restore = self.config.early_stop().is_some();
        if let (Some(stop), true) = (self.config.early_stop(), self.state.cursor.epoch < self.config.epochs()) {
            let value = self.state.validations[best_epoch as usize - 1];
            let (epoch, metric) = (self.state.cursor.epoch, stop.metric.clone());
            (self.observer)(TrainEvent::EarlyStop { epoch, best_epoch, metric, value });
        }
        if restore {
            self.core.load(&mut self.dir.best(&self.state)?)?;
        }
        let split = if self.dataset.split(Split::Valid).rows > 0 { Split::Valid } else { Split::Test };
        let evaluations = match self.dataset.split(split).rows {
            rows if rows > 0 && measured => {
                self.evaluate(split, views(self.dataset, split, None)?, vec![10, 20], 1000)?
            }
            _ => Vec::new(),
        };
        let diversity = self.ranked(|dataset, ranker, _| diagnostics::diversity(dataset, ranker))?;
        let diagnostics = diagnostics::Diagnostics::new(self.dataset, evaluations, diversity);
        report::write(&self.dir, self.dataset, self.config, &self.state, &diagnostics, best_epoch)?;
        (self.observer)(TrainEvent::Diagnostics(diagnostics));
        self.dir.finish(&mut self.state, restore)?;
        self.publish()?;
        Ok(self.summary(false))
    }

    /// Moves the finished model to its place.
    fn publish(&mut self) -> Result<()> {
        let Some(draft) = self.draft.take() else { return Ok(()) };
        self.dir.seal(&self.state)?;
        draft.publish()
    }

    fn progress(&mut self) {
        let (seconds, steps) = (self.started.elapsed().as_secs_f64(), self.steps());
        (self.observer)(TrainEvent::Progress {
            epoch: self.state.cursor.epoch + 1,
            step: self.state.step,
            steps,
            examples: self.state.examples,
            loss: self.state.loss_sum / self.state.examples.max(1) as f64,
            examples_per_second: self.examples as f64 / seconds,
        });
    }

    fn summary(&self, already_finished: bool) -> TrainSummary {
        TrainSummary {
            epochs: self.state.cursor.epoch,
            steps: self.state.step,
            loss: self.state.epoch_losses.last().copied().unwrap_or(f64::NAN),
            best_epoch: self.best_epoch(),
            seconds: self.started.elapsed().as_secs_f64(),
            already_finished,
        }
    }
}
