//! What training tells whoever watches it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Diagnostics;
use crate::config::{Decision, EarlyStopping, Negatives, Resolved};
use crate::data::shape::Shape;
use crate::settings::View;

/// Something that happened. As JSON: one object with `event` and flat fields.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainEvent {
    /// What the run is made of: before anything else.
    Settings(Box<RunSettings>),
    /// A few times a second: where training stands.
    Progress {
        /// The epoch, from 1.
        epoch: u64,
        /// Steps done, of `steps`.
        step: u64,
        /// Steps of the whole run.
        steps: u64,
        /// Rows of this epoch so far.
        examples: u64,
        /// Mean loss of this epoch so far.
        loss: f64,
        /// Rows per second since the start or the resume.
        examples_per_second: f64,
    },
    /// An epoch is over.
    Epoch {
        /// The epoch, from 1.
        epoch: u64,
        /// Mean loss per row.
        loss: f64,
        /// Rows seen.
        examples: u64,
        /// Seconds since the epoch (or the resume) began.
        seconds: f64,
        /// Rows per second since then.
        examples_per_second: f64,
    },
    /// A checkpoint is on disk.
    Checkpoint {
        /// The epoch it stands in, from 1.
        epoch: u64,
        /// Batches of that epoch that are done.
        batch: u64,
        /// Steps done.
        step: u64,
        /// Seconds that writing took.
        seconds: f64,
    },
    /// Where ranking users stands: for the evaluation of an epoch's end, the last one, or the thresholds of `loss.top_k`.
    Evaluating {
        /// Users done, of `users`.
        done: u64,
        /// Users of the split, or all.
        users: u64,
    },
    /// Early stopping watches another metric than it would elsewhere.
    Watching {
        /// The metric, with the view that it is of.
        metric: String,
        /// Why.
        reason: String,
    },
    /// The full-catalogue validation of an epoch.
    Validation {
        /// The epoch, from 1.
        epoch: u64,
        /// What was looked at.
        view: View,
        /// Value by metric.
        metrics: BTreeMap<String, f64>,
        /// Seconds that it took.
        seconds: f64,
    },
    /// Training stopped before its last epoch; the model is the best epoch's.
    EarlyStop {
        /// The last epoch trained, from 1.
        epoch: u64,
        /// The epoch whose parameters are kept, from 1.
        best_epoch: u64,
        /// The watched metric.
        metric: String,
        /// Its best value.
        value: f64,
    },
    /// What the trained model looks like.
    Diagnostics(Diagnostics),
}

/// The settings of a run that can be left open, what they are, and why.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RunSettings {
    /// Training rows.
    pub rows: u64,
    /// `train.epochs`.
    pub epochs: u64,
    /// `train.batch_size`.
    pub batch_size: usize,
    /// `train.early_stop`.
    pub early_stop: EarlyStopping,
    /// `model.temperature`.
    pub temperature: f64,
    /// `model.popularity`.
    pub popularity: f64,
    /// `model.user.history`.
    pub history: usize,
    /// `model.user.id`.
    pub user_id: bool,
    /// `loss.negatives`.
    pub negatives: Negatives,
    /// `loss.top_k`.
    pub top_k: usize,
    /// `optimizer.lr`.
    pub lr: f64,
    /// `optimizer.weight_decay`.
    pub weight_decay: f64,
    /// Of those the ones that nobody has set, and what they follow from.
    pub decisions: Vec<Decision>,
    /// What is known of the data.
    pub shape: Shape,
}

impl TrainEvent {
    pub(super) fn settings(config: &Resolved, shape: Shape) -> TrainEvent {
        // As it is written: 0.1 stays 0.1.
        let plain = |x: f32| x.to_string().parse().unwrap_or(f64::from(x));
        TrainEvent::Settings(Box::new(RunSettings {
            rows: shape.rows,
            epochs: config.epochs(),
            batch_size: config.batch_size(),
            early_stop: config.early_stop().cloned().map_or(EarlyStopping::Off, EarlyStopping::On),
            temperature: plain(config.temperature()),
            popularity: plain(config.popularity()),
            history: config.history(),
            user_id: config.user_id(),
            negatives: config.negatives(),
            top_k: config.top_k(),
            lr: plain(config.lr()),
            weight_decay: plain(config.weight_decay()),
            decisions: config.decisions().to_vec(),
            shape,
        }))
    }
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TrainSummary {
    /// Epochs trained, those before a resume included.
    pub epochs: u64,
    /// Steps done, likewise.
    pub steps: u64,
    /// Mean loss per row of the last epoch.
    pub loss: f64,
    /// The epoch whose parameters the model has, from 1.
    pub best_epoch: u64,
    /// Seconds of this call.
    pub seconds: f64,
    /// Whether the folder held a finished run already, so that nothing was left to do.
    pub already_finished: bool,
}
