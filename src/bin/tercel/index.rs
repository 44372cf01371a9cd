//! `tercel index`: a model's items in an approximate index.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tercel::files::Lock;
use tercel::index::item_index::IndexOptions;
use tercel::serve::INDEX_FILE;
use tercel::settings::{IndexSettings, RECALL, Table};
use tercel::{Device, Error, Event, Model, Result};

use crate::args::MachineFlags;
use crate::flags::Flags;
use crate::output::{Output, size};
use crate::progress::Meter;
use crate::watch::watch;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel index --model out/demo/model
  tercel index --model out/demo/model --recall 0.99 --k 12 --out out/items.index
  tercel recommend --model out/demo/model --out out/top12.parquet --index approx
  tercel inspect out/demo/model/items.index";

/// Builds an approximate index of a model's items for a target recall.
///
/// It compares exact and approximate search for 2,000 of the model's users, chooses parameters so that the share of the
/// true top K that the index finds stays above the target, and stores the measured recall. If there are few items, or if
/// the target would require reading most of them, the index searches exactly. `recommend` and `evaluate` use the index
/// with `--index approx`, and build it if it is missing or older than the model.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// File to write; MODEL/items.index by default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    settings: Flags<IndexSettings>,
    #[command(flatten)]
    machine: MachineFlags,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    if let Some(file) = args.out.as_ref().filter(|file| file.is_dir()) {
        return Err(Error::input(file, "is a folder; name a file in it for the index"));
    }
    let mut settings = IndexSettings::default();
    args.settings.apply(&mut settings);
    settings.check()?;
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
    let inside = file.is_none();
    let file = file.map_or_else(|| model.join(INDEX_FILE), Path::to_owned);
    let mut model = Model::load(model, device, threads)?;
    let lock = Lock::take(&file)?;
    let start = Instant::now();
    let options = IndexOptions::approx(settings.recall.unwrap_or(RECALL)).seed(settings.seed);
    let mut index = model.index(&settings.k.map_or(options.clone(), |k| options.k(k)))?;
    let seconds = start.elapsed().as_secs_f64();
    watch(&Meter::new("index"), out)(Event::IndexBuilt { about: index.about(), items: index.len(), seconds })?;
    if inside {
        model.check_in_place()?;
    }
    index.save_locked(&file, lock)?;
    out.text(format_args!("{}: {}", file.display(), size(std::fs::metadata(&file).map_or(0, |about| about.len()))));
    Ok(file)
}
