//! What users already have: the items that are left out of their lists, and the histories that models read.

use std::sync::Arc;

use crate::data::dataset::{Dataset, EntityInfo, FileInfo};
use crate::data::history::{History, HistoryPiece};
use crate::data::vocabulary::{RawId, Vocabulary};
use crate::{Error, Result, memory};

mod held_out;

use held_out::HeldOutItems;

pub use crate::settings::Exclude;

impl Exclude {
    /// The value that `exclude` and its short form `include_seen` stand for together.
    ///
    /// # Errors
    /// [`Error::Config`] when they contradict each other.
    pub fn resolve(exclude: Option<Exclude>, include_seen: bool) -> Result<Exclude> {
        match (exclude, include_seen) {
            (None | Some(Exclude::None), true) => Ok(Exclude::None),
            (Some(other), true) => {
                let reason = format!(
                    "`{}` contradicts `include_seen`, which is short for `none`; pass only one of them",
                    other.name()
                );
                Err(Error::config("exclude", reason))
            }
            (exclude, false) => Ok(exclude.unwrap_or_default()),
        }
    }
}

/// The items that every user has, in the rows of the vocabularies that a ranker was made with: those of the training
/// split, oldest first, and, where they were read, those of the other splits.
#[derive(Clone, Debug)]
pub struct Seen {
    history: Arc<History>,
    held_out: Option<Arc<HeldOutItems>>,
    /// Who a user is in the dataset; absent where users are numbered the same.
    users: Option<Arc<ForeignUsers>>,
    /// The vocabulary's item row of each number of the dataset (0: none); absent where both are numbered the same.
    items: Option<Arc<Vec<u32>>>,
}

/// Users of a dataset that numbers them otherwise than the ranker's vocabulary.
#[derive(Debug)]
struct ForeignUsers {
    /// The dataset's number of each number of the vocabulary; 0 where it has none.
    numbers: Vec<u32>,
    vocabulary: Vocabulary,
}

impl Seen {
    /// Of a history whose numbers are the vocabularies' own.
    pub fn new(history: Arc<History>) -> Seen {
        Seen { history, held_out: None, users: None, items: None }
    }

    /// Of the dataset whose vocabularies the ranker was made with: training items.
    ///
    /// # Errors
    /// Whatever opening the history gives.
    pub fn of_dataset(dataset: &Dataset) -> Result<Seen> {
        Ok(Seen::new(Arc::new(History::of_dataset(dataset)?)))
    }

    /// Of a dataset that may number users and items otherwise than `users` and `items`, the vocabularies that the
    /// ranker was made with: raw ids tie them together. Users and items that only one side has are left out.
    ///
    /// # Errors
    /// Whatever opening the dataset's vocabularies or its history gives.
    pub fn with_vocabularies(dataset: &Dataset, users: &Vocabulary, items: &Vocabulary) -> Result<Seen> {
        let manifest = dataset.manifest();
        let mut seen = Seen::of_dataset(dataset)?;
        if !same(&manifest.users, &users.info) {
            let vocabulary = dataset.vocabulary(&manifest.users)?;
            let numbers = translate(users, |raw| vocabulary.number(raw))?;
            seen.users = Some(Arc::new(ForeignUsers { numbers, vocabulary }));
        }
        if !same_file(&manifest.items.file, &items.info.file) {
            let theirs = dataset.vocabulary(&manifest.items)?;
            seen.items = Some(Arc::new(translate(&theirs, |raw| items.find(raw))?));
        }
        Ok(seen)
    }

    /// Also knows the items of the dataset's validation and test splits: 4 bytes a row of theirs and 8 a user.
    ///
    /// # Errors
    /// [`Error::Memory`] when they take more than `memory` bytes, [`Error::IdOutOfRange`], or whatever opening the
    /// shards gives.
    pub fn with_held_out(mut self, dataset: &Dataset, memory: u64) -> Result<Seen> {
        self.held_out = HeldOutItems::read(dataset, memory)?.map(Arc::new);
        Ok(self)
    }

