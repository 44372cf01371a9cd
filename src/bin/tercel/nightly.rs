//! `tercel nightly`: ingest, train, evaluate and recommend in one go, resumable.

mod searches;
pub mod settings;
mod stamps;
mod state;
#[cfg(test)]
mod tests;
mod tuning;

use std::path::{Path, PathBuf};

use serde_json::json;
use tercel::data::dataset::Dataset;
use tercel::data::ingest::{IngestConfig, check_out, remove_damaged};
use tercel::files::read_json;
use tercel::settings::{EvaluateSettings, IndexMode, IndexSettings, RecommendSettings, SearchSettings};
use tercel::sweep::sweep;
use tercel::train::{can_resume, forget};
use tercel::tune::Space;
use tercel::{Config, Error, Result};

use crate::args::{IngestFlags, TrainFlags, announce};
use crate::flags::Flags;
use crate::output::Output;
use crate::{evaluate, index, ingest, recommend, train, words};
use settings::Settings;
use stamps::Stamp;
use state::{NightStage, NightState, Standing, Task};
pub use tuning::SEARCH;

const EXAMPLES: &str = r"Examples, run from the repository:
  tercel nightly --config tests/data/complete-journey/nightly.toml --out out/nightly
  tercel nightly tests/data/complete-journey/transactions.csv.gz --out out/night \
      --user household_id --item product_id --time t_dat --split time:2017-12-11 --epochs 3";

/// Runs ingest, train, evaluate and recommend in one command; a rerun continues where the last run stopped.
///
/// All output goes to one folder: OUT/dataset, OUT/model, OUT/predictions.parquet, and OUT/nightly.json, the record of
/// finished stages. A finished stage is repeated only if its settings changed, or the contents of a file that it read
/// (including files found in or next to the inputs) or wrote. An interrupted training run continues from its last
/// checkpoint, with the same result as an uninterrupted one.
///
/// Settings come from a TOML file with the tables `ingest`, `model`, `loss`, `optimizer`, `train`, `tune`, `index`,
/// `evaluate` and `recommend`, from flags, or from both; flags take precedence. Paths in the file are relative to its
/// folder.
///
/// With a table `tune` (`every = 7`, the number of nights between searches, and the settings of `tercel tune`: metric,
/// minutes, trials, space, parallel), a search for the training settings runs after ingest, and the nights until the next
/// search train with its result. Settings given by the file or a flag are kept fixed; so is `model.dim`,
/// unless the space names it. A night is a run with new data.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files or folders of interactions
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Folder of the run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    ingest: IngestFlags,
    #[command(flatten)]
    train: TrainFlags,
    #[command(flatten)]
    evaluate: Flags<EvaluateSettings>,
    #[command(flatten)]
    recommend: Flags<RecommendSettings>,
    #[command(flatten)]
    index: Flags<IndexSettings>,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    perform(&args.settings()?, out).map(drop)
}

impl Args {
    /// What the file says, and over it what the flags say.
    fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        if !self.inputs.is_empty() {
            settings.input.clone_from(&self.inputs);
        }
        if self.out.is_some() {
            settings.out.clone_from(&self.out);
        }
        self.ingest.apply(&mut settings.ingest);
        let mut config = settings.config();
        self.train.apply(&mut config);
        settings.set_config(config);
        settings.said.extend(self.train.keys());
        self.evaluate.apply(&mut settings.evaluate);
        self.apply_recommend(&mut settings.recommend);
        self.index.apply(&mut settings.index);
        Ok(settings)
    }

    /// `--exclude` and `--include-seen` each win over both of the file's ways to say it.
    fn apply_recommend(&self, settings: &mut RecommendSettings) {
        let mut given = RecommendSettings::default();
        self.recommend.apply(&mut given);
        if given.exclude.is_some() || given.include_seen {
            (settings.exclude, settings.include_seen) = (None, false);
        }
        self.recommend.apply(settings);
    }
}

/// Where a finished run's files are.
pub struct NightOutputs {
    pub dataset: PathBuf,
    pub model: PathBuf,
    pub predictions: PathBuf,
}

/// Runs every stage that is not finished.
pub fn perform(settings: &Settings, out: &Output) -> Result<NightOutputs> {
    if settings.input.is_empty() {
        return Err(Error::config("input", "no input: name a file, or set `input` in the TOML file"));
    }
    let Some(folder) = &settings.out else {
        return Err(Error::config("out", "no output folder: pass --out, or set `out` in the TOML file"));
    };
    let mut config = settings.config();
    config.validate()?;
    settings.ingest.validate()?;
    // A device that is not there, or a name that no predictions file can have, is found before the hours of work.
    config.train.device = announce(config.train.device, out)?;
    let files = NightOutputs {
        dataset: folder.join("dataset"),
        model: folder.join("model"),
        predictions: folder.join(&settings.recommend.file),
    };
    let recommending = settings.recommending();
    recommend::check(&recommending, &files.predictions).map_err(|e| words::under("recommend", e))?;
    evaluate::check(&settings.evaluate).map_err(|e| words::under("evaluate", e))?;
    settings.check_index()?;
    let space = settings.check_tune()?;
    if settings.tune.is_some() {
        tuning::check_file(folder)?;
    }
    let inputs = inputs_read(settings)?;
    let state = NightState::open(folder)?;
    // Nothing is replaced that is not this run's, which is told before the work.
    check_out(&files.dataset, &state.left(NightStage::Ingest))?;
    tercel::train::check_out(&files.model, &state.left(NightStage::Train))?;
    sweep(folder)?;
    let asked = settings.config();
    let mut night = Night { settings, folder, asked, config, space, files: &files, state, out };
    let dataset = night.ingest(&inputs)?;
    night.tune(&dataset)?;
    let model = night.train(&dataset)?;
    night.index(&model)?;
    night.evaluate(&dataset, &model)?;
    night.recommend(&dataset, &model)?;
    night.check_unchanged()?;
    night.check_predictions()?;
    Ok(files)
}

