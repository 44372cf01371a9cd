//! Which training rows are held out.

use std::sync::Arc;

use super::record::HoldoutKind;
use crate::data::shard::ShardIndex;
use crate::rng::Rng;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the rows of the users that are held out";
/// The stream of random numbers that rows are drawn by.
const DRAW: u64 = 0x686f_6c64;
/// At most this part of the rows is held out by time.
const MOST: u64 = 5;
/// The part of a user's rows that is held out, at most.
const MOST_OF_A_USER: u32 = 3;
/// The most rows of a user that are held out.
pub(super) const MOST_PER_USER: usize = 4;
/// Spans of time that are counted at once.
const SPANS: u64 = 64 << 10;

/// The decision per row.
pub(super) enum HoldOutRule {
    /// The rows of each user from this key and number on; none for those with too few.
    PerUser {
        from: Vec<Option<(i64, u64)>>,
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

impl HoldOutRule {
    /// What is recorded of it.
    pub(super) fn kind(&self) -> HoldoutKind {
        match self {
            HoldOutRule::PerUser { seed: None, .. } => HoldoutKind::LastPerUser,
            HoldOutRule::PerUser { seed: Some(seed), .. } => HoldoutKind::RandomPerUser { seed: *seed },
            HoldOutRule::Time { from } => HoldoutKind::Time { from: *from },
            HoldOutRule::Random { seed, .. } => HoldoutKind::Random { seed: *seed },
        }
    }

    /// Whether training row number `row` is one. Rows of nobody, or of nothing, never are.
    pub(super) fn chooses(&self, user: u32, item: u32, time: i64, row: u64) -> bool {
        user != 0
            && item != 0
            && match self {
                HoldOutRule::PerUser { from, seed } => {
                    let key = seed.map_or(time, |seed| drawn(seed, row));
                    from[user as usize].is_some_and(|from| (key, row) >= from)
                }
                HoldOutRule::Time { from } => time >= *from,
                HoldOutRule::Random { seed, below } => Rng::at(*seed, &[DRAW, row]).next_u64() <= *below,
            }
    }

    /// The last rows of each of the users, by time, then order: `most`, and a third of them at most.
    pub(super) fn last_per_user(shards: &[Arc<ShardIndex>], users: u32, most: usize) -> Result<HoldOutRule> {
        let mut last = Greatest::new(users, most)?;
        each_time(shards, |user, time, row| last.push(user, time, row))?;
        Ok(HoldOutRule::PerUser { from: last.least(), seed: None })
    }

    /// As many rows of each of the users, drawn by `seed`.
    pub(super) fn random_per_user(
        shards: &[Arc<ShardIndex>],
        users: u32,
        most: usize,
        seed: u64,
    ) -> Result<HoldOutRule> {
        let mut greatest = Greatest::new(users, most)?;
        let mut before = 0;
        for shard in shards {
            shard.scan(|first, rows| {
                for (&user, row) in rows.users.iter().zip(before + first..) {
                    greatest.push(user, drawn(seed, row), row);
                }
                Ok(())
            })?;
            before += shard.rows;
        }
        Ok(HoldOutRule::PerUser { from: greatest.least(), seed: Some(seed) })
    }

    /// The last `span` seconds up to `end`, the time of the last row, or fewer, so that no more than a fifth of the `rows`
    /// are held out; `None` where the last second alone has more.
    pub(super) fn last_span(shards: &[Arc<ShardIndex>], end: i64, span: i64, rows: u64) -> Result<Option<HoldOutRule>> {
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
                return Ok(Some(HoldOutRule::Time { from: low }));
            };
            let start = low.saturating_add_unsigned(full as u64 * width);
            if width == 1 {
                return Ok((behind > 0).then(|| HoldOutRule::Time { from: start.saturating_add(1) }));
            }
            (low, high) = (start, high.min(start.saturating_add_unsigned(width - 1)));
        }
    }
}

/// A row's key where there is no time to go by.
fn drawn(seed: u64, row: u64) -> i64 {
    Rng::at(seed, &[DRAW, row]).next_u64() as i64
}

/// The rows of each user that have the greatest keys.
struct Greatest {
    /// The keys of a user beside each other, the greatest first; `most` of each.
    rows: Vec<Option<(i64, u64)>>,
    most: usize,
    counts: Vec<u32>,
}

impl Greatest {
    fn new(users: u32, most: usize) -> Result<Greatest> {
        let rows = memory::filled(None::<(i64, u64)>, users as usize * most, WHAT)?;
        Ok(Greatest { rows, most, counts: memory::zeros(users as usize, WHAT)? })
    }

    fn push(&mut self, user: u32, key: i64, row: u64) {
        let Some(count) = self.counts.get_mut(user as usize) else { return };
        *count = count.saturating_add(1);
        let mut pushed = Some((key, row));
        for kept in &mut self.rows[user as usize * self.most..][..self.most] {
            // No row at all is before every row.
            if pushed > *kept {
                std::mem::swap(&mut pushed, kept);
            }
        }
    }

    /// The least of those that are held out; none of users with too few rows.
    fn least(self) -> Vec<Option<(i64, u64)>> {
        let held = |(rows, count): (&[Option<(i64, u64)>], u32)| {
            let held = self.most.min((count / MOST_OF_A_USER) as usize);
            held.checked_sub(1).and_then(|last| rows[last])
        };
        self.rows.chunks_exact(self.most).zip(self.counts.iter().copied()).map(held).collect()
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
