//! `tercel evaluate`: how good a model is, beside the popularity baseline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tercel::eval::Evaluation;
use tercel::files::{Lock, read_json, write_json_locked};
use tercel::settings::{EvaluateSettings, SeenItems};
use tercel::{Dataset, Device, Error, Evaluate, Model, Result, Split};

use crate::args::MachineFlags;
use crate::flags::Flags;
use crate::output::{Output, thousands};
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel evaluate --model out/demo/model --data out/demo/dataset
  tercel evaluate --model out/demo/model --data out/demo/dataset --split valid --k 12 --include-seen --json";

/// Measures a model on the test split: full catalogue, every user once, 95 % intervals, popularity beside it.
///
/// recall@k, ndcg@k, map@k, mrr@k, hit_rate@k, precision@k and coverage@k. Items that a user has in the training
/// split are left out (discovery), unless --include-seen keeps them (what is bought next).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The dataset folder
    #[arg(long, value_name = "DATASET")]
    data: PathBuf,
    #[command(flatten)]
    settings: Flags<EvaluateSettings>,
    #[command(flatten)]
    machine: MachineFlags,
}

/// The passes to make; true keeps seen items.
fn passes(seen: SeenItems) -> &'static [bool] {
    match seen {
        SeenItems::Excluded => &[false],
        SeenItems::Included => &[true],
        SeenItems::Both => &[false, true],
    }
}

/// What is asked of the model.
fn request<'a>(settings: &EvaluateSettings, include_seen: bool) -> Evaluate<'a> {
    let request = Evaluate::split(settings.split).k(&settings.k).include_seen(include_seen).index(&settings.search);
    match settings.search.memory {
        Some(memory) => request.memory(memory.0),
        None => request,
    }
}

/// Checks what can be checked before any work.
pub fn check(settings: &EvaluateSettings) -> Result<()> {
    settings.validate()?;
    request(settings, false).check()
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
    let mut evaluations = Vec::new();
    for &include_seen in passes(settings.seen) {
        let meter = Meter::new("evaluate");
        let mut observer = watch(&meter, out);
        let found = opened.evaluate(request(settings, include_seen).observe(&mut observer), &dataset)?;
        meter.finish(format_args!("{} users", thousands(found.users)));
        out.tagged(&found);
        table(&found, out);
        evaluations.push(found);
    }
    match keep(&opened, settings.split, &evaluations) {
        // A model folder that cannot be written (a shared mount, say) is as good to evaluate.
        Err(error) if cannot_be_written(&error) => tracing::warn!("the metrics are not kept: {error}"),
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
        let seen = if found.include_seen { "seen_included" } else { "seen_excluded" };
        let value = serde_json::to_value(found).unwrap_or_default();
        metrics.insert(format!("{}_{seen}", split.name()), value);
    }
    write_json_locked(path, &metrics, &lock)
}

/// The figures for people, the popularity baseline's beside the model's.
fn table(found: &Evaluation, out: &Output) {
    out.text(format_args!(
        "{} split: {} users, {} of their items; items seen in training {}",
        found.split.name(),
        thousands(found.users),
        thousands(found.relevant),
        if found.include_seen { "included" } else { "excluded" }
    ));
    let notes = [
        (found.skipped_users, "users have no items in the split and are skipped"),
        (found.cold_users, "users are new: they are ranked for by their features alone"),
        (found.unknown_items, "items are not in the training split: they can only be missed"),
        (found.seen_relevant, "items were seen in training: excluded, they can only be missed"),
    ];
    for (number, what) in notes.into_iter().filter(|(number, _)| *number > 0) {
        out.text(format_args!("  {} {what}", thousands(number)));
    }
    out.text(format_args!("  {:<14} {:>8}  {:^17}  {:>10}", "", "model", "95 % interval", "popularity"));
    for (name, estimate) in found.metrics.iter() {
        let interval = match (estimate.low, estimate.high) {
            (Some(low), Some(high)) => format!("{low:.4} to {high:.4}"),
            _ => String::new(),
        };
        let popularity = found.popularity.get(name).map_or(String::new(), |value| format!("{value:.4}"));
        out.text(format_args!("  {name:<14} {:>8.4}  {interval:^17}  {popularity:>10}", estimate.value));
    }
}
