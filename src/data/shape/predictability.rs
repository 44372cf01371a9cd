//! How much of a user's items the others explain: the next one by those before, any one by the rest.

use std::cmp::Reverse;

use super::WHAT;
use super::figures::{HeldOut, NextItem, share};
use crate::data::history::History;
use crate::eval::Neighbours;
use crate::eval::neighbours::{LeaveOut, NeighbourOptions};
use crate::rng::Rng;
use crate::threads::Threads;
use crate::{Result, memory};

/// The most users that are sampled.
const SAMPLED_USERS: usize = 20_000;
/// Users that one thread evaluates at a time.
const CHUNK_USERS: usize = 500;
/// Items that are predicted for a user.
const PREDICTED: usize = 20;
/// The items before that predict: the last two, as many earlier ones, and all up to so many.
const LAST: usize = 2;
const ALL: usize = 50;
/// The fewest rows of a user whose next item is predicted: that one, the last two, and two earlier ones.
const ORDERED: usize = 1 + 2 * LAST;
/// Marks the random numbers that choose users, and earlier items.
const CHOICE: u64 = u64::from_le_bytes(*b"nextitem");
const EARLIER: u64 = u64::from_le_bytes(*b"earlier2");

/// How well items are predicted.
#[derive(Default)]
pub(super) struct Predictability {
    pub next: Option<NextItem>,
    pub held_out: Option<HeldOut>,
}

/// Measures a sample of the users, with the same result for any number of threads. `item_rows`: training rows by item.
pub(super) fn measure(threads: &Threads, history: &History, users: u32, item_rows: &[u64]) -> Result<Predictability> {
    let sum = |leave_out, rows| LeaveOneOut::of(threads, history, users, item_rows, leave_out, rows);
    let mut measured = Predictability::default();
    if history.has_timestamps() {
        measured.next = sum(LeaveOut::Last, ORDERED)?.map(|Hits { users, last, earlier, all, popularity }| {
            let of = |hits| share(hits, users);
            NextItem { users, last: of(last), earlier: of(earlier), all: of(all), popularity: of(popularity) }
        });
    }
    measured.held_out = sum(LeaveOut::Drawn, 2)?.map(|Hits { users, all, popularity, .. }| HeldOut {
        users,
        neighbours: share(all, users),
        popularity: share(popularity, users),
    });
    Ok(measured)
}

/// A seeded choice of at most [`SAMPLED_USERS`] users, in their order.
fn choose(users: &mut Vec<u32>) {
    if users.len() > SAMPLED_USERS {
        let mut rng = Rng::at(0, &[CHOICE]);
        for place in 0..SAMPLED_USERS {
            let other = place + rng.below((users.len() - place) as u64) as usize;
            users.swap(place, other);
        }
        users.truncate(SAMPLED_USERS);
        users.sort_unstable();
    }
}

/// Where each item stands among all by its rows: most first, ties by row, item 0 last.
fn places(item_rows: &[u64]) -> Result<Vec<u32>> {
    let mut order = memory::collect(0..item_rows.len() as u32, WHAT)?;
    order.sort_unstable_by_key(|&item| (item == 0, Reverse(item_rows[item as usize]), item));
    let mut places = memory::zeros(item_rows.len(), WHAT)?;
    for (place, item) in (0..).zip(order) {
        places[item as usize] = place;
    }
    Ok(places)
}

struct LeaveOneOut<'a> {
    neighbours: Neighbours,
    places: Vec<u32>,
    history: &'a History,
    leave_out: LeaveOut,
}

/// Users that were sampled, and for how many of them the item that was left out was predicted.
#[derive(Default)]
struct Hits {
    users: u64,
    last: u64,
    earlier: u64,
    all: u64,
    popularity: u64,
}

