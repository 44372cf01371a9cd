//! Who gets recommendations: everybody, some ids, or the users of a file; handed out in blocks.

use std::ops::Range;

use crate::data::dataset::Dataset;
use crate::data::vocabulary::{FeatureColumn, RawId, RawIds, Vocabulary};
use crate::{Error, Result};

use super::predictions::IdKind;
use super::seen::{Exclude, Seen};
use super::{Lists, UserBlock};

/// A list of users and what the user tower reads of them.
#[derive(Debug)]
pub struct Users<'a> {
    vocabulary: &'a Vocabulary,
    selection: UserSelection,
}

#[derive(Debug)]
enum UserSelection {
    /// Rows 1, 2, … of the vocabulary.
    All,
    /// Vocabulary rows, or numbers of unseen ids.
    Ids(Vec<u32>),
    /// The users of a file.
    Listed(Box<Listed>),
}

/// The users of a file, in its order.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) names: RawIds,
    /// Vocabulary rows, or numbers of unseen ids; 0 for somebody new.
    pub(super) ids: Vec<u32>,
    /// Features, where the file has any.
    pub(super) features: Option<Vec<FeatureColumn>>,
    /// Items that the file says a user had, oldest first, where it has any.
    pub(super) given: Option<Lists>,
}

/// What to read for a block of users.
#[derive(Clone, Copy)]
pub(crate) struct BlockOptions<'a> {
    /// The users' items.
    pub seen: Option<&'a Seen>,
    /// What skip lists hold, beside the items that a file gives; none are made for [`Exclude::None`].
    pub exclude: Exclude,
    /// How many history items the model reads; 0 for none.
    pub history: usize,
    /// The bytes that a block and what is found for it may take.
    pub memory: u64,
    /// Places per user, for that account.
    pub k: usize,
}

/// What a user of a block takes in the ranker: its embedding, its features, its share of a heap of candidates.
const USER_BYTES: u64 = 16 << 10;
/// Blocks are no larger than this: more users would not make the work per item any cheaper.
const MAX_USERS: u64 = 8192;
/// Blocks that are alive at once, at most: one that is ranked and those that are prepared.
pub(crate) const MOST_BLOCKS: usize = 9;

impl BlockOptions<'_> {
    /// The most users and the most items of users of a block: what is ranked takes 3/8 of the memory, what users have an
    /// eighth, over all blocks that are alive.
    ///
    /// # Errors
    /// [`Error::Memory`] when not even one user fits.
    fn limits(&self) -> Result<(usize, usize)> {
        // Two blocks of lists may be alive: one being found, one being handed on.
        let user = USER_BYTES + 2 * 8 * self.k as u64 + 4 * (self.history * MOST_BLOCKS) as u64;
        let users = (self.memory / 8 * 3 / user).min(MAX_USERS);
        if users == 0 {
            return Err(Error::Memory {
                what: "a block of one user".into(),
                needed: (user * 8).div_ceil(3),
                allowed: self.memory,
                advice: "raise `memory`".into(),
            });
        }
        Ok((users as usize, (self.memory / 8 / 4) as usize / MOST_BLOCKS))
    }

    /// What says which items users have, where those are read.
    fn read(&self) -> Option<&Seen> {
        self.seen.filter(|_| self.exclude != Exclude::None || self.history > 0)
    }
}

