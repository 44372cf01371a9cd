//! Which items may be returned at all.

use std::path::Path;

use crate::data::vocabulary::{RawId, Vocabulary};
use crate::{Error, Result};

use super::table::Table;

/// The rows that are in every one of these ascending lists; `None` where there is no list.
pub fn in_all(lists: Vec<Vec<u32>>) -> Option<Vec<u32>> {
    lists.into_iter().reduce(|a, b| a.into_iter().filter(|row| b.binary_search(row).is_ok()).collect())
}

/// The items that may be returned, read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    /// Rows of the item vocabulary, ascending and unique; at least one.
    pub rows: Vec<u32>,
    /// Ids in the file, repeats included.
    pub listed: u64,
    /// Ids that the vocabulary does not have, repeats included: they cannot be returned.
    pub unknown: u64,
    /// The first of them.
    pub first_unknown: Option<String>,
}

impl AllowList {
    /// Reads raw item ids: one a line, or the column `column` (or `item`) of a CSV or TSV file with a header. A line
    /// that says `column` or `item` is a header. `.gz` and `.zst` are unpacked.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Row`] for a line that cannot be read, [`Error::Schema`] when the column is missing,
    /// [`Error::Input`] when the vocabulary has none of the ids.
    pub fn read(path: &Path, items: &Vocabulary, column: &str) -> Result<AllowList> {
        let mut table = Table::open(path, &[column, "item"])?;
        let at = table.column(&[column, "item"], true)?.unwrap_or(0);
        let mut list = AllowList { rows: Vec::new(), listed: 0, unknown: 0, first_unknown: None };
        while let Some(row) = table.next()? {
            let text = row.get(at);
            if text.is_empty() {
                continue;
            }
            list.listed += 1;
            match items.find(RawId::Text(text)) {
                Some(row) if row > 0 => list.rows.push(row),
                _ => {
                    list.unknown += 1;
                    list.first_unknown.get_or_insert_with(|| text.to_owned());
                }
            }
        }
        list.rows.sort_unstable();
        list.rows.dedup();
        if list.rows.is_empty() {
            let reason = match &list.first_unknown {
                Some(id) => format!("none of the {} items is known (the first is `{id}`)", list.listed),
                None => "no items".to_owned(),
            };
            return Err(Error::input(path, format!("{reason}; list raw item ids as the training data has them")));
        }
        Ok(list)
    }
}