impl LeaveOneOut<'_> {
    /// Users with at least so many rows; none where there is nobody.
    fn of(
        threads: &Threads,
        history: &History,
        users: u32,
        item_rows: &[u64],
        leave_out: LeaveOut,
        rows: usize,
    ) -> Result<Option<Hits>> {
        let mut sampled = Vec::new();
        for user in (1..users).filter(|&user| history.count(user) >= rows) {
            memory::extend(&mut sampled, &[user], WHAT)?;
        }
        choose(&mut sampled);
        if sampled.is_empty() {
            return Ok(None);
        }
        // Neighbours are counted from few enough rows that it takes seconds at any size, and without what is predicted.
        let options = NeighbourOptions { nearest: 50, shrink: 10.0, last: ALL, leave_out, memory: 64 << 20 };
        let neighbours = Neighbours::build_by(threads, history, users, item_rows.len() as u32, &options)?;
        let leave_one_out = LeaveOneOut { neighbours, places: places(item_rows)?, history, leave_out };
        let mut sum = Hits::default();
        for hits in threads.map(sampled.chunks(CHUNK_USERS).collect(), 1, |_, users| leave_one_out.hits(users)) {
            let Hits { users, last, earlier, all, popularity } = hits?;
            sum.users += users;
            sum.last += last;
            sum.earlier += earlier;
            sum.all += all;
            sum.popularity += popularity;
        }
        Ok((sum.users > 0).then_some(sum))
    }

    fn hits(&self, users: &[u32]) -> Result<Hits> {
        let mut hits = Hits::default();
        let mut scores = Scores { of: memory::zeros(self.places.len(), WHAT)?, touched: Vec::new() };
        let (mut others, mut seen) = (Vec::new(), Vec::new());
        for &user in users {
            others.clear();
            self.history.items(user, &mut others)?;
            let Some(place) = self.leave_out.place(user, others.len()) else { continue };
            let target = others.remove(place);
            seen.clear();
            memory::extend(&mut seen, &others, WHAT)?;
            seen.sort_unstable();
            seen.dedup();
            // What they have is not predicted, and nothing is known of item 0.
            if target == 0 || seen.binary_search(&target).is_ok() {
                continue;
            }
            let mut hit = |items: &[u32]| u64::from(scores.predict(&self.neighbours, items, target, &seen));
            let place = |item: u32| self.places[item as usize];
            hits.users += 1;
            hits.all += hit(&others[others.len().saturating_sub(ALL)..]);
            if let (LeaveOut::Last, Some((before, last))) = (self.leave_out, others.split_last_chunk::<LAST>()) {
                hits.last += hit(last);
                hits.earlier += hit(&drawn(user, before));
            }
            let ahead = seen.iter().filter(|&&item| place(item) < place(target)).count();
            hits.popularity += u64::from(place(target) as usize - ahead < PREDICTED);
        }
        Ok(hits)
    }
}

/// Two of these items, from two places where there are as many.
fn drawn(user: u32, items: &[u32]) -> Vec<u32> {
    let mut rng = Rng::at(0, &[EARLIER, u64::from(user)]);
    match items {
        [] | [_] | [_, _] => items.to_vec(),
        _ => {
            let first = rng.below(items.len() as u64) as usize;
            let second = (first + 1 + rng.below(items.len() as u64 - 1) as usize) % items.len();
            vec![items[first], items[second]]
        }
    }
}

/// A score of every item, and those that have one.
struct Scores {
    of: Vec<f32>,
    touched: Vec<u32>,
}

impl Scores {
    /// Whether `target` is among the first that the neighbours of `items` predict, without the items that were `seen`.
    fn predict(&mut self, neighbours: &Neighbours, items: &[u32], target: u32, seen: &[u32]) -> bool {
        for &(near, similarity) in items.iter().flat_map(|&item| neighbours.of(item)) {
            let score = &mut self.of[near as usize];
            if *score == 0.0 {
                self.touched.push(near);
            }
            *score += similarity;
        }
        let own = self.of[target as usize];
        let ahead = |&&item: &&u32| {
            let score = self.of[item as usize];
            (score > own || (score == own && item < target)) && seen.binary_search(&item).is_err()
        };
        let hit = own > 0.0 && self.touched.iter().filter(ahead).count() < PREDICTED;
        self.touched.drain(..).for_each(|item| self.of[item as usize] = 0.0);
        hit
    }
}
