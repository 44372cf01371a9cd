//! `tercel recommend`: the top items of every user, in a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tercel::index::Recommended;
use tercel::{Dataset, Device, Error, Exclude, Model, Recommend, Result};

use crate::args::{MachineFlags, bytes};
use crate::index::{Choice, Index, IndexFlags};
use crate::output::{Output, duration, round, thousands};
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel recommend --model out/demo/model --out out/top12.parquet --exclude-seen out/demo/dataset
  tercel recommend --model out/demo/model --out out/by-user.jsonl --by-user
Of one kind of product, or with lists of your own:
  tercel recommend --model out/demo/model --out out/deli.csv --tag department=DELI
  tercel recommend --model out/demo/model --out out/top.csv --k 20 --users users.txt --items in-stock.txt";

/// Writes the top items of every user to an Arrow, Parquet, CSV or JSON lines file, with raw ids and scores.
///
/// Every user gets K items whenever K are left; ties go by the item's row, so that the same input gives the same file.
/// Users that the model does not know get what their features and their history in --users say.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The file to write: .arrow, .parquet, .csv or .jsonl
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Writes one line per user, keyed by user, for a key-value store; goes with .jsonl
    #[arg(long)]
    by_user: bool,
    /// Items per user
    #[arg(long, default_value_t = 12)]
    k: usize,
    /// Users to recommend to: one raw id a line, or a table with a header; all without it
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Items that may be recommended: one raw id a line; all without it
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Only items whose feature has this value, as in category=shoes; given more than once, items that have all
    #[arg(long, value_name = "COLUMN=VALUE")]
    tag: Vec<String>,
    /// The dataset that says what users have; without it, the training items that the model keeps
    #[arg(long, value_name = "DATASET", conflicts_with = "include_seen")]
    exclude_seen: Option<PathBuf>,
    /// Which of a user's items are left out: those of every split (all, the default), of the training split, or none
    #[arg(long, value_name = "all|train|none")]
    exclude: Option<Exclude>,
    /// Keeps the items that the user has; short for --exclude none
    #[arg(long)]
    include_seen: bool,
    #[command(flatten)]
    index: IndexFlags,
    /// The most memory that scoring may take, as in 512MiB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<u64>,
    #[command(flatten)]
    machine: MachineFlags,
}

/// The table `[recommend]` of a nightly run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendSettings {
    /// The predictions' file; a bare name lies in the run's folder. Default `predictions.parquet`.
    pub file: PathBuf,
    /// Writes one line per user, keyed by user; goes with .jsonl. Default false.
    pub by_user: bool,
    /// Items per user. Default 12.
    pub k: usize,
    /// Users to recommend to. Default: all.
    pub users: Option<PathBuf>,
    /// Items that may be recommended. Default: all.
    pub items: Option<PathBuf>,
    /// Only items that have all of these, each `column=value`. Default: any.
    pub tags: Vec<String>,
    /// Which of a user's items are left out: `all` (default; those of every split), `train` or `none`.
    pub exclude: Option<Exclude>,
    /// Short for `exclude = "none"`. Default false.
    pub include_seen: bool,
    /// The most bytes that scoring may take. Default: the library's.
    pub memory: Option<u64>,
    /// `exact` (default) or `approx`.
    pub index: Index,
    /// The recall that an approximate index must keep. Default 0.95.
    pub recall: Option<f32>,
}

impl Default for RecommendSettings {
    fn default() -> Self {
        RecommendSettings {
            file: "predictions.parquet".into(),
            by_user: false,
            k: 12,
            users: None,
            items: None,
            tags: Vec::new(),
            exclude: None,
            include_seen: false,
            memory: None,
            index: Index::Exact,
            recall: None,
        }
    }
}

impl RecommendSettings {
    /// Checks what can be checked before any work; `file` is where the predictions go.
    pub fn check(&self, file: &Path) -> Result<()> {
        for list in self.users.iter().chain(&self.items) {
            std::fs::metadata(list).map_err(|e| Error::io(list, e))?;
        }
        self.request()?.check(file)
    }

    /// What is asked of the model.
    fn request<'a>(&self) -> Result<Recommend<'a>> {
        let exclude = Exclude::resolve(self.exclude, self.include_seen)?;
        let search = Choice { index: self.index, recall: self.recall }.search()?;
        let mut request = Recommend::top(self.k).tags(&self.tags).exclude(exclude).index(search).by_user(self.by_user);
        if let Some(users) = &self.users {
            request = request.users(users.as_path());
        }
        if let Some(items) = &self.items {
            request = request.items(items.as_path());
        }
        if let Some(memory) = self.memory {
            request = request.memory(memory);
        }
        Ok(request)
    }
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let choice = args.index.choice();
    let settings = RecommendSettings {
        file: args.out.clone(),
        by_user: args.by_user,
        k: args.k,
        users: args.users.clone(),
        items: args.items.clone(),
        tags: args.tag.clone(),
        exclude: args.exclude,
        include_seen: args.include_seen,
        memory: args.memory,
        index: choice.index,
        recall: choice.recall,
    };
    settings.check(&args.out)?;
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
    let mut request = settings.request()?.observe(&mut observer);
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
            "index": settings.index.name(),
            "rows": found.rows,
            "short_users": found.short_users,
            "identical_share": round(found.diversity.identical_share),
            "seconds": round(found.seconds),
            "users_per_second": round(found.users as f64 / found.seconds.max(1e-9)),
            "file": file,
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
        out.text(format_args!("  {} users get fewer: no more items are left for them", thousands(found.short_users)));
    }
    if found.users > 1 && found.diversity.most_common_share > 0.5 {
        out.text(format_args!(
            "  {:.0} % of the users get one and the same list: the model may have collapsed",
            100.0 * found.diversity.most_common_share
        ));
    }
}
