//! What a finished run leaves for people: `metrics.json` and the model card.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Diagnostics;
use crate::config::Resolved;
use crate::data::dataset::{Dataset, Split};
use crate::eval::Estimate;
use crate::files::{AtomicFile, Lock, read_json, write_json_inside, write_json_locked, write_text};
use crate::model::checkpoint::{ModelDir, TrainerState};
use crate::table::time::format_time;
use crate::{Error, Result};

/// Writes `metrics.json` and `README.md`.
pub(super) fn write(
    dir: &ModelDir,
    dataset: &Dataset,
    config: &Resolved,
    state: &TrainerState,
    diagnostics: &Diagnostics,
    best_epoch: u64,
) -> Result<()> {
    let metrics = json!({
        "epochs": state.cursor.epoch,
        "best_epoch": best_epoch,
        "steps": state.step,
        "epoch_losses": state.epoch_losses,
        "validations": state.validations,
        "diagnostics": diagnostics,
    });
    write_json_inside(&dir.file("metrics.json"), &metrics)?;
    let card = card(dataset, config, state, diagnostics, best_epoch);
    let path = dir.file("README.md");
    let mut file = AtomicFile::inside(&path)?;
    file.write_all(card.as_bytes()).map_err(|e| Error::io(&path, e))?;
    file.commit()
}

/// How long it waits for an evaluation to write its figures.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a card has where its settings come from, and what stands behind it.
const SETTINGS: &str = "## Settings\n";
const METRICS: &str = "## Metrics\n";

/// Puts into a model's `metrics.json`, as `settings`, and into its card, as `lines`, where its settings come from: in the
/// place of what was said of them before.
///
/// # Errors
/// [`Error::Damaged`] when `metrics.json` is; [`Error::Input`] when another run is writing it; [`Error::Io`].
pub fn keep_settings(model: &Path, settings: &Value, lines: &[String]) -> Result<()> {
    let path = model.join("metrics.json");
    let lock = Lock::wait(&path, PATIENCE)?;
    let mut metrics: Map<String, Value> = read_json(&path)?;
    if metrics.get("settings") != Some(settings) {
        metrics.insert("settings".into(), settings.clone());
        write_json_locked(&path, &metrics, &lock)?;
    }
    let path = model.join("README.md");
    // Whoever removed the card did not want it.
    let Ok(card) = std::fs::read_to_string(&path) else { return Ok(()) };
    let said = with_settings(&card, lines);
    if said == card { Ok(()) } else { write_text(&path, &said) }
}

/// A card with these lines on its settings.
fn with_settings(card: &str, lines: &[String]) -> String {
    let (before, rest) = card.split_once(SETTINGS).unwrap_or((card, ""));
    let after = rest.find("\n## ").map_or("", |at| &rest[at + 1..]);
    let card = format!("{before}{after}");
    if lines.is_empty() {
        return card;
    }
    let section: String = lines.iter().map(|line| format!("- {line}\n")).collect();
    let at = card.find(METRICS).unwrap_or(card.len());
    format!("{}{SETTINGS}\n{section}\n{}", &card[..at], &card[at..])
}

fn card(
    dataset: &Dataset,
    config: &Resolved,
    state: &TrainerState,
    diagnostics: &Diagnostics,
    best_epoch: u64,
) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = front(&mut text)
        .and_then(|()| data(&mut text, dataset))
        .and_then(|()| settings(&mut text, config, state, best_epoch))
        .and_then(|()| figures(&mut text, diagnostics))
        .and_then(|()| limits(&mut text, dataset, config, diagnostics));
    text
}

