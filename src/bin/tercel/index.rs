//! `tercel index`: a model's items in an approximate index, and which index evaluate and recommend use.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tercel::index::item_index::{About, IndexOptions, QuerySource};
use tercel::serve::INDEX_FILE;
use tercel::{Device, Error, Event, Model, Result, Search};

use crate::args::MachineFlags;
use crate::output::{Output, round, size, thousands};
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel index --model out/demo/model
  tercel index --model out/demo/model --recall 0.99 --k 12 --out out/items.index
  tercel recommend --model out/demo/model --out out/top12.parquet --index approx
  tercel inspect out/demo/model/items.index";

/// Builds an approximate index of a model's items that keeps the recall you ask for.
///
/// The index searches 2,000 of the model's users exactly and through its lists, sets itself so that the part of the true
/// best K that it finds stays above the recall, and keeps what it measured. Few items, or a recall that only reading most
/// items would keep: then it is exact. `recommend` and `evaluate` with `--index approx` use it, and build it where it is
/// missing or older than the model.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The file to write; MODEL/items.index without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The part of the true best items that must be found, between 0 and 1
    #[arg(long, value_name = "R", default_value_t = Search::RECALL)]
    recall: f32,
    /// The list length that the recall is meant for
    #[arg(long, default_value_t = 10)]
    k: usize,
    /// The same seed gives the same index
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    machine: MachineFlags,
}

/// What an index can be told.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IndexSettings {
    /// The part of the true best items that must be found.
    pub recall: f32,
    /// The list length that the recall is meant for.
    pub k: usize,
    /// The same seed gives the same index.
    pub seed: u64,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    if let Some(file) = args.out.as_ref().filter(|file| file.is_dir()) {
        return Err(Error::input(file, "is a folder; the index goes to a file in it"));
    }
    let settings = IndexSettings { recall: args.recall, k: args.k, seed: args.seed };
    let (device, threads) = (args.machine.device(out)?, args.machine.threads());
    perform(&args.model, args.out.as_deref(), &settings, device, threads, out).map(drop)
}

/// Builds a model's index, says what came of it, and returns its file: `file`, or the place in the model's folder.
pub fn perform(
    model: &Path,
    file: Option<&Path>,
    settings: &IndexSettings,
    device: Device,
    threads: usize,
    out: &Output,
) -> Result<PathBuf> {
    let file = file.map_or_else(|| model.join(INDEX_FILE), Path::to_owned);
    let mut model = Model::load(model, device, threads)?;
    let start = Instant::now();
    let mut index = model.index(&IndexOptions::approx(settings.recall).k(settings.k).seed(settings.seed))?;
    let seconds = start.elapsed().as_secs_f64();
    watch(&Meter::new("index"), out)(Event::IndexBuilt { about: index.about(), items: index.len(), seconds })?;
    index.save(&file)?;
    out.text(format_args!("{}: {}", file.display(), size(std::fs::metadata(&file).map_or(0, |about| about.len()))));
    Ok(file)
}

/// What is known of an index, for people.
pub fn lines(about: &About, out: &Output) {
    let Some(measured) = &about.measured else {
        return out.text("  exact: it searches all items");
    };
    let recall = measured.recall;
    let source = match measured.source {
        QuerySource::Given => "held-out queries",
        QuerySource::Items => "items in the place of queries",
    };
    out.text(format_args!(
        "  recall@{} {:.4} ({:.4} to {:.4}) over {} {source}; {:.1} % of the items read, {} lists",
        about.k,
        recall.value,
        recall.low,
        recall.high,
        thousands(measured.queries as u64),
        100.0 * measured.items_read,
        thousands(about.lists.unwrap_or(0) as u64),
    ));
    for filtered in &measured.filtered {
        out.text(format_args!("  {:>3.0} % admitted: recall {:.4}", 100.0 * filtered.admitted, filtered.recall.value));
    }
}

/// How it searches.
fn method(about: &About) -> &'static str {
    match (&about.measured, about.lists, about.scan_recall) {
        (None, ..) => "exact",
        (_, Some(_), _) => "lists",
        _ => "scan",
    }
}

/// What is known of an index, as fields.
pub fn describe(about: &About) -> serde_json::Value {
    let measured = about.measured.as_ref();
    json!({
        "method": method(about),
        "k": about.k,
        "recall": measured.map(|m| round(m.recall.value)),
        "recall_low": measured.map(|m| round(m.recall.low)),
        "recall_high": measured.map(|m| round(m.recall.high)),
        "queries": measured.map(|m| m.queries),
        "items_read_share": measured.map(|m| round(m.items_read)),
        "lists": about.lists,
        "catalogue": about.catalogue,
    })
}

/// Which items are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Index {
    /// All.
    #[default]
    Exact,
    /// Those of the lists that are likely to matter.
    Approx,
}

impl Index {
    pub fn name(self) -> &'static str {
        match self {
            Index::Exact => "exact",
            Index::Approx => "approx",
        }
    }
}

/// The flags of commands that search.
#[derive(clap::Args, Clone, Debug)]
pub struct IndexFlags {
    /// exact, or approx: through MODEL/items.index, which is built where it is missing or does not fit
    #[arg(long, value_name = "exact|approx")]
    pub index: Option<Index>,
    /// The recall that an approximate index must keep; 0.95 without it
    #[arg(long, value_name = "R")]
    pub recall: Option<f32>,
}

/// How a command searches: the part of its settings that is about the index.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Choice {
    pub index: Index,
    pub recall: Option<f32>,
}

impl IndexFlags {
    pub fn choice(&self) -> Choice {
        Choice { index: self.index.unwrap_or_default(), recall: self.recall }
    }
}

impl Choice {
    /// The search that is asked for.
    pub fn search(&self) -> Result<Search<'static>> {
        match (self.index, self.recall) {
            (Index::Exact, Some(_)) => {
                Err(Error::config("recall", "goes with --index approx; an exact index misses nothing"))
            }
            (Index::Exact, None) => Ok(Search::Exact),
            (Index::Approx, recall) => Ok(Search::Approx { recall: recall.unwrap_or(Search::RECALL) }),
        }
    }
}
