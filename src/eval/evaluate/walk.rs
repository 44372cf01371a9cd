//! A walk over all users of a split: blocks are ranked one after the other, and judged on other threads.

use std::ops::Range;
use std::sync::Arc;

use super::Evaluator;
use crate::Result;
use crate::eval::baselines::Popularity;
use crate::eval::figures::{JudgedLists, Ranked};
use crate::index::ahead::{Gathered, Reader, UnderWay};
use crate::index::exact::check;
use crate::index::pipeline::{self, Flow, ReadBlock, Stages};
use crate::index::users::{BlockOptions, Users};
use crate::index::{Exclude, Lists, Progress, Ranker};
use crate::settings::View;
use crate::threads::ranges;

/// Users that a thread judges at a time.
const PIECE_USERS: usize = 1024;

/// Some users of a block that was ranked.
struct RankedPiece {
    /// What is known of the block's lists, and what its users skip.
    ranked: Arc<(Ranked, Option<Lists>)>,
    /// Which of its users.
    places: Range<usize>,
    /// The first of them, among all.
    first: usize,
}

/// Which users a block has, and what they skip, where somebody asks.
type Known = (Range<usize>, Option<Lists>);

/// Has a block ranked; without one, what is left. What comes is the oldest block's.
type Rank<'a> = dyn FnMut(Option<(Known, Gathered)>) -> Result<Option<(Known, Ranked)>> + 'a;

/// How the blocks of a walk are gathered and ranked.
struct Way<'a> {
    history: usize,
    reader: &'a Reader,
    rank: &'a mut Rank<'a>,
}

impl Evaluator {
    /// Has every block of users ranked by `ranker`, and judges its lists and those of `popular` on other threads. `take`
    /// gets what they are worth, in the order of the users: the ranker's, then those of `popular`. Where the ranker counts
    /// hits, the answer is where items came first in its lists.
    pub(super) fn walk(
        &self,
        ranker: &mut dyn Ranker,
        popular: &[Popularity],
        progress: &mut dyn FnMut(Progress) -> Result<()>,
        take: impl FnMut(Vec<JudgedLists>) -> Result<()> + Send,
    ) -> Result<Vec<u32>> {
        let (k, history, reader) = (self.metrics.max_k(), ranker.history_len(), &ranker.reader()?);
        if let Some(mut counter) = ranker.hit_counter(k)? {
            let rank = &mut |block: Option<(Known, Gathered)>| {
                let Some((known, block)) = block else { return Ok(None) };
                let hits = counter.hits(block, self.truth().relevant.slice(known.0.clone()))?;
                hits.check(known.0.len(), k)?;
                Ok(Some((known, Ranked::Hits(hits))))
            };
            self.walk_by(Way { history, reader, rank }, popular, progress, take)?;
            return counter.first_places();
        }
        let mut under_way = UnderWay::new();
        let rank = &mut |block: Option<(Known, Gathered)>| {
            let Some((known, found)) = under_way.rank(ranker, block, k)? else { return Ok(None) };
            check(&found, known.0.len(), k)?;
            Ok(Some((known, Ranked::Lists(found))))
        };
        self.walk_by(Way { history, reader, rank }, popular, progress, take)?;
        Ok(Vec::new())
    }

    /// [`walk`](Evaluator::walk), in a way.
    fn walk_by(
        &self,
        way: Way<'_>,
        popular: &[Popularity],
        progress: &mut dyn FnMut(Progress) -> Result<()>,
        take: impl FnMut(Vec<JudgedLists>) -> Result<()> + Send,
    ) -> Result<()> {
        let Way { history, reader, rank } = way;
        let k = self.metrics.max_k();
        let users = Users::of(&self.users, self.truth().users.clone());
        let exclude = match self.options.view {
            View::Discovery => Exclude::Train,
            View::Next => Exclude::None,
        };
        let memory = self.options.memory;
        let block_options = BlockOptions { seen: Some(&self.seen), exclude, history, memory, k };
        let threads = self.threads.count();
        let read = pipeline::read(&users, &block_options);
        let stages = Stages {
            prepare: |range| {
                let ReadBlock { users, block, skip } = read(range)?;
                let kept = if popular.is_empty() { None } else { skip.clone() };
                Ok(((users, kept), reader.gather(block, skip)?))
            },
            finish: |piece: RankedPiece| {
                let (ranked, skip) = &*piece.ranked;
                let relevant = &self.truth().relevant;
                let mut judged = Vec::with_capacity(1 + popular.len());
                judged.push(JudgedLists::new(&self.metrics, ranked, piece.places.clone(), relevant, piece.first));
                for popular in popular {
                    let ranked = Ranked::Lists(popular.lists(piece.places.clone(), k, skip.as_ref()));
                    judged.push(JudgedLists::new(&self.metrics, &ranked, 0..piece.places.len(), relevant, piece.first));
                }
                Ok(judged)
            },
            take,
        };
        pipeline::run(Flow::new(threads, threads + 2), pipeline::plan(&users, &block_options), stages, |block, give| {
            let Some(((range, skip), ranked)) = rank(block)? else { return Ok(()) };
            let ranked = Arc::new((ranked, skip));
            for places in ranges(range.len(), PIECE_USERS) {
                let first = range.start + places.start;
                if !give(RankedPiece { ranked: Arc::clone(&ranked), places, first }) {
                    return Ok(());
                }
            }
            progress(Progress::users(range.end, users.len()))
        })
    }
}
