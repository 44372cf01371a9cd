//! `tercel nightly`: ingest, train, evaluate and recommend in one go, resumable.

pub mod settings;
mod state;

use std::path::{Path, PathBuf};

use serde_json::json;
use tercel::data::dataset::Dataset;
use tercel::{Error, Result};

use crate::args::{IngestFlags, TrainFlags, announce, bytes};
use crate::evaluate::Seen;
use crate::output::Output;
use crate::{evaluate, ingest, recommend, train};
use settings::Settings;
use state::{Stage, State, key, stamps};

const EXAMPLES: &str = r"Examples, run from the repository:
  tercel nightly --config tests/data/complete-journey/nightly.toml --out out/nightly
  tercel nightly tests/data/complete-journey/transactions.csv.gz --out out/night \
      --user household_id --item product_id --time t_dat --split time:2017-12-11 --epochs 3";

/// Runs ingest, train, evaluate and recommend in one go; run again, it goes on where it stopped.
///
/// Everything lands in one folder: OUT/dataset, OUT/model, OUT/predictions.parquet, and OUT/nightly.json, the record
/// of what is finished. A stage that is finished is not run again unless its settings or its input files have changed;
/// a training run that was killed goes on from its last checkpoint and ends as if nothing had happened.
///
/// The settings come from a TOML file with the tables `ingest`, `model`, `loss`, `optimizer`, `train`, `evaluate` and
/// `recommend`, from flags, or from both: flags win. Paths in the file are relative to its folder.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files or folders with the interactions
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The settings, as a TOML file
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// The folder of the run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    ingest: IngestFlags,
    #[command(flatten)]
    train: TrainFlags,
    #[command(flatten)]
    after: AfterFlags,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Evaluation and recommendations")]
struct AfterFlags {
    /// The list lengths of the evaluation
    #[arg(long, value_name = "K,K", value_delimiter = ',')]
    eval_k: Option<Vec<usize>>,
    /// Items per user in the predictions
    #[arg(long, value_name = "K")]
    k: Option<usize>,
    /// The predictions' file: .parquet, .arrow, .csv or .jsonl; a bare name lies in the run's folder
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Users to recommend to, one raw id a line; all without it
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Items that may be recommended, one raw id a line; all without it
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Lets items come back that the user has in the training split
    #[arg(long)]
    include_seen: bool,
    /// The most memory that scoring may take, as in 512MiB
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory: Option<u64>,
}

impl AfterFlags {
    fn apply(&self, settings: &mut Settings) {
        let (evaluate, recommend) = (&mut settings.evaluate, &mut settings.recommend);
        if let Some(k) = &self.eval_k {
            evaluate.k.clone_from(k);
        }
        recommend.k = self.k.unwrap_or(recommend.k);
        if let Some(file) = &self.predictions {
            recommend.file.clone_from(file);
        }
        for (setting, flag) in [(&mut recommend.users, &self.users), (&mut recommend.items, &self.items)] {
            if flag.is_some() {
                setting.clone_from(flag);
            }
        }
        if self.include_seen {
            evaluate.seen = Seen::Included;
            recommend.include_seen = true;
        }
        if self.memory.is_some() {
            evaluate.memory = self.memory;
            recommend.memory = self.memory;
        }
    }
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let mut settings = match &args.config {
        Some(path) => Settings::read(path)?,
        None => Settings::default(),
    };
    if !args.inputs.is_empty() {
        settings.input.clone_from(&args.inputs);
    }
    if args.out.is_some() {
        settings.out.clone_from(&args.out);
    }
    args.ingest.apply(&mut settings.ingest);
    let mut config = settings.config();
    args.train.apply(&mut config);
    settings.set_config(config);
    args.after.apply(&mut settings);
    perform(&settings, out).map(drop)
}

/// Where a finished run's files are.
pub struct Finished {
    pub dataset: PathBuf,
    pub model: PathBuf,
    pub predictions: PathBuf,
}