impl<'a> Users<'a> {
    /// Every user of the vocabulary, in its order, then those that only the other splits name (cold: row 0, their
    /// features, no history).
    pub fn all(vocabulary: &'a Vocabulary) -> Users<'a> {
        Users { vocabulary, selection: UserSelection::All }
    }

    /// These users: vocabulary rows, or numbers of unseen ids (they are cold: row 0, their features, no history).
    pub fn of(vocabulary: &'a Vocabulary, ids: Vec<u32>) -> Users<'a> {
        Users { vocabulary, selection: UserSelection::Ids(ids) }
    }

    pub(super) fn listed(vocabulary: &'a Vocabulary, listed: Listed) -> Users<'a> {
        Users { vocabulary, selection: UserSelection::Listed(Box::new(listed)) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.selection {
            UserSelection::All => {
                let unseen = self.vocabulary.unseen.as_ref().map_or(0, |table| table.len());
                self.vocabulary.rows().saturating_sub(1) + unseen
            }
            UserSelection::Ids(ids) => ids.len(),
            UserSelection::Listed(listed) => listed.ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw id of user `i`, as the vocabulary or the file has it.
    pub fn name(&self, i: usize) -> Option<RawId<'_>> {
        match &self.selection {
            UserSelection::All => self.vocabulary.raw(u32::try_from(i).ok()?.checked_add(1)?),
            UserSelection::Ids(ids) => self.vocabulary.raw(*ids.get(i)?),
            UserSelection::Listed(listed) => (i < listed.names.len()).then(|| listed.names.get(i)),
        }
    }

    /// How many bytes a raw id takes, about.
    pub(crate) fn mean_id_bytes(&self) -> usize {
        match &self.selection {
            UserSelection::Listed(listed) => listed.names.mean_bytes(),
            _ => self.vocabulary.table.ids.mean_bytes(),
        }
    }

    /// The type of the raw ids.
    pub fn kind(&self) -> IdKind {
        match &self.selection {
            UserSelection::Listed(listed) => IdKind::of(&listed.names),
            _ => IdKind::of(&self.vocabulary.table.ids),
        }
    }

    /// Fills `block` and `skip` with the users from `start` on, as many as `options` allows, and returns where the
    /// next block starts. Where nothing is excluded, `skip` stays empty.
    ///
    /// # Errors
    /// [`Error::Memory`] when not even one user fits; whatever reading the history gives.
    pub(crate) fn block(
        &self,
        start: usize,
        options: &BlockOptions<'_>,
        block: &mut UserBlock,
        skip: &mut Lists,
    ) -> Result<usize> {
        let users = self.range_from(start, options)?;
        let end = users.end;
        (*block, *skip) = self.gather(users, options)?;
        Ok(end)
    }

    /// The users of the block that starts with user `start`: as many as `options` allows. Nothing is read for it.
    ///
    /// # Errors
    /// [`Error::Memory`] when not even one user fits.
    pub(crate) fn range_from(&self, start: usize, options: &BlockOptions<'_>) -> Result<Range<usize>> {
        let (most_users, most_items) = options.limits()?;
        let end = self.len().min(start.saturating_add(most_users));
        let mut items = 0;
        for i in start..end {
            if let Some(seen) = options.read() {
                items += seen.count(seen.number(self.number(i), self.name(i)));
            }
            items += self.given(i).len();
            if items >= most_items {
                return Ok(start..i + 1);
            }
        }
        Ok(start..end)
    }

    /// The vocabulary's number of user `i`; those past its rows have features alone.
    fn number(&self, i: usize) -> u32 {
        match &self.selection {
            UserSelection::All => i as u32 + 1,
            UserSelection::Ids(ids) => ids[i],
            UserSelection::Listed(listed) => listed.ids[i],
        }
    }

    /// The items that a file gives user `i`.
    fn given(&self, i: usize) -> &[u32] {
        match &self.selection {
            UserSelection::Listed(listed) => listed.given.as_ref().map_or(&[], |given| given.get(i)),
            _ => &[],
        }
    }

    /// What a ranker reads of these users, and what it must not return to them: nothing where nothing is excluded.
    ///
    /// # Errors
    /// Whatever reading the history gives.
    pub(crate) fn gather(&self, users: Range<usize>, options: &BlockOptions<'_>) -> Result<(UserBlock, Lists)> {
        let mut ids: Vec<u32> = users.clone().map(|i| self.number(i)).collect();
        let (mut skip, mut history, mut items) = (Lists::default(), Lists::default(), Vec::new());
        let seen = match options.read() {
            Some(seen) => {
                let numbers: Vec<u32> =
                    ids.iter().zip(users.clone()).map(|(&id, i)| seen.number(id, self.name(i))).collect();
                Some((seen, seen.history().piece(&numbers)?, numbers))
            }
            None => None,
        };
        for (at, i) in users.clone().enumerate() {
            items.clear();
            if let Some((seen, piece, numbers)) = &seen {
                seen.training(numbers[at], piece, &mut items)?;
            }
            items.extend_from_slice(self.given(i));
            if options.history > 0 {
                history.values.extend_from_slice(&items[items.len().saturating_sub(options.history)..]);
                history.close();
            }
            if options.exclude != Exclude::None {
                if let Some((seen, _, numbers)) = seen.as_ref().filter(|_| options.exclude == Exclude::All) {
                    seen.held_out(numbers[at], &mut items);
                }
                items.sort_unstable();
                items.dedup();
                skip.values.extend(items.iter().filter(|&&item| item != 0));
                skip.close();
            }
        }
        let features = match &self.selection {
            UserSelection::Listed(listed) if listed.features.is_some() => {
                listed.features.iter().flatten().map(|column| slice(column, users.start, users.end)).collect()
            }
            _ => self.vocabulary.features_of(&ids),
        };
        for id in &mut ids {
            if *id as usize >= self.vocabulary.rows() {
                *id = 0;
            }
        }
        Ok((UserBlock { ids, features, history: (options.history > 0).then_some(history) }, skip))
    }
}

/// Blocks of up to `users` users of a dataset's vocabulary, evenly spaced over it, with what a model reads of them
/// (the last `history` items) and the training items that are not to be returned to them.
///
/// # Errors
/// Whatever opening or reading the dataset gives.
pub fn sample_users(dataset: &Dataset, users: usize, history: usize) -> Result<Vec<(UserBlock, Lists)>> {
    let vocabulary = dataset.vocabulary(&dataset.manifest().users)?;
    let seen = Seen::of_dataset(dataset)?;
    sample(&vocabulary, &seen, users, history)
}

/// [`sample_users`] of a vocabulary whose training items are known.
pub(crate) fn sample(
    vocabulary: &Vocabulary,
    seen: &Seen,
    users: usize,
    history: usize,
) -> Result<Vec<(UserBlock, Lists)>> {
    let all = vocabulary.rows().saturating_sub(1);
    let sampled = all.min(users);
    // The multiplication is done in 64 bits: both factors are below 2^32.
    let ids = (0..sampled as u64).map(|i| 1 + (i * all as u64 / sampled as u64) as u32).collect();
    let sample = Users::of(vocabulary, ids);
    let options = BlockOptions { seen: Some(seen), exclude: Exclude::Train, history, memory: 512 << 20, k: 0 };
    let (mut blocks, mut next) = (Vec::new(), 0);
    while next < sample.len() {
        let (mut block, mut skip) = (UserBlock::default(), Lists::default());
        next = sample.block(next, &options, &mut block, &mut skip)?;
        blocks.push((block, skip));
    }
    Ok(blocks)
}

/// Rows `start..end` of a column.
fn slice(column: &FeatureColumn, start: usize, end: usize) -> FeatureColumn {
    match column {
        FeatureColumn::Codes(codes) => FeatureColumn::Codes(codes[start..end].to_vec()),
        FeatureColumn::Lists { offsets, codes } => {
            let (first, last) = (offsets[start], offsets[end]);
            FeatureColumn::Lists {
                offsets: offsets[start..=end].iter().map(|offset| offset - first).collect(),
                codes: codes[first as usize..last as usize].to_vec(),
            }
        }
    }
}
