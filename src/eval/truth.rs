//! Who has which relevant items: what a split says, sorted.

use crate::data::dataset::{Dataset, Split};
use crate::index::{Lists, Seen};
use crate::threads::Threads;
use crate::{Error, Result, memory};

/// Who has which relevant items.
#[derive(Debug)]
pub(super) struct Truth {
    /// Users with items in the split, ascending: vocabulary rows, then unseen numbers.
    pub(super) users: Vec<u32>,
    /// R of each: ascending, unique.
    pub(super) relevant: Lists,
    pub(super) rows: u64,
    pub(super) anonymous_rows: u64,
}

impl Truth {
    /// Without the pairs that training has, and without the users who have nothing else.
    pub(super) fn without(&self, seen: &Seen) -> Result<Truth> {
        const WHAT: &str = "the rows of the split that are no repeats";
        let mut left = Truth { users: Vec::new(), relevant: Lists::default(), ..*self };
        memory::reserve_exact(&mut left.users, self.users.len(), WHAT)?;
        memory::reserve_exact(&mut left.relevant.values, self.relevant.values.len(), WHAT)?;
        let mut items = Vec::new();
        for (at, &user) in self.users.iter().enumerate() {
            items.clear();
            seen.items(user, &mut items)?;
            items.sort_unstable();
            let before = left.relevant.values.len();
            let new = self.relevant.get(at).iter().filter(|item| items.binary_search(item).is_err());
            left.relevant.values.extend(new);
            if left.relevant.values.len() > before {
                left.users.push(user);
                left.relevant.close();
            }
        }
        Ok(left)
    }

    pub(super) fn read(dataset: &Dataset, split: Split, most: u64, threads: &Threads) -> Result<Truth> {
        let manifest = dataset.manifest();
        let info = dataset.split(split);
        let empty = || {
            let reason = format!("the {} split has no rows to evaluate on; ingest with a `split`", split.name());
            Err(Error::input(dataset.dir(), reason))
        };
        if info.rows == 0 {
            return empty();
        }
        let needed = info.rows.saturating_mul(8);
        if needed > most {
            return Err(Error::Memory {
                what: format!("sorting the {} split", split.name()),
                needed,
                allowed: most,
                advice: "raise `memory`".into(),
            });
        }
        let users = manifest.users.rows.saturating_add(manifest.users.unseen);
        let items = manifest.items.rows.saturating_add(manifest.items.unseen);
        let mut pairs: Vec<u64> = Vec::new();
        let mut anonymous_rows = 0;
        let mut rows = 0;
        for file in &info.files {
            let (path, shard) = (dataset.path(file), dataset.shard(file)?);
            let mut row = 0;
            for at in 0..shard.blocks() {
                let block = shard.block(at)?;
                memory::reserve(&mut pairs, block.users.len(), "the rows of the split")?;
                for (&user, &item) in block.users.iter().zip(block.items) {
                    for (column, id, rows) in [("user", user, users), ("item", item, items)] {
                        if id >= rows {
                            return Err(Error::IdOutOfRange { path, row, column, id, rows });
                        }
                    }
                    match user {
                        0 => anonymous_rows += 1,
                        _ => pairs.push(u64::from(user) << 32 | u64::from(item)),
                    }
                    row += 1;
                }
            }
            rows += row;
        }
        threads.sort_unstable_by(&mut pairs, u64::cmp);
        pairs.dedup();
        let mut truth = Truth { users: Vec::new(), relevant: Lists::default(), rows, anonymous_rows };
        memory::reserve_exact(&mut truth.relevant.values, pairs.len(), "the rows of the split")?;
        for of_user in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            truth.users.push((of_user[0] >> 32) as u32);
            truth.relevant.values.extend(of_user.iter().map(|&pair| pair as u32));
            truth.relevant.close();
        }
        if truth.users.is_empty() { empty() } else { Ok(truth) }
    }
}
