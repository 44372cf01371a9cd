//! How a dataset's held-out rows came to be: what a hold-out of training rows has to be like.

use serde::{Deserialize, Serialize};

use super::dataset::FileInfo;
use super::history::History;
use super::shard::Shard;
use super::split::SplitRule;
use crate::{Result, memory};

/// What takes the memory.
const WHAT: &str = "the last times of the users";
/// Of rows that are each user's last, all are late; of rows that were drawn at random, those that happen to be the last.
const LATE: f64 = 0.9;

/// How the validation and the test split were made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitOrigin {
    /// The rule; `none` where files were given for them, or nothing is held out.
    pub rule: SplitRule,
    /// Of test rows that were given, with times, of users that training knows: the share that is not before the user's
    /// last training row. Absent of other test rows, which a rule made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<f64>,
}

impl SplitOrigin {
    /// Whether the test rows that were given lie behind what their users have in training.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late.is_some_and(|late| late >= LATE)
    }
}

/// The share of the rows in `files`, which `open` opens, that are not before their user's last training row; none where
/// there are no times, or no rows of users that training knows. Memory: 8 bytes a user.
pub(crate) fn late(
    files: &[FileInfo],
    open: impl Fn(&FileInfo) -> Result<Shard>,
    history: &History,
) -> Result<Option<f64>> {
    if !history.has_timestamps() {
        return Ok(None);
    }
    let ends = history.ends();
    let mut last = memory::filled(None::<i64>, ends.len(), WHAT)?;
    let mut user = 0;
    history.each_piece(|first, _, times| {
        for (row, &time) in (first..).zip(times) {
            while ends.get(user).is_some_and(|&end| row >= end) {
                user += 1;
            }
            // In order of time: the last one stays.
            if let Some(last) = last.get_mut(user) {
                *last = Some(time);
            }
        }
    })?;
    let (mut rows, mut late) = (0u64, 0u64);
    for file in files {
        let shard = open(file)?;
        for at in 0..shard.blocks() {
            let block = shard.block(at)?;
            for (&user, &time) in block.users.iter().zip(block.timestamps.unwrap_or_default()) {
                // Nobody is user 0.
                if let Some(last) = last.get(user as usize).copied().flatten().filter(|_| user > 0) {
                    rows += 1;
                    late += u64::from(time >= last);
                }
            }
        }
    }
    Ok((rows > 0).then(|| late as f64 / rows as f64))
}
