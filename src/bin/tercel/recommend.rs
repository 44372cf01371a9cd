//! `tercel recommend`: the top items of every user, in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tercel::data::dataset::Dataset;
use tercel::index::exact::{RecommendOptions, recommend};
use tercel::index::filter::{AllowList, Seen, in_all};
use tercel::index::predictions::check_path;
use tercel::index::users::Users;
use tercel::model::TwoTower;
use tercel::{Device, Error, Result};

use crate::args::{MachineFlags, bytes};
use crate::index::{Choice, Index, IndexFlags};
use crate::output::{Output, duration, round, thousands};
use crate::progress::Meter;

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
    /// The dataset whose training items are left out; without it, and without --include-seen, the model's own
    #[arg(long, value_name = "DATASET", conflicts_with = "include_seen")]
    exclude_seen: Option<PathBuf>,
    /// Keeps the items that the user has in the training split
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
    /// Keeps the items that the user has in the training split. Default false.
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
        if !(1..=1024).contains(&self.k) {
            return Err(Error::config("recommend.k", format!("{} is not a list length from 1 to 1024", self.k)));
        }
        for list in self.users.iter().chain(&self.items) {
            std::fs::metadata(list).map_err(|e| Error::io(list, e))?;
        }
        self.choice().check()?;
        check_path(file, self.by_user)
    }

    fn choice(&self) -> Choice {
        Choice { index: self.index, recall: self.recall }
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
        include_seen: args.include_seen,
        memory: args.memory,
        index: choice.index,
        recall: choice.recall,
    };
    settings.check(&args.out)?;
    let (device, threads) = (args.machine.device(out)?, args.machine.threads());
    perform(&args.model, &args.out, args.exclude_seen.as_deref(), &settings, device, threads, out)
}

/// Recommends and says what came of it. Seen items are those of the dataset `seen`, else those that the model keeps.
pub fn perform(
    model: &Path,
    file: &Path,
    seen: Option<&Path>,
    settings: &RecommendSettings,
    device: Device,
    threads: usize,
    out: &Output,
) -> Result<()> {
    let mut two_tower = TwoTower::load(model, device, threads)?;
    let (user_vocabulary, item_vocabulary) = (Arc::clone(two_tower.users()), Arc::clone(two_tower.items()));
    let columns = two_tower.info().columns.clone();
    let seen = match seen {
        Some(dataset) => Seen::with_vocabularies(&Dataset::open(dataset)?, &user_vocabulary, &item_vocabulary)?,
        None => Seen::new(Arc::new(two_tower.history()?)),
    };
    let allowed = allowed(&two_tower, settings)?;
    two_tower.allow_only(allowed)?;
    let users = match &settings.users {
        Some(list) => {
            let (users, about) =
                Users::read(list.as_path(), &user_vocabulary, &item_vocabulary, &columns, &Default::default())?;
            if about.new_users > 0 {
                tracing::warn!("{}: {} of {} users are new to the model", list.display(), about.new_users, about.users);
            }
            users
        }
        None => Users::all(&user_vocabulary),
    };
    let mut options = RecommendOptions { k: settings.k, exclude_seen: !settings.include_seen, ..Default::default() };
    options.history = two_tower.history_len();
    options.memory = settings.memory.unwrap_or(options.memory);
    settings.choice().apply(&mut two_tower, model, settings.k, threads, out)?;
    options.by_user = settings.by_user;
    let meter = Meter::new("recommend");
    let found = recommend(&mut two_tower, &users, &item_vocabulary, Some(&seen), file, &options, &mut |at| {
        meter.set(at.done, at.users, format_args!("{} users", thousands(at.done)));
    })?;
    meter.finish(format_args!("{} users in {}", thousands(found.users), duration(found.seconds)));
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
    Ok(())
}

/// The items that may be recommended; absent for all.
fn allowed(model: &TwoTower, settings: &RecommendSettings) -> Result<Option<Vec<u32>>> {
    let mut lists = settings.tags.iter().map(|tag| model.tagged(tag)).collect::<Result<Vec<_>>>()?;
    if let Some(list) = &settings.items {
        let allowed = AllowList::read(list.as_path(), model.items(), &model.info().columns.item, &Default::default())?;
        if let Some(unknown) = &allowed.first_unknown {
            tracing::warn!(
                "{}: {} of {} items are not in the model (the first is `{unknown}`)",
                list.display(),
                allowed.unknown,
                allowed.listed
            );
        }
        lists.push(allowed.rows);
    }
    match in_all(lists) {
        Some(rows) if rows.is_empty() => Err(Error::config("tag", "no item has all that is asked for; ask for less")),
        rows => Ok(rows),
    }
}
