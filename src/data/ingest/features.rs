//! Feature columns: read from a file with one row per entity, fitted on the entities of the training split alone, and
//! encoded for all.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::config::FeatureSpec;
use super::ids::Ids;
use super::rejected::Rejected;
use super::renumber::{BELOW, NOWHERE, Side};
use super::rows::{Reject, quoted};
use super::table::Table;
use crate::Result;
use crate::data::dataset::Feature;
use crate::data::vocabulary::FeatureColumn;

mod fit;
mod values;

use values::Values;

/// A feature file, planned.
pub(super) struct FeatureInput {
    pub(super) table: Table,
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
    side: &Side,
    ids: &Ids,
    rejected: &mut Rejected,
) -> Result<Fitted> {
    let entities = side.rows as usize + side.unseen as usize;
    let names = &input.table.columns;
    let mut columns: Vec<Values> =
        input.columns.iter().map(|(_, spec)| Values::new(spec.clone(), side.rows as usize, entities)).collect();
    let mut seen = vec![false; entities];
    let (mut unused, mut below, mut trained) = (0u64, 0u64, 0u64);
    input.table.for_each(&Arc::new(AtomicU64::new(0)), &mut |number, values| {
        let path = &input.table.path;
        let values = match values {
            Ok(values) => values,
            Err(reject) => return rejected.push(path, number, reject),
        };
        let row = ids.find(values[input.key]).map_or(NOWHERE, |id| side.row[id as usize]);
        if row >= BELOW {
            *(if row == BELOW { &mut below } else { &mut unused }) += 1;
            return Ok(());
        }
        let problem = if seen[row as usize] {
            Some((input.key, format!("{} has a row already", quoted(values[input.key]))))
        } else {
            columns.iter().zip(&input.columns).find_map(|(c, (i, _))| c.check(values[*i]).map(|reason| (*i, reason)))
        };
        if let Some((column, reason)) = problem {
            let text = values.join(&b","[..]);
            return rejected.push(path, number, Reject { line: 0, column: names[column].clone(), reason, text });
        }
        seen[row as usize] = true;
        trained += u64::from(row < side.rows);
        for (column, (i, _)) in columns.iter_mut().zip(&input.columns) {
            column.set(row, values[*i]);
        }
        Ok(())
    })?;
    let file = input.table.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut fitted = Fitted::default();
    fitted.notes.push(format!("{file}: {trained} of {} {word} have features", side.rows - 1));
    if unused > 0 {
        fitted.notes.push(format!("{file}: {unused} rows are of {word} that no interaction names"));
    }
    if below > 0 {
        fitted.notes.push(format!("{file}: {below} rows are of {word} below the least count"));
    }
    for (column, (i, _)) in columns.into_iter().zip(&input.columns) {
        let name = &names[*i];
        match column.fit(name) {
            Ok((kind, mut encoded)) => {
                let unseen = fit::split_off(&mut encoded, side.rows as usize);
                fitted.features.push(Feature { name: name.clone(), kind });
                fitted.known.push(encoded);
                fitted.unseen.push(unseen);
            }
            Err(reason) => fitted.notes.push(format!("{file}: column {name} is left out: {reason}")),
        }
    }
    Ok(fitted)
}

/// Whether this name can be a feature's: the vocabulary file has an `id` and a `count` of its own.
pub(super) fn check_name(path: &Path, name: &str) -> Result<()> {
    if name == "id" || name == "count" || name.is_empty() {
        return Err(crate::Error::input(
            path,
            format!("a feature cannot be called `{name}`; rename the column, or leave it out ({name}=skip)"),
        ));
    }
    Ok(())
}
