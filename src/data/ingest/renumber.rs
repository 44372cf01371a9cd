//! From provisional ids to rows: counts on the training split, the lower bounds on them, and the final order.

use super::config::MinCount;
use super::ids::{Ids, canonical_integer};
use super::spill::Spilled;
use crate::data::dataset::{Filtered, Split};
use crate::data::split::Splitter;
use crate::data::vocabulary::RawIds;
use crate::threads::Threads;
use crate::{Error, Result, memory};

/// What takes the memory.
const WHAT: &str = "the numbers of users and items";
/// A provisional id that no row of the dataset names.
pub(super) const NOWHERE: u32 = u32::MAX;
/// A provisional id that a lower bound left out, with all its rows.
pub(super) const BELOW: u32 = NOWHERE - 1;

/// Which of the other splits name an id; validation where both do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Elsewhere {
    Valid,
    Test,
    No,
}

/// The place of an unseen id in the order of ids: behind those that training names, most frequent first.
const UNSEEN_VALID: u32 = UNSEEN_TEST - 1;
const UNSEEN_TEST: u32 = u32::MAX;

/// One side's counts, by provisional id.
struct Counts {
    train: Vec<u32>,
    elsewhere: Vec<Elsewhere>,
    /// Ids that a lower bound leaves out, with the rows of every split; empty where there is no bound.
    below: Vec<bool>,
}

impl Counts {
    fn new(bound: usize) -> Result<Counts> {
        let (train, elsewhere) = (memory::zeros(bound, WHAT)?, memory::filled(Elsewhere::No, bound, WHAT)?);
        Ok(Counts { train, elsewhere, below: Vec::new() })
    }

    #[inline]
    fn add(&mut self, id: u32, split: Split) {
        let id = id as usize;
        match split {
            Split::Train => self.train[id] = self.train[id].saturating_add(1),
            Split::Valid => self.elsewhere[id] = Elsewhere::Valid,
            Split::Test => self.elsewhere[id] = self.elsewhere[id].min(Elsewhere::Test),
        }
    }

    /// The place of an id in the order.
    fn place(&self, id: u32) -> u32 {
        match (self.train[id as usize], self.elsewhere[id as usize]) {
            (0, Elsewhere::Valid) => UNSEEN_VALID,
            (0, _) => UNSEEN_TEST,
            (rows, _) => UNSEEN_VALID.saturating_sub(rows),
        }
    }

    fn is_elsewhere(&self, id: u32) -> bool {
        self.elsewhere[id as usize] != Elsewhere::No
    }

    fn is_below(&self, id: u32) -> bool {
        self.below.get(id as usize).is_some_and(|below| *below)
    }

    /// Takes over the training rows that are left, and returns how many ids the bound leaves out. From a bound of 2 on
    /// nobody stays without a training row; `keep` lets those stay whom other splits name, as unseen ones.
    fn bounded(&mut self, kept: Vec<u32>, bound: u32, keep: bool) -> u64 {
        let raw = std::mem::replace(&mut self.train, kept);
        if bound < 2 {
            return 0;
        }
        // An id that no row names is in no split, and below no bound.
        let named = |id: usize| raw[id] > 0 || (self.is_elsewhere(id as u32) && !keep);
        self.below = (0..raw.len()).map(|id| self.train[id] == 0 && named(id)).collect();
        let left_out = self.below.iter().filter(|below| **below).count() as u64;
        if keep {
            self.below = Vec::new();
        }
        left_out
    }
}

/// One side, numbered.
pub(super) struct NumberedSide {
    /// Row by provisional id: 1 to `rows - 1` the vocabulary, from `rows` on the ids that only other splits name (those
    /// of the validation split first), [`BELOW`] those that a lower bound left out, [`NOWHERE`] the rest.
    pub(super) row: Vec<u32>,
    /// Rows of the vocabulary, row 0 included.
    pub(super) rows: u32,
    /// Ids that only other splits name.
    pub(super) unseen: u32,
    /// Of them those that the validation split names.
    pub(super) unseen_valid: u32,
    /// Raw ids and counts of the vocabulary, row 0 included.
    pub(super) known_ids: RawIds,
    pub(super) counts: Vec<u64>,
    pub(super) unseen_ids: RawIds,
}

/// Both sides, and what the bounds left out.
pub(super) struct Numbered {
    pub(super) users: NumberedSide,
    pub(super) items: NumberedSide,
    /// What the bounds left out; absent where there are none.
    pub(super) filtered: Option<Filtered>,
}

/// A side's raw ids: the dictionary, and whether they came from a text column of a typed file.
pub(super) struct Raw {
    pub(super) ids: Ids,
    pub(super) text: bool,
}

