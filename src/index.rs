//! From a ranker to the best items of every user: who may be returned, for whom, and where it is written.

pub(crate) mod ahead;
pub mod diversity;
pub mod exact;
pub mod filter;
mod hits;
pub mod item_index;
mod pieces;
pub(crate) mod pipeline;
pub(crate) mod places;
pub mod predictions;
mod seen;
mod user_file;
pub mod users;

pub use exact::{RecommendOptions, Recommended, recommend};
pub(crate) use hits::{HitCounter, Hits};
pub use item_index::ItemIndex;
pub use seen::{Exclude, Seen};
pub use user_file::UserFileSummary;
pub use users::{Users, sample_users};

use crate::data::vocabulary::FeatureColumn;
use crate::{Result, memory};

/// The item row of a place without an item.
pub const NO_ITEM: u32 = u32::MAX;

/// Lists of ids, one after the other: list i is `values[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    /// Where each list starts; one more than there are lists, the first is 0.
    pub offsets: Vec<usize>,
    /// The ids of all lists.
    pub values: Vec<u32>,
}

impl Default for Lists {
    fn default() -> Self {
        Lists { offsets: vec![0], values: Vec::new() }
    }
}

impl Lists {
    /// The number of lists.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// List `i`.
    ///
    /// # Panics
    /// When there is no list `i`.
    pub fn get(&self, i: usize) -> &[u32] {
        &self.values[self.offsets[i]..self.offsets[i + 1]]
    }

    /// Lists `of` alone.
    ///
    /// # Panics
    /// When there are no such lists.
    pub(crate) fn slice(&self, of: std::ops::Range<usize>) -> Lists {
        let (first, end) = (self.offsets[of.start], self.offsets[of.end]);
        let offsets = self.offsets[of.start..=of.end].iter().map(|at| at - first).collect();
        Lists { offsets, values: self.values[first..end].to_vec() }
    }

    /// Ends a list: what `values` gained since the last one.
    pub fn close(&mut self) {
        self.offsets.push(self.values.len());
    }

    /// Removes all lists and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.values.clear();
    }
}

/// A block of users to find items for: what the user tower reads.
#[derive(Clone, Debug, Default)]
pub struct UserBlock {
    /// Rows of the user vocabulary; 0 for a user that it does not have.
    pub ids: Vec<u32>,
    /// The codes of the users' feature columns, one column per feature of the vocabulary, `ids.len()` rows each.
    pub features: Vec<FeatureColumn>,
    /// The last n items of each user, oldest first, as rows of the item vocabulary; absent where the model reads none.
    pub history: Option<Lists>,
}

impl UserBlock {
    /// The number of users.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// The best items of a block of users, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Places per user.
    pub k: usize,
    /// users x k rows of the item vocabulary; [`NO_ITEM`] where there is no further item.
    pub ids: Vec<u32>,
    /// users x k scores, descending; -inf where there is no item.
    pub scores: Vec<f32>,
}

impl Found {
    /// Nothing found yet: `rows` lists of `k` empty places.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn empty(rows: usize, k: usize) -> Result<Found> {
        const WHAT: &str = "the lists that are found";
        let ids = memory::filled(NO_ITEM, rows.saturating_mul(k), WHAT)?;
        Ok(Found { k, ids, scores: memory::filled(f32::NEG_INFINITY, rows.saturating_mul(k), WHAT)? })
    }

    /// Takes in what was found for the same users among other items.
    pub(crate) fn merge(&mut self, other: &Found) {
        let k = self.k.max(1);
        let mut both = Vec::with_capacity(2 * k);
        let lines = self.ids.chunks_mut(k).zip(self.scores.chunks_mut(k));
        for ((ids, scores), (more, theirs)) in lines.zip(other.ids.chunks(k).zip(other.scores.chunks(k))) {
            both.clear();
            both.extend(scores.iter().copied().zip(ids.iter().copied()));
            both.extend(theirs.iter().copied().zip(more.iter().copied()));
            put_in_order(&mut both, ids, scores);
        }
    }

    /// Puts each user's items in order, where ties went by something else than their numbers.
    pub(crate) fn sort(&mut self) {
        let k = self.k.max(1);
        for (ids, scores) in self.ids.chunks_mut(k).zip(self.scores.chunks_mut(k)) {
            let mut all: Vec<(f32, u32)> = scores.iter().copied().zip(ids.iter().copied()).collect();
            put_in_order(&mut all, ids, scores);
        }
    }

    /// The items of user `i` of the block, best first, without the empty places.
    ///
    /// # Panics
    /// When the block has no user `i`.
    pub fn items(&self, i: usize) -> &[u32] {
        let row = &self.ids[i * self.k..(i + 1) * self.k];
        let found = row.iter().position(|&id| id == NO_ITEM).unwrap_or(row.len());
        &row[..found]
    }
}

