//! What a search leaves: the folder TUNED, and how it comes to be.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::page::{Facts, page};
use super::space::{Chosen, as_written, field, value_of};
use super::state::SearchState;
use super::table;
use crate::config::{Config, Resolved, Table};
use crate::data::dataset::{FileInfo, hash_file};
use crate::files::{Work, read_unchecked, write_inside, write_json_inside};
use crate::model::checkpoint::{BESIDE, ModelDir};
use crate::{Error, Result};

/// The version of the folder's layout.
const FORMAT_VERSION: u32 = 1;
/// The folder's manifest.
const MANIFEST: &str = "tune.json";
/// The model's folder in it.
pub(super) const MODEL: &str = "model";
/// The winner's settings.
pub(super) const SETTINGS: &str = "tuned.toml";
const TRIALS: &str = "trials.parquet";
const PAGE: &str = "report.html";

/// Searches as outputs.
pub(crate) const WORK: Work = Work {
    what: "search",
    ending: "tuning",
    manifest: MANIFEST,
    parts: |dir| {
        let finished: SearchManifest = read_unchecked(&dir.join(MANIFEST))?;
        let own = finished.files.into_iter().map(|file| file.name);
        Ok(own.chain(BESIDE.map(|name| format!("{MODEL}/{name}"))).collect())
    },
    written: &[],
    resumable: Some(super::state::FILE),
};

/// The text of `tune.json`: what the search found, and the files of the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(expecting = "a finished search")]
pub(super) struct SearchManifest {
    format: String,
    version: u32,
    /// The fingerprint of the dataset that was searched on.
    dataset: String,
    metric: String,
    trials: usize,
    /// The winner's number; 0 has the defaults.
    winner: usize,
    chosen: Chosen,
    value: f64,
    interval: [f64; 2],
    gain: Option<[f64; 3]>,
    /// The folder's files, those of the model under `model/`.
    pub(super) files: Vec<FileInfo>,
}

/// The record of a finished search in the folder `out`; `None` where there is none that could be read as one.
pub(super) fn finished(out: &Path) -> Result<Option<SearchState>> {
    match out.join(MANIFEST).is_file() {
        true => SearchState::read(out),
        false => Ok(None),
    }
}

/// Writes all but the model, which is there, and the manifest last.
pub(super) fn write(dir: &Path, state: &SearchState, facts: &Facts<'_>, settings: &Resolved) -> Result<()> {
    write_inside(&dir.join(SETTINGS), toml(state, facts, settings)?.as_bytes())?;
    table::write(&dir.join(TRIALS), state, facts.winner)?;
    write_inside(&dir.join(PAGE), page(state, facts).as_bytes())?;
    // The record stays, without what depends on the host's speed.
    state.timeless().write(dir)?;
    let mut files = Vec::new();
    for name in [SETTINGS, TRIALS, PAGE, super::state::FILE] {
        files.push(file(dir, name)?);
    }
    let model = ModelDir::new(dir.join(MODEL)).info()?;
    files.push(file(dir, &format!("{MODEL}/config.json"))?);
    files.extend(model.files().map(|file| FileInfo { name: format!("{MODEL}/{}", file.name), ..file.clone() }));
    let trial = &state.trials[facts.winner];
    let Some(figure) = trial.last() else {
        return Err(Error::checkpoint(dir, "the best trial has no metric value"));
    };
    let finished = SearchManifest {
        format: "tercel-tune".into(),
        version: FORMAT_VERSION,
        dataset: state.asked.dataset.clone(),
        metric: state.asked.metric.clone(),
        trials: state.trials.len(),
        winner: facts.winner,
        chosen: trial.chosen.clone(),
        value: figure.value,
        interval: figure.interval,
        gain: figure.gain,
        files,
    };
    write_json_inside(&dir.join(MANIFEST), &finished)
}

fn file(dir: &Path, name: &str) -> Result<FileInfo> {
    let path = dir.join(name);
    let bytes = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
    Ok(FileInfo { name: name.to_owned(), bytes, xxh3: Some(hash_file(&path)?), ..FileInfo::default() })
}

/// The winner's settings as a file for `train --config`: what was searched, what was asked for, and what a rule filled in,
/// so that another version with other rules trains the same.
fn toml(state: &SearchState, facts: &Facts<'_>, settings: &Resolved) -> Result<String> {
    let all = serde_json::to_value(settings.config()).unwrap_or_default();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let asked = serde_json::to_value(&state.asked.config).unwrap_or_default();
    // Where it runs, and how it is watched, is no part of what was found.
    let machine = ["train.device", "train.threads", "train.instructions", "train.checkpoint_every"];
    let mut kept = json!({});
    for key in Config::describe().into_iter().map(|setting| setting.key) {
        let [value, default, requested] = [&all, &defaults, &asked].map(|settings| value_of(settings, &key));
        // What the item tower leaves open has one meaning.
        let open = key.starts_with("model.item.") && requested.is_null();
        let said = state.asked.space.0.contains_key(&key) || (value != default && !open);
        if said && !machine.contains(&key.as_str()) && !value.is_null() {
            *field(&mut kept, &key) = as_written(value);
        }
    }
    let body = toml::to_string(&sorted(kept)).map_err(|e| Error::config("settings", e.to_string()))?;
    let trial = &state.trials[facts.winner];
    let mut head = format!("# Settings found by `tercel tune` for {} ({}).\n", facts.dataset, state.asked.dataset);
    if let Some(figure) = trial.last() {
        let [low, high] = figure.interval;
        head += &format!(
            "# {} {:.4} ({low:.4} to {high:.4}) on {}, the best of {} trials",
            state.asked.metric,
            figure.value,
            facts.validation,
            state.trials.len()
        );
        head += &match figure.gain {
            Some([gain, low, high]) => format!(";\n# {gain:+.4} ({low:+.4} to {high:+.4}) over the defaults.\n"),
            None => ".\n".to_owned(),
        };
    }
    Ok(format!("{head}# tercel train --config {SETTINGS} --data DATASET --out MODEL\n\n{body}"))
}

/// Values before tables, as TOML wants them.
fn sorted(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let (tables, values): (BTreeMap<_, _>, BTreeMap<_, _>) =
        fields.into_iter().map(|(key, value)| (key, sorted(value))).partition(|(_, value)| value.is_object());
    Value::Object(values.into_iter().chain(tables).collect())
}

/// Removes what the search worked with and nobody needs any more.
pub(super) fn sweep(dir: &Path, folders: &[&str]) -> Result<()> {
    for folder in folders.iter().map(|name| dir.join(name)).filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    }
    Ok(())
}
