//! Which items are taken by the same users: what item-kNN recommends by, and a measure of how much one item says of the
//! next.

use std::cmp::Ordering;

use crate::data::history::History;
use crate::rng::{Rng, mix};
use crate::threads::Threads;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the nearest items of every item";
/// The items are dealt out to this many parts, whatever the number of threads: frequent items stand together, and a part
/// has its share of them.
const PARTS: usize = 64;

/// Marks the random numbers that draw a row of each user.
const DRAWN: u64 = u64::from_le_bytes(*b"heldrows");

/// How neighbours are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeighbourOptions {
    /// Neighbours that are kept of an item. Default 100.
    pub nearest: usize,
    /// What is added below the fraction: items that few users have are not near anything by accident. Default 10.
    pub shrink: f32,
    /// Distinct items of a user that count, the last ones. Default 200.
    pub last: usize,
    /// The row of each user that does not count. Default [`LeaveOut::Nothing`].
    pub leave_out: LeaveOut,
    /// Bytes: half of them for the neighbours, of which fewer are kept where they do not fit; the other half for the
    /// users' items, of which every second, third, ... user's count where they do not fit. Default 512 MiB. Beside it,
    /// 8 bytes an item and thread.
    pub memory: u64,
}

impl Default for NeighbourOptions {
    fn default() -> Self {
        NeighbourOptions { nearest: 100, shrink: 10.0, last: 200, leave_out: LeaveOut::Nothing, memory: 512 << 20 }
    }
}

/// A row of each user that neighbours are not counted from, so that they can be asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOut {
    /// None: all rows count.
    Nothing,
    /// The user's last row.
    Last,
    /// One of the user's rows, drawn by chance: the same one in every run.
    Drawn,
}

impl LeaveOut {
    /// The place of the row among the `rows` of `user`; none where nothing is left out.
    #[must_use]
    pub fn place(self, user: u32, rows: usize) -> Option<usize> {
        match self {
            LeaveOut::Nothing => None,
            LeaveOut::Last => rows.checked_sub(1),
            LeaveOut::Drawn => (rows > 0).then(|| Rng::at(0, &[DRAWN, u64::from(user)]).below(rows as u64) as usize),
        }
    }
}

/// The nearest items of every item: those with the largest `c_ij / (sqrt(c_i c_j) + shrink)`, where c counts distinct
/// users.
#[derive(Debug)]
pub struct Neighbours {
    items: usize,
    /// Item i stands in part `i % PARTS` at place `i / PARTS`.
    parts: Vec<Part>,
    /// What an item is to itself: `c / (c + shrink)`.
    own: Vec<f32>,
    /// Of how many users one was counted.
    every: u64,
}

#[derive(Debug, Default)]
struct Part {
    /// Where each item's neighbours end.
    ends: Vec<usize>,
    /// Their rows and similarities, nearest first, ties by row.
    nearest: Vec<(u32, f32)>,
}

/// Lists side by side: those of users (their items) and those of items (their users).
struct Sides {
    users: (Vec<u64>, Vec<u32>),
    items: (Vec<u64>, Vec<u32>),
    every: u64,
}

impl Neighbours {
    /// Of the training items of `users` rows of users (row 0, nobody in particular, does not count) among `items` rows
    /// of items (nor does row 0). The same bits for any number of threads.
    ///
    /// # Errors
    /// Whatever reading the history gives; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub fn build(history: &History, users: u32, items: u32, options: &NeighbourOptions) -> Result<Neighbours> {
        Self::build_by(&Threads::available(), history, users, items, options)
    }

    /// [`build`](Neighbours::build), by these threads.
    pub(crate) fn build_by(
        threads: &Threads,
        history: &History,
        users: u32,
        items: u32,
        options: &NeighbourOptions,
    ) -> Result<Neighbours> {
        let sides = Sides::read(history, users, items as usize, options)?;
        let rows = u64::from(items.max(1));
        let fitting = (options.memory / 2 / (size_of::<(u32, f32)>() as u64 * rows)).max(1);
        let nearest = options.nearest.min(usize::try_from(fitting).unwrap_or(usize::MAX));
        let count = |item: usize| (sides.items.0[item + 1] - sides.items.0[item]) as f64;
        let shrink = f64::from(options.shrink);
        let own = memory::collect((0..items as usize).map(|i| (count(i) / (count(i) + shrink)) as f32), WHAT)?;
        // 0 / 0: nobody has the item.
        let own = own.into_iter().map(|own: f32| if own.is_nan() { 0.0 } else { own }).collect();
        let parts = threads.map(vec![(); PARTS], 1, |first, ()| sides.part(first, nearest, shrink));
        let parts = parts.into_iter().collect::<Result<Vec<Part>>>()?;
        Ok(Neighbours { items: items as usize, parts, own, every: sides.every })
    }

    /// Rows of the item vocabulary.
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Of how many users one was counted: 1 where all were.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.every
    }

    /// The nearest items of `item` and how near they are, nearest first, ties by row; none past the last item.
    #[must_use]
    pub fn of(&self, item: u32) -> &[(u32, f32)] {
        let (part, place) = (item as usize % PARTS, item as usize / PARTS);
        let Some(part) = self.parts.get(part) else { return &[] };
        let Some(&end) = part.ends.get(place) else { return &[] };
        let start = if place == 0 { 0 } else { part.ends[place - 1] };
        &part.nearest[start..end]
    }

    /// What `item` is to itself: its users / (its users + shrink).
    #[must_use]
    pub fn own(&self, item: u32) -> f32 {
        self.own.get(item as usize).copied().unwrap_or_default()
    }

    /// Adds to `scores`, which has a place for every item row, the similarities of the neighbours of `items`.
    pub fn score(&self, items: impl Iterator<Item = u32>, scores: &mut [f32]) {
        for item in items {
            for &(near, similarity) in self.of(item) {
                if let Some(score) = scores.get_mut(near as usize) {
                    *score += similarity;
                }
            }
        }
    }
}

