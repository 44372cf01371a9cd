//! What the user tower and a catalogue read of a block of users. Gathered on any thread.

use crate::index::ahead::{Gathered, Reader};
use crate::index::places::Places;
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
