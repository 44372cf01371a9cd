//! Which items may be returned at all.

use crate::data::vocabulary::{RawId, Vocabulary};
use crate::table::names::Role;
use crate::table::{Input, ReadOptions, quoted};
use crate::{Error, Result};

use super::user_file::{KEPT, check_written, open_list, user_column};

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
    /// Reads raw item ids from a table in any format that ingest reads: one a line, or the column `column` (or one with a
    /// common name). A list's first line is a header where it is such a name.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Row`] for a line that cannot be read, [`Error::Input`] when the column is missing, when the
    /// vocabulary has none of the ids, or when it would have most, written otherwise.
    pub fn read(input: impl Into<Input>, items: &Vocabulary, column: &str, options: &ReadOptions) -> Result<AllowList> {
        let table = open_list(&input.into(), column, Role::Item, options)?;
        let path = &table.path;
        let at = user_column(&table, column, Role::Item)?;
        let mut list = AllowList { rows: Vec::new(), listed: 0, unknown: 0, first_unknown: None };
        let mut unknown = Vec::new();
        table.for_each(Some(&[at]), &[at], &mut |row, values| {
            let error = |column: String, reason: String| Error::Row { path: path.clone(), row, column, reason };
            let values = values.map_err(|reject| error(reject.column, reject.reason))?;
            let value = values[at];
            if table.missing.is_id(value) {
                return Ok(());
            }
            let text = std::str::from_utf8(value);
            let text = text.map_err(|_| error(table.columns[at].clone(), format!("{} is not UTF-8", quoted(value))))?;
            list.listed += 1;
            match items.find(RawId::Text(text)) {
                Some(row) if row > 0 => list.rows.push(row),
                _ => {
                    list.unknown += 1;
                    list.first_unknown.get_or_insert_with(|| text.to_owned());
                    if unknown.len() < KEPT {
                        unknown.push(value.to_vec());
                    }
                }
            }
            Ok(())
        })?;
        check_written(path, &unknown, list.listed, items, "items")?;
        list.rows.sort_unstable();
        list.rows.dedup();
        if list.rows.is_empty() {
            let reason = match &list.first_unknown {
                Some(id) => format!("none of the {} items is known (the first is `{id}`)", list.listed),
                None => "no items".to_owned(),
            };
            return Err(Error::input(path, format!("{reason}; list raw item ids as they are in the training data")));
        }
        Ok(list)
    }
}
