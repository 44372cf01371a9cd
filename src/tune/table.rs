//! `trials.parquet`: a row for every trial on every rung.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, UInt32Builder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;

use super::state::{Figure, SearchState, Trial};
use crate::files::write_inside;
use crate::guard::guarded;
use crate::{Error, Result};

/// A trial on a rung; without a figure for a trial that failed before its first.
struct TrialRow<'a> {
    at: usize,
    trial: &'a Trial,
    rung: Option<u32>,
    figure: Option<&'a Figure>,
}

fn rows(state: &SearchState) -> Vec<TrialRow<'_>> {
    let mut rows = Vec::new();
    for (at, trial) in state.trials.iter().enumerate() {
        if trial.figures.is_empty() {
            rows.push(TrialRow { at, trial, rung: None, figure: None });
        }
        rows.extend((1..).zip(&trial.figures).map(|(rung, figure)| TrialRow {
            at,
            trial,
            rung: Some(rung),
            figure: Some(figure),
        }));
    }
    rows
}

/// The table's columns. What was chosen stands in columns with the settings' names, as it stands in TOML.
fn batch(state: &SearchState, winner: usize) -> std::result::Result<RecordBatch, arrow_schema::ArrowError> {
    let rows = rows(state);
    let (mut trials, mut rungs) = (UInt32Builder::new(), UInt32Builder::new());
    let (mut epochs, mut all) = (UInt64Builder::new(), UInt64Builder::new());
    let (mut statuses, mut reasons) = (StringBuilder::new(), StringBuilder::new());
    let mut numbers: [Float64Builder; 7] = Default::default();
    for TrialRow { at, trial, rung, figure } in &rows {
        trials.append_value(*at as u32);
        rungs.append_option(*rung);
        epochs.append_option(figure.map(|figure| figure.epochs));
        all.append_value(trial.epochs);
        statuses.append_value(state.status(*at, winner));
        reasons.append_option(trial.failed.as_ref());
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
        rows.iter().for_each(|row| texts.append_option(row.trial.chosen.get(key).map(ToString::to_string)));
        columns.push((key, Arc::new(texts.finish()), true));
    }
    RecordBatch::try_from_iter_with_nullable(columns)
}

/// Writes the table.
pub(super) fn write(path: &Path, state: &SearchState, winner: usize) -> Result<()> {
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
