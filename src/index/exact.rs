//! Exact top-K of many users, block by block, into a predictions file.
//!
//! Blocks of users are read ahead and pieces of the file encoded behind the ranking, both on other threads
//! (`pipeline.rs`); the ranking waits for the file when more pieces wait for it than memory allows.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::data::vocabulary::Vocabulary;
use crate::eval::metrics::check_k;
use crate::threads::so_many;
use crate::{Error, Result};

use super::ahead::UnderWay;
use super::diversity::{Diversity, ListCounter};
use super::pieces::{ListCutter, ListPiece};
use super::pipeline::{self, Flow, ReadBlock, Stages};
use super::predictions::encode::{Encoded, Encoding};
use super::predictions::file::{PredictionFile, failed};
use super::predictions::{IdKind, Place};
use super::seen::{Exclude, Seen};
use super::users::{BlockOptions, Users};
use super::{Found, Progress, Ranker};

/// How [`recommend`] works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecommendOptions {
    /// Items per user, from 1 to [`MAX_K`](crate::eval::metrics::MAX_K). Default 12.
    pub k: usize,
    /// What is left out of a user's list, beside what a file of users says that it had. Default [`Exclude::All`]: all
    /// that the [`Seen`] knows of.
    pub exclude: Exclude,
    /// Bytes that blocks of users, what is found for them, and the pieces of the file may take. Default 512 MiB.
    pub memory: u64,
    /// Threads that read users, and as many that encode the file; 0 for every core. They change no byte. Default 0.
    pub threads: usize,
    /// Writes a line for every user, in JSON lines, instead of a row for every place. Default false.
    pub by_user: bool,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        RecommendOptions { k: 12, exclude: Exclude::default(), memory: 512 << 20, threads: 0, by_user: false }
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

    /// Sets the threads beside the ranker's.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> RecommendOptions {
        self.threads = threads;
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

/// Finds the best items of `users` and writes them to `out`
/// ([`PredictionWriter`](super::predictions::PredictionWriter) says how), users in their order.
/// `seen` has the users' items: those that are left out, and the histories that the ranker reads. `progress` is called
/// after each block; its error ends the call. Memory stays bounded whatever the number of users: by `options.memory`, or by
/// what one block and two pieces of the file take (a row group of 262,144 rows, for Parquet) where that is more.
///
/// This is for rankers of your own; for a model see [`Model::recommend`](crate::Model::recommend).
///
/// # Errors
/// [`Error::Config`] for a k or an `out` that cannot be used, or without `seen` where the ranker reads histories,
/// [`Error::Memory`] when no block fits, [`Error::Shape`] when the ranker's answer has another shape or names items that
/// `items` does not have, or whatever the ranker, the history or the file gives. After an error a file that was at `out` is
/// as it was.
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
    let (mut file, encoding) =
        PredictionFile::create(out, users.kind(), IdKind::of(&items.table.ids), options.by_user)?;
    let (mut counter, mut cutter) = (ListCounter::default(), ListCutter::new(encoding.cut()));
    let threads = so_many(options.threads);
    let (read, reader) = (pipeline::read(users, &block_options), ranker.reader()?);
    let flow = Flow::new(threads, pieces_behind(threads, options.memory, &encoding, users, items));
    let stages = Stages {
        prepare: |range| {
            let ReadBlock { users, block, skip } = read(range)?;
            Ok((users, reader.gather(block, skip)?))
        },
        finish: |piece: ListPiece| Ok((encode(&piece, &encoding, users, items, out)?, piece.hashes)),
        take: |(piece, hashes): (Encoded, Vec<u64>)| {
            hashes.into_iter().for_each(|hash| counter.add(hash));
            file.append(piece)
        },
    };
    let mut under_way = UnderWay::new();
    pipeline::run(flow, pipeline::plan(users, &block_options), stages, |block, give| {
        let last = block.is_none();
        if let Some((range, found)) = under_way.rank(ranker, block, k)? {
            check(&found, range.len(), k)?;
            // Otherwise the file has failed, and says why.
            if cutter.push(range.start, &found, give) {
                progress(Progress::users(range.end, users.len()))?;
            }
        }
        if last {
            give(cutter.rest());
        }
        Ok(())
    })?;
    Ok(Recommended {
        users: users.len() as u64,
        k,
        rows: file.finish()?,
        short_users: cutter.short_users,
        diversity: counter.diversity(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// How many pieces may wait for the file: half the memory's worth, and two at least.
fn pieces_behind(threads: usize, memory: u64, encoding: &Encoding, users: &Users<'_>, items: &Vocabulary) -> usize {
    // What was found, and the columns that it becomes.
    let row = 8 + 8 + (users.mean_id_bytes() + items.table.ids.mean_bytes()) as u64;
    let most = memory / 2 / (row * encoding.rows() as u64);
    (most as usize).clamp(2, threads + 2)
}

/// A piece as the file has it.
fn encode(
    piece: &ListPiece,
    encoding: &Encoding,
    users: &Users<'_>,
    items: &Vocabulary,
    out: &Path,
) -> Result<Encoded> {
    let missing = |what: &str, number: usize| Error::Shape {
        op: "recommend",
        expected: format!("{what} rows of the vocabulary"),
        found: format!("row {number}"),
    };
    let mut encoder = encoding.piece().map_err(|e| failed(out, e))?;
    let mut list = Vec::new();
    for part in piece.parts() {
        let user = users.name(part.user).ok_or_else(|| missing("user", part.user))?;
        list.clear();
        for (&id, &score) in part.ids.iter().zip(part.scores) {
            list.push(Place { item: items.raw(id).ok_or_else(|| missing("item", id as usize))?, score });
        }
        encoder.push(user, part.before, &list).map_err(|e| failed(out, e))?;
    }
    encoder.finish().map_err(|e| failed(out, e))
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
