//! Whether rows are a history: ids inside their vocabularies, in the order of user and time. Pieces of the file are checked
//! apart from each other; the first row that is not as it should be is the one that is told.

use std::path::Path;

use crate::data::batch::Rows;
use crate::{Error, Result};

/// A row's user and time.
type Key = (u32, i64);

/// What every row may come after.
pub(super) const FIRST: Key = (0, i64::MIN);

/// What rows are checked against.
pub(super) struct Check<'a> {
    pub path: &'a Path,
    /// Users and items are below these.
    pub users: u32,
    pub items: u32,
}

/// What a piece of the file holds, as far as it could be checked by itself.
pub(super) struct CheckedPiece {
    first: u64,
    /// The first row and the last one; none where there is no row, or the first is of nobody or of nothing.
    ends: Option<(Key, Key)>,
    /// Users that follow each other, and how many rows each has.
    runs: Vec<(u32, u64)>,
    fault: Option<Error>,
}

impl Check<'_> {
    /// Checks the rows from `first` on.
    pub(super) fn piece(&self, first: u64, rows: Rows<'_>) -> CheckedPiece {
        let mut piece = CheckedPiece { first, ends: None, runs: Vec::new(), fault: None };
        for (i, (&user, &item)) in rows.users.iter().zip(rows.items).enumerate() {
            let key = (user, rows.timestamps.map_or(i64::MIN, |timestamps| timestamps[i]));
            if let Err(fault) = self.row(first + i as u64, key, item, piece.ends.map_or(FIRST, |ends| ends.1)) {
                piece.fault = Some(fault);
                break;
            }
            piece.ends = Some((piece.ends.map_or(key, |ends| ends.0), key));
            match piece.runs.last_mut() {
                Some((of, rows)) if *of == user => *rows += 1,
                _ => piece.runs.push((user, 1)),
            }
        }
        piece
    }

    /// Users and rows of a piece that comes after `last`, which becomes its last row.
    pub(super) fn follows(&self, last: &mut Key, piece: CheckedPiece) -> Result<Vec<(u32, u64)>> {
        if let Some((start, end)) = piece.ends {
            self.order(piece.first, start, *last)?;
            *last = end;
        }
        piece.fault.map_or(Ok(piece.runs), Err)
    }

    fn row(&self, row: u64, key: Key, item: u32, last: Key) -> Result<()> {
        let out_of_range =
            |column, id, rows| Err(Error::IdOutOfRange { path: self.path.to_owned(), row, column, id, rows });
        if key.0 >= self.users {
            return out_of_range("user", key.0, self.users);
        }
        if item >= self.items {
            return out_of_range("item", item, self.items);
        }
        self.order(row, key, last)
    }

    fn order(&self, row: u64, key: Key, last: Key) -> Result<()> {
        if key < last {
            let reason = "not in the order of user and time; ingest again";
            return Err(Error::damaged(self.path, format!("row {row}"), reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of rows in pieces of `size`.
    fn said(users: &[u32], items: &[u32], times: &[i64], size: usize) -> Result<Vec<(u32, u64)>, String> {
        let check = Check { path: Path::new("history.arrow"), users: 5, items: 10 };
        let (mut last, mut runs): (Key, Vec<(u32, u64)>) = (FIRST, Vec::new());
        for start in (0..users.len()).step_by(size) {
            let part = start..users.len().min(start + size);
            let (users, items) = (&users[part.clone()], &items[part.clone()]);
            let rows = Rows { users, items, timestamps: Some(&times[part]), weights: None };
            let piece = check.piece(start as u64, rows);
            for (user, rows) in check.follows(&mut last, piece).map_err(|fault| fault.to_string())? {
                match runs.last_mut() {
                    Some((of, all)) if *of == user => *all += rows,
                    _ => runs.push((user, rows)),
                }
            }
        }
        Ok(runs)
    }

    #[test]
    fn pieces_of_any_size_say_the_same() {
        let users = [0, 1, 1, 1, 3, 3, 4];
        let (items, times) = ([1, 2, 3, 4, 5, 6, 7], [9, 1, 2, 2, 0, 5, 1]);
        let whole = said(&users, &items, &times, 7);
        assert_eq!(whole, Ok(vec![(0, 1), (1, 3), (3, 2), (4, 1)]));
        // One value is wrong, then another too: the first row of the file that is wrong is told, whatever the pieces.
        for (at, other) in [(0, 0), (1, 4), (2, 3), (3, 6), (4, 5), (6, 6)] {
            for fault in 0..4 {
                let (mut users, mut items, mut times) = (users, items, times);
                match fault {
                    0 => users[at] = 7,
                    1 => items[at] = 10,
                    2 => times[at] = i64::MIN,
                    _ => (users[at], times[at]) = (0, 0),
                }
                items[other] = if other == at { items[at] } else { 99 };
                let whole = said(&users, &items, &times, 7);
                for size in 1..7 {
                    assert_eq!(said(&users, &items, &times, size), whole, "row {at}, fault {fault}, pieces of {size}");
                }
            }
        }
    }
}
