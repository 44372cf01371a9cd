//! Which training rows are held out.

use std::sync::Arc;

use super::HoldoutKind;
use crate::data::shard::ShardIndex;
use crate::rng::Rng;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the rows of the users that are held out";
/// The stream of random numbers that rows are drawn by.
const DRAW: u64 = 0x686f_6c64;
/// At most this part of the rows is held out by time.
const MOST: u64 = 5;
/// The fewest rows of a user whose last one is held out.
const FEWEST: u32 = 3;
/// Spans of time that are counted at once.
const SPANS: u64 = 64 << 10;

/// The decision per row.
pub(super) enum Rule {
    /// A row of each user by its key and its number; none for those with too few.
    OnePerUser {
        rows: Vec<Option<(i64, u64)>>,
        /// What the keys are drawn by, in the place of times.
        seed: Option<u64>,
    },
    Time {
        from: i64,
    },
    /// Each row whose number of 64 random bits is no more than `below`.
    Random {
        seed: u64,
        below: u64,
    },
}

impl Rule {
    /// What is recorded of it.
    pub(super) fn kind(&self) -> HoldoutKind {
        match self {
            Rule::OnePerUser { seed: None, .. } => HoldoutKind::LastPerUser,
            Rule::OnePerUser { seed: Some(seed), .. } => HoldoutKind::RandomPerUser { seed: *seed },
            Rule::Time { from } => HoldoutKind::Time { from: *from },
            Rule::Random { seed, .. } => HoldoutKind::Random { seed: *seed },
        }
    }

    /// Whether training row number `row` is one. Rows of nobody, or of nothing, never are.
    pub(super) fn chooses(&self, user: u32, item: u32, time: i64, row: u64) -> bool {
        user != 0
            && item != 0
            && match self {
                Rule::OnePerUser { rows, .. } => rows[user as usize].is_some_and(|(_, chosen)| chosen == row),
                Rule::Time { from } => time >= *from,
                Rule::Random { seed, below } => Rng::at(*seed, &[DRAW, row]).next_u64() <= *below,
            }
    }

    /// The last row of each of the users, by time, then order.
    pub(super) fn last_per_user(shards: &[Arc<ShardIndex>], users: u32) -> Result<Rule> {
        let mut last = Greatest::new(users)?;
        each_time(shards, |user, time, row| last.push(user, time, row))?;
        Ok(Rule::OnePerUser { rows: last.finish(), seed: None })
    }

    /// A row of each of the users, drawn by `seed`.
    pub(super) fn random_per_user(shards: &[Arc<ShardIndex>], users: u32, seed: u64) -> Result<Rule> {
        let mut drawn = Greatest::new(users)?;
        let mut before = 0;
        for shard in shards {
            shard.scan(|first, rows| {
                for (&user, row) in rows.users.iter().zip(before + first..) {
                    drawn.push(user, Rng::at(seed, &[DRAW, row]).next_u64() as i64, row);
                }
                Ok(())
            })?;
            before += shard.rows;
        }
        Ok(Rule::OnePerUser { rows: drawn.finish(), seed: Some(seed) })
    }

    /// The last `span` seconds up to `end`, the time of the last row, or fewer, so that no more than a fifth of the `rows`
    /// are held out; `None` where the last second alone has more.
    pub(super) fn last_span(shards: &[Arc<ShardIndex>], end: i64, span: i64, rows: u64) -> Result<Option<Rule>> {
        let (mut low, mut high) = (end.saturating_sub(span), end);
        let most = rows / MOST;
        // Rows behind `high`; they are not too many.
        let mut behind = 0;
        loop {
            let width = (high.abs_diff(low) / SPANS) + 1;
            let mut counts = memory::zeros::<u64>(SPANS as usize, "the rows by time")?;
            each_time(shards, |_, time, _| {
                if (low..=high).contains(&time) {
                    counts[(time.abs_diff(low) / width) as usize] += 1;
                }
            })?;
            let fits = |count: &u64, behind: &mut u64| {
                let fits = *behind + count <= most;
                *behind += if fits { *count } else { 0 };
                fits
            };
            let Some(full) = counts.iter().rposition(|count| !fits(count, &mut behind)) else {
                return Ok(Some(Rule::Time { from: low }));
            };
            let start = low.saturating_add_unsigned(full as u64 * width);
            if width == 1 {
                return Ok((behind > 0).then(|| Rule::Time { from: start.saturating_add(1) }));
            }
            (low, high) = (start, high.min(start.saturating_add_unsigned(width - 1)));
        }
    }
}

/// The row of each user that has the greatest key.
struct Greatest {
    rows: Vec<Option<(i64, u64)>>,
    counts: Vec<u32>,
}

impl Greatest {
    fn new(users: u32) -> Result<Greatest> {
        let rows = memory::filled(None::<(i64, u64)>, users as usize, WHAT)?;
        Ok(Greatest { rows, counts: memory::zeros(users as usize, WHAT)? })
    }

    fn push(&mut self, user: u32, key: i64, row: u64) {
        let Some(greatest) = self.rows.get_mut(user as usize) else { return };
        self.counts[user as usize] = self.counts[user as usize].saturating_add(1);
        // No row at all is before every row.
        *greatest = (*greatest).max(Some((key, row)));
    }

    /// None of users with too few rows.
    fn finish(mut self) -> Vec<Option<(i64, u64)>> {
        let few = self.rows.iter_mut().zip(self.counts).filter(|(_, count)| *count < FEWEST);
        few.for_each(|(row, _)| *row = None);
        self.rows
    }
}

/// Calls `each` with the user, the time and the number of every row.
fn each_time(shards: &[Arc<ShardIndex>], mut each: impl FnMut(u32, i64, u64)) -> Result<()> {
    let mut before = 0;
    for shard in shards {
        shard.scan(|first, rows| {
            let times = rows.timestamps.unwrap_or_default();
            rows.users.iter().zip(times).zip(before + first..).for_each(|((&user, &time), row)| each(user, time, row));
            Ok(())
        })?;
        before += shard.rows;
    }
    Ok(())
}
