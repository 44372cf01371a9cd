//! The items of the validation and test splits, by user.

use crate::data::dataset::{Dataset, Split};
use crate::{Error, Result, memory};

/// What takes the memory.
const WHAT: &str = "the items of the validation and test splits";

/// User u's items are `items[offsets[u]..offsets[u + 1]]`: numbers of the item vocabulary.
#[derive(Debug)]
pub(super) struct HeldOutItems {
    offsets: Vec<u64>,
    items: Vec<u32>,
}

impl HeldOutItems {
    /// Reads the shards twice: users are counted, then items are put in their places. `None` where there are no rows.
    /// Rows without a user or an item are left out.
    pub(super) fn read(dataset: &Dataset, memory: u64) -> Result<Option<HeldOutItems>> {
        let manifest = dataset.manifest();
        let rows: u64 = [Split::Valid, Split::Test].map(|split| dataset.split(split).rows).iter().sum();
        if rows == 0 {
            return Ok(None);
        }
        let users = u64::from(manifest.users.rows) + u64::from(manifest.users.unseen);
        let needed = rows.saturating_mul(4).saturating_add(users * 8);
        if needed > memory {
            return Err(Error::Memory {
                what: WHAT.into(),
                needed,
                allowed: memory,
                advice: "raise `memory`, or exclude training items alone".into(),
            });
        }
        let mut offsets = memory::zeros::<u64>(users as usize + 1, WHAT)?;
        each(dataset, |user, _| offsets[user as usize + 1] += 1)?;
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        let mut items = memory::zeros::<u32>(sum as usize, WHAT)?;
        // A user's start moves to its next free place, and ends where the next user starts.
        each(dataset, |user, item| {
            let place = &mut offsets[user as usize];
            if let Some(slot) = items.get_mut(*place as usize) {
                *slot = item;
            }
            *place += 1;
        })?;
        offsets.rotate_right(1);
        offsets[0] = 0;
        Ok(Some(HeldOutItems { offsets, items }))
    }

    /// The items of a user, in the order of the shards.
    pub(super) fn items(&self, user: u32) -> &[u32] {
        match self.offsets.get(user as usize..user as usize + 2) {
            Some(&[start, end]) => self.items.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Calls `found` with the user and the item of every row that has both.
fn each(dataset: &Dataset, mut found: impl FnMut(u32, u32)) -> Result<()> {
    let manifest = dataset.manifest();
    let users = manifest.users.rows.saturating_add(manifest.users.unseen);
    let items = manifest.items.rows.saturating_add(manifest.items.unseen);
    for file in [Split::Valid, Split::Test].into_iter().flat_map(|split| &dataset.split(split).files) {
        let (path, shard) = (dataset.path(file), dataset.shard(file)?);
        let mut row = 0;
        for at in 0..shard.blocks() {
            let block = shard.block(at)?;
            for (&user, &item) in block.users.iter().zip(block.items) {
                for (column, id, rows) in [("user", user, users), ("item", item, items)] {
                    if id >= rows {
                        return Err(Error::IdOutOfRange { path, row, column, id, rows });
                    }
                }
                if user != 0 && item != 0 {
                    found(user, item);
                }
                row += 1;
            }
        }
    }
    Ok(())
}
