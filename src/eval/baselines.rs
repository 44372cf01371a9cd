//! What needs no model: the items that everybody buys, or bought in the last days.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use crate::data::dataset::{Dataset, Split};
use crate::data::history::History;
use crate::index::{Found, Lists, NO_ITEM, Ranker, UserBlock};
use crate::settings::Baselines;
use crate::{Error, Result, memory};

use super::neighbours::{NeighbourOptions, Neighbours};

/// What stands beside a ranker.
#[derive(Clone, Debug)]
pub(super) struct Others {
    /// By name: all-time popularity first.
    pub(super) popular: Vec<(&'static str, Popularity)>,
    pub(super) neighbours: Option<Arc<Neighbours>>,
}

impl Others {
    /// `counts` are the training counts of the item vocabulary's rows; the neighbours take `memory` bytes.
    pub(super) fn new(
        dataset: &Dataset,
        history: &History,
        counts: &[u64],
        which: Baselines,
        memory: u64,
    ) -> Result<Others> {
        const DAYS: [u32; 2] = [7, 28];
        // Fewer neighbours make a better list: the baseline is to be hard to beat.
        const NEAREST: usize = 20;
        let mut popular = vec![("popularity", Popularity::new(counts, None))];
        if which != Baselines::None
            && let Some(recent) = recent_counts(dataset, &DAYS)?
        {
            let named = ["popular_7_days", "popular_28_days"].into_iter().zip(recent);
            popular.extend(named.map(|(name, recent)| (name, Popularity::recent(&recent, counts))));
        }
        let neighbours = if which == Baselines::All {
            let options = NeighbourOptions { memory, nearest: NEAREST, ..NeighbourOptions::default() };
            Some(Arc::new(Neighbours::build(history, dataset.manifest().users.rows, counts.len() as u32, &options)?))
        } else {
            None
        };
        Ok(Others { popular, neighbours })
    }
}

/// How often the training rows of the last days name each item: for each of `days` the counts of the item vocabulary's
/// rows in that many days up to the last training row. None where there are no times.
///
/// # Errors
/// [`Error::IdOutOfRange`], or whatever reading the shards gives.
pub fn recent_counts(dataset: &Dataset, days: &[u32]) -> Result<Option<Vec<Vec<u64>>>> {
    const WHAT: &str = "the counts of the last days";
    let mut last = dataset.split(Split::Train).last_timestamp;
    if last.is_none() {
        // Another program's dataset does not say it.
        each_training_row(dataset, |_, time| last = last.max(time))?;
    }
    let Some(last) = last else { return Ok(None) };
    let items = dataset.manifest().items.rows;
    let mut counts = Vec::new();
    for _ in days {
        counts.push(memory::zeros::<u64>(items as usize, WHAT)?);
    }
    let starts: Vec<i64> = days.iter().map(|&days| last.saturating_sub(i64::from(days) * 86_400)).collect();
    each_training_row(dataset, |item, time| {
        for (counts, &start) in counts.iter_mut().zip(&starts) {
            counts[item as usize] += u64::from(time.is_some_and(|time| time > start));
        }
    })?;
    Ok(Some(counts))
}

/// Calls `visit` with the item and the time of every training row.
fn each_training_row(dataset: &Dataset, mut visit: impl FnMut(u32, Option<i64>)) -> Result<()> {
    let rows = dataset.manifest().items.rows;
    for file in &dataset.split(Split::Train).files {
        let (path, shard) = (dataset.path(file), dataset.shard(file)?);
        let mut row = 0;
        for at in 0..shard.blocks() {
            let block = shard.block(at)?;
            for (i, &id) in block.items.iter().enumerate() {
                if id >= rows {
                    return Err(Error::IdOutOfRange { path, row, column: "item", id, rows });
                }
                visit(id, block.timestamps.map(|times| times[i]));
                row += 1;
            }
        }
    }
    Ok(())
}

/// Ranks the items by how often the training split names them, the same for every user but for what is skipped.
#[derive(Clone, Debug)]
pub struct Popularity {
    /// Item rows, most frequent first, ties by row.
    order: Vec<u32>,
    /// The count of each place of `order`.
    scores: Vec<f32>,
}

impl Popularity {
    /// From the training counts of the item vocabulary's rows (row 0 is never returned). With `allowed`, only those
    /// rows are; rows that the vocabulary does not have are ignored.
    pub fn new(counts: &[u64], allowed: Option<&[u32]>) -> Popularity {
        let mut order: Vec<u32> = match allowed {
            Some(rows) => rows.iter().copied().filter(|&row| row > 0 && (row as usize) < counts.len()).collect(),
            None => (1..counts.len() as u32).collect(),
        };
        order.sort_unstable_by_key(|&row| (Reverse(counts[row as usize]), row));
        order.dedup();
        let scores = order.iter().map(|&row| counts[row as usize] as f32).collect();
        Popularity { order, scores }
    }

