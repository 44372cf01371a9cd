//! Keys of a feature file that name nobody.

use super::FeatureInput;
use crate::data::ingest::ids::Ids;
use crate::data::ingest::renumber::NumberedSide;
use crate::table::{closest, quoted};
use crate::{Error, Result};

/// Keys that are kept.
const KEPT: usize = 20_000;

/// Keys that no interaction names, the first of them.
#[derive(Default)]
pub(super) struct Unmet {
    keys: Vec<Vec<u8>>,
}

impl Unmet {
    pub(super) fn push(&mut self, key: &[u8]) {
        if self.keys.len() < KEPT {
            self.keys.push(key.to_vec());
        }
    }

    /// What to say of the keys, of which `met` of `rows` name somebody; `seen` has the rows that got features.
    ///
    /// # Errors
    /// [`Error::Input`] where (almost) none does, or where many more would, written otherwise.
    pub(super) fn check(
        &self,
        input: &FeatureInput,
        word: &str,
        side: &NumberedSide,
        ids: &Ids,
        seen: &[bool],
        (rows, met): (u64, u64),
    ) -> Result<Option<String>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let without = |each: &mut dyn FnMut(&[u8])| {
            for id in ids.iter() {
                let row = side.row[id as usize];
                // Those without features that the dataset has.
                if seen.get(row as usize) == Some(&false) {
                    each(ids.get(id));
                }
            }
        };
        let would = closest(&self.keys, &without);
        let entities = seen.len() as u64 - 1;
        let almost_none = met * 100 < rows && met * 100 < entities;
        let said = would.as_ref().map(|found| {
            let (key, id) = (quoted(&found.example.0), quoted(&found.example.1));
            format!("{} {word} would match {}: {key} here is {id} in the interactions", found.ids, found.how)
        });
        let column = &input.table.columns[input.key];
        let path = &input.table.path;
        match (said, would) {
            (Some(said), Some(found)) if almost_none || found.ids * 20 >= entities => Err(Error::input(
                path,
                format!(
                    "{met} of {rows} rows match {word} of the interactions (column {column}), and {said}; write the ids in \
                     the same way"
                ),
            )),
            (None, _) if almost_none => Err(Error::input(
                path,
                format!(
                    "{met} of {rows} rows match {word} of the interactions (column {column}; the first is {}); name the \
                     column of their ids by {}_key=COLUMN",
                    quoted(&self.keys[0]),
                    word.trim_end_matches('s')
                ),
            )),
            (Some(said), _) => Ok(Some(format!("{}: {said}", input.table.short_name()))),
            (None, _) => Ok(None),
        }
    }
}