/// Writes the best of `all` by score descending, then number ascending; -0 and 0 are equal. Empty places come last: no
/// item has the largest number.
fn put_in_order(all: &mut [(f32, u32)], ids: &mut [u32], scores: &mut [f32]) {
    all.sort_by(|a, b| (b.0 + 0.0).total_cmp(&(a.0 + 0.0)).then(a.1.cmp(&b.1)));
    for ((id, score), best) in ids.iter_mut().zip(scores).zip(all.iter()) {
        (*score, *id) = *best;
    }
}

/// How far a call is: the same for recommending, evaluating and exporting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is counted.
    pub step: Step,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What a call is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Users are ranked for.
    Users,
    /// Vectors are made and written.
    Vectors,
    /// The graph of a `.usearch` file is linked.
    Graph,
}

impl Progress {
    pub(crate) fn users(done: usize, total: usize) -> Progress {
        Progress { step: Step::Users, done: done as u64, total: total as u64 }
    }
}

/// Something that finds the best items of users: a model, the popularity baseline, or anything of your own that is to be
/// measured by [`evaluate`](crate::eval::evaluate()) or listed by [`recommend`].
///
/// A ranker knows which items it may return (the catalogue, or an allow-list). It never returns row 0, nor an item
/// that is skipped, nor an item twice; it returns k items whenever k are left. Order: score descending, then item row
/// ascending. The same block gives the same answer, always, however users are cut into blocks.
pub trait Ranker {
    /// How many items of a user's history it reads ([`UserBlock::history`]); 0 for none.
    fn history_len(&self) -> usize;

    /// The `k` best items of every user of the block. `skip` lists items per user that must not be returned,
    /// ascending and unique.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when `skip` or a column of the block has another number of users, or
    /// whatever the device reports.
    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found>;

    /// What gathers the blocks of one walk over users for [`rank`](Ranker::rank). Lists that nobody has fetched are
    /// dropped.
    #[doc(hidden)]
    fn reader(&mut self) -> Result<ahead::Reader> {
        Ok(ahead::Reader::as_given())
    }

    /// Begins to find the `k` best items of a block. Gives the lists of the oldest block whose lists it has not given, which
    /// may be this one, or none: a ranker may have one block under way.
    #[doc(hidden)]
    fn rank(&mut self, block: ahead::Gathered, k: usize) -> Result<Option<Found>> {
        let (users, skip) = block.into_block()?;
        self.top_k(&users, k, skip.as_ref()).map(Some)
    }

    /// The lists of the block that is still under way.
    #[doc(hidden)]
    fn rest(&mut self) -> Result<Option<Found>> {
        Ok(None)
    }

    /// What counts hits among `k` items a user where lists are made, so that measuring brings bits to the host and no lists;
    /// blocks are those of [`reader`](Ranker::reader). None, the default: lists are asked for, and counted by whoever
    /// measures, with the same figures.
    #[doc(hidden)]
    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        let _ = k;
        Ok(None)
    }
}
