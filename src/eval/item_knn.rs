//! What needs no training either: the neighbours of what a user has.

use std::sync::Arc;

use crate::index::{Found, Lists, NO_ITEM, Ranker, UserBlock};
use crate::threads::{Threads, ranges};
use crate::{Error, Result, memory};

use super::baselines::Popularity;
use super::neighbours::{Neighbours, keep_nearest};

/// What takes the memory.
const WHAT: &str = "the scores of the neighbours";
/// Rows of a user that are read, the last ones.
const HISTORY: usize = 200;
/// Users of a part: a part has a score for every item.
const USERS: usize = 128;

/// Item-kNN: an item's score is the sum of its similarities to the user's distinct items among the last 200 rows. Where
/// items of the user may be returned, each is a neighbour of itself, too. Places that the neighbours leave are the popular
/// items'.
#[derive(Debug)]
pub struct ItemKnn {
    neighbours: Arc<Neighbours>,
    popular: Popularity,
    own: bool,
    threads: Threads,
}

impl ItemKnn {
    /// Of these neighbours, and of what is popular among the same items. `own`: the user's items may be returned.
    pub fn new(neighbours: Arc<Neighbours>, popular: Popularity, own: bool) -> ItemKnn {
        ItemKnn { neighbours, popular, own, threads: Threads::available() }
    }

    /// The best items of users `range` of a block.
    fn part(
        &self,
        users: std::ops::Range<usize>,
        history: &Lists,
        k: usize,
        skip: Option<&Lists>,
    ) -> Result<Vec<(u32, f32)>> {
        let mut scores = memory::zeros::<f32>(self.neighbours.items(), WHAT)?;
        let mut lists = memory::with_capacity(users.len() * k, WHAT)?;
        let (mut own, mut found) = (Vec::new(), Vec::new());
        for user in users {
            own.clear();
            own.extend(history.get(user).iter().filter(|&&item| (item as usize) < scores.len()));
            own.sort_unstable();
            own.dedup();
            self.neighbours.score(own.iter().copied(), &mut scores);
            if self.own {
                own.iter().for_each(|&item| scores[item as usize] += self.neighbours.own(item));
            }
            let skipped = skip.map_or(&[][..], |skip| skip.get(user));
            let is_skipped = |item: u32| item == 0 || skipped.binary_search(&item).is_ok();
            found.clear();
            // Every score that was added to is taken back to 0.
            for &item in &own {
                let near = self.neighbours.of(item).iter().map(|&(near, _)| near).chain(self.own.then_some(item));
                for near in near {
                    let score = std::mem::take(&mut scores[near as usize]);
                    if score > 0.0 && !is_skipped(near) {
                        found.push((near, score));
                    }
                }
            }
            keep_nearest(&mut found, k);
            let start = lists.len();
            lists.extend_from_slice(&found);
            for (place, &item) in self.popular.order().iter().enumerate() {
                if lists.len() - start == k {
                    break;
                }
                if !is_skipped(item) && !found.iter().any(|&(own, _)| own == item) {
                    lists.push((item, -(place as f32)));
                }
            }
            lists.resize(start + k, (NO_ITEM, f32::NEG_INFINITY));
        }
        Ok(lists)
    }
}

impl Ranker for ItemKnn {
    fn history_len(&self) -> usize {
        HISTORY
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        let wrong = |found: usize, what: &str| Error::Shape {
            op: "item_knn",
            expected: format!("{} {what}", users.len()),
            found: found.to_string(),
        };
        if let Some(skip) = skip.filter(|skip| skip.len() != users.len()) {
            return Err(wrong(skip.len(), "skip lists"));
        }
        let history = users.history.as_ref();
        let Some(history) = history.filter(|history| history.len() == users.len()) else {
            return Err(wrong(history.map_or(0, Lists::len), "histories"));
        };
        let parts = self.threads.map(ranges(users.len(), USERS), 1, |_, range| self.part(range, history, k, skip));
        let mut found = Found { k, ids: Vec::new(), scores: Vec::new() };
        memory::reserve_exact(&mut found.ids, users.len() * k, WHAT)?;
        memory::reserve_exact(&mut found.scores, users.len() * k, WHAT)?;
        for part in parts {
            for (item, score) in part? {
                found.ids.push(item);
                found.scores.push(score);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
