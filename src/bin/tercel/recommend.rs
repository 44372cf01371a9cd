//! `tercel recommend`: the top items of every user, in a file.

use std::path::{Path, PathBuf};

use serde_json::json;
use tercel::index::Recommended;
use tercel::settings::RecommendSettings;
use tercel::{Dataset, Device, Model, Recommend, Result};

use crate::args::MachineFlags;
use crate::flags::Flags;
use crate::output::{Output, duration, round, thousands};
use crate::paths::shown;
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel recommend --model out/demo/model --out out/top12.parquet --exclude-seen out/demo/dataset
  tercel recommend --model out/demo/model --out out/by-user.jsonl --by-user
For one kind of product, or with your own lists of users and items:
  tercel recommend --model out/demo/model --out out/deli.csv --tag department=DELI
  tercel recommend --model out/demo/model --out out/top.csv --k 20 --users users.txt --items in-stock.txt";

/// Writes the top items for every user to an Arrow, Parquet, CSV or JSON Lines file, with raw ids and scores.
///
/// Every user gets K items as long as K remain; ties are broken by item row, so the same input gives the same file. Users
/// unknown to the model get recommendations from their features and history in the --users file.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// File to write: .arrow, .parquet, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Dataset that defines which items users already have; by default, the training rows stored in the model
    #[arg(long, value_name = "DATASET", conflicts_with = "include-seen")]
    exclude_seen: Option<PathBuf>,
    #[command(flatten)]
    settings: Flags<RecommendSettings>,
    #[command(flatten)]
    machine: MachineFlags,
}

/// Checks what can be checked before any work; `file` is where the predictions go.
pub fn check(settings: &RecommendSettings, file: &Path) -> Result<()> {
    settings.validate()?;
    settings.users.iter().chain(&settings.items).try_for_each(|list| tercel::table::check(list))?;
    request(settings)?.check(file)
}

/// What is asked of the model.
fn request<'a>(settings: &RecommendSettings) -> Result<Recommend<'a>> {
    let request = Recommend::top(settings.k).tags(&settings.tags).exclude(settings.excluded()?);
    let mut request = request.index(&settings.search).by_user(settings.by_user).read(settings.read.clone());
    if let Some(users) = &settings.users {
        request = request.users(users.as_path());
    }
    if let Some(items) = &settings.items {
        request = request.items(items.as_path());
    }
    if let Some(memory) = settings.search.memory {
        request = request.memory(memory.0);
    }
    Ok(request)
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let mut settings = RecommendSettings { file: args.out.clone(), ..RecommendSettings::default() };
    args.settings.apply(&mut settings);
    check(&settings, &args.out)?;
    let (device, threads) = (args.machine.device(out)?, args.machine.threads());
    perform(&args.model, &args.out, args.exclude_seen.as_deref(), &settings, device, threads, out)
}

/// Recommends and says what came of it. The dataset `seen` says what users have, else the model does.
pub fn perform(
    model: &Path,
    file: &Path,
    seen: Option<&Path>,
    settings: &RecommendSettings,
    device: Device,
    threads: usize,
    out: &Output,
) -> Result<()> {
    let mut model = Model::load(model, device, threads)?;
    let dataset = seen.map(Dataset::open).transpose()?;
    let meter = Meter::new("recommend");
    let mut observer = watch(&meter, out);
    let mut request = request(settings)?.observe(&mut observer);
    if let Some(dataset) = &dataset {
        request = request.seen(dataset);
    }
    let found = model.recommend(request).write(file)?;
    meter.finish(format_args!("{} users in {}", thousands(found.users), duration(found.seconds)));
    report(file, settings, &found, out);
    Ok(())
}

fn report(file: &Path, settings: &RecommendSettings, found: &Recommended, out: &Output) {
    out.event(
        "recommend",
        &json!({
            "users": found.users,
            "k": found.k,
            "index": settings.search.index.name(),
            "rows": found.rows,
            "short_users": found.short_users,
            "identical_share": round(found.diversity.identical_share),
            "seconds": round(found.seconds),
            "users_per_second": round(found.users as f64 / found.seconds.max(1e-9)),
            "file": shown(file),
        }),
    );
    out.text(format_args!(
        "{}: the top {} of {} users in {}",
        file.display(),
        found.k,
        thousands(found.users),
        duration(found.seconds)
    ));
    if found.short_users > 0 {
        out.text(format_args!(
            "  {} users get fewer: there are no more items left for them",
            thousands(found.short_users)
        ));
    }
    if found.users > 1 && found.diversity.most_common_share > 0.5 {
        out.text(format_args!(
            "  {:.0} % of the users get the same list: the model may have collapsed",
            100.0 * found.diversity.most_common_share
        ));
    }
}
