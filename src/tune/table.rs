//! `trials.parquet`: a row for every trial on every rung.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, UInt32Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;

use super::output::write_inside;
use super::state::{Figure, State, Trial};
use crate::guard::guarded;
use crate::{Error, Result};

/// What became of a trial.
pub(super) fn status(state: &State, trial: usize, winner: usize) -> &'static str {
    let highest = state.trials.iter().map(|trial| trial.figures.len()).max().unwrap_or(0);
    match &state.trials[trial] {
        Trial { failed: Some(_), .. } => "failed",
        _ if trial == winner => "winner",
        Trial { figures, .. } if figures.len() == highest => "finished",
        _ => "stopped",
    }
}

/// A row: a trial on a rung; one without a figure for a trial that failed before its first.
fn rows(state: &State) -> Vec<(usize, &Trial, Option<(usize, &Figure)>)> {
    let of = |(at, trial): (usize, &'_ Trial)| (at, trial.figures.len());
    let mut rows = Vec::new();
    for (at, figures) in state.trials.iter().enumerate().map(of) {
        let trial = &state.trials[at];
        if figures == 0 {
            rows.push((at, trial, None));
        }
        rows.extend(trial.figures.iter().enumerate().map(|figure| (at, trial, Some(figure))));
    }
    rows
}

/// The table's columns. What was chosen stands in columns with the settings' names, as it stands in TOML.
fn batch(state: &State, winner: usize) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
    let rows = rows(state);
    let (mut trials, mut rungs) = (UInt32Builder::new(), UInt32Builder::new());
    let (mut epochs, mut all) = (UInt64Builder::new(), UInt64Builder::new());
    let (mut statuses, mut reasons) = (StringBuilder::new(), StringBuilder::new());
    let mut numbers: [Float64Builder; 7] = Default::default();
    for (at, trial, figure) in &rows {
        trials.append_value(*at as u32);
        rungs.append_option(figure.map(|(rung, _)| rung as u32 + 1));
        epochs.append_option(figure.map(|(_, figure)| figure.epochs));
        all.append_value(trial.epochs);
        statuses.append_value(status(state, *at, winner));
        reasons.append_option(trial.failed.as_ref());
        let figure = figure.map(|(_, figure)| figure);
        let ends = figure.map(|figure| figure.interval);
        let gain = figure.and_then(|figure| figure.gain);
        let values = [
            figure.map(|figure| figure.value),
            ends.map(|ends| ends[0]),
            ends.map(|ends| ends[1]),
            gain.map(|gain| gain[0]),
            gain.map(|gain| gain[1]),
            gain.map(|gain| gain[2]),
            figure.and_then(|figure| figure.loss),
        ];
        numbers.iter_mut().zip(values).for_each(|(column, value)| column.append_option(value));
    }
    let names = ["value", "low", "high", "gain", "gain_low", "gain_high", "loss"];
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("trial", Arc::new(trials.finish()), false),
        ("rung", Arc::new(rungs.finish()), true),
        ("epochs", Arc::new(epochs.finish()), true),
        ("all_epochs", Arc::new(all.finish()), false),
        ("status", Arc::new(statuses.finish()), false),
        ("failed", Arc::new(reasons.finish()), true),
    ];
    let numbers = numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
    columns.extend(names.into_iter().zip(numbers).map(|(name, column)| (name, column, true)));
    for key in state.asked.space.0.keys() {
        let mut texts = StringBuilder::new();
        rows.iter().for_each(|(_, trial, _)| texts.append_option(trial.chosen.get(key).map(ToString::to_string)));
        columns.push((key, Arc::new(texts.finish()), true));
    }
    RecordBatch::try_from_iter_with_nullable(columns)
}

/// Writes the table.
pub(super) fn write(path: &Path, state: &State, winner: usize) -> Result<()> {
    let failed = |reason: String| Error::io(path, std::io::Error::other(reason));
    let batch = batch(state, winner).map_err(|e| failed(e.to_string()))?;
    let written = guarded(|| {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None)?;
        writer.write(&batch)?;
        writer.into_inner()
    });
    let bytes = written.map_err(failed)?.map_err(|e| failed(e.to_string()))?;
    write_inside(path, &bytes)
}
