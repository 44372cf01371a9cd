//! What needs no model: the items that everybody buys.

use std::cmp::Reverse;

use crate::index::{Found, Lists, NO_ITEM, Ranker, UserBlock};
use crate::{Error, Result};

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
        let mut found =
            Found { k, ids: Vec::with_capacity(users.len() * k), scores: Vec::with_capacity(users.len() * k) };
        for user in 0..users.len() {
            let skipped = skip.map_or(&[][..], |skip| skip.get(user));
            let left = self.order.iter().zip(&self.scores).filter(|(row, _)| skipped.binary_search(row).is_err());
            for (&row, &score) in left.take(k) {
                found.ids.push(row);
                found.scores.push(score);
            }
            found.ids.resize((user + 1) * k, NO_ITEM);
            found.scores.resize((user + 1) * k, f32::NEG_INFINITY);
        }
        Ok(found)
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
