//! What the user tower and a catalogue read of a block of users. Gathered on any thread.

use std::sync::Arc;

use crate::index::ahead::{Gathered, Reader};
use crate::index::{Lists, UserBlock};
use crate::model::inputs::{HostBag, block_bags};
use crate::model::spec::TowerSpec;
use crate::{Error, Result};

/// A block of users as the tower reads it, and what they skip.
pub(crate) struct TowerBlock {
    pub users: usize,
    pub bags: Vec<HostBag>,
    /// In the numbers of whatever is searched.
    pub skip: Option<Lists>,
}

/// What item rows are in whatever is searched.
#[derive(Clone)]
pub(crate) enum Places {
    /// Themselves.
    Rows,
    /// Row 1 is at place 0, and so on.
    Whole,
    /// Places of these rows, which ascend.
    Of(Arc<Vec<u32>>),
}

impl Places {
    fn of(&self, row: u32) -> Option<u32> {
        match self {
            Places::Rows => Some(row),
            Places::Whole => row.checked_sub(1),
            Places::Of(rows) => rows.binary_search(&row).ok().map(|place| place as u32),
        }
    }

    /// Puts places where rows were; rows without one are left out.
    fn translate(&self, lists: &mut Lists) {
        if let Places::Rows = self {
            return;
        }
        let (mut from, mut kept) = (0, 0);
        for end in lists.offsets.iter_mut().skip(1) {
            for at in from..*end {
                if let Some(place) = self.of(lists.values[at]) {
                    lists.values[kept] = place;
                    kept += 1;
                }
            }
            (from, *end) = (*end, kept);
        }
        lists.values.truncate(kept);
    }
}

/// Gathers blocks of users for a tower.
pub(crate) struct TowerReader {
    pub spec: TowerSpec,
    /// Rows of each of the model's tables.
    pub table_rows: Vec<usize>,
    pub places: Places,
}

impl TowerReader {
    /// # Errors
    /// [`Error::Shape`] when a column, the histories or the skip lists have another number of users than the block.
    pub(crate) fn gather(&self, users: &UserBlock, mut skip: Option<Lists>) -> Result<TowerBlock> {
        let mut bags = Vec::new();
        block_bags(&self.spec, users, &self.table_rows, &mut bags)?;
        if let Some(lists) = &mut skip {
            if lists.len() != users.len() {
                let (expected, found) = (format!("{} skip lists", users.len()), lists.len().to_string());
                return Err(Error::Shape { op: "top_k", expected, found });
            }
            self.places.translate(lists);
        }
        Ok(TowerBlock { users: users.len(), bags, skip })
    }

    /// As what gathers blocks for a ranker.
    pub(crate) fn for_ranker(self) -> Reader {
        Reader::new(move |users, skip| Ok(Gathered::own(self.gather(&users, skip)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_lists_are_put_in_places() {
        let lists = || Lists { offsets: vec![0, 3, 3, 5], values: vec![0, 2, 7, 3, 4] };
        let translated = |places: Places| {
            let mut lists = lists();
            places.translate(&mut lists);
            lists
        };
        assert_eq!(translated(Places::Rows), lists());
        assert_eq!(translated(Places::Whole), Lists { offsets: vec![0, 2, 2, 4], values: vec![1, 6, 2, 3] });
        let of = Places::Of(Arc::new(vec![1, 3, 7]));
        assert_eq!(translated(of), Lists { offsets: vec![0, 1, 1, 2], values: vec![2, 1] });
    }
}