/// The files that ingest would read today, those that it finds by their names included; or its pipes, where it has any,
/// which no run can ask twice.
fn inputs_read(settings: &Settings) -> Result<Vec<PathBuf>> {
    let config = &settings.ingest;
    let held_out = config.valid.iter().chain(&config.test);
    let named = settings.input.iter().chain(held_out).chain(&config.user_features).chain(&config.item_features);
    let pipes: Vec<PathBuf> = named.filter(|path| stamps::is_pipe(path)).cloned().collect();
    if !pipes.is_empty() {
        return Ok(pipes);
    }
    tercel::data::ingest::files(&settings.input, config)
}

/// A run at work. Every stage gives the files that the next ones build on.
struct Night<'a> {
    settings: &'a Settings,
    folder: &'a Path,
    /// What training is asked for.
    asked: Config,
    /// The same with the device that was chosen.
    config: Config,
    /// What a search tries, where the night is told.
    space: Option<Space>,
    files: &'a NightOutputs,
    state: NightState,
    out: &'a Output,
}

impl Night<'_> {
    fn ingest(&mut self, inputs: &[PathBuf]) -> Result<Vec<Stamp>> {
        // The number of threads is in no key: no result depends on it.
        let config = IngestConfig { threads: 0, ..self.settings.ingest.clone() };
        let inputs = Stamp::all(inputs, self.state.inputs(NightStage::Ingest))?;
        let task = Task::new(NightStage::Ingest, &(&self.settings.input, config), inputs, &[]);
        let dataset = &self.files.dataset;
        let usable = Dataset::open(dataset).is_ok();
        if self.is_finished(&task, usable)? {
            return Ok(manifest(self.state.outputs(NightStage::Ingest)));
        }
        // This run's, though its manifest may be damaged: it is in nobody's way.
        remove_damaged(dataset, &self.state.left(NightStage::Ingest))?;
        self.state.start(&task)?;
        ingest::perform(&self.settings.input, dataset, &self.settings.ingest, self.out)?;
        let made = Dataset::open(dataset)?;
        let mut left = vec![dataset.join("dataset.json")];
        left.extend(made.files().map(|file| made.path(file)));
        self.state.finish(&task, &left)?;
        Ok(manifest(self.state.outputs(NightStage::Ingest)))
    }

    fn train(&mut self, dataset: &[Stamp]) -> Result<Vec<Stamp>> {
        // The device is in the key as it was asked for, not as it was chosen.
        let mut asked = self.asked.clone();
        asked.train.threads = 0;
        let task = Task::new(NightStage::Train, &asked, Vec::new(), dataset);
        let model = &self.files.model;
        // The figures of training stand in it beside those of the evaluation, which alone is no stage's to restore.
        let usable = read_json::<serde_json::Value>(&model.join("metrics.json")).is_ok();
        if self.is_finished(&task, usable)? {
            self.keep_origin()?;
            return Ok(self.state.outputs(NightStage::Train).to_vec());
        }
        tercel::train::remove_damaged(model, &self.state.left(NightStage::Train))?;
        let data = Dataset::open(&self.files.dataset)?;
        let resume = self.state.is_started(&task) && can_resume(model, &data, &self.config)?;
        if !resume && self.state.has(NightStage::Train) {
            // A run of this folder with other settings left it: it cannot be gone on with.
            forget(model)?;
        }
        self.state.start(&task)?;
        train::perform(&self.files.dataset, model, &self.config, resume, self.out)?;
        self.state.finish(&task, &model_files(model)?)?;
        self.keep_origin()?;
        Ok(self.state.outputs(NightStage::Train).to_vec())
    }

    /// The index that evaluation and recommendations search, where one of them does.
    fn index(&mut self, model: &[Stamp]) -> Result<()> {
        let Some(settings) = self.settings.searched() else { return Ok(()) };
        let task = Task::new(NightStage::Index, &settings, Vec::new(), model);
        if self.is_finished(&task, true)? {
            return Ok(());
        }
        self.check_unchanged()?;
        self.state.start(&task)?;
        let (device, threads) = (self.config.train.device, self.config.train.threads);
        let file = index::perform(&self.files.model, None, &settings, device, threads, self.out)?;
        self.state.finish(&task, &[file])
    }

    fn evaluate(&mut self, dataset: &[Stamp], model: &[Stamp]) -> Result<()> {
        let settings = &self.settings.evaluate;
        if Dataset::open(&self.files.dataset)?.split(settings.split).rows == 0 {
            self.skip(NightStage::Evaluate, &format!("the dataset has no {} split", settings.split.name()));
            return Ok(());
        }
        let builds_on = [dataset, model, self.index_of(&settings.search)].concat();
        let task = Task::new(NightStage::Evaluate, settings, Vec::new(), &builds_on);
        if self.is_finished(&task, true)? {
            return Ok(());
        }
        self.check_unchanged()?;
        self.state.start(&task)?;
        let (device, threads) = (self.config.train.device, self.config.train.threads);
        let metrics = self.files.model.join("metrics.json");
        evaluate::perform(&self.files.model, &self.files.dataset, settings, device, threads, self.out)?;
        self.state.finish(&task, &[metrics])
    }

    fn recommend(&mut self, dataset: &[Stamp], model: &[Stamp]) -> Result<()> {
        let settings = &self.settings.recommending();
        let lists: Vec<PathBuf> = settings.users.iter().chain(&settings.items).cloned().collect();
        let lists = Stamp::all(&lists, self.state.inputs(NightStage::Recommend))?;
        let builds_on = [dataset, model, self.index_of(&settings.search)].concat();
        let task = Task::new(NightStage::Recommend, settings, lists, &builds_on);
        if self.is_finished(&task, true)? {
            return Ok(());
        }
        self.check_unchanged()?;
        self.state.start(&task)?;
        let (device, threads) = (self.config.train.device, self.config.train.threads);
        let seen = Some(self.files.dataset.as_path());
        let predictions = &self.files.predictions;
        recommend::perform(&self.files.model, predictions, seen, settings, device, threads, self.out)?;
        self.state.finish(&task, std::slice::from_ref(predictions))
    }

    /// The files of the index that a stage searches.
    fn index_of(&self, search: &SearchSettings) -> &[Stamp] {
        match search.index {
            IndexMode::Exact => &[],
            IndexMode::Approx => self.state.outputs(NightStage::Index),
        }
    }

    /// Whether there is nothing to do, which it says; or why there is something to do once more. What this version
    /// cannot use is as good as not there.
    fn is_finished(&mut self, task: &Task, usable: bool) -> Result<bool> {
        let reason = match self.state.standing(task)? {
            Standing::Finished if usable => {
                self.skip(task.stage, "already finished");
                return Ok(true);
            }
            Standing::Open => return Ok(false),
            Standing::Finished => "this version cannot read the files of another version".into(),
            Standing::Again(reason) => reason,
        };
        self.out.event("again", &json!({ "stage": task.stage.name(), "reason": reason }));
        self.out.text(format_args!("{}: running again, because {reason}", task.stage.name()));
        Ok(false)
    }

    /// Whether the dataset and the model are those that this run has made.
    fn check_unchanged(&self) -> Result<()> {
        for (stage, folder) in [(NightStage::Ingest, &self.files.dataset), (NightStage::Train, &self.files.model)] {
            let manifests = self.state.outputs(stage).iter().filter(|left| is_manifest(&left.path));
            for left in manifests {
                let now = folder.join(left.path.file_name().unwrap_or_default());
                if Stamp::take(&now, None)?.xxh3 != left.xxh3 {
                    return Err(replaced(folder));
                }
            }
        }
        Ok(())
    }

    /// Whether the lists are those that this run has made.
    fn check_predictions(&self) -> Result<()> {
        let file = &self.files.predictions;
        match self.state.outputs(NightStage::Recommend).first() {
            Some(left) if Stamp::take(file, Some(left))?.xxh3 != left.xxh3 => Err(replaced(file)),
            _ => Ok(()),
        }
    }

    fn skip(&self, stage: NightStage, reason: &str) {
        self.out.event("skip", &json!({ "stage": stage.name(), "reason": reason }));
        self.out.text(format_args!("{}: {reason}", stage.name()));
    }
}

fn replaced(path: &Path) -> Error {
    Error::input(path, "was replaced by another run during this one; run again")
}

/// Whether a file says what else is in its folder.
fn is_manifest(path: &Path) -> bool {
    path.ends_with("dataset.json") || path.ends_with("config.json")
}

/// Of a dataset's files `dataset.json`, which has the hashes of the others.
fn manifest(files: &[Stamp]) -> Vec<Stamp> {
    files.iter().take(1).cloned().collect()
}

/// What a model is made of; its checkpoint, metrics and card are not.
fn model_files(model: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(model).and_then(|all| all.collect::<std::io::Result<Vec<_>>>());
    let mut files: Vec<PathBuf> = entries.map_err(|e| Error::io(model, e))?.iter().map(|e| e.path()).collect();
    let is_part = |name: &str| name == "config.json" || name == "model.safetensors" || name.ends_with(".arrow");
    files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_part));
    files.sort();
    Ok(files)
}

/// Whether a folder is a nightly run's.
pub fn is_run(folder: &Path) -> bool {
    folder.join("nightly.json").is_file()
}
