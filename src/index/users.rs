//! Who gets recommendations: everybody, some ids, or the users of a file; handed out in blocks.

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

impl BlockOptions<'_> {
    /// The most users and the most skipped items of a block.
    ///
    /// # Errors
    /// [`Error::Memory`] when not even one user fits.
    fn limits(&self) -> Result<(usize, usize)> {
        // Three blocks of lists may be alive: one being found, one on its way, one being written.
        let user = USER_BYTES + 3 * 8 * self.k as u64 + 4 * self.history as u64;
        let users = (self.memory / 2 / user).min(MAX_USERS);
        if users == 0 {
            return Err(Error::Memory {
                what: "a block of one user".into(),
                needed: 2 * user,
                allowed: self.memory,
                advice: "raise `memory`".into(),
            });
        }
        Ok((users as usize, (self.memory / 4 / 4) as usize))
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
        let (max_users, max_skipped) = options.limits()?;
        let end = self.len().min(start.saturating_add(max_users));
        skip.clear();
        let mut history = block.history.take().unwrap_or_default();
        history.clear();
        // Numbers as the vocabulary knows them; those past its rows have features alone.
        let mut numbers = Vec::with_capacity(end - start);
        let mut items = Vec::new();
        for i in start..end {
            let number = match &self.selection {
                UserSelection::All => i as u32 + 1,
                UserSelection::Ids(ids) => ids[i],
                UserSelection::Listed(listed) => listed.ids[i],
            };
            numbers.push(number);
            items.clear();
            let known = options.seen.filter(|_| options.exclude != Exclude::None || options.history > 0);
            let known = known.map(|seen| (seen, seen.number(number, self.name(i))));
            if let Some((seen, number)) = known {
                seen.training(number, &mut items)?;
            }
            if let UserSelection::Listed(listed) = &self.selection
                && let Some(given) = &listed.given
            {
                items.extend_from_slice(given.get(i));
            }
            if options.history > 0 {
                history.values.extend_from_slice(&items[items.len().saturating_sub(options.history)..]);
                history.close();
            }
            if options.exclude != Exclude::None {
                if let Some((seen, number)) = known.filter(|_| options.exclude == Exclude::All) {
                    seen.held_out(number, &mut items);
                }
                items.sort_unstable();
                items.dedup();
                skip.values.extend(items.iter().filter(|&&item| item != 0));
                skip.close();
                if skip.values.len() >= max_skipped {
                    break;
                }
            }
        }
        let end = start + numbers.len();
        block.history = (options.history > 0).then_some(history);
        block.features = match &self.selection {
            UserSelection::Listed(listed) if listed.features.is_some() => {
                listed.features.iter().flatten().map(|column| slice(column, start, end)).collect()
            }
            _ => self.vocabulary.features_of(&numbers),
        };
        for number in &mut numbers {
            if *number as usize >= self.vocabulary.rows() {
                *number = 0;
            }
        }
        block.ids = numbers;
        Ok(end)
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
