//! A whole search, from the dataset to the folder that it leaves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::events::{TuneEvent, TuneSummary};
use super::page::Facts;
use super::search::HalvingSearch;
use super::space::{Chosen, Space, with};
use super::state::{SearchRequest, SearchState};
use super::trial::{TRIALS, TrialSetup, trained};
use super::{metric, output, rows, suggest};
use crate::config::{Config, TuneSettings};
use crate::data::dataset::{Dataset, Split};
use crate::data::shape::Shape;
use crate::eval::{EvaluateOptions, Evaluator};
use crate::files::{Draft, create_folder};
use crate::settings::View;
use crate::threads::Threads;
use crate::train::train_unmeasured;
use crate::{Device, Error, Result};

/// The folders, in the one that the search works in, of a dataset with validation rows and of one without.
const HELD_OUT: &str = "held-out";
const WHOLE: &str = "whole";
/// Trials side by side on a GPU.
const ON_A_GPU: usize = 2;

/// A search that is to be done.
#[derive(Clone, Debug, Default)]
#[must_use = "a search does nothing until it is passed to `tune`"]
pub struct Tune {
    /// What training is told; what it leaves open or at its default, the search chooses.
    pub config: Config,
    /// What the search is told.
    pub settings: TuneSettings,
    /// What is searched; none for what the data suggests.
    pub space: Option<Space>,
    /// Settings that are given, by key, though `config` may have them at their defaults: they are not searched.
    pub fixed: BTreeSet<String>,
    /// What an earlier search found, by key: the first trial after the defaults, as far as it is searched. Empty for nothing.
    pub earlier: Chosen,
    /// Goes on with a search that was killed; begins where there is none. One that is finished is left as it is.
    pub resume: bool,
}

impl Tune {
    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used, among them one that is both given and searched.
    pub fn check(&self) -> Result<()> {
        self.config.validate()?;
        self.settings.validate()?;
        let Some(space) = &self.space else { return Ok(()) };
        space.check("space")?;
        match space.0.keys().find(|key| self.fixed.contains(*key)) {
            None => Ok(()),
            Some(key) => Err(Error::config(key, "is both set and in the search space: remove it from one of them")),
        }
    }
}

/// Searches the settings that are best on `dataset`, and leaves them in the folder `out` (`tuned.toml`), with a model that
/// was trained with them on training and validation rows (`model`), a table of all trials (`trials.parquet`) and a page
/// (`report.html`).
///
/// The work is done in a folder beside it (`.NAME.tuning`), which takes its place in one step when the search is done. A
/// search that is stopped or killed goes on with `resume`, to the same end; one that is finished, and was asked the same, is
/// left as it is.
///
/// # Errors
/// [`Error::Config`] for what cannot be used; [`Error::Checkpoint`] where an unfinished search is there and `resume` is false,
/// or it was asked something else; [`Error::Interrupted`] once `stop` is set; whatever training and evaluating report.
pub fn tune(
    dataset: &Dataset,
    out: impl AsRef<Path>,
    request: &Tune,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(TuneEvent),
) -> Result<TuneSummary> {
    let begun = Instant::now();
    let Tune { settings, resume, .. } = request;
    let mut config = request.config.clone();
    request.check()?;
    config.train.device = config.train.device.resolve()?;
    let draft = Draft::open(out.as_ref(), output::WORK, true)?;
    let mut left = SearchState::read(draft.path())?;
    // With a manifest it is a finished search that a kill kept from its place, or one that was replaced.
    let finished = draft.path().join(output::WORK.manifest).exists();
    match &left {
        Some(_) if *resume => {}
        Some(_) if !finished => return Err(unfinished(draft.path())),
        _ => {
            draft.clear()?;
            left = None;
        }
    }
    if *resume
        && left.is_none()
        && let Some(summary) = already(dataset, out.as_ref(), request, &config)?
    {
        return Ok(summary);
    }
    let mut held = rows::validated(dataset, &draft.path().join(HELD_OUT), config.train.seed)?;
    let shape = Shape::of(&held.dataset)?;
    let (view, watched, k) = metric(&settings.metric).map_err(|reason| Error::config("metric", reason))?;
    let defaults = trained(&config, &shape, 1);
    let space = match &request.space {
        Some(space) => space.clone(),
        None => suggest::space(&held.dataset, &config, &request.fixed, &shape, &defaults),
    };
    if space.0.is_empty() {
        return Err(Error::config(
            "space",
            "every setting that could be searched is fixed: leave at least one of them unset",
        ));
    }
    let asked = asked(dataset, request, &config, space);
    let state = match left {
        Some(state) => match state.check(&asked, draft.path()) {
            Ok(()) => state,
            Err(_) if finished => {
                draft.clear()?;
                held = rows::validated(dataset, &draft.path().join(HELD_OUT), config.train.seed)?;
                SearchState::new(asked)
            }
            Err(error) => return Err(error),
        },
        None => SearchState::new(asked),
    };
    let options = EvaluateOptions::at(&[k]).view(view.unwrap_or(View::Discovery)).bootstrap(0, 0);
    let mut evaluator = Evaluator::open(&held.dataset, Split::Valid, &options)?;
    let why = look(&mut evaluator, view);
    let users = evaluator.users();
    create_folder(&draft.path().join(TRIALS))?;
    let all_threads = Threads::new(config.train.threads)?.count();
    let on_gpu = matches!(config.train.device, Device::Cuda(_));
    let parallel = match settings.parallel {
        0 if on_gpu => ON_A_GPU,
        0 => all_threads,
        asked => asked,
    };
    observer(TuneEvent::Search {
        space: state.asked.space.clone(),
        metric: settings.metric.clone(),
        view: why,
        validation: held.validation.clone(),
        users,
        parallel,
        resumed: state.trials.iter().filter(|trial| !trial.figures.is_empty()).count(),
    });
    let metric = format!("{watched}@{k}");
    let mut search = HalvingSearch {
        setup: TrialSetup { dataset: &held.dataset, evaluator: &evaluator, metric: &metric, draft: draft.path(), stop },
        config: &config,
        shape: &shape,
        defaults: suggest::defaults(&state.asked.space, &defaults),
        state,
        parallel,
        threads: if on_gpu { all_threads.div_ceil(parallel) } else { 1 },
        all_threads,
        begun,
        observer,
    };
    search.climb_all()?;
    let state = search.state;
    let Some(winner) = state.winner() else { return Err(nothing(&state, draft.path())) };

    let chosen = with(&config, &state.trials[winner].chosen).map_err(|reason| Error::config("space", reason))?;
    let found = trained(&chosen, &shape, config.train.threads);
    let whole = rows::whole(dataset, &draft.path().join(WHOLE))?;
    let rows = whole.split(Split::Train).rows;
    observer(TuneEvent::Final { trial: winner, rows, epochs: found.epochs() });
    let model = draft.path().join(output::MODEL);
    train_unmeasured(&whole, &model, &found, stop, &mut |event| observer(TuneEvent::Train(event)))?;

    let facts = Facts {
        dataset: dataset.dir().display().to_string(),
        validation: &held.validation,
        users: users as usize,
        winner,
    };
    drop(evaluator);
    output::write(draft.path(), &state, &facts, &found)?;
    output::sweep(draft.path(), &[HELD_OUT, WHOLE, TRIALS])?;
    let out = draft.out().to_owned();
    draft.publish()?;
    Ok(summary(&state, winner, &out, begun))
}

