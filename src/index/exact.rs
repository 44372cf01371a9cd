//! Exact top-K of many users, block by block, into a predictions file.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::data::vocabulary::Vocabulary;
use crate::eval::metrics::check_k;
use crate::threads::spawn_in;
use crate::{Error, Result};

use super::diversity::{Diversity, ListCounter};
use super::predictions::{IdKind, Place, PredictionWriter};
use super::seen::{Exclude, Seen};
use super::users::{BlockOptions, Users};
use super::{Found, Lists, NO_ITEM, Progress, Ranker, UserBlock};

/// How [`recommend`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecommendOptions {
    /// Items per user, from 1 to [`MAX_K`](crate::eval::metrics::MAX_K). Default 12.
    pub k: usize,
    /// What is left out of a user's list, beside what a file of users says that it had. Default [`Exclude::All`]: all
    /// that the [`Seen`] knows of.
    pub exclude: Exclude,
    /// Bytes that blocks of users and what is found for them may take. Default 512 MiB.
    pub memory: u64,
    /// Writes a line for every user, in JSON lines, instead of a row for every place. Default false.
    pub by_user: bool,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        RecommendOptions { k: 12, exclude: Exclude::default(), memory: 512 << 20, by_user: false }
    }
}

impl RecommendOptions {
    /// The defaults, with lists of `k` items.
    pub fn top(k: usize) -> RecommendOptions {
        RecommendOptions { k, ..RecommendOptions::default() }
    }

    /// Sets what is left out of a user's list.
    #[must_use]
    pub fn exclude(mut self, exclude: Exclude) -> RecommendOptions {
        self.exclude = exclude;
        self
    }

    /// Sets the bytes that blocks may take.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> RecommendOptions {
        self.memory = bytes;
        self
    }

    /// Sets whether each user gets a line.
    #[must_use]
    pub fn by_user(mut self, by_user: bool) -> RecommendOptions {
        self.by_user = by_user;
        self
    }
}

/// What [`recommend`] wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recommended {
    /// Users that were ranked for.
    pub users: u64,
    /// Items per user that were asked for.
    pub k: usize,
    /// Rows of the file: places, or users where it is by user.
    pub rows: u64,
    /// Users with fewer than k items: no more may be returned to them.
    pub short_users: u64,
    /// How alike the users' lists are.
    pub diversity: Diversity,
    /// Wall time.
    pub seconds: f64,
}

/// Finds the best items of `users` and writes them to `out` ([`PredictionWriter`] says how), users in their order.
/// `seen` has the users' items: those that are left out, and the histories that the ranker reads. `progress` is called
/// after each block; its error ends the call. Memory stays bounded whatever the number of users.
///
/// This is for rankers of your own; for a model see [`Model::recommend`](crate::Model::recommend).
///
/// # Errors
/// [`Error::Config`] for a k or an `out` that cannot be used, or without `seen` where the ranker reads histories, [`Error::Memory`] when no block fits, [`Error::Shape`]
/// when the ranker's answer has another shape or names items that `items` does not have, or whatever the ranker, the
/// history or the file gives. After an error a file that was at `out` is as it was.
pub fn recommend(
    ranker: &mut dyn Ranker,
    users: &Users<'_>,
    items: &Vocabulary,
    seen: Option<&Seen>,
    out: &Path,
    options: &RecommendOptions,
    progress: &mut dyn FnMut(Progress) -> Result<()>,
) -> Result<Recommended> {
    let k = options.k;
    check_k(k)?;
    let history = history_of(ranker, seen)?;
    let start = Instant::now();
    let block_options = BlockOptions { seen, exclude: options.exclude, history, memory: options.memory, k };
    let writer = PredictionWriter::create(out, users.kind(), IdKind::of(&items.table.ids), options.by_user)?;
    let (blocks, to_write) = sync_channel::<Message>(1);
    // Writing a block runs beside the ranking of the next.
    let (ranked, written) = thread::scope(|scope| {
        let writing = match spawn_in(scope, "writer", move || write_blocks(writer, to_write, users, items)) {
            Ok(writing) => writing,
            Err(error) => return (Err(error), Ok(Ok(0))),
        };
        let mut rank = || -> Result<Recommended> {
            let mut summary = Recommended {
                users: users.len() as u64,
                k,
                rows: 0,
                short_users: 0,
                diversity: Diversity::default(),
                seconds: 0.0,
            };
            let (mut counter, mut block, mut skip) = (ListCounter::default(), UserBlock::default(), Lists::default());
            let mut next = 0;
            while next < users.len() {
                let first = next;
                next = users.block(first, &block_options, &mut block, &mut skip)?;
                let found = ranker.top_k(&block, k, (options.exclude != Exclude::None).then_some(&skip))?;
                check(&found, block.len(), k)?;
                counter.push(&found);
                summary.short_users += (0..block.len()).filter(|&i| found.items(i).len() < k).count() as u64;
                if blocks.send(Message::Block(first, found)).is_err() {
                    break; // The writer has failed and says why below.
                }
                progress(Progress::users(next, users.len()))?;
            }
            summary.diversity = counter.diversity();
            Ok(summary)
        };
        let ranked = rank();
        if ranked.is_ok() {
            // A writer that has failed does not listen any more, and says why below.
            let _ = blocks.send(Message::End);
        }
        drop(blocks);
        (ranked, writing.join())
    });
    let mut summary = ranked?;
    summary.rows = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    summary.seconds = start.elapsed().as_secs_f64();
    Ok(summary)
}

/// How long a history the ranker reads, if `seen` can give it.
pub(crate) fn history_of(ranker: &dyn Ranker, seen: Option<&Seen>) -> Result<usize> {
    match ranker.history_len() {
        n if n > 0 && seen.is_none() => {
            Err(Error::config("seen", format!("the ranker reads the last {n} items of every user; pass them")))
        }
        n => Ok(n),
    }
}

/// Whether the ranker's answer has the shape that was asked for.
pub(crate) fn check(found: &Found, users: usize, k: usize) -> Result<()> {
    let values = users * k;
    if found.k != k || found.ids.len() != values || found.scores.len() != values {
        return Err(Error::Shape {
            op: "top_k",
            expected: format!("{users} users x {k} items"),
            found: format!("k {}, {} items, {} scores", found.k, found.ids.len(), found.scores.len()),
        });
    }
    Ok(())
}

enum Message {
    /// The user that a block starts with, and what was found.
    Block(usize, Found),
    /// All users are done. Without it the file is given up.
    End,
}

fn write_blocks(
    mut writer: PredictionWriter,
    blocks: Receiver<Message>,
    users: &Users<'_>,
    items: &Vocabulary,
) -> Result<u64> {
    let missing = |what: &str, number: usize| Error::Shape {
        op: "recommend",
        expected: format!("{what} rows of the vocabulary"),
        found: format!("row {number}"),
    };
    let mut list = Vec::new();
    for message in blocks {
        let Message::Block(first, found) = message else { return writer.finish() };
        for (user, (ids, scores)) in (first..).zip(found.ids.chunks(found.k).zip(found.scores.chunks(found.k))) {
            let name = users.name(user).ok_or_else(|| missing("user", user))?;
            list.clear();
            for (&id, &score) in ids.iter().zip(scores).take_while(|(id, _)| **id != NO_ITEM) {
                let item = items.raw(id).ok_or_else(|| missing("item", id as usize))?;
                list.push(Place { item, score });
            }
            writer.push(name, &list)?;
        }
    }
    Ok(0)
}