/// What Hugging Face's hub reads, and the title.
fn front(text: &mut String) -> fmt::Result {
    writeln!(text, "---\nlibrary_name: tercel\ntags:\n- recommendation\n- retrieval\n- two-tower\n---\n")?;
    writeln!(text, "# A two-tower retrieval model\n")?;
    writeln!(
        text,
        "Trained by Tercel {}. It finds the items that a user is likely to interact with next.\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn data(text: &mut String, dataset: &Dataset) -> fmt::Result {
    let m = dataset.manifest();
    writeln!(text, "## Data\n")?;
    writeln!(
        text,
        "{} users and {} items in the training split (columns {} and {}).\n",
        m.users.rows.saturating_sub(1),
        m.items.rows.saturating_sub(1),
        m.columns.user,
        m.columns.item,
    )?;
    writeln!(text, "| split | interactions | from | to |\n|---|---|---|---|")?;
    for split in Split::ALL {
        let info = dataset.split(split);
        let date = |at: Option<i64>| at.map(format_time).unwrap_or_default();
        let (first, last) = (date(info.first_timestamp), date(info.last_timestamp));
        writeln!(text, "| {} | {} | {first} | {last} |", split.name(), info.rows)?;
    }
    for (side, info) in [("Users", &m.users), ("Items", &m.items)] {
        let names: Vec<&str> = info.features.iter().map(|feature| feature.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        writeln!(text, "\n{side}' features: {names}.")?;
    }
    writeln!(text)
}

fn settings(text: &mut String, config: &Resolved, state: &TrainerState, best_epoch: u64) -> fmt::Result {
    let dtype = serde_json::to_value(config.model.dtype).ok().and_then(|v| v.as_str().map(str::to_owned));
    writeln!(text, "## Training\n")?;
    writeln!(
        text,
        "D = {}, T = {}, {} table values, optimizer {:?} with lr {}, batches of {}, {} epochs ({} steps); parameters of epoch {}.\n",
        config.model.dim,
        config.temperature(),
        dtype.unwrap_or_default(),
        config.optimizer.name,
        config.lr(),
        config.batch_size(),
        state.cursor.epoch,
        state.step,
        best_epoch,
    )
}

fn figures(text: &mut String, diagnostics: &Diagnostics) -> fmt::Result {
    writeln!(text, "## Metrics\n")?;
    let Some(first) = diagnostics.evaluations.first() else {
        return writeln!(text, "None were computed during training.\n");
    };
    writeln!(text, "On the {} split, over the full catalogue, averaged over users.\n", first.split.name())?;
    for found in &diagnostics.evaluations {
        if let Some(nothing) = &found.nothing {
            writeln!(text, "{}: nothing to find: {nothing}.\n", found.view.title())?;
            continue;
        }
        writeln!(text, "{}, {} users:\n", found.view.title(), found.users)?;
        writeln!(text, "| metric | model | 95 % interval | popularity |\n|---|---|---|---|")?;
        for (name, Estimate { value, low, high }) in found.metrics.iter() {
            let interval = low.zip(*high).map_or(String::new(), |(low, high)| format!("{low:.4} to {high:.4}"));
            let baseline = found.popularity.get(name).map_or(String::new(), |value| format!("{value:.4}"));
            writeln!(text, "| {name} | {value:.4} | {interval} | {baseline} |")?;
        }
        writeln!(text)?;
    }
    match diagnostics.view {
        Some(_) => writeln!(text, "Intervals are bootstrapped over users; popularity is one list for all users.\n"),
        None => Ok(()),
    }
}

fn limits(text: &mut String, dataset: &Dataset, config: &Resolved, diagnostics: &Diagnostics) -> fmt::Result {
    let m = dataset.manifest();
    writeln!(text, "## Limits\n")?;
    for warning in &diagnostics.warnings {
        writeln!(text, "- Warning: {warning}.")?;
    }
    if m.items.unseen > 0 {
        writeln!(
            text,
            "- {} items in the held-out rows are not in the training rows: the model cannot recommend them.",
            m.items.unseen
        )?;
    }
    if m.users.unseen > 0 || config.history() == 0 {
        let reads = match (config.history() > 0, m.users.features.is_empty()) {
            (true, true) => "their history",
            (true, false) => "their features and history",
            (false, false) => "their features alone",
            (false, true) => "nothing: they all get the same list",
        };
        writeln!(text, "- Inputs for users that are new to the model: {reads}.")?;
    }
    writeln!(
        text,
        "- It reproduces past behaviour and favours popular items; it does not know what users would like to see."
    )?;
    writeln!(text, "- Metrics hold for the time of the held-out rows; they decline as the model ages.")?;
    writeln!(text, "\n`config.json` lists every setting, `metrics.json` every metric.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_says_once_where_the_settings_come_from() {
        let card = "# A model\n\n## Training\n\nD = 8.\n\n## Metrics\n\nNone.\n\n## Limits\n\n- One.\n";
        let with = |card: &str, lines: &[&str]| {
            with_settings(card, &lines.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let once = with(card, &["first", "second"]);
        assert!(once.contains("D = 8.\n\n## Settings\n\n- first\n- second\n\n## Metrics\n\nNone."), "{once}");
        let twice = with(&once, &["third"]);
        assert!(twice.contains("- third") && !twice.contains("first"), "{twice}");
        assert_eq!(twice.matches("## ").count(), 4);
        assert_eq!(with(&twice, &[]), card);
    }
}
