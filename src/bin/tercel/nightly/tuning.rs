//! The night's search for settings: when one is due, what is kept of it, and what the nights between train with.
//!
//! A night is a run with another dataset than the one before: the record counts them, and running the same night again
//! counts nothing. A search works in the run's folder (`tuning`, beside it until it is done); what it has found is kept in
//! the record, and for people in `tuned.toml`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tercel::data::dataset::Dataset;
use tercel::data::shape::Shape;
use tercel::files::write_text;
use tercel::settings::{NightlyTuneSettings, said};
use tercel::train::keep_settings;
use tercel::tune::{Tune, TuneSummary, forget};
use tercel::{Config, Error, Result};

use super::Night;
use super::searches::{SearchOutcome, Searched, TunedSettings, Tuning, nights_ago};
use super::stamps::Stamp;
use super::state::{NightStage, Task};
use crate::args::read_toml;
use crate::output::date;
use crate::tune::{beside, chosen, perform};

/// The folder of the last search, in the run's folder.
pub const SEARCH: &str = "tuning";
/// The settings that are kept, in the run's folder.
const SETTINGS: &str = "tuned.toml";
/// What that file begins with.
const HEAD: &str = "# Settings that `tercel nightly` trains with";

impl TunedSettings {
    fn of(summary: &TuneSummary, night: u64, explicit: &BTreeSet<String>) -> Result<TunedSettings> {
        let mut settings: Value = read_toml(&summary.settings)?;
        // What the night was told is no finding: it holds as long as it is told.
        explicit.iter().for_each(|key| remove(&mut settings, key));
        Ok(TunedSettings {
            night,
            date: today(),
            metric: summary.metric.clone(),
            value: summary.value,
            interval: Some(summary.interval).filter(|ends| ends.iter().all(|end| end.is_finite())),
            gain: summary.gain,
            trials: summary.trials,
            chosen: summary.chosen.clone(),
            settings,
        })
    }

    /// When they were found, and how good they are.
    fn words(&self) -> String {
        let ends = self.interval.map_or(String::new(), |[low, high]| format!(" ({low:.4} to {high:.4})"));
        let (night, date) = (self.night, &self.date);
        format!("found in night {night} ({date}): {} {:.4}{ends}{}", self.metric, self.value, beside(self.gain))
    }

    /// As a file for `train --config`.
    fn toml(&self) -> Result<String> {
        let failed = |error: String| Error::config("tune", error);
        let table = toml::Value::try_from(&self.settings).map_err(|e| failed(e.to_string()))?;
        let body = toml::to_string(&table).map_err(|e| failed(e.to_string()))?;
        Ok(format!("{HEAD},\n# {}, the best of {} trials.\n\n{body}", self.words(), self.trials))
    }

    /// These settings, under what the night is told; and the keys of those of them that it is told otherwise.
    fn under(&self, explicit: &Config, keys: &BTreeSet<String>) -> Result<(Config, Vec<String>)> {
        let failed = |error: serde_json::Error| Error::config("tune", error.to_string());
        let mut merged = self.settings.clone();
        let given = serde_json::to_value(explicit).map_err(failed)?;
        for key in keys {
            put(&mut merged, key, at(&given, key));
        }
        let found = said::<Config>(&self.settings).into_iter().filter(|key| keys.contains(key)).collect();
        let config: Config = serde_json::from_value(merged).map_err(failed)?;
        config.validate()?;
        Ok((config, found))
    }
}

/// Whether the settings' file could be written: it is this run's, or not there.
pub fn check_file(folder: &Path) -> Result<()> {
    let path = folder.join(SETTINGS);
    match std::fs::read(&path) {
        Ok(bytes) if !bytes.starts_with(HEAD.as_bytes()) => {
            Err(Error::input(&path, "was not written by a nightly run, which would replace it; move it elsewhere"))
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path, error)),
        _ => Ok(()),
    }
}

