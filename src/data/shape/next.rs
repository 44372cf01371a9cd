//! How much of a user's next item the ones before explain.

use std::cmp::Reverse;

use super::{NextItem, WHAT, share};
use crate::data::history::History;
use crate::eval::Neighbours;
use crate::eval::neighbours::NeighbourOptions;
use crate::rng::Rng;
use crate::threads::Threads;
use crate::{Result, memory};

/// The most users that are asked.
const ASKED: usize = 20_000;
/// Users that one thread asks at a time.
const TOGETHER: usize = 500;
/// Items that a user is told.
const TOLD: usize = 20;
/// The items before that tell: the last two, and all up to so many.
const LAST: usize = 2;
const ALL: usize = 50;
/// Marks the random numbers that choose users.
const CHOICE: u64 = u64::from_le_bytes(*b"nextitem");
/// Neighbours are counted from few enough rows that it takes seconds at any size, and without those that are asked for.
const NEIGHBOURS: NeighbourOptions =
    NeighbourOptions { nearest: 50, shrink: 10.0, last: ALL, leave: 1, memory: 64 << 20 };

/// Asks a sample of the users, with the same result for any number of threads. `item_rows`: training rows by item row.
pub(super) fn item(threads: &Threads, history: &History, users: u32, item_rows: &[u64]) -> Result<Option<NextItem>> {
    if !history.has_timestamps() {
        return Ok(None);
    }
    let mut asked = Vec::new();
    for user in (1..users).filter(|&user| history.count(user) >= 2) {
        memory::extend(&mut asked, &[user], WHAT)?;
    }
    choose(&mut asked);
    if asked.is_empty() {
        return Ok(None);
    }
    let asking = Asking {
        neighbours: Neighbours::build_by(threads, history, users, item_rows.len() as u32, &NEIGHBOURS)?,
        places: places(item_rows)?,
        history,
    };
    let found = threads.map(asked.chunks(TOGETHER).collect(), 1, |_, users| asking.hits(users));
    let mut sum = Hits::default();
    for hits in found {
        let hits = hits?;
        sum.users += hits.users;
        sum.last += hits.last;
        sum.all += hits.all;
        sum.popularity += hits.popularity;
    }
    let Hits { users, last, all, popularity } = sum;
    let of = |hits| share(hits, users);
    Ok((users > 0).then(|| NextItem { users, last: of(last), all: of(all), popularity: of(popularity) }))
}

/// A seeded choice of at most [`ASKED`] users, in their order.
fn choose(users: &mut Vec<u32>) {
    if users.len() > ASKED {
        let mut rng = Rng::at(0, &[CHOICE]);
        for place in 0..ASKED {
            let other = place + rng.below((users.len() - place) as u64) as usize;
            users.swap(place, other);
        }
        users.truncate(ASKED);
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

struct Asking<'a> {
    neighbours: Neighbours,
    places: Vec<u32>,
    history: &'a History,
}

/// Users that were asked, and how many of them were told their next item.
#[derive(Default)]
struct Hits {
    users: u64,
    last: u64,
    all: u64,
    popularity: u64,
}

impl Asking<'_> {
    fn hits(&self, users: &[u32]) -> Result<Hits> {
        let mut hits = Hits::default();
        let mut scores = Scores { of: memory::zeros(self.places.len(), WHAT)?, touched: Vec::new() };
        let (mut items, mut seen) = (Vec::new(), Vec::new());
        for &user in users {
            items.clear();
            self.history.items(user, &mut items)?;
            let Some((&next, before)) = items.split_last() else { continue };
            seen.clear();
            memory::extend(&mut seen, before, WHAT)?;
            seen.sort_unstable();
            seen.dedup();
            // What they have is not told, and nothing is known of item 0.
            if next == 0 || seen.binary_search(&next).is_ok() {
                continue;
            }
            let tail = |most: usize| &before[before.len().saturating_sub(most)..];
            let place = |item: u32| self.places[item as usize];
            let ahead = seen.iter().filter(|&&item| place(item) < place(next)).count();
            hits.users += 1;
            hits.last += u64::from(scores.tell(&self.neighbours, tail(LAST), next, &seen));
            hits.all += u64::from(scores.tell(&self.neighbours, tail(ALL), next, &seen));
            hits.popularity += u64::from(place(next) as usize - ahead < TOLD);
        }
        Ok(hits)
    }
}

/// A score of every item, and those that have one.
struct Scores {
    of: Vec<f32>,
    touched: Vec<u32>,
}

impl Scores {
    /// Whether `next` is among the first that the neighbours of `items` tell, without the items that were `seen`.
    fn tell(&mut self, neighbours: &Neighbours, items: &[u32], next: u32, seen: &[u32]) -> bool {
        for &(near, similarity) in items.iter().flat_map(|&item| neighbours.of(item)) {
            let score = &mut self.of[near as usize];
            if *score == 0.0 {
                self.touched.push(near);
            }
            *score += similarity;
        }
        let own = self.of[next as usize];
        let ahead = |&&item: &&u32| {
            let score = self.of[item as usize];
            (score > own || (score == own && item < next)) && seen.binary_search(&item).is_err()
        };
        let told = own > 0.0 && self.touched.iter().filter(ahead).count() < TOLD;
        self.touched.drain(..).for_each(|item| self.of[item as usize] = 0.0);
        told
    }
}
