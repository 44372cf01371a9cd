//! How much of what people do they have done before: rows whose pair of user and item stands in training (already).

use std::sync::Arc;

use super::dataset::{Dataset, FileInfo, Split};
use super::history::History;
use super::shard::{Shard, ShardIndex};
use crate::threads::Threads;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "counting what repeats";
/// Rows that are sorted at once: 32 MiB.
const CHUNK: usize = 4 << 20;
/// Items of one user that are kept before those that stand twice are thrown out.
const LIST: usize = 1 << 20;

/// Rows of a split whose pair the training split has; in training, rows that repeat an earlier one. Rows of nobody in
/// particular repeat nothing. What ingest has counted is taken from the manifest; else the rows are read, 8 bytes each
/// of up to 4 million at once.
///
/// # Errors
/// Whatever reading the shards or the history gives.
pub fn repeats(dataset: &Dataset, split: Split) -> Result<u64> {
    match dataset.split(split).repeats {
        Some(repeats) => Ok(repeats),
        None => {
            let history = History::of_dataset(dataset)?;
            let shard = |file: &FileInfo| dataset.shard(file);
            of_split(split, &dataset.split(split).files, shard, &history, CHUNK)
        }
    }
}

/// [`repeats`] of a split's files, which `open` opens.
pub(crate) fn count(
    split: Split,
    files: &[FileInfo],
    open: impl Fn(&FileInfo) -> Result<Shard>,
    history: &History,
) -> Result<u64> {
    of_split(split, files, open, history, CHUNK)
}

fn of_split(
    split: Split,
    files: &[FileInfo],
    open: impl Fn(&FileInfo) -> Result<Shard>,
    history: &History,
    most: usize,
) -> Result<u64> {
    if split == Split::Train {
        return of_training(history.index(), LIST);
    }
    let threads = Threads::available();
    let (mut repeats, mut pairs) = (0, Vec::new());
    for file in files {
        let shard = open(file)?;
        for at in 0..shard.blocks() {
            let block = shard.block(at)?;
            for (users, items) in block.users.chunks(most).zip(block.items.chunks(most)) {
                if pairs.len() + users.len() > most {
                    repeats += in_history(&mut pairs, history, &threads)?;
                }
                memory::reserve(&mut pairs, users.len(), WHAT)?;
                let both = users.iter().zip(items).filter(|(user, _)| **user != 0);
                pairs.extend(both.map(|(&user, &item)| u64::from(user) << 32 | u64::from(item)));
            }
        }
    }
    Ok(repeats + in_history(&mut pairs, history, &threads)?)
}

/// How many of `pairs` (user, item) the history has; empties them.
fn in_history(pairs: &mut Vec<u64>, history: &History, threads: &Threads) -> Result<u64> {
    threads.sort_unstable_by(pairs, u64::cmp);
    let (mut repeats, mut items) = (0, Vec::new());
    for of_user in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
        items.clear();
        history.items((of_user[0] >> 32) as u32, &mut items)?;
        items.sort_unstable();
        repeats += of_user.iter().filter(|&&pair| items.binary_search(&(pair as u32)).is_ok()).count() as u64;
    }
    pairs.clear();
    Ok(repeats)
}

/// Rows that repeat an earlier one of their user, whose rows stand together.
fn of_training(index: &Arc<ShardIndex>, most: usize) -> Result<u64> {
    let (mut repeats, mut user, mut items) = (0, 0, Vec::<u32>::new());
    let close = |items: &mut Vec<u32>| {
        let rows = items.len();
        items.sort_unstable();
        items.dedup();
        (rows - items.len()) as u64
    };
    // A list that stays long is not sorted for every block of rows.
    let mut full = most;
    index.scan(|_, rows| {
        memory::reserve(&mut items, rows.len(), WHAT)?;
        for (&next, &item) in rows.users.iter().zip(rows.items) {
            if next != user {
                repeats += close(&mut items);
                items.clear();
                (user, full) = (next, most);
            }
            if user != 0 {
                if items.len() >= full {
                    repeats += close(&mut items);
                    full = most.max(2 * items.len());
                }
                items.push(item);
            }
        }
        Ok(())
    })?;
    Ok(repeats + close(&mut items))
}

#[cfg(test)]
mod tests;
