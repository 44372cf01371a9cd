//! A run before its first step: what it reads, and where it goes on.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::Run;
use crate::backend::{Backend, FreeMemory};
use crate::config::Resolved;
use crate::data::batch::Cursor;
use crate::data::dataset::{Dataset, Split};
use crate::data::history::History;
use crate::data::loader::{Loader, LoaderConfig};
use crate::files::Draft;
use crate::model::Budget;
use crate::model::checkpoint::{ModelDir, TrainerState};
use crate::model::core::{Core, Fresh};
use crate::model::features::FeatureRows;
use crate::model::inputs::ModelInputs;
use crate::model::negatives::NegativeSampler;
use crate::model::spec::ModelSpec;
use crate::model::step::Stepper;
use crate::threads::Threads;
use crate::train::TrainEvent;
use crate::train::resume::{Begun, begin};
use crate::{Error, Result};

impl<'a, B: Backend> Run<'a, B> {
    /// A run at its checkpoint, or at its start where there is none or `resume` is not set.
    pub(super) fn start(
        backend: B,
        dataset: &'a Dataset,
        out: &Path,
        config: &'a Resolved,
        resume: bool,
        stop: &'a AtomicBool,
        observer: &'a mut dyn FnMut(TrainEvent),
    ) -> Result<Self> {
        let manifest = dataset.manifest();
        let loader = LoaderConfig {
            batch_size: config.batch_size(),
            seed: config.train.seed,
            threads: config.train.threads,
            ..Default::default()
        };
        let loader = Loader::open(dataset, Split::Train, loader)?;
        if loader.rows() == 0 {
            return Err(Error::input(dataset.dir(), "the training split has no rows; ingest with another split"));
        }
        if config.early_stop().is_some() && dataset.split(Split::Valid).rows == 0 {
            return Err(Error::config(
                "train.early_stop",
                "the dataset has no validation split; ingest with one, or set it to \"off\"",
            ));
        }
        let users = dataset.vocabulary(&manifest.users)?;
        let items = dataset.vocabulary(&manifest.items)?;
        let user_rows = users.rows();
        if items.rows() < 2 {
            return Err(Error::input(dataset.dir(), "there are no items to recommend"));
        }
        let spec = ModelSpec::new(config, &manifest.users, &manifest.items)?;
        let wants_history = config.history() > 0 || config.loss.mask_known_positives;
        if let Some(FreeMemory { device, bytes: free, kernels_for }) = backend.free_memory()? {
            let needed = Budget::new(&spec, config, items.rows() as u64, kernels_for).total_bytes();
            if needed > free {
                return Err(Error::DeviceMemory { device, what: "training".into(), needed, free });
            }
        }
        let inputs = Arc::new(ModelInputs {
            spec: spec.clone(),
            user_features: FeatureRows::new(&spec.user, users.table.features)?,
            item_features: items.table.features.clone(),
            history: if wants_history { Some(Arc::new(History::of_dataset(dataset)?)) } else { None },
            sampler: NegativeSampler::new(config.negatives(), config.loss.logq, config.train.seed, &items.table.counts),
            negatives: config.negatives(),
            mask_known: config.loss.mask_known_positives,
        });

        let path = backend.path();
        let Begun { draft, checkpoint } = begin(out, dataset, config, &path, resume)?;
        let dir = ModelDir::new(draft.as_ref().map_or(out, Draft::path));
        let optimizer = Some(&config.optimizer);
        let mut core = match &checkpoint {
            Some(state) => {
                Core::new(backend, spec, config, &mut dir.parameters(state)?, optimizer, &items.table.counts)?
            }
            None => {
                let threads = Threads::new(config.train.threads)?;
                let mut fresh = Fresh { config, seed: config.train.seed, threads: &threads };
                Core::new(backend, spec, config, &mut fresh, optimizer, &items.table.counts)?
            }
        };
        let mut stepper = Stepper::new(&core, config, user_rows, items.rows())?;
        let state = match checkpoint {
            Some(state) => {
                let Cursor { epoch, batch } = state.cursor;
                if epoch > config.epochs() || batch >= loader.batches_per_epoch() {
                    let reason =
                        format!("trainer.json is at epoch {epoch}, batch {batch}, which this run does not have");
                    return Err(Error::checkpoint(dir.path(), reason));
                }
                if !state.finished {
                    dir.restore(&state, &mut core, &mut stepper)?;
                }
                state
            }
            None => {
                let run = dir.create(dataset, config)?.run();
                TrainerState { run, path, ..TrainerState::default() }
            }
        };
        let started = Instant::now();
        Ok(Run {
            dataset,
            config,
            stop,
            observer,
            draft,
            dir,
            items,
            loader,
            inputs,
            core,
            stepper,
            state,
            started,
            epochs: config.epochs(),
            view: None,
            examples: 0,
            pending: VecDeque::new(),
            arrived: Vec::new(),
        })
    }
}