/// Counts and numbers the ids of all rows. With `keep` the bounds are those of the training split alone.
pub(super) fn number(
    spilled: &Spilled,
    splitter: &Splitter,
    min_count: MinCount,
    keep: bool,
    raw_users: &Raw,
    raw_items: &Raw,
) -> Result<Numbered> {
    let mut users = Counts::new(raw_users.ids.bound())?;
    let mut items = Counts::new(raw_items.ids.bound())?;
    let mut train_rows = 0u64;
    spilled.for_each(|block, first| {
        let file = block.split.unwrap_or(Split::Train);
        for (user, item, time, row) in block.rows(first) {
            let split = splitter.split(file, user, time, row);
            users.add(user, split);
            items.add(item, split);
            train_rows += u64::from(split == Split::Train);
        }
        Ok(())
    })?;
    let mut filtered = None;
    if min_count.user > 1 || min_count.item > 1 {
        let mut kept_users = memory::zeros::<u32>(users.train.len(), WHAT)?;
        let mut kept_items = memory::zeros::<u32>(items.train.len(), WHAT)?;
        let mut left_out = 0;
        spilled.for_each(|block, first| {
            let file = block.split.unwrap_or(Split::Train);
            for (user, item, time, row) in block.rows(first) {
                if splitter.split(file, user, time, row) != Split::Train {
                    continue;
                }
                if users.train[user as usize] >= min_count.user && items.train[item as usize] >= min_count.item {
                    kept_users[user as usize] = kept_users[user as usize].saturating_add(1);
                    kept_items[item as usize] = kept_items[item as usize].saturating_add(1);
                } else {
                    left_out += 1;
                }
            }
            Ok(())
        })?;
        let mut found = Filtered {
            users: users.bounded(kept_users, min_count.user, keep),
            items: items.bounded(kept_items, min_count.item, keep),
            train_rows: left_out,
            ..Filtered::default()
        };
        if !keep {
            drop_held_out(spilled, splitter, &mut users, &mut items, &mut found)?;
        }
        filtered = Some(found);
    }
    match (train_rows, filtered) {
        (0, _) => {
            let reason = format!("none of the {} rows is in the training split; check split=", spilled.rows);
            return Err(Error::config("split", reason));
        }
        (rows, Some(Filtered { train_rows, .. })) if rows == train_rows => {
            let reason = format!("none of the {rows} training rows remain; lower min_count=");
            return Err(Error::config("min_count", reason));
        }
        _ => {}
    }
    let threads = Threads::available();
    Ok(Numbered {
        users: NumberedSide::new(raw_users, &users, &threads)?,
        items: NumberedSide::new(raw_items, &items, &threads)?,
        filtered,
    })
}

/// Drops the validation and test rows of whom the bounds left out: counts them, and forgets who is in no other.
fn drop_held_out(
    spilled: &Spilled,
    splitter: &Splitter,
    users: &mut Counts,
    items: &mut Counts,
    found: &mut Filtered,
) -> Result<()> {
    users.elsewhere.fill(Elsewhere::No);
    items.elsewhere.fill(Elsewhere::No);
    spilled.for_each(|block, first| {
        let file = block.split.unwrap_or(Split::Train);
        for (user, item, time, row) in block.rows(first) {
            let split = splitter.split(file, user, time, row);
            let gone = users.is_below(user) || items.is_below(item);
            match split {
                Split::Train => {}
                Split::Valid if gone => found.valid_rows += 1,
                Split::Test if gone => found.test_rows += 1,
                Split::Valid | Split::Test => {
                    users.add(user, split);
                    items.add(item, split);
                }
            }
        }
        Ok(())
    })
}

