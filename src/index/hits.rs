//! Hits counted where lists are made: what measuring needs of them, and no more.

use super::Lists;
use super::ahead::Gathered;
use crate::{Error, Result, memory};

/// Which places of a block's lists have relevant items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hits {
    /// Places per user.
    pub k: usize,
    /// k / 32 words a user, rounded up: bit j of word i is set where place 32 i + j has a hit.
    pub words: Vec<u32>,
}

impl Hits {
    /// None yet, for so many users.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn none(users: usize, k: usize) -> Result<Hits> {
        Ok(Hits { k, words: memory::zeros(users.saturating_mul(k.div_ceil(32)), "the hits of a block")? })
    }

    /// Whether they have the shape that was asked for.
    pub(crate) fn check(&self, users: usize, k: usize) -> Result<()> {
        let words = users * k.div_ceil(32);
        if self.k == k && self.words.len() == words {
            return Ok(());
        }
        let expected = format!("{words} words for {users} users x {k} places");
        Err(Error::Shape { op: "hits", expected, found: format!("k {}, {} words", self.k, self.words.len()) })
    }

    /// The places of user `i` of the block that have hits: ascending, from 0.
    ///
    /// # Panics
    /// When the block has no user `i`.
    pub fn places(&self, i: usize) -> impl Iterator<Item = usize> + Clone {
        let each = self.k.div_ceil(32);
        let words = self.words[i * each..(i + 1) * each].iter();
        words.enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(32 * at + bit)
            })
        })
    }
}

/// Counts the hits of users' lists where a ranker makes them; see [`Ranker::hit_counter`](super::Ranker::hit_counter).
pub trait HitCounter {
    /// The hits in the lists that [`Ranker::top_k`](super::Ranker::top_k) would give for the users of a block.
    /// `relevant` lists for each user the item rows that are hits, ascending; rows that are never returned, such as 0, may be
    /// among them.
    ///
    /// # Errors
    /// As [`Ranker::top_k`](super::Ranker::top_k), also where `relevant` has another number of users.
    fn hits(&mut self, block: Gathered, relevant: Lists) -> Result<Hits>;

    /// By item row, the first place (from 0) that the item had in any list so far; [`u32::MAX`] where it had none.
    ///
    /// # Errors
    /// Whatever the device reports.
    fn first_places(&mut self) -> Result<Vec<u32>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_bits_of_a_user() {
        let hits = Hits { k: 40, words: vec![1 << 31 | 5, 1 << 7, 0, 0, u32::MAX, 0] };
        assert_eq!(hits.places(0).collect::<Vec<_>>(), [0, 2, 31, 39]);
        assert_eq!(hits.places(1).count(), 0);
        assert!(hits.places(2).eq(0..32));
        assert_eq!(Hits::none(3, 40).unwrap().words, [0; 6]);
    }
}
