//! Which items a user must not get, and which items may be returned at all.

use std::sync::Arc;

use crate::data::dataset::Dataset;
use crate::data::history::History;
use crate::data::vocabulary::{RawId, Vocabulary};
use crate::table::names::Role;
use crate::table::{Input, ReadOptions, quoted};
use crate::{Error, Result};

use super::user_file::{KEPT, check_written, open_list, user_column};

/// The training items of every user, in the rows of the vocabularies that a ranker was made with.
pub struct Seen {
    history: Arc<History>,
    /// The history's user row of each vocabulary row (0: none); absent where both are numbered the same.
    users: Option<Vec<u32>>,
    /// The vocabulary's item row of each history row (0: none); absent where both are numbered the same.
    items: Option<Vec<u32>>,
}

impl Seen {
    /// Of a history whose numbers are the vocabularies' own.
    pub fn new(history: Arc<History>) -> Seen {
        Seen { history, users: None, items: None }
    }

    /// Of the dataset whose vocabularies the ranker was made with.
    ///
    /// # Errors
    /// Whatever opening the history gives.
    pub fn of_dataset(dataset: &Dataset) -> Result<Seen> {
        Ok(Seen::new(Arc::new(History::of_dataset(dataset)?)))
    }

    /// Of a dataset that may number users and items otherwise than `users` and `items`, the vocabularies that the
    /// ranker was made with: raw ids tie them together. Users and items that only one side has are left out.
    ///
    /// # Errors
    /// Whatever opening the dataset's vocabularies or its history gives.
    pub fn with_vocabularies(dataset: &Dataset, users: &Vocabulary, items: &Vocabulary) -> Result<Seen> {
        let manifest = dataset.manifest();
        let mut seen = Seen::of_dataset(dataset)?;
        if !same(&manifest.users.file, &users.info.file) {
            let theirs = Vocabulary::open(dataset.dir(), &manifest.users)?;
            seen.users = Some(translate(users, &theirs));
        }
        if !same(&manifest.items.file, &items.info.file) {
            let theirs = Vocabulary::open(dataset.dir(), &manifest.items)?;
            seen.items = Some(translate(&theirs, items));
        }
        Ok(seen)
    }

    /// Appends the training items of a user, oldest first, repeats included. A row that is 0 or past the vocabulary
    /// has none.
    ///
    /// # Errors
    /// Whatever reading the history gives.
    pub fn items(&self, user: u32, out: &mut Vec<u32>) -> Result<()> {
        let row = match &self.users {
            Some(rows) => rows.get(user as usize).copied().unwrap_or(0),
            None => user,
        };
        if row == 0 {
            return Ok(());
        }
        let start = out.len();
        self.history.items(row, out)?;
        if let Some(rows) = &self.items {
            let mut kept = start;
            for at in start..out.len() {
                let item = rows.get(out[at] as usize).copied().unwrap_or(0);
                if item != 0 {
                    out[kept] = item;
                    kept += 1;
                }
            }
            out.truncate(kept);
        }
        Ok(())
    }
}

fn same(a: &crate::data::dataset::FileInfo, b: &crate::data::dataset::FileInfo) -> bool {
    a.rows == b.rows && a.xxh3.is_some() && a.xxh3 == b.xxh3
}

/// The row in `to` of each row of `from`; 0 where it has none.
fn translate(from: &Vocabulary, to: &Vocabulary) -> Vec<u32> {
    let row = |row: usize| {
        let raw = u32::try_from(row).ok().filter(|&row| row > 0).and_then(|row| from.raw(row))?;
        to.find(raw)
    };
    (0..from.rows()).map(|from| row(from).unwrap_or(0)).collect()
}

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
            return Err(Error::input(path, format!("{reason}; list raw item ids as the training data has them")));
        }
        Ok(list)
    }
}
