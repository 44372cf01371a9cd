//! The loop.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::schedule::learning_rate;
use super::{TrainEvent, TrainSummary, diagnostics, report};
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Step};
use crate::config::Config;
use crate::data::batch::Cursor;
use crate::data::dataset::{Dataset, Split};
use crate::data::history::History;
use crate::data::loader::{Loader, LoaderConfig};
use crate::data::vocabulary::Vocabulary;
use crate::eval::{EvaluateOptions, Evaluation, evaluate};
use crate::model::checkpoint::{ModelDir, TrainerState, fingerprint};
use crate::model::core::{Core, Fresh};
use crate::model::inputs::{ModelBatch, ModelInputs};
use crate::model::negatives::Sampler;
use crate::model::rank::{Catalogue, CoreRanker};
use crate::model::spec::ModelSpec;
use crate::model::step::Stepper;
use crate::{Device, Error, Result};

/// Time between two [`TrainEvent::Progress`].
const PROGRESS: Duration = Duration::from_millis(200);

/// Trains a model on `dataset` into the MODEL folder `out`.
///
/// With `resume`, goes on from the folder's last checkpoint, where there is one: the model ends bit for bit where the
/// unbroken run ends (CPU). Without it, a finished model in the folder is replaced.
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
    config.validate()?;
    match config.train.device.resolve()? {
        Device::Cuda(ordinal) => Err(Error::CudaUnavailable { reason: format!("no kernels for cuda:{ordinal} yet") }),
        Device::Cpu | Device::Auto => {
            let backend = Cpu::new(config.train.threads, None)?;
            Run::start(backend, dataset, out.as_ref(), config, resume, observer)?.run()
        }
    }
}

/// What evaluating takes beside the model: training promises to stay below 512 MiB in all.
const EVALUATION_MEMORY: u64 = 128 << 20;

struct Run<'a, B: Backend> {
    dataset: &'a Dataset,
    config: &'a Config,
    observer: &'a mut dyn FnMut(TrainEvent),
    dir: ModelDir,
    items: Vocabulary,
    loader: Loader,
    inputs: Arc<ModelInputs>,
    core: Core<B>,
    stepper: Stepper<B>,
    state: TrainerState,
    started: Instant,
    /// Rows trained by this call.
    examples: u64,
}

impl<'a, B: Backend> Run<'a, B> {
    fn start(
        backend: B,
        dataset: &'a Dataset,
        out: &Path,
        config: &'a Config,
        resume: bool,
        observer: &'a mut dyn FnMut(TrainEvent),
    ) -> Result<Self> {
        let manifest = dataset.manifest();
        let loader = LoaderConfig {
            batch_size: config.train.batch_size,
            seed: config.train.seed,
            threads: config.train.threads,
            ..Default::default()
        };
        let loader = Loader::open(dataset, Split::Train, loader)?;
        if loader.rows() == 0 {
            return Err(Error::input(dataset.dir(), "the training split has no rows; ingest with another split"));
        }
        if config.train.early_stop.is_some() && dataset.split(Split::Valid).rows == 0 {
            return Err(Error::config("train.early_stop", "the dataset has no validation split; ingest with one"));
        }
        let users = Vocabulary::open(dataset.dir(), &manifest.users)?;
        let items = Vocabulary::open(dataset.dir(), &manifest.items)?;
        if items.rows() < 2 {
            return Err(Error::input(dataset.dir(), "there are no items to recommend"));
        }
        let spec = ModelSpec::new(&config.model, &manifest.users, &manifest.items)?;
        let wants_history = config.model.user.history > 0 || config.loss.mask_known_positives;
        let inputs = Arc::new(ModelInputs {
            spec: spec.clone(),
            user_features: users.table.features,
            item_features: items.table.features.clone(),
            history: if wants_history { Some(Arc::new(History::of_dataset(dataset)?)) } else { None },
            sampler: Sampler::new(&config.loss, config.train.seed, &items.table.counts),
            negatives: config.loss.negatives,
            mask_known: config.loss.mask_known_positives,
        });

        let dir = ModelDir::new(out);
        let checkpoint = resumable(&dir, dataset, config, resume)?;
        let optimizer = Some(&config.optimizer);
        let mut core = match &checkpoint {
            Some(_) => Core::new(backend, spec, config, &mut dir.parameters()?, optimizer)?,
            None => {
                let mut fresh = Fresh { model: &config.model, seed: config.train.seed };
                Core::new(backend, spec, config, &mut fresh, optimizer)?
            }
        };
        let mut stepper = Stepper::new(&core, &config.loss, items.rows(), config.train.batch_size)?;
        let state = match checkpoint {
            Some(state) => {
                let Cursor { epoch, batch } = state.cursor;
                if epoch > config.train.epochs || batch >= loader.batches_per_epoch() {
                    let reason =
                        format!("trainer.json stands at epoch {epoch}, batch {batch}, which this run never has");
                    return Err(Error::checkpoint(dir.path(), reason));
                }
                if !state.finished {
                    dir.restore(&state, &mut core, &mut stepper)?;
                }
                state
            }
            None => {
                dir.create(dataset, config)?;
                TrainerState::default()
            }
        };
        let started = Instant::now();
        Ok(Run { dataset, config, observer, dir, items, loader, inputs, core, stepper, state, started, examples: 0 })
    }