fn asked(dataset: &Dataset, request: &Tune, config: &Config, space: Space) -> SearchRequest {
    let settings = &request.settings;
    SearchRequest {
        dataset: dataset.fingerprint().to_owned(),
        config: config.clone(),
        space,
        metric: settings.metric.clone(),
        trials: settings.trials,
        minutes: settings.limit(),
        seed: config.train.seed,
        earlier: request.earlier.clone(),
    }
}

/// What a finished search in `out` came to that was asked the same. A space that the data suggests is the same for the
/// same dataset and settings, but for what is given at its default.
fn already(dataset: &Dataset, out: &Path, request: &Tune, config: &Config) -> Result<Option<TuneSummary>> {
    let begun = Instant::now();
    let Some(state) = output::finished(out)? else { return Ok(None) };
    let space = request.space.clone().unwrap_or_else(|| state.asked.space.clone());
    let fixed = request.fixed.iter().any(|key| space.0.contains_key(key));
    match state.check(&asked(dataset, request, config, space), out) {
        Ok(()) if !fixed => Ok(state.winner().map(|winner| summary(&state, winner, out, begun))),
        _ => Ok(None),
    }
}

/// Gives up an unfinished search for `out`, whatever it was asked.
///
/// # Errors
/// [`Error::Input`] when it is being done, or when what is in its place is not a search's; [`Error::Io`].
pub fn forget(out: impl AsRef<Path>) -> Result<()> {
    Draft::open(out.as_ref(), output::WORK, false)?.discard()
}

/// Which items count, and why: what was asked for; else discovery, or what users take next where that finds nothing new.
fn look(evaluator: &mut Evaluator, asked: Option<View>) -> String {
    if let Some(view) = asked {
        return format!("{view}, as requested");
    }
    if evaluator.users() > 0 {
        return "discovery: items that a user already has are excluded, as in `recommend`".into();
    }
    evaluator.look(View::Next);
    "next: the validation rows contain no items that are new to their users".into()
}

fn summary(state: &SearchState, winner: usize, out: &Path, begun: Instant) -> TuneSummary {
    let trial = &state.trials[winner];
    let trained = |trial: &super::Trial| trial.last().map_or(0, |figure| figure.epochs);
    let last = trial.last();
    TuneSummary {
        trials: state.trials.len(),
        failed: state.trials.iter().filter(|trial| trial.failed.is_some()).count(),
        winner,
        chosen: trial.chosen.clone(),
        metric: state.asked.metric.clone(),
        value: last.map_or(f64::NAN, |figure| figure.value),
        interval: last.map_or([f64::NAN; 2], |figure| figure.interval),
        default_value: state.trials[0].value_at(trial.figures.len().saturating_sub(1)),
        gain: last.and_then(|figure| figure.gain),
        epochs: state.trials.iter().map(trained).sum(),
        full_epochs: state.trials.iter().map(|trial| trial.epochs).sum(),
        settings: out.join(output::SETTINGS),
        model: out.join(output::MODEL),
        seconds: begun.elapsed().as_secs_f64(),
    }
}

fn unfinished(dir: &Path) -> Error {
    Error::checkpoint(
        dir,
        "contains an unfinished search: set `resume` to continue it, or choose another folder (or remove this one)",
    )
}

fn nothing(state: &SearchState, dir: &Path) -> Error {
    let reason = state.trials.iter().find_map(|trial| trial.failed.clone()).unwrap_or_default();
    Error::checkpoint(dir, format!("every trial failed; the first error: {reason}"))
}
