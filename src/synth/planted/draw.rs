//! What each shape draws: a user's items, and what was planted.

use std::io;

use super::{Lines, PlantedConfig, PlantedShape};
use crate::rng::{Rng, mix};

/// The first second, 2024-01-01, and how many there are: a year.
const START: i64 = 1_704_067_200;
const SPAN: u64 = 366 * 86_400;
/// Items of a cluster, of a user's favourites, and that follow an item.
const CLUSTER: u32 = 50;
const FAVOURITES: u32 = 5;
const FOLLOWERS: u32 = 4;
/// Marks the random numbers of rows, and of what is planted.
const ROWS: u64 = u64::from_le_bytes(*b"rows\0\0\0\0");
const TRUTH: u64 = u64::from_le_bytes(*b"truth\0\0\0");

pub(super) struct Draw {
    shape: PlantedShape,
    items: u32,
    users: u32,
    seed: u64,
}

/// Uniform in [0, 1).
pub(super) fn unit(rng: &mut Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// One of `0..n`, low ones more often: the square of a uniform number.
fn skewed(rng: &mut Rng, n: u32) -> u32 {
    let x = unit(rng);
    ((x * x * f64::from(n)) as u32).min(n - 1)
}

impl Draw {
    pub(super) fn new(config: &PlantedConfig) -> Draw {
        Draw { shape: config.shape, items: config.items, users: config.users, seed: config.seed }
    }

    /// `rows` items of a user, with their times in ascending order.
    pub(super) fn rows(&self, user: u32, rows: u64, out: &mut Vec<(u32, i64)>) {
        let mut rng = Rng::at(self.seed, &[ROWS, u64::from(user)]);
        out.clear();
        out.extend((0..rows).map(|_| (0, START + rng.below(SPAN) as i64)));
        out.sort_unstable();
        for row in 0..out.len() {
            let (before, time) = (&out[row.saturating_sub(2)..row], out[row].1);
            out[row].0 = match self.shape {
                PlantedShape::Clusters => self.of_cluster(user, &mut rng),
                PlantedShape::Drift => self.of_moment(time, &mut rng),
                PlantedShape::Sequences => self.following(before, &mut rng),
                PlantedShape::Repeats => self.repeated(user, &mut rng),
            };
        }
    }

    /// Truth about users, where there is some.
    pub(super) fn write_users(&self, out: &mut Lines) -> io::Result<()> {
        match self.shape {
            PlantedShape::Clusters => {
                out.push(format_args!("user,cluster"))?;
                (0..self.users).try_for_each(|user| out.push(format_args!("{user},{}", self.taste(user))))
            }
            PlantedShape::Repeats => {
                out.push(format_args!("user,favourite"))?;
                let all = (0..self.users).flat_map(|user| (0..FAVOURITES).map(move |number| (user, number)));
                all.into_iter()
                    .try_for_each(|(user, number)| out.push(format_args!("{user},{}", self.favourite(user, number))))
            }
            PlantedShape::Drift | PlantedShape::Sequences => out.push(format_args!("user")),
        }
    }

    /// Truth about items, where there is some.
    pub(super) fn write_items(&self, out: &mut Lines) -> io::Result<()> {
        match self.shape {
            PlantedShape::Clusters => {
                out.push(format_args!("item,cluster"))?;
                (0..self.items).try_for_each(|item| out.push(format_args!("{item},{}", item % self.clusters())))
            }
            PlantedShape::Drift => {
                out.push(format_args!("item,new_from"))?;
                (0..self.items).try_for_each(|item| out.push(format_args!("{item},{}", self.new_from(item))))
            }
            PlantedShape::Sequences => {
                out.push(format_args!("item,follower"))?;
                let all = (0..self.items).flat_map(|item| (0..FOLLOWERS).map(move |number| (item, number)));
                all.into_iter()
                    .try_for_each(|(item, number)| out.push(format_args!("{item},{}", self.follower(item, number))))
            }
            PlantedShape::Repeats => out.push(format_args!("item")),
        }
    }

    fn clusters(&self) -> u32 {
        (self.items / CLUSTER).max(2)
    }

    fn taste(&self, user: u32) -> u32 {
        (mix(self.place(user, 0)) % u64::from(self.clusters())) as u32
    }

    fn of_cluster(&self, user: u32, rng: &mut Rng) -> u32 {
        let (clusters, taste) = (self.clusters(), self.taste(user));
        match rng.below_u32(5) {
            0 => skewed(rng, self.items),
            // Items `taste`, `taste + clusters`, ...
            _ => taste + clusters * skewed(rng, (self.items - taste).div_ceil(clusters)),
        }
    }

    /// Items that are the newest at a time.
    fn window(&self) -> u32 {
        (self.items / 10).max(1)
    }

    /// The second from which an item is among the newest: those of the first window from the start, the others one after
    /// the other.
    fn new_from(&self, item: u32) -> i64 {
        let (late, all) =
            (u64::from((item + 1).saturating_sub(self.window())), u64::from(self.items - self.window() + 1));
        START + (late * SPAN).div_ceil(all) as i64
    }

    fn of_moment(&self, time: i64, rng: &mut Rng) -> u32 {
        let steps = u64::from(self.items - self.window() + 1);
        // The newest item: `window - 1` at the start, the last one at the end.
        let newest = self.window() - 1 + ((time - START) as u64 * steps / SPAN) as u32;
        match rng.below_u32(5) {
            0 => rng.below_u32(newest + 1),
            _ => newest - rng.below_u32(self.window()),
        }
    }

    fn follower(&self, item: u32, number: u32) -> u32 {
        (mix(self.place(item, number)) % u64::from(self.items)) as u32
    }

    fn following(&self, before: &[(u32, i64)], rng: &mut Rng) -> u32 {
        let (luck, number) = (rng.below_u32(10), rng.below_u32(FOLLOWERS));
        match *before {
            [.., (last, _)] if luck < 5 => self.follower(last, number),
            [(other, _), _] if luck < 8 => self.follower(other, number),
            _ => rng.below_u32(self.items),
        }
    }

    fn favourite(&self, user: u32, number: u32) -> u32 {
        (mix(self.place(user, number)) % u64::from(self.items)) as u32
    }

    fn repeated(&self, user: u32, rng: &mut Rng) -> u32 {
        match rng.below_u32(10) {
            0..7 => self.favourite(user, rng.below_u32(FAVOURITES)),
            _ => skewed(rng, self.items),
        }
    }

    /// Where something planted is drawn.
    fn place(&self, of: u32, number: u32) -> u64 {
        mix(mix(self.seed) ^ TRUTH) ^ (u64::from(of) << 8 | u64::from(number))
    }
}