    fn run(mut self) -> Result<TrainSummary> {
        if self.state.finished {
            return Ok(self.summary(true));
        }
        loop {
            self.validate()?;
            if self.state.cursor.epoch == self.config.train.epochs || self.out_of_patience() {
                break;
            }
            self.epoch()?;
        }
        self.finish()
    }

    /// From the cursor to the end of its epoch.
    fn epoch(&mut self) -> Result<()> {
        let (epoch, begun, mut shown) = (self.state.cursor.epoch, Instant::now(), Instant::now());
        let examples_before = self.state.examples;
        for batch in self.loader.batches(self.state.cursor, Arc::clone(&self.inputs)) {
            let mut batch = batch?;
            self.step(&mut batch)?;
            let every = self.config.train.checkpoint_every;
            if every > 0
                && self.state.step.is_multiple_of(every)
                && self.state.cursor.batch < self.loader.batches_per_epoch()
            {
                self.checkpoint()?;
            }
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                self.progress();
            }
        }
        let (examples, seconds) = (self.state.examples, begun.elapsed().as_secs_f64());
        let loss = self.state.loss_sum / examples.max(1) as f64;
        self.state.epoch_losses.push(loss);
        self.state.cursor = Cursor { epoch: epoch + 1, batch: 0 };
        (self.state.loss_sum, self.state.examples) = (0.0, 0);
        let examples_per_second = (examples - examples_before) as f64 / seconds;
        (self.observer)(TrainEvent::Epoch { epoch: epoch + 1, loss, examples, seconds, examples_per_second });
        self.checkpoint()
    }

    fn step(&mut self, batch: &mut ModelBatch) -> Result<()> {
        let (optimizer, train) = (&self.config.optimizer, &self.config.train);
        let step = Step {
            kind: optimizer.name,
            lr: learning_rate(optimizer, self.state.step, train.epochs * self.loader.batches_per_epoch()),
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            eps: optimizer.eps,
            weight_decay: optimizer.weight_decay,
            number: self.state.step + 1,
            seed: train.seed,
            grad_scale: 1.0,
        };
        let loss = self.stepper.step(&mut self.core, &self.inputs.sampler, batch, &step, optimizer.clip_norm)?;
        if !loss.is_finite() {
            return Err(diagnostics::non_finite(&self.core, loss, batch, self.state.step)?);
        }
        let rows = batch.rows as u64;
        self.state.loss_sum += f64::from(loss) * rows as f64;
        self.state.examples += rows;
        self.state.step += 1;
        self.state.cursor.batch += 1;
        self.examples += rows;
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        let begun = Instant::now();
        diagnostics::check_finite(&self.core, self.state.step)?;
        self.dir.save(&mut self.state, &self.core, &self.stepper)?;
        let Cursor { epoch, batch } = self.state.cursor;
        // At an epoch's end the cursor already stands at the next epoch's first batch.
        let (epoch, batch) = if batch == 0 { (epoch, self.loader.batches_per_epoch()) } else { (epoch + 1, batch) };
        let seconds = begun.elapsed().as_secs_f64();
        (self.observer)(TrainEvent::Checkpoint { epoch, batch, step: self.state.step, seconds });
        Ok(())
    }

    /// Validates the epoch that has just ended, unless that is done. The checkpoint of an epoch's end comes first: a
    /// run killed in between validates the same parameters again.
    fn validate(&mut self) -> Result<()> {
        let Some(stop) = &self.config.train.early_stop else { return Ok(()) };
        let epoch = self.state.cursor.epoch;
        if self.state.cursor.batch > 0 || epoch == self.state.validations.len() as u64 {
            return Ok(());
        }
        let begun = Instant::now();
        let k = stop.metric.rsplit('@').next().and_then(|k| k.parse().ok()).unwrap_or(20);
        let evaluation = self.evaluate(Split::Valid, vec![k], 0)?;
        let value = evaluation.metrics.get(&stop.metric).map_or(f64::NAN, |metric| metric.value);
        let seconds = begun.elapsed().as_secs_f64();
        let metrics = evaluation.metrics.iter().map(|(name, metric)| (name.clone(), metric.value)).collect();
        (self.observer)(TrainEvent::Validation { epoch, metrics, seconds });
        let best = self.state.validations.iter().all(|&earlier| value > earlier);
        self.state.validations.push(value);
        if best {
            self.dir.save_best(&self.core)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, split: Split, ks: Vec<usize>, bootstrap: usize) -> Result<Evaluation> {
        let options = EvaluateOptions {
            ks,
            bootstrap,
            history: self.config.model.user.history,
            memory: EVALUATION_MEMORY,
            ..Default::default()
        };
        let catalogue = Catalogue::new(&mut self.core, &self.inputs.item_features, self.items.rows(), None)?;
        let mut ranker = CoreRanker { core: &mut self.core, catalogue };
        evaluate(self.dataset, split, &mut ranker, &options, &mut |_| {})
    }

    /// The epoch (from 1) with the best validation, or the last one.
    fn best_epoch(&self) -> u64 {
        let validations = self.state.validations.iter().enumerate();
        let best = validations.fold(None, |best: Option<(usize, f64)>, (epoch, &value)| match best {
            Some((_, before)) if value <= before => best,
            _ => Some((epoch, value)),
        });
        best.map_or(self.state.cursor.epoch, |(epoch, _)| epoch as u64 + 1)
    }

    fn out_of_patience(&self) -> bool {
        let since_best =
            self.state.validations.len() as u64 - self.best_epoch().min(self.state.validations.len() as u64);
        self.config.train.early_stop.as_ref().is_some_and(|stop| since_best >= stop.patience)
    }

    fn finish(mut self) -> Result<TrainSummary> {
        let best_epoch = self.best_epoch();
        let restore = self.config.train.early_stop.is_some();
        if let (Some(stop), true) = (&self.config.train.early_stop, self.state.cursor.epoch < self.config.train.epochs)
        {
            let value = self.state.validations[best_epoch as usize - 1];
            let (epoch, metric) = (self.state.cursor.epoch, stop.metric.clone());
            (self.observer)(TrainEvent::EarlyStop { epoch, best_epoch, metric, value });
        }
        if restore {
            self.core.load(&mut self.dir.best()?)?;
        }
        let split = if self.dataset.split(Split::Valid).rows > 0 { Split::Valid } else { Split::Test };
        let evaluation = match self.dataset.split(split).rows {
            0 => None,
            _ => Some(self.evaluate(split, vec![10, 20], 1000)?),
        };
        let diversity = {
            let catalogue = Catalogue::new(&mut self.core, &self.inputs.item_features, self.items.rows(), None)?;
            let mut ranker = CoreRanker { core: &mut self.core, catalogue };
            diagnostics::diversity(self.dataset, &mut ranker, self.config.model.user.history)?
        };
        let diagnostics = diagnostics::Diagnostics::new(self.dataset, evaluation, diversity);
        report::write(&self.dir, self.dataset, self.config, &self.state, &diagnostics, best_epoch)?;
        (self.observer)(TrainEvent::Diagnostics(diagnostics));
        self.dir.finish(&mut self.state, restore)?;
        Ok(self.summary(false))
    }

    fn progress(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        (self.observer)(TrainEvent::Progress {
            epoch: self.state.cursor.epoch + 1,
            step: self.state.step,
            steps: self.config.train.epochs * self.loader.batches_per_epoch(),
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

/// The checkpoint to go on from, after checking that it belongs to this run.
fn resumable(dir: &ModelDir, dataset: &Dataset, config: &Config, resume: bool) -> Result<Option<TrainerState>> {
    let Some(state) = dir.state()? else { return Ok(None) };
    if !resume {
        if state.finished {
            dir.clear()?;
            return Ok(None);
        }
        return Err(Error::checkpoint(
            dir.path(),
            "holds an unfinished run: pass --resume to go on with it, or give another --out (or remove the folder)",
        ));
    }
    let info = dir.info()?;
    if info.dataset != fingerprint(dataset)? {
        return Err(Error::checkpoint(
            dir.path(),
            format!("was trained on another dataset than {}: train without --resume", dataset.dir().display()),
        ));
    }
    // Where it runs does not change what it computes; everything else does.
    let comparable = |config: &Config| {
        let mut config = config.clone();
        (config.train.device, config.train.threads, config.train.checkpoint_every) = (Device::Auto, 0, 0);
        serde_json::to_value(config).unwrap_or_default()
    };
    if let Some(field) = first_difference("", &comparable(&info.config), &comparable(config)) {
        return Err(Error::checkpoint(
            dir.path(),
            format!("was started with another {field}: give the same settings, or train without --resume"),
        ));
    }
    dir.recover(&state)?;
    Ok(Some(state))
}

/// The dotted name of the first value that differs.
fn first_difference(name: &str, a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    match (a, b) {
        (serde_json::Value::Object(a), serde_json::Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                first_difference(&name, value, &b[key])
            })
        }
        _ if a == b => None,
        _ => Some(format!("{name} ({a}, now {b})")),
    }
}