    /// From the counts of a part of the training rows: most frequent there first, ties by `counts` of all of them, then
    /// by row. Both have the item vocabulary's rows; scores are places, from the last one up.
    pub fn recent(recent: &[u64], counts: &[u64]) -> Popularity {
        let mut order: Vec<u32> = (1..counts.len().min(recent.len()) as u32).collect();
        order.sort_unstable_by_key(|&row| (Reverse(recent[row as usize]), Reverse(counts[row as usize]), row));
        let scores = (0..order.len()).rev().map(|place| place as f32).collect();
        Popularity { order, scores }
    }

    /// The `k` best items of each of `users`, whose skip lists `skip` has.
    pub(super) fn lists(&self, users: Range<usize>, k: usize, skip: Option<&Lists>) -> Found {
        let places = users.len() * k;
        let mut found = Found { k, ids: Vec::with_capacity(places), scores: Vec::with_capacity(places) };
        for (at, user) in users.enumerate() {
            let skipped = skip.map_or(&[][..], |skip| skip.get(user));
            let left = self.order.iter().zip(&self.scores).filter(|(row, _)| skipped.binary_search(row).is_err());
            for (&row, &score) in left.take(k) {
                found.ids.push(row);
                found.scores.push(score);
            }
            found.ids.resize((at + 1) * k, NO_ITEM);
            found.scores.resize((at + 1) * k, f32::NEG_INFINITY);
        }
        found
    }

    /// The items that may be returned, most frequent first.
    pub fn order(&self) -> &[u32] {
        &self.order
    }
}

impl Ranker for Popularity {
    fn history_len(&self) -> usize {
        0
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        if let Some(skip) = skip
            && skip.len() != users.len()
        {
            return Err(Error::Shape {
                op: "popularity",
                expected: format!("{} skip lists", users.len()),
                found: skip.len().to_string(),
            });
        }
        Ok(self.lists(0..users.len(), k, skip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(users: usize) -> UserBlock {
        UserBlock { ids: vec![0; users], ..UserBlock::default() }
    }

    #[test]
    fn counts_decide_then_rows() {
        // Row 0 has the highest count and is still never returned; rows 1, 3 and 4 tie.
        let mut popular = Popularity::new(&[99, 5, 7, 5, 5], None);
        let found = popular.top_k(&block(2), 3, None).unwrap();
        assert_eq!(found.ids, [2, 1, 3, 2, 1, 3]);
        assert_eq!(found.scores, [7.0, 5.0, 5.0, 7.0, 5.0, 5.0]);
    }

    #[test]
    fn the_last_days_decide_then_all_then_rows() {
        let mut popular = Popularity::recent(&[9, 1, 0, 1, 0, 1], &[99, 5, 7, 6, 9, 6]);
        let found = popular.top_k(&block(1), 5, None).unwrap();
        assert_eq!(found.ids, [3, 5, 1, 4, 2]);
        assert_eq!(found.scores, [4.0, 3.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn skipped_items_make_room_for_the_next() {
        let mut popular = Popularity::new(&[0, 5, 7, 5, 5], None);
        let skip = Lists { offsets: vec![0, 2, 2], values: vec![1, 2] };
        let found = popular.top_k(&block(2), 3, Some(&skip)).unwrap();
        assert_eq!(found.items(0), [3, 4]);
        assert_eq!(found.ids[2], NO_ITEM);
        assert_eq!(found.scores[2], f32::NEG_INFINITY);
        assert_eq!(found.items(1), [2, 1, 3]);
    }

    #[test]
    fn an_allow_list_is_kept_to() {
        let mut popular = Popularity::new(&[0, 5, 7, 5, 5], Some(&[0, 3, 3, 4, 77]));
        assert_eq!(popular.top_k(&block(1), 5, None).unwrap().items(0), [3, 4]);
    }

    #[test]
    fn skip_lists_of_another_block_are_refused() {
        let mut popular = Popularity::new(&[0, 5], None);
        assert!(matches!(popular.top_k(&block(2), 1, Some(&Lists::default())), Err(Error::Shape { .. })));
    }
}