/// The nearer one first; ties by row.
pub(super) fn nearer(a: &(u32, f32), b: &(u32, f32)) -> Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// Keeps the `most` first of `values` by [`nearer`], in that order.
pub(super) fn keep_nearest(values: &mut Vec<(u32, f32)>, most: usize) {
    if most > 0 && values.len() > most {
        values.select_nth_unstable_by(most - 1, nearer);
    }
    values.truncate(most);
    values.sort_unstable_by(nearer);
}

impl Sides {
    fn read(history: &History, users: u32, items: usize, options: &NeighbourOptions) -> Result<Sides> {
        let most = |user: u32| history.count(user).min(options.last) as u64;
        // Both sides have a place for every item of a user.
        let fitting = options.memory / 2 / (2 * size_of::<u32>() as u64);
        let all: u64 = (1..users).map(most).sum();
        let every = all.div_ceil(fitting.max(1)).max(1);
        let mut of_users = (memory::with_capacity(users as usize + 1, WHAT)?, Vec::new());
        let mut counts = memory::zeros::<u64>(items + 1, WHAT)?;
        let mut last_user = memory::zeros::<u32>(items, WHAT)?;
        let mut row = Vec::new();
        of_users.0.push(0);
        for user in 0..users {
            if user > 0 && mix(u64::from(user)).is_multiple_of(every) {
                row.clear();
                history.items(user, &mut row)?;
                let start = of_users.1.len();
                memory::reserve(&mut of_users.1, row.len().min(options.last), WHAT)?;
                if let Some(place) = options.leave_out.place(user, row.len()) {
                    row.remove(place);
                }
                for &item in row.iter().rev() {
                    if of_users.1.len() - start == options.last {
                        break;
                    }
                    if item != 0 && (item as usize) < items && last_user[item as usize] != user {
                        last_user[item as usize] = user;
                        counts[item as usize + 1] += 1;
                        of_users.1.push(item);
                    }
                }
            }
            of_users.0.push(of_users.1.len() as u64);
        }
        for item in 0..items {
            counts[item + 1] += counts[item];
        }
        let mut next = memory::collect(counts.iter().copied(), WHAT)?;
        let mut of_items = memory::zeros::<u32>(of_users.1.len(), WHAT)?;
        for (user, ends) in of_users.0.windows(2).enumerate() {
            for &item in &of_users.1[ends[0] as usize..ends[1] as usize] {
                of_items[next[item as usize] as usize] = user as u32;
                next[item as usize] += 1;
            }
        }
        Ok(Sides { users: of_users, items: (counts, of_items), every })
    }

    /// The neighbours of items `first`, `first + PARTS`, ...
    fn part(&self, first: usize, nearest: usize, shrink: f64) -> Result<Part> {
        let items = self.items.0.len() - 1;
        let mut together = memory::zeros::<u32>(items, WHAT)?;
        let (mut met, mut found) = (Vec::new(), Vec::new());
        let mut part = Part::default();
        let count = |item: usize| self.items.0[item + 1] - self.items.0[item];
        for item in (first..items).step_by(PARTS) {
            for &user in list(&self.items, item) {
                for &other in list(&self.users, user as usize) {
                    if together[other as usize] == 0 {
                        met.push(other);
                    }
                    together[other as usize] += 1;
                }
            }
            found.clear();
            for other in met.drain(..) {
                let both = std::mem::take(&mut together[other as usize]);
                if other as usize != item {
                    let size = (count(item) as f64 * count(other as usize) as f64).sqrt() + shrink;
                    found.push((other, (f64::from(both) / size) as f32));
                }
            }
            keep_nearest(&mut found, nearest);
            memory::extend(&mut part.nearest, &found, WHAT)?;
            part.ends.push(part.nearest.len());
        }
        Ok(part)
    }
}

fn list(side: &(Vec<u64>, Vec<u32>), at: usize) -> &[u32] {
    &side.1[side.0[at] as usize..side.0[at + 1] as usize]
}

#[cfg(test)]
mod tests;
