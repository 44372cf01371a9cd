//! `tercel tune`: the settings that win on a DATASET folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use tercel::settings::TuneSettings;
use tercel::train::TrainEvent;
use tercel::tune::{Chosen, Space, Tune, TuneEvent, TuneSummary, tune};
use tercel::{Dataset, Error, Result};

use crate::args::{GivenConfig, TrainFlags, announce, given_config};
use crate::flags::Flags;
use crate::output::{Output, duration, thousands};
use crate::paths::shown;
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel tune --data out/demo/dataset --out out/tuned --minutes 5
  tercel tune --data out/demo/dataset --out out/tuned --trials 20 --metric next.ndcg@10 --resume
  tercel train --data out/demo/dataset --config out/tuned/tuned.toml --out out/model

A space file contains lists or ranges of values in place of settings:
  [model]
  temperature = { from = 0.05, to = 0.4, scale = 'log' }
  [model.user]
  history = [0, 2, 20]";

/// Searches for the best settings for a dataset on its validation split.
///
/// The search is by successive halving: it starts many short trials, and at each rung the best quarter continues from its
/// checkpoints. The first trials are drawn at random, later ones near the best so far. Settings given here are kept
/// fixed. Without a validation split, part of the training rows is held out. The test split is never read.
///
/// TUNED contains tuned.toml (the settings, for train --config), model (trained with them on training and validation
/// rows), trials.parquet (every trial on every rung) and report.html. --resume continues an interrupted search to the
/// same result.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Dataset folder
    #[arg(long, value_name = "DATASET")]
    data: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "TUNED")]
    out: PathBuf,
    /// TOML file with settings to keep fixed
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Continues an interrupted search; starts a new one if there is none
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    tune: Flags<TuneSettings>,
    #[command(flatten)]
    train: TrainFlags,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let GivenConfig { mut config, keys: fixed } = given_config(args.config.as_deref(), &args.train)?;
    let mut settings = TuneSettings::default();
    args.tune.apply(&mut settings);
    settings.validate()?;
    let space = settings.space.as_deref().map(read_space).transpose()?;
    config.train.device = announce(config.train.device, out)?;
    perform(
        &args.data,
        &args.out,
        &Tune { config, settings, space, fixed, resume: args.resume, ..Tune::default() },
        out,
    )
    .map(drop)
}

/// Reads a space file.
pub fn read_space(path: &Path) -> Result<Space> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    Space::from_toml(&text, &path.display().to_string())
}

/// Searches, shows the progress and says what came of it.
pub fn perform(data: &Path, tuned: &Path, request: &Tune, out: &Output) -> Result<TuneSummary> {
    let dataset = Dataset::open(data)?;
    let meter = Meter::new("tune");
    let summary = tune(&dataset, tuned, request, &AtomicBool::new(false), &mut |event| {
        match &event {
            TuneEvent::Progress { rung, done, trials, seconds, best } => {
                let best = best.map_or(String::new(), |best| format!(", best {best:.4}"));
                let (done, trials) = (*done as u64, *trials as u64);
                let words = format!("rung {rung}, {done} of {trials} trials{best}, {}", duration(*seconds));
                meter.set(done, trials, words);
            }
            TuneEvent::Train(TrainEvent::Progress { epoch, step, steps, .. }) => {
                meter.set(*step, *steps, format_args!("the winner on all rows, epoch {epoch}"));
                return;
            }
            TuneEvent::Train(_) => return,
            other => meter.above(|| out.text_of(words(other))),
        }
        meter.above(|| out.tagged(&event));
    })?;
    meter.finish(format_args!("{} trials in {}", summary.trials, duration(summary.seconds)));
    let mut fields = serde_json::to_value(&summary).unwrap_or_default();
    (fields["settings"], fields["model"]) = (shown(&summary.settings).into(), shown(&summary.model).into());
    out.event("tune", &fields);
    say(&summary, tuned, out);
    Ok(summary)
}

/// What an event says to people; nothing where it is not worth a line.
fn words(event: &TuneEvent) -> Option<String> {
    Some(match event {
        TuneEvent::Search { space, metric, view, validation, users, parallel, resumed } => {
            let keys: Vec<&str> = space.0.keys().map(String::as_str).collect();
            let side = if *parallel == 1 { "one at a time".into() } else { format!("{parallel} in parallel") };
            let resumed_words =
                if *resumed > 0 { format!("; {resumed} trials already started") } else { String::new() };
            format!(
                "searching {}\n{metric} of {} users on {validation}; trials {side}{resumed_words}\n{view}",
                keys.join(", "),
                thousands(*users)
            )
        }
        TuneEvent::Plan(plan) => format!("{} trials, {} rungs", plan.trials, plan.rungs),
        TuneEvent::Trial { trial, failed: Some(reason), .. } => format!("trial {trial} failed: {reason}"),
        TuneEvent::Rung { rung, trials, best, value, gain } => {
            format!("rung {rung}: {} trials, the best is trial {best} at {value:.4}{}", trials.len(), beside(*gain))
        }
        TuneEvent::OutOfTime { rung } => format!("time limit reached after rung {rung}"),
        TuneEvent::Final { trial, rows, epochs } => {
            format!("trial {trial} wins; training it on {} rows for {epochs} epochs", thousands(*rows))
        }
        _ => return None,
    })
}

/// How much better than the defaults, in words.
pub fn beside(gain: Option<[f64; 3]>) -> String {
    gain.map_or(String::new(), |[gain, low, high]| format!(", {gain:+.4} ({low:+.4} to {high:+.4}) over the defaults"))
}

fn say(summary: &TuneSummary, tuned: &Path, out: &Output) {
    let TuneSummary { winner, metric, value, epochs, full_epochs, seconds, .. } = summary;
    let saved = 100.0 * (1.0 - *epochs as f64 / (*full_epochs).max(1) as f64);
    match winner {
        0 => out.text(format_args!("the defaults win: {metric} {value:.4}")),
        _ => out.text(format_args!("{metric} {value:.4}{}: {}", beside(summary.gain), chosen(&summary.chosen))),
    }
    out.text(format_args!(
        "{}: {} trials in {}; halving saved {saved:.0} % of their epochs; see report.html, train with tuned.toml",
        tuned.display(),
        summary.trials,
        duration(*seconds)
    ));
}

/// What a search chose, in words.
pub fn chosen(chosen: &Chosen) -> String {
    let of = |(key, value): (&String, &Value)| format!("{key} {value}");
    chosen.iter().map(of).collect::<Vec<_>>().join(", ")
}