/// Runs every stage that is not finished.
pub fn perform(settings: &Settings, out: &Output) -> Result<Finished> {
    if settings.input.is_empty() {
        return Err(Error::config("input", "nothing to read: name a file, or set `input` in the TOML file"));
    }
    let Some(folder) = &settings.out else {
        return Err(Error::config("out", "no folder for the run: give --out, or set `out` in the TOML file"));
    };
    let mut config = settings.config();
    config.validate()?;
    settings.ingest.validate()?;
    // A device that is not there, or a name that no predictions file can have, is found before the hours of work.
    config.train.device = announce(config.train.device, out)?;
    let files = Finished {
        dataset: folder.join("dataset"),
        model: folder.join("model"),
        predictions: folder.join(&settings.recommend.file),
    };
    settings.recommend.check(&files.predictions)?;
    settings.evaluate.check()?;
    let keys = Keys::new(settings)?;
    let mut state = State::open(folder)?;

    if state.is_finished(Stage::Ingest, &keys.ingest) && Dataset::open(&files.dataset).is_ok() {
        skip(out, Stage::Ingest, "finished already");
    } else {
        state.start(Stage::Ingest, &keys.ingest)?;
        ingest::perform(&settings.input, &files.dataset, &settings.ingest, out)?;
        state.finish(Stage::Ingest, &keys.ingest)?;
    }

    let trained = files.model.join("config.json").is_file();
    if state.is_finished(Stage::Train, &keys.train) && trained {
        skip(out, Stage::Train, "finished already");
    } else {
        let resume = state.is_started(Stage::Train, &keys.train) && files.model.join("trainer.json").is_file();
        if !resume && state.has(Stage::Train) && files.model.is_dir() {
            // A run of this folder with other settings left it: what it holds cannot be gone on with.
            std::fs::remove_dir_all(&files.model).map_err(|e| Error::io(&files.model, e))?;
        }
        state.start(Stage::Train, &keys.train)?;
        train::perform(&files.dataset, &files.model, &config, resume, out)?;
        state.finish(Stage::Train, &keys.train)?;
    }

    let split = Dataset::open(&files.dataset)?.split(settings.evaluate.split).rows;
    if split == 0 {
        skip(out, Stage::Evaluate, &format!("the dataset has no {} split", settings.evaluate.split.name()));
    } else if state.is_finished(Stage::Evaluate, &keys.evaluate) && files.model.join("metrics.json").is_file() {
        skip(out, Stage::Evaluate, "finished already");
    } else {
        state.start(Stage::Evaluate, &keys.evaluate)?;
        let (device, threads) = (config.train.device, config.train.threads);
        evaluate::perform(&files.model, &files.dataset, &settings.evaluate, device, threads, out)?;
        state.finish(Stage::Evaluate, &keys.evaluate)?;
    }

    if state.is_finished(Stage::Recommend, &keys.recommend) && files.predictions.is_file() {
        skip(out, Stage::Recommend, "finished already");
    } else {
        state.start(Stage::Recommend, &keys.recommend)?;
        let (device, threads) = (config.train.device, config.train.threads);
        let seen = (!settings.recommend.include_seen).then_some(files.dataset.as_path());
        recommend::perform(&files.model, &files.predictions, seen, &settings.recommend, device, threads, out)?;
        state.finish(Stage::Recommend, &keys.recommend)?;
    }
    Ok(files)
}

fn skip(out: &Output, stage: Stage, reason: &str) {
    out.event("skip", &json!({ "stage": stage.name(), "reason": reason }));
    out.text(format_args!("{}: {reason}", stage.name()));
}

struct Keys {
    ingest: String,
    train: String,
    evaluate: String,
    recommend: String,
}

impl Keys {
    /// The number of threads is in no key: no result depends on it.
    fn new(settings: &Settings) -> Result<Keys> {
        let mut config = settings.config();
        config.train.threads = 0;
        let ingest = ingest_key(settings)?;
        let train = key(&[&json!(ingest), &json!(config)]);
        let lists = settings.recommend.users.iter().chain(&settings.recommend.items);
        Ok(Keys {
            evaluate: key(&[&json!(train), &json!(settings.evaluate)]),
            recommend: key(&[&json!(train), &json!(settings.recommend), &stamps(lists)?]),
            ingest,
            train,
        })
    }
}

fn ingest_key(settings: &Settings) -> Result<String> {
    let config = &settings.ingest;
    let splits = config.valid.iter().chain(&config.test);
    let features = config.user_features.iter().chain(&config.item_features);
    let files = stamps(settings.input.iter().chain(splits).chain(features))?;
    let mut config = config.clone();
    config.threads = 0;
    Ok(key(&[&files, &json!(config)]))
}

/// Whether a folder is a nightly run's.
pub fn is_run(folder: &Path) -> bool {
    folder.join("nightly.json").is_file()
}