impl Night<'_> {
    /// Searches where that is due, and takes the settings that are kept.
    pub(super) fn tune(&mut self, dataset: &[Stamp]) -> Result<()> {
        let settings = self.settings;
        let Some(asked) = &settings.tune else { return Ok(()) };
        let mut tuning = self.state.tuning().cloned().unwrap_or_default();
        let tonight = dataset.first().and_then(|manifest| manifest.xxh3.clone());
        if tuning.night == 0 || tuning.dataset != tonight {
            (tuning.night, tuning.dataset) = (tuning.night + 1, tonight);
            self.state.keep_tuning(tuning.clone())?;
        }
        let space = Stamp::all(asked.search.space.as_slice(), &[])?;
        let searched = &asked.search;
        let question = json!([
            searched.metric,
            searched.limit(),
            searched.trials,
            space.iter().map(|file| &file.xxh3).collect::<Vec<_>>()
        ])
        .to_string();
        match (tuning.due(asked.every, &question), &tuning.searched) {
            (Some(reason), _) => self.search(&mut tuning, asked, question, &reason, dataset)?,
            (None, Some(last)) => {
                let ago = nights_ago(tuning.night.saturating_sub(last.night));
                self.skip(
                    NightStage::Tune,
                    &format!("the last search was {ago}; it runs every {} nights", asked.every),
                );
            }
            (None, None) => {}
        }
        self.take(&mut tuning)
    }

    fn search(
        &mut self,
        tuning: &mut Tuning,
        asked: &NightlyTuneSettings,
        question: String,
        reason: &str,
        dataset: &[Stamp],
    ) -> Result<()> {
        let place = self.folder.join(SEARCH);
        let mut explicit = self.settings.config();
        explicit.train.threads = 0;
        let task = Task::new(NightStage::Tune, &(&question, explicit, &self.settings.said), Vec::new(), dataset);
        let resume = self.state.is_started(&task);
        self.out.event("due", &json!({ "stage": "tune", "night": tuning.night, "reason": reason, "resumed": resume }));
        self.out.text(format_args!("tune: a search is due, because {reason}"));
        if !resume {
            // Of another night, or of other settings.
            forget(&place)?;
        }
        let mut space = self.space.clone();
        let named = space.iter().flat_map(|space| space.0.keys());
        let given: Vec<String> = named.filter(|key| self.settings.said.contains(*key)).cloned().collect();
        if let Some(space) = &mut space
            && !given.is_empty()
        {
            self.out.text(format_args!("tune: set explicitly, so not searched: {}", given.join(", ")));
            space.0.retain(|key, _| !given.contains(key));
        }
        self.state.start(&task)?;
        let mut fixed = self.settings.said.clone();
        if space.is_none() {
            // Whoever reads the exported vectors expects them to be as wide as yesterday's.
            fixed.insert("model.dim".into());
        }
        let request = Tune {
            config: self.config.clone(),
            settings: asked.search.clone(),
            space,
            fixed,
            // Otherwise one that is worse than it could take its place.
            earlier: tuning.kept.as_ref().map(|kept| kept.chosen.clone()).unwrap_or_default(),
            resume,
        };
        let found = perform(&self.files.dataset, &place, &request, self.out);
        let (outcome, reason) = match found {
            Ok(summary) if summary.winner > 0 => {
                tuning.kept = Some(TunedSettings::of(&summary, tuning.night, &self.settings.said)?);
                (SearchOutcome::Better, None)
            }
            Ok(_) => (SearchOutcome::NothingBetter, None),
            // What stops any work, and is no matter of the search.
            Err(error @ (Error::Io { .. } | Error::Interrupted { .. })) => return Err(error),
            Err(error) => {
                forget(&place)?;
                (SearchOutcome::Failed, Some(error.to_string()))
            }
        };
        let (night, date) = (tuning.night, today());
        tuning.searched = Some(Searched { night, date, question, outcome, reason });
        let left = place.join("tune.json");
        let left = if outcome == SearchOutcome::Failed { vec![] } else { vec![left] };
        self.state.finish_search(&task, &left, tuning.clone())
    }

    /// Trains with what is kept, and says so; with the defaults where that is nothing, or cannot be used any more.
    fn take(&mut self, tuning: &mut Tuning) -> Result<()> {
        let instead = if tuning.kept.is_some() { "the previously tuned settings" } else { "the defaults" };
        match tuning.searched.as_ref().filter(|last| last.night == tuning.night) {
            Some(Searched { outcome: SearchOutcome::Failed, reason, .. }) => {
                let reason = reason.as_deref().unwrap_or_default();
                self.out.event("search_failed", &json!({ "reason": reason }));
                self.out.text(format_args!("tune: the search failed ({reason}); the run continues with {instead}"));
            }
            Some(Searched { outcome: SearchOutcome::NothingBetter, .. }) => {
                self.out.text(format_args!("tune: no settings beat the defaults; the run continues with {instead}"));
            }
            _ => {}
        }
        if let Some(kept) = &tuning.kept {
            let path = self.folder.join(SETTINGS);
            let text = kept.toml()?;
            if std::fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
                write_text(&path, &text)?;
            }
            match kept.under(&self.settings.config(), &self.settings.said) {
                Ok((config, other)) => {
                    self.say(kept, &other);
                    let device = self.config.train.device;
                    self.asked = config.clone();
                    self.config = config;
                    self.config.train.device = device;
                }
                Err(error) => {
                    let reason = error.to_string();
                    self.out.event("tuned_unusable", &json!({ "reason": reason }));
                    self.out.text(format_args!("tune: the tuned settings can no longer be used ({reason})"));
                }
            }
        }
        let shape = Shape::of(&Dataset::open(&self.files.dataset)?)?;
        let decided = self.config.for_shape(&shape);
        let decisions: Vec<Value> = decided.decisions().iter().map(|made| json!(made)).collect();
        if tuning.decisions != decisions {
            tuning.decisions = decisions;
            self.state.keep_tuning(tuning.clone())?;
        }
        Ok(())
    }

    fn say(&self, kept: &TunedSettings, other: &[String]) {
        let mut event = serde_json::to_value(kept).unwrap_or_default();
        event["given_instead"] = json!(other);
        self.out.event("tuned", &event);
        self.out.text(format_args!("tune: training with settings {}: {}", kept.words(), chosen(&kept.chosen)));
        if !other.is_empty() {
            self.out.text(format_args!(
                "tune: set explicitly since then, and overriding the tuned values: {}",
                other.join(", ")
            ));
        }
    }

    /// Puts into the model's card and figures where its settings come from.
    pub(super) fn keep_origin(&self) -> Result<()> {
        let (Some(_), Some(tuning)) = (&self.settings.tune, self.state.tuning()) else { return Ok(()) };
        let mut lines = Vec::new();
        if let Some(kept) = &tuning.kept {
            lines.push(format!("Settings that a search {}: {}.", kept.words(), chosen(&kept.chosen)));
        }
        lines.extend(tuning.decisions.iter().filter_map(|made| {
            let text = |name: &str| made[name].as_str();
            Some(format!("{} = {}: {}.", text("key")?, text("value")?, text("why")?))
        }));
        let value = json!({ "night": tuning.night, "search": tuning.searched, "tuned": tuning.kept,
            "decisions": tuning.decisions });
        keep_settings(&self.files.model, &value, &lines)
    }
}

fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(i64::try_from(now).unwrap_or(0))
}

/// A setting's value in a configuration file's contents.
fn at(all: &Value, key: &str) -> Value {
    key.split('.').try_fold(all, |table, name| table.get(name)).cloned().unwrap_or_default()
}

fn put(all: &mut Value, key: &str, value: Value) {
    let place = key.split('.').fold(all, |table, name| {
        if !table.is_object() {
            *table = json!({});
        }
        &mut table[name]
    });
    *place = value;
}

fn remove(all: &mut Value, key: &str) {
    let (tables, name) = key.rsplit_once('.').unwrap_or(("", key));
    let table = tables.split('.').filter(|name| !name.is_empty()).try_fold(all, |table, name| table.get_mut(name));
    if let Some(Value::Object(fields)) = table {
        fields.shift_remove(name);
    }
}
