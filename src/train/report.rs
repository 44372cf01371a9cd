//! What a finished run leaves for people: `metrics.json` and the model card.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;

use super::Diagnostics;
use crate::Result;
use crate::config::Config;
use crate::data::dataset::{Dataset, Split, write_json};
use crate::files::write_atomic;
use crate::model::checkpoint::{ModelDir, TrainerState};

/// Writes `metrics.json` and `README.md`.
pub(super) fn write(
    dir: &ModelDir,
    dataset: &Dataset,
    config: &Config,
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
    write_json(&dir.file("metrics.json"), &metrics)?;
    let card = card(dataset, config, state, diagnostics, best_epoch);
    write_atomic(&dir.file("README.md"), |out| out.write_all(card.as_bytes()))
}

fn card(
    dataset: &Dataset,
    config: &Config,
    state: &TrainerState,
    diagnostics: &Diagnostics,
    best_epoch: u64,
) -> String {
    let (m, train) = (dataset.manifest(), dataset.split(Split::Train));
    let mut text = String::new();
    let mut line = |s: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{s}");
    };
    line("# A two-tower retrieval model\n".into());
    line(format!(
        "Trained by Tercel {} on {} interactions of {} users with {} items ({} -> {}).\n",
        env!("CARGO_PKG_VERSION"),
        train.rows,
        m.users.rows.saturating_sub(1),
        m.items.rows.saturating_sub(1),
        m.columns.user,
        m.columns.item,
    ));
    line(format!(
        "D = {}, T = {}, {} table values, optimizer {:?} with lr {}, batches of {}, {} epochs ({} steps); the parameters are epoch {}'s.\n",
        config.model.dim,
        config.model.temperature,
        serde_json::to_value(config.model.dtype).map(|v| v.as_str().unwrap_or_default().to_owned()).unwrap_or_default(),
        config.optimizer.name,
        config.optimizer.lr,
        config.train.batch_size,
        state.cursor.epoch,
        state.step,
        best_epoch,
    ));
    if let Some(split) = diagnostics.split {
        line(format!("On the {} split, whole catalogue, seen items left out:\n", split.name()));
        line("| metric | model | popularity |\n|---|---|---|".into());
        for (name, value) in &diagnostics.metrics {
            let baseline = diagnostics.popularity.get(name).map_or(String::new(), |v| format!("{v:.4}"));
            line(format!("| {name} | {value:.4} | {baseline} |"));
        }
        line(String::new());
    }
    for warning in &diagnostics.warnings {
        line(format!("- Warning: {warning}."));
    }
    line("`config.json` holds every setting, `metrics.json` every figure.".into());
    text
}
