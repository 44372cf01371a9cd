//! What a search tells whoever watches it.

use std::path::PathBuf;

use serde::Serialize;

use super::plan::SearchPlan;
use super::space::{Chosen, Space};
use crate::train::TrainEvent;

/// Something that happened. As JSON: one object with `event` and flat fields.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TuneEvent {
    /// The search begins, or goes on.
    Search {
        /// What is searched.
        space: Space,
        /// The metric that is followed.
        metric: String,
        /// Which items count, and why.
        view: String,
        /// Where the validation rows come from.
        validation: String,
        /// Users that every trial is judged on.
        users: u64,
        /// Trials side by side.
        parallel: usize,
        /// Trials that an earlier call has done something of.
        resumed: usize,
    },
    /// How many trials there will be, once that is known.
    Plan(SearchPlan),
    /// Where the trials on a rung stand.
    Progress {
        /// The rung, from 1.
        rung: usize,
        /// Trials of the rung that are done.
        done: usize,
        /// Trials of the rung.
        trials: usize,
        /// Seconds since the search began.
        seconds: f64,
        /// The best figure so far on this rung.
        best: Option<f64>,
    },
    /// A trial has a figure.
    Trial {
        /// Its number; 0 has the defaults.
        trial: usize,
        /// The rung, from 1.
        rung: usize,
        /// Epochs that it has trained.
        epochs: u64,
        /// What the search chose.
        chosen: Chosen,
        /// The metric.
        value: Option<f64>,
        /// Why it failed, where it did.
        failed: Option<String>,
        /// Seconds that this part took.
        seconds: f64,
    },
    /// A rung is done.
    Rung {
        /// The rung, from 1.
        rung: usize,
        /// The trials that were on it, best first.
        trials: Vec<usize>,
        /// The best trial.
        best: usize,
        /// Its figure.
        value: f64,
        /// What it is more than the defaults', and the ends of that interval.
        gain: Option<[f64; 3]>,
    },
    /// Time is up before the plan is done.
    OutOfTime {
        /// The last rung that is done, from 1.
        rung: usize,
    },
    /// The winner is trained on all rows.
    Final {
        /// Its number.
        trial: usize,
        /// Training and validation rows.
        rows: u64,
        /// Epochs.
        epochs: u64,
    },
    /// Something happened in that training.
    #[serde(untagged)]
    Train(TrainEvent),
}

/// What a search came to.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TuneSummary {
    /// Trials that were tried.
    pub trials: usize,
    /// Those that failed.
    pub failed: usize,
    /// The winner's number; 0 has the defaults.
    pub winner: usize,
    /// What the search chose for it.
    pub chosen: Chosen,
    /// The metric that was followed.
    pub metric: String,
    /// The winner's figure on the validation rows, before it was trained on them.
    pub value: f64,
    /// The ends of its 95 % interval.
    pub interval: [f64; 2],
    /// The defaults' figure.
    pub default_value: Option<f64>,
    /// What the winner is more than the defaults, and the ends of that 95 % interval.
    pub gain: Option<[f64; 3]>,
    /// What the search trained, in epochs, beside what training every trial to its end would have.
    pub epochs: u64,
    /// The epochs of all trials' whole runs.
    pub full_epochs: u64,
    /// The settings' file.
    pub settings: PathBuf,
    /// The model, trained on training and validation rows.
    pub model: PathBuf,
    /// Seconds of this call.
    pub seconds: f64,
}
