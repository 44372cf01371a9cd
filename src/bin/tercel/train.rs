//! `tercel train`: a DATASET folder to a MODEL folder.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tercel::data::dataset::Dataset;
use tercel::train::{Diagnostics, RunSettings, TrainEvent, train};
use tercel::{Config, Error, Result};

use crate::args::{GivenConfig, TrainFlags, announce, given_config};
use crate::output::{Output, duration, thousands};
use crate::paths::shown;
use crate::progress::Meter;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel train --data out/demo/dataset --out out/model --epochs 3
  tercel train --data out/demo/dataset --out out/wide --dim 128 --negatives in-batch+uniform:1024 \
      --early-stop ndcg@20,2
  tercel train --data out/demo/dataset --out out/model --epochs 3 --resume";

/// Trains a two-tower model on a dataset folder.
///
/// Settings come from a TOML file with the tables `model`, `loss`, `optimizer` and `train`, from flags, or from both;
/// flags take precedence. --resume continues an interrupted run; the result is bit-identical to an uninterrupted one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Dataset folder
    #[arg(long, value_name = "DATASET")]
    data: PathBuf,
    /// Model folder to write
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    /// TOML file with settings
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Continues from the model folder's last checkpoint; starts a new run if there is none
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    flags: TrainFlags,
}

/// How often progress is worth a JSON line.
const EVERY: Duration = Duration::from_secs(10);

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let GivenConfig { config, .. } = given_config(args.config.as_deref(), &args.flags)?;
    announce(config.train.device, out)?;
    perform(&args.data, &args.out, &config, args.resume, out)
}

/// Trains, shows the progress and says what came of it.
pub fn perform(data: &Path, model: &Path, config: &Config, resume: bool, out: &Output) -> Result<()> {
    if model.is_file() {
        return Err(Error::input(model, "is a file; a model must be a folder"));
    }
    let dataset = Dataset::open(data)?;
    let first = !model.exists();
    let decided = Cell::new(false);
    let watched = RefCell::new(None);
    let meter = Meter::new("train");
    let last_report = Cell::new(Instant::now());
    let summary = train(&dataset, model, config, resume, &mut |event| {
        match &event {
            TrainEvent::Progress { epoch, step, steps, loss, examples_per_second, .. } => {
                let speed = thousands(*examples_per_second as u64);
                meter.set(*step, *steps, format_args!("epoch {epoch}, loss {loss:.4}, {speed} examples/s"));
                if last_report.get().elapsed() < EVERY {
                    return;
                }
                last_report.set(Instant::now());
            }
            TrainEvent::Evaluating { done, users } => {
                meter.set(*done, *users, format_args!("evaluating, {} users", thousands(*users)));
            }
            other => {
                if let TrainEvent::Settings(settings) = other {
                    decided.set(!settings.decisions.is_empty());
                    watched.replace(settings.early_stop.on().map(|stop| stop.metric.clone()));
                }
                meter.above(|| out.text_of(words(other, watched.borrow().as_deref())));
            }
        }
        meter.above(|| out.tagged(&event));
    })?;
    meter.finish(format_args!("{} epochs in {}", summary.epochs, duration(summary.seconds)));
    let mut fields = serde_json::to_value(&summary).unwrap_or_default();
    fields["model"] = shown(model).into();
    out.event("train", &fields);
    let how = if summary.already_finished { "already finished" } else { "trained" };
    out.text(format_args!(
        "{}: {how}: {} epochs, {} steps, loss {:.4}, in {}",
        model.display(),
        summary.epochs,
        thousands(summary.steps),
        summary.loss,
        duration(summary.seconds)
    ));
    if first && decided.get() {
        let data = data.display();
        out.text(format_args!(
            "these are default settings; `tercel tune --data {data} --out TUNED` searches for better ones"
        ));
    }
    Ok(())
}

/// What an event says to people; nothing where it is not worth a line.
fn words(event: &TrainEvent, watched: Option<&str>) -> Option<String> {
    Some(match event {
        TrainEvent::Settings(settings) => decisions(settings),
        TrainEvent::Epoch { epoch, loss, examples, seconds, examples_per_second } => format!(
            "epoch {epoch:>3}: loss {loss:.4}, {} examples in {} ({} examples/s)",
            thousands(*examples),
            duration(*seconds),
            thousands(*examples_per_second as u64)
        ),
        TrainEvent::Validation { epoch, metrics, .. } => {
            let shown = metrics.iter().filter(|(name, _)| watched.is_none_or(|watched| watched == *name));
            let figures: Vec<String> = shown.map(|(name, value)| format!("{name} {value:.4}")).collect();
            format!("epoch {epoch:>3}: validation {}", figures.join(", "))
        }
        TrainEvent::Watching { metric, reason } => format!("early stopping watches {metric}: {reason}"),
        TrainEvent::EarlyStop { epoch, best_epoch, metric, value } => {
            format!("stopped after epoch {epoch}: epoch {best_epoch} was the best, {metric} {value:.4}")
        }
        TrainEvent::Diagnostics(found) => return diagnosis(found),
        _ => return None,
    })
}

/// What is trained, and a line for each setting that nobody has set.
fn decisions(settings: &RunSettings) -> String {
    let RunSettings { rows, epochs, batch_size, .. } = settings;
    let most = if settings.early_stop.on().is_some() { "up to " } else { "" };
    let mut text = format!("training on {} rows: {most}{epochs} epochs, batches of {batch_size}", thousands(*rows));
    for decision in &settings.decisions {
        text += &format!("\n  {} {}: {}", decision.name(), decision.value, decision.why);
    }
    text
}

fn diagnosis(found: &Diagnostics) -> Option<String> {
    let warnings: Vec<String> = found.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    (!warnings.is_empty()).then(|| warnings.join("\n"))
}
