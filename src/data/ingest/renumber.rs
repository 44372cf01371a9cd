//! From provisional ids to rows: counts on the training split, the lower bounds on them, and the final order.

use std::cmp::Reverse;

use rayon::prelude::*;

use super::config::MinCount;
use super::ids::{Ids, canonical_integer};
use super::spill::Spilled;
use crate::data::dataset::Split;
use crate::data::split::Splitter;
use crate::data::vocabulary::RawIds;
use crate::{Error, Result};

/// A provisional id that no row of the dataset names.
pub(super) const NOWHERE: u32 = u32::MAX;

/// One side's counts, by provisional id.
struct Counts {
    train: Vec<u32>,
    elsewhere: Vec<bool>,
}

impl Counts {
    fn new(bound: usize) -> Counts {
        Counts { train: vec![0; bound], elsewhere: vec![false; bound] }
    }

    #[inline]
    fn add(&mut self, id: u32, split: Split) {
        match split {
            Split::Train => self.train[id as usize] = self.train[id as usize].saturating_add(1),
            Split::Valid | Split::Test => self.elsewhere[id as usize] = true,
        }
    }
}

/// One side, numbered.
pub(super) struct Side {
    /// Row by provisional id: 1 to `rows - 1` the vocabulary, from `rows` on the ids that only other splits name,
    /// [`NOWHERE`] the rest.
    pub(super) row: Vec<u32>,
    /// Rows of the vocabulary, row 0 included.
    pub(super) rows: u32,
    /// Ids that only other splits name.
    pub(super) unseen: u32,
    /// Raw ids and counts of the vocabulary, row 0 included.
    pub(super) known_ids: RawIds,
    pub(super) counts: Vec<u64>,
    pub(super) unseen_ids: RawIds,
}

/// Both sides, and what the bounds left out.
pub(super) struct Numbered {
    pub(super) users: Side,
    pub(super) items: Side,
    /// Training rows that the bounds left out.
    pub(super) filtered: u64,
}

/// A side's raw ids: the dictionary, and whether they came from a text column of a typed file.
pub(super) struct Raw {
    pub(super) ids: Ids,
    pub(super) text: bool,
}

/// Counts and numbers the ids of all rows.
pub(super) fn number(
    spilled: &Spilled,
    splitter: &Splitter,
    min_count: MinCount,
    raw_users: &Raw,
    raw_items: &Raw,
) -> Result<Numbered> {
    let mut users = Counts::new(raw_users.ids.bound());
    let mut items = Counts::new(raw_items.ids.bound());
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
    let mut filtered = 0;
    if min_count.user > 1 || min_count.item > 1 {
        let mut kept_users = vec![0u32; users.train.len()];
        let mut kept_items = vec![0u32; items.train.len()];
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
                    filtered += 1;
                }
            }
            Ok(())
        })?;
        users.train = kept_users;
        items.train = kept_items;
    }
    if train_rows == filtered {
        let reason = match filtered {
            0 => format!("none of the {} rows is in the training split; check --split", spilled.rows),
            n => format!("none of the {n} training rows is left; lower --min-count"),
        };
        return Err(Error::config(if filtered == 0 { "split" } else { "min_count" }, reason));
    }
    Ok(Numbered { users: Side::new(raw_users, &users)?, items: Side::new(raw_items, &items)?, filtered })
}

impl Side {
    fn new(raw: &Raw, counts: &Counts) -> Result<Side> {
        let ids = &raw.ids;
        let integers = !raw.text && ids.iter().all(|id| canonical_integer(ids.get(id)).is_some());
        let known = |id: &u32| counts.train[*id as usize] > 0;
        // Most frequent first, then by raw id. The first bytes of a text stand in the key: they spare most look-ups.
        let mut order: Vec<(Reverse<u32>, u64, u32)> = ids
            .iter()
            .filter(|id| known(id) || counts.elsewhere[*id as usize])
            .map(|id| (Reverse(counts.train[id as usize]), sort_key(ids.get(id), integers), id))
            .collect();
        let rest = |id: u32| if integers { &b""[..] } else { ids.get(id) };
        order.par_sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| rest(a.2).cmp(rest(b.2))));
        let split = order.partition_point(|entry| known(&entry.2));
        let too_many = || Error::config("inputs", format!("{} ids on one side; {} fit", order.len(), NOWHERE - 2));
        if order.len() >= NOWHERE as usize - 1 {
            return Err(too_many());
        }
        let mut row = vec![NOWHERE; ids.bound()];
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
        for (at, (count, _, id)) in order.iter().enumerate() {
            let into = if at < split { &mut known_ids } else { &mut unseen_ids };
            // Ids were checked when they were read: they are UTF-8.
            into.push_text(std::str::from_utf8(ids.get(*id)).unwrap_or_default());
            if at < split {
                totals.push(u64::from(count.0));
            }
        }
        let unseen = (order.len() - split) as u32;
        Ok(Side { row, rows: split as u32 + 1, unseen, known_ids, counts: totals, unseen_ids })
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
    use crate::data::ingest::ids::{Dictionary, Keys, Scratch};

    fn side(ids: &[(&str, u32, bool)], text: bool) -> (Side, Vec<u32>) {
        let dictionary = Dictionary::new();
        let mut keys = Keys::default();
        for (id, ..) in ids {
            keys.push(id.as_bytes());
        }
        let mut numbers = Vec::new();
        dictionary.resolve(&keys, 0, &mut Scratch::default(), &mut numbers).unwrap();
        let raw = Raw { ids: dictionary.freeze(), text };
        let mut counts = Counts::new(raw.ids.bound());
        for (&number, (_, train, elsewhere)) in numbers.iter().zip(ids) {
            counts.train[number as usize] = *train;
            counts.elsewhere[number as usize] = *elsewhere;
        }
        let side = Side::new(&raw, &counts).unwrap();
        let rows = numbers.iter().map(|&n| side.row[n as usize]).collect();
        (side, rows)
    }

    #[test]
    fn most_frequent_first_then_by_raw_id() {
        let (integers, rows) = side(
            &[("10", 2, true), ("9", 2, false), ("-1", 0, true), ("-3", 0, true), ("5", 7, false), ("6", 0, false)],
            false,
        );
        assert_eq!(rows, [3, 2, 5, 4, 1, NOWHERE]);
        assert_eq!((integers.rows, integers.unseen), (4, 2));
        assert_eq!(integers.known_ids, RawIds::Integer(vec![0, 5, 9, 10]));
        assert_eq!(integers.unseen_ids, RawIds::Integer(vec![-3, -1]));
        assert_eq!(integers.counts, [0, 7, 2, 2]);

        let (texts, rows) = side(&[("10", 2, true), ("9", 2, false), ("a\0", 0, true), ("a", 0, true)], true);
        assert_eq!(rows, [1, 2, 4, 3]);
        assert!(matches!(texts.known_ids, RawIds::Text { .. }));
        let (_, rows) =
            side(&[("010", 2, true), ("9", 2, false), ("12345678b", 2, true), ("12345678a", 2, true)], false);
        assert_eq!(rows, [1, 4, 3, 2]);
    }
}
