//! What a search has found, for whoever looks at its folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::output::{self, SearchManifest};
use super::space::Chosen;
use super::state::{self, SearchState};
use crate::Result;
use crate::data::dataset::verify_file;
use crate::files::{Draft, read_json};

/// What a search has found: at its end, or so far.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SearchReport {
    /// Whether it is done; one that is not goes on with `resume`.
    pub finished: bool,
    /// The fingerprint of the dataset that is searched on.
    pub dataset: String,
    /// The metric that is followed.
    pub metric: String,
    /// The settings that are searched, by key.
    pub searched: Vec<String>,
    /// Trials so far.
    pub trials: usize,
    /// Trials in all, once that is known.
    pub planned: Option<usize>,
    /// Trials that failed.
    pub failed: usize,
    /// Rungs that a trial has reached.
    pub rungs: usize,
    /// The winner, or the best so far; none before the first figure.
    pub best: Option<Best>,
    /// Files whose checksums hold.
    pub checksums_verified: usize,
}

/// The best trial of a search.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Best {
    /// Its number; 0 has the defaults.
    pub trial: usize,
    /// What the search chose for it.
    pub chosen: Chosen,
    /// Epochs that it was trained.
    pub epochs: u64,
    /// The metric on the validation rows.
    pub value: f64,
    /// The ends of its 95 % interval.
    pub interval: [f64; 2],
    /// What it is more than the defaults, and the ends of that interval; none for the defaults.
    pub gain: Option<[f64; 3]>,
}

/// What the search in the folder `dir` has found, every checksum compared; `None` where there is no search. `dir` is what a
/// search left, or where an [unfinished] one works.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) naming the file that is not as the search left it;
/// [`Error::Io`](crate::Error::Io).
pub fn found(dir: impl AsRef<Path>) -> Result<Option<SearchReport>> {
    let dir = dir.as_ref();
    let manifest = dir.join(output::WORK.manifest);
    let finished = manifest.is_file();
    if !finished && !dir.join(state::FILE).is_file() {
        return Ok(None);
    }
    let mut checked = 1;
    if finished {
        let left: SearchManifest = read_json(&manifest)?;
        for file in &left.files {
            verify_file(&dir.join(&file.name), file)?;
            checked += usize::from(file.xxh3.is_some());
        }
    }
    let Some(state) = SearchState::read(dir)? else { return Ok(None) };
    let best = state.winner().and_then(|trial| Some((trial, state.trials[trial].last()?)));
    let best = best.map(|(trial, figure)| Best {
        trial,
        chosen: state.trials[trial].chosen.clone(),
        epochs: figure.epochs,
        value: figure.value,
        interval: figure.interval,
        gain: figure.gain,
    });
    Ok(Some(SearchReport {
        finished,
        best,
        trials: state.trials.len(),
        planned: state.plan.as_ref().map(|plan| plan.trials),
        failed: state.trials.iter().filter(|trial| trial.failed.is_some()).count(),
        rungs: state.trials.iter().map(|trial| trial.figures.len()).max().unwrap_or(0),
        searched: state.asked.space.0.keys().cloned().collect(),
        dataset: state.asked.dataset,
        metric: state.asked.metric,
        checksums_verified: checked,
    }))
}

/// Where an unfinished search for the folder `out` works; `None` where there is none.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn unfinished(out: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    let place = Draft::place(out.as_ref(), output::WORK)?;
    let works = place.join(state::FILE).is_file() && !place.join(output::WORK.manifest).exists();
    Ok(works.then_some(place))
}