    /// The training items, by the dataset's numbers.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Appends the training items of a user, oldest first, repeats included. `user` is a number of the vocabulary:
    /// a row, or one behind its rows. 0 has none.
    ///
    /// # Errors
    /// Whatever reading the history gives.
    pub fn items(&self, user: u32, out: &mut Vec<u32>) -> Result<()> {
        self.training(self.number(user, None), &HistoryPiece::default(), out)
    }

    /// The dataset's number of a user of the vocabulary, or of one that only the dataset knows, by `name`; 0 for none.
    pub(super) fn number(&self, user: u32, name: Option<RawId<'_>>) -> u32 {
        match (&self.users, user) {
            (None, user) => user,
            (Some(others), 0) => name.and_then(|name| others.vocabulary.number(name)).unwrap_or(0),
            (Some(others), user) => others.numbers.get(user as usize).copied().unwrap_or(0),
        }
    }

    /// Appends the training items of the dataset's user `number`, from `piece` where it has them.
    pub(super) fn training(&self, number: u32, piece: &HistoryPiece, out: &mut Vec<u32>) -> Result<()> {
        if number == 0 {
            return Ok(());
        }
        let start = out.len();
        self.history.items_of(number, piece, out)?;
        self.translate_items(start, out);
        Ok(())
    }

    /// No fewer items than [`training`](Seen::training) and [`held_out`](Seen::held_out) give together.
    pub(super) fn count(&self, number: u32) -> usize {
        match number {
            0 => 0,
            _ => self.history.count(number) + self.held_out.as_ref().map_or(0, |held_out| held_out.items(number).len()),
        }
    }

    /// Appends the validation and test items of the dataset's user `number`, in no order.
    pub(super) fn held_out(&self, number: u32, out: &mut Vec<u32>) {
        if let Some(held_out) = &self.held_out
            && number != 0
        {
            let start = out.len();
            let items = held_out.items(number).iter().copied();
            match self.items {
                Some(_) => {
                    out.extend(items);
                    self.translate_items(start, out);
                }
                // Those behind the vocabulary are items that the ranker does not have.
                None => out.extend(items.filter(|&item| item < self.history.item_rows())),
            }
        }
    }

    /// Puts the vocabulary's rows in the place of the dataset's from `start` on, and drops those without one.
    fn translate_items(&self, start: usize, out: &mut Vec<u32>) {
        let Some(rows) = &self.items else { return };
        let mut kept = start;
        for at in start..out.len() {
            let item = rows.get(out[at] as usize).copied().unwrap_or(0);
            if item != 0 {
                out[kept] = item;
                kept += 1;
            }
        }
        out.truncate(kept);
    }
}

/// Whether two sides number their ids the same, those behind the vocabulary included.
fn same(a: &EntityInfo, b: &EntityInfo) -> bool {
    let unseen = match (&a.unseen_file, &b.unseen_file) {
        (None, None) => true,
        (Some(a), Some(b)) => same_file(a, b),
        _ => false,
    };
    unseen && same_file(&a.file, &b.file)
}

fn same_file(a: &FileInfo, b: &FileInfo) -> bool {
    a.rows == b.rows && a.xxh3.is_some() && a.xxh3 == b.xxh3
}

/// What `find` says of the raw id of each number of `from`, those behind its rows included; 0 for nothing.
fn translate(from: &Vocabulary, find: impl Fn(RawId<'_>) -> Option<u32>) -> Result<Vec<u32>> {
    let numbers = from.rows() + from.unseen.as_ref().map_or(0, |table| table.len());
    let to = |number: usize| {
        let raw = u32::try_from(number).ok().filter(|&number| number > 0).and_then(|number| from.raw(number))?;
        find(raw)
    };
    memory::collect((0..numbers).map(|number| to(number).unwrap_or(0)), "the numbers of users and items")
}