impl NumberedSide {
    fn new(raw: &Raw, counts: &Counts, threads: &Threads) -> Result<NumberedSide> {
        let ids = &raw.ids;
        let integers = !raw.text && ids.iter().all(|id| canonical_integer(ids.get(id)).is_some());
        // Most frequent first, then by raw id; unseen ids by who names them, then by raw id. The first bytes of a text
        // stand in the key: they spare most look-ups.
        let is_here = |id: &u32| counts.train[*id as usize] > 0 || counts.is_elsewhere(*id);
        let mut order = memory::with_capacity(ids.iter().filter(is_here).count(), WHAT)?;
        let entry = |id| (counts.place(id), sort_key(ids.get(id), integers), id);
        order.extend(ids.iter().filter(is_here).map(entry));
        let rest = |id: u32| if integers { &b""[..] } else { ids.get(id) };
        threads.sort_unstable_by(&mut order, |a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| rest(a.2).cmp(rest(b.2))));
        let split = order.partition_point(|entry| entry.0 < UNSEEN_VALID);
        let too_many = || Error::config("inputs", format!("{} ids on one side; {} fit", order.len(), BELOW - 2));
        if order.len() >= BELOW as usize - 1 {
            return Err(too_many());
        }
        let mut row = memory::filled(NOWHERE, ids.bound(), WHAT)?;
        ids.iter().filter(|&id| counts.is_below(id)).for_each(|id| row[id as usize] = BELOW);
        for (at, entry) in order.iter().enumerate() {
            row[entry.2 as usize] = at as u32 + 1;
        }
        let mut known_ids = if integers { RawIds::integer() } else { RawIds::text() };
        let mut unseen_ids = known_ids.clone();
        match &mut known_ids {
            RawIds::Text { .. } => known_ids.push_text(""),
            RawIds::Integer(_) => known_ids.push_integer(0),
        }
        let mut totals = vec![0];
        for (at, (_, _, id)) in order.iter().enumerate() {
            let into = if at < split { &mut known_ids } else { &mut unseen_ids };
            // Ids were checked when they were read: they are UTF-8.
            into.push_text(std::str::from_utf8(ids.get(*id)).unwrap_or_default());
            if at < split {
                totals.push(u64::from(counts.train[*id as usize]));
            }
        }
        let unseen = (order.len() - split) as u32;
        let unseen_valid = order[split..].partition_point(|entry| entry.0 == UNSEEN_VALID) as u32;
        Ok(NumberedSide { row, rows: split as u32 + 1, unseen, unseen_valid, known_ids, counts: totals, unseen_ids })
    }
}

/// Sorts as the raw id does, but for texts that share their first 8 bytes.
fn sort_key(id: &[u8], integers: bool) -> u64 {
    if integers {
        return (canonical_integer(id).unwrap_or(0) as u64) ^ (1 << 63);
    }
    let mut first = [0; 8];
    let n = id.len().min(8);
    first[..n].copy_from_slice(&id[..n]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ingest::ids::{Dictionary, KeyList, ResolveScratch};

    use Elsewhere::{No, Test, Valid};

    fn side(ids: &[(&str, u32, Elsewhere)], text: bool) -> (NumberedSide, Vec<u32>) {
        let dictionary = Dictionary::new();
        let mut keys = KeyList::default();
        for (id, ..) in ids {
            keys.push(id.as_bytes());
        }
        let mut numbers = Vec::new();
        dictionary.resolve(&keys, 0, &mut ResolveScratch::default(), &mut numbers).unwrap();
        let raw = Raw { ids: dictionary.freeze(), text };
        let mut counts = Counts::new(raw.ids.bound()).unwrap();
        for (&number, (_, train, elsewhere)) in numbers.iter().zip(ids) {
            counts.train[number as usize] = *train;
            counts.elsewhere[number as usize] = *elsewhere;
        }
        let side = NumberedSide::new(&raw, &counts, &Threads::new(2).unwrap()).unwrap();
        let rows = numbers.iter().map(|&n| side.row[n as usize]).collect();
        (side, rows)
    }

    #[test]
    fn most_frequent_first_then_by_raw_id() {
        let (integers, rows) =
            side(&[("10", 2, Test), ("9", 2, No), ("-1", 0, Test), ("-3", 0, Test), ("5", 7, No), ("6", 0, No)], false);
        assert_eq!(rows, [3, 2, 5, 4, 1, NOWHERE]);
        assert_eq!((integers.rows, integers.unseen), (4, 2));
        assert_eq!(integers.known_ids, RawIds::Integer(vec![0, 5, 9, 10]));
        assert_eq!(integers.unseen_ids, RawIds::Integer(vec![-3, -1]));
        assert_eq!(integers.counts, [0, 7, 2, 2]);

        let (texts, rows) = side(&[("10", 2, Test), ("9", 2, No), ("a\0", 0, Test), ("a", 0, Test)], true);
        assert_eq!(rows, [1, 2, 4, 3]);
        assert!(matches!(texts.known_ids, RawIds::Text { .. }));
        let (_, rows) = side(&[("010", 2, Test), ("9", 2, No), ("12345678b", 2, Test), ("12345678a", 2, Test)], false);
        assert_eq!(rows, [1, 4, 3, 2]);
    }

    #[test]
    fn unseen_ids_of_the_validation_split_come_first() {
        let (texts, rows) = side(
            &[("a", 0, Test), ("d", 0, Valid), ("b", 0, Valid), ("c", 1, Valid), ("e", 1, No), ("f", 0, Test)],
            true,
        );
        assert_eq!(rows, [5, 4, 3, 1, 2, 6]);
        assert_eq!((texts.rows, texts.unseen, texts.unseen_valid), (3, 4, 2));
        let mut counts = Counts::new(1).unwrap();
        for (split, found) in [(Split::Test, Test), (Split::Valid, Valid), (Split::Test, Valid)] {
            counts.add(0, split);
            assert_eq!(counts.elsewhere[0], found);
        }
        assert!(counts.train == [0] && counts.place(0) < UNSEEN_TEST);
    }
}
