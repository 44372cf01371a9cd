//! Feature columns: read from a file with one row per entity, fitted on the entities of the training split alone, and
//! encoded for all.

use super::config::FeatureSpec;
use super::ids::Ids;
use super::rejected::Rejected;
use super::renumber::{BELOW, NOWHERE, NumberedSide};
use crate::Result;
use crate::data::dataset::Feature;
use crate::data::vocabulary::FeatureColumn;
use crate::table::{InputTable, Reject, quoted};

mod encode;
mod fit;
mod keys;
mod values;

pub(crate) use encode::Encoder;
pub(crate) use values::feature_value;

use keys::Unmet;
use values::Values;

/// A feature file, planned.
pub(super) struct FeatureInput {
    pub(super) table: InputTable,
    /// The column with the raw id.
    pub(super) key: usize,
    /// The columns to read and what they are to become; None: as their values look.
    pub(super) columns: Vec<(usize, Option<FeatureSpec>)>,
}

/// One side's features.
#[derive(Default)]
pub(super) struct Fitted {
    pub(super) features: Vec<Feature>,
    /// By row of the vocabulary, row 0 included.
    pub(super) known: Vec<FeatureColumn>,
    /// By row behind the vocabulary.
    pub(super) unseen: Vec<FeatureColumn>,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
}

/// Reads, fits and encodes the features of a side. `word` is what its entities are called in notes.
pub(super) fn read_features(
    input: &FeatureInput,
    word: &str,
    side: &NumberedSide,
    ids: &Ids,
    rejected: &mut Rejected,
) -> Result<Fitted> {
    let entities = side.rows as usize + side.unseen as usize;
    let names = &input.table.columns;
    let mut columns: Vec<Values> = input
        .columns
        .iter()
        .map(|(_, spec)| Values::new(spec.clone(), side.rows as usize, entities, &input.table.missing))
        .collect();
    let mut seen = vec![false; entities];
    let (mut rows, mut met, mut below, mut trained) = (0u64, 0u64, 0u64, 0u64);
    let mut unmet = Unmet::default();
    let path = &input.table.path;
    let missing = &input.table.missing;
    let mut wanted: Vec<usize> = input.columns.iter().map(|(i, _)| *i).chain([input.key]).collect();
    wanted.sort_unstable();
    let met_lines = input.table.for_each(Some(&wanted), &[input.key], &mut |number, values| {
        let values = match values {
            Ok(values) => values,
            Err(reject) => return rejected.push(path, number, reject),
        };
        rows += 1;
        let key = values[input.key];
        let reject = |column: usize, reason: String| {
            let text = values.join(&b","[..]);
            Reject { line: 0, column: names[column].clone(), reason, text }
        };
        if missing.is_id(key) {
            return rejected.push(
                path,
                number,
                reject(input.key, format!("{} is not an id; every row needs one", quoted(key))),
            );
        }
        let row = ids.find(key).map_or(NOWHERE, |id| side.row[id as usize]);
        if row == BELOW {
            // The key is right, and meets somebody.
            (met, below) = (met + 1, below + 1);
            return Ok(());
        }
        if row == NOWHERE {
            unmet.push(key);
            return Ok(());
        }
        met += 1;
        let cell = |i: usize| feature_value(values[i], missing);
        let problem = if seen[row as usize] {
            Some((input.key, format!("{} already has a row", quoted(key))))
        } else {
            columns.iter().zip(&input.columns).find_map(|(c, (i, _))| c.check(cell(*i)).map(|reason| (*i, reason)))
        };
        if let Some((column, reason)) = problem {
            return rejected.push(path, number, reject(column, reason));
        }
        seen[row as usize] = true;
        trained += u64::from(row < side.rows);
        for (column, (i, _)) in columns.iter_mut().zip(&input.columns) {
            column.set(row, cell(*i));
        }
        Ok(())
    })?;
    let file = input.table.short_name();
    let mut fitted = Fitted { notes: met_lines.notes(&file), ..Fitted::default() };
    if rows > 0 {
        fitted.notes.extend(unmet.check(input, word, side, ids, &seen, (rows, met))?);
    }
    fitted.notes.push(format!("{file}: {trained} of {} {word} have features", side.rows - 1));
    if rows > met {
        fitted.notes.push(format!("{file}: {} rows belong to {word} without interactions", rows - met));
    }
    if below > 0 {
        fitted.notes.push(format!("{file}: {below} rows belong to {word} below the minimum count"));
    }
    for (at, (column, (i, _))) in columns.into_iter().zip(&input.columns).enumerate() {
        let name = &names[*i];
        let note = match column.fit(name) {
            Ok((kind, mut encoded, note)) => {
                let unseen = fit::split_off(&mut encoded, side.rows as usize);
                fitted.features.push(Feature { name: name.clone(), kind });
                fitted.known.push(encoded);
                fitted.unseen.push(unseen);
                format!("{file}: {name} is {note}")
            }
            Err(reason) => format!("{file}: column {name} is left out: {reason}"),
        };
        match at {
            0..MOST_COLUMNS => fitted.notes.push(note),
            MOST_COLUMNS => fitted.notes.push(format!("{file}: and {} more columns", input.columns.len() - at)),
            _ => {}
        }
    }
    Ok(fitted)
}

/// Columns of a file that have a line of their own.
const MOST_COLUMNS: usize = 100;
