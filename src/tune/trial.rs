//! One trial on one rung: trained to there, judged there.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::state::SearchState;
use crate::config::{Config, EarlyStopping, Resolved};
use crate::data::dataset::Dataset;
use crate::data::shape::Shape;
use crate::eval::Evaluator;
use crate::files::AtomicFile;
use crate::train::{PartialRun, TrainEvent};
use crate::{Error, Result};

/// The folder of the trials' checkpoints and values.
pub(super) const TRIALS: &str = "trials";

/// What trials are made from and judged on.
pub(super) struct TrialSetup<'a> {
    /// The rows that trials train on.
    pub(super) dataset: &'a Dataset,
    pub(super) evaluator: &'a Evaluator,
    pub(super) metric: &'a str,
    /// The folder that the search works in.
    pub(super) draft: &'a Path,
    pub(super) stop: &'a AtomicBool,
}

/// What a part of a trial came to.
pub(super) struct Outcome {
    pub(super) loss: f64,
    /// The metric of every user.
    pub(super) values: Vec<f64>,
    pub(super) seconds: f64,
}

impl TrialSetup<'_> {
    /// Keeps what the search has found so far.
    pub(super) fn write(&self, state: &SearchState) -> Result<()> {
        state.write(self.draft)
    }

    /// Where a trial's checkpoint is.
    pub(super) fn place(&self, trial: usize) -> PathBuf {
        self.draft.join(TRIALS).join(format!("{trial:04}"))
    }

    /// Trains trial `trial` to the end of epoch `until`, from its checkpoint where it has one, and judges it.
    pub(super) fn run(
        &self,
        trial: usize,
        config: &Resolved,
        until: u64,
        observer: &mut dyn FnMut(TrainEvent),
    ) -> Result<Outcome> {
        let begun = Instant::now();
        let place = self.place(trial);
        let part = PartialRun { dataset: self.dataset, out: &place, config, stop: self.stop };
        let mut values = Vec::new();
        let loss = part.train(
            until,
            &mut |ranker| {
                values = self.evaluator.values(ranker, self.metric, &mut |_| Ok(()))?;
                Ok(())
            },
            observer,
        )?;
        self.keep(trial, &values)?;
        Ok(Outcome { loss, values, seconds: begun.elapsed().as_secs_f64() })
    }

    /// The file of a trial's values on the rung that it was on last.
    fn values_file(&self, trial: usize) -> PathBuf {
        self.draft.join(TRIALS).join(format!("{trial:04}.values"))
    }

    fn keep(&self, trial: usize, values: &[f64]) -> Result<()> {
        use std::io::Write as _;
        let path = self.values_file(trial);
        let mut file = AtomicFile::inside(&path)?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes).to_le_bytes();
        file.write_all(&bytes).and_then(|()| file.write_all(&sum)).map_err(|e| Error::io(&path, e))?;
        file.commit()
    }

    /// A trial's values on the rung that it was on last, by user.
    pub(super) fn values(&self, trial: usize) -> Result<Vec<f64>> {
        let path = self.values_file(trial);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let (values, sum) = bytes.split_at(bytes.len().saturating_sub(8));
        if sum != xxhash_rust::xxh3::xxh3_64(values).to_le_bytes() {
            return Err(Error::damaged(&path, "checksum", "does not match; start the search again without `resume`"));
        }
        Ok(values.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    /// Removes what a trial needs to be gone on with.
    pub(super) fn forget(&self, trial: usize) -> Result<()> {
        crate::train::forget(&self.place(trial))
    }
}

/// The settings that a trial trains with: by so many threads, for all of its epochs.
pub(super) fn trained(config: &Config, shape: &Shape, threads: usize) -> Resolved {
    let mut config = config.clone();
    config.train.threads = threads;
    config.train.early_stop = Some(EarlyStopping::Off);
    config.train.checkpoint_every = 0;
    config.for_shape(shape)
}

/// Whether a trial that failed so is no good, where any other failure ends the search.
pub(super) fn is_its_own(error: &Error) -> bool {
    matches!(
        error,
        Error::NonFinite { .. } | Error::DeviceMemory { .. } | Error::OutOfMemory { .. } | Error::Config { .. }
    )
}
