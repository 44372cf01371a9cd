//! `tercel evaluate`: how good a model is, beside what needs no model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tercel::eval::{Evaluation, Named, View, views};
use tercel::files::{Lock, read_json, write_json_locked};
use tercel::settings::EvaluateSettings;
use tercel::{Dataset, Device, Error, Evaluate, Model, Result, Split};

use crate::args::MachineFlags;
use crate::flags::Flags;
use crate::output::{Output, thousands};
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel evaluate --model out/demo/model --data out/demo/dataset
  tercel evaluate --model out/demo/model --data out/demo/dataset --split valid --k 12 --include-seen --json";

/// Evaluates a model on the test split: full catalogue, averaged over users, with 95 % intervals and baselines.
///
/// The metrics are recall@k, ndcg@k, map@k, mrr@k, hit_rate@k, precision@k and coverage@k. There are two views: discovery
/// removes each user's training items both from the lists and from the relevant items; next keeps them in both. If users
/// repeat items, both views are shown. The baselines are the most popular items (of all training rows, of the last 7 days
/// and of the last 28 days) and item-kNN, which ranks the nearest neighbours of a user's items.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Dataset folder
    #[arg(long, value_name = "DATASET")]
    data: PathBuf,
    #[command(flatten)]
    settings: Flags<EvaluateSettings>,
    #[command(flatten)]
    machine: MachineFlags,
}

/// What is asked of the model.
fn request<'a>(settings: &EvaluateSettings) -> Evaluate<'a> {
    let request = Evaluate::split(settings.split).k(&settings.k).index(&settings.search).baselines(settings.baselines);
    match settings.search.memory {
        Some(memory) => request.memory(memory.0),
        None => request,
    }
}

/// Checks what can be checked before any work.
pub fn check(settings: &EvaluateSettings) -> Result<()> {
    settings.validate()?;
    request(settings).check()
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let mut settings = EvaluateSettings::default();
    args.settings.apply(&mut settings);
    check(&settings)?;
    perform(&args.model, &args.data, &settings, args.machine.device(out)?, args.machine.threads(), out)
}

/// Evaluates, says what came of it, and leaves it in the model's `metrics.json`.
pub fn perform(
    model: &Path,
    data: &Path,
    settings: &EvaluateSettings,
    device: Device,
    threads: usize,
    out: &Output,
) -> Result<()> {
    let dataset = Dataset::open(data)?;
    let mut opened = Model::load(model, device, threads)?;
    let views = views(&dataset, settings.split, settings.view)?;
    let (meter, mut evaluations) = (Meter::new("evaluate"), Vec::new());
    let mut observer = watch(&meter, out);
    opened
        .evaluate_views(request(settings).observe(&mut observer), views, &dataset, |found| evaluations.push(found))?;
    let users = evaluations.iter().map(|found| found.users).max().unwrap_or_default();
    meter.finish(format_args!("{} users", thousands(users)));
    for found in &evaluations {
        out.tagged(found);
        table(found, out);
    }
    match keep(&opened, settings.split, &evaluations) {
        // A model folder that cannot be written (a shared mount, say) is as good to evaluate.
        Err(error) if cannot_be_written(&error) => tracing::warn!("the metrics were not saved: {error}"),
        kept => kept?,
    }
    Ok(())
}

/// Whether the place is one to which nobody may write.
fn cannot_be_written(error: &Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
}

/// How long it waits for another evaluation to write its figures.
const PATIENCE: Duration = Duration::from_secs(5);

/// Puts the figures beside those that training left in the file.
fn keep(opened: &Model, split: Split, evaluations: &[Evaluation]) -> Result<()> {
    let path = &opened.dir().join("metrics.json");
    let lock = Lock::wait(path, PATIENCE)?;
    opened.check_in_place()?;
    let mut metrics: serde_json::Map<String, serde_json::Value> =
        if path.exists() { read_json(path)? } else { serde_json::Map::new() };
    for found in evaluations {
        let value = serde_json::to_value(found).unwrap_or_default();
        metrics.insert(format!("{}_{}", split.name(), found.view), value);
    }
    for old in ["seen_included", "seen_excluded"] {
        metrics.remove(&format!("{}_{old}", split.name()));
    }
    write_json_locked(path, &metrics, &lock)
}

/// The figures for people, the baselines' beside the model's.
fn table(found: &Evaluation, out: &Output) {
    if let Some(nothing) = &found.nothing {
        out.text(format_args!("{} split, {}: nothing to find: {nothing}", found.split.name(), found.view));
        return;
    }
    out.text(format_args!(
        "{} split, {}: {} users, {} relevant items; items seen in training {}",
        found.split.name(),
        found.view,
        thousands(found.users),
        thousands(found.relevant),
        if found.view == View::Next { "included" } else { "excluded" }
    ));
    let repeated = if found.view == View::Discovery { found.repeated } else { 0 };
    let notes = [
        (found.skipped_users, "users have no items in the split and are skipped"),
        (repeated, "of the split's items are already in their user's training rows: not discoveries, excluded"),
        (found.repeating_users, "users have no other items in the split and are skipped"),
        (found.cold_users, "users are new: their lists are based on their features alone"),
        (found.unknown_items, "items are not in the training split and cannot be recommended"),
    ];
    for (number, what) in notes.into_iter().filter(|(number, _)| *number > 0) {
        out.text(format_args!("  {} {what}", thousands(number)));
    }
    let others: Vec<&str> = found.baselines.iter().map(|(name, _)| heading(name)).collect();
    let others: String = others.iter().map(|name| format!("  {name:>10}")).collect();
    out.text(format_args!("  {:<14} {:>8}  {:^17}  {:>10}{others}", "", "model", "95 % interval", "popularity"));
    for (name, estimate) in found.metrics.iter() {
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!("{low:.4} to {high:.4}"),
            _ => String::new(),
        };
        let column = |figures: &Named<f64>| figures.get(name).map_or(String::new(), |value| format!("{value:.4}"));
        let popularity = column(&found.popularity);
        let others: String = found.baselines.iter().map(|(_, of)| format!("  {:>10}", column(of))).collect();
        out.text(format_args!("  {name:<14} {:>8.4}  {interval:^17}  {popularity:>10}{others}", estimate.value));
    }
}

/// What stands above a baseline's column.
fn heading(name: &str) -> &str {
    match name {
        "popular_7_days" => "of 7 days",
        "popular_28_days" => "of 28 days",
        "item_knn" => "item-kNN",
        other => other,
    }
}
