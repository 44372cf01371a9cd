//! Blocks of users on their way from the files to whoever takes what was found for them.
//!
//! Four kinds of thread: readers prepare blocks ahead; the caller's thread ranks them, one after the other, in order;
//! finishers make of what was found what the taker wants (bytes of a file, values of metrics); one taker has it in order.
//! Queues between them are bounded: the ranking waits for nobody as long as there is a block ahead and room behind. What
//! comes out does not depend on the number of threads. An error or a panic anywhere ends all of them and is the caller's.

use std::cell::Cell;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use super::users::{BlockOptions, MOST_BLOCKS, Users};
use super::{Exclude, Lists, UserBlock};
use crate::Result;
use crate::threads::ordered::{Ordered, StopOnDrop};
use crate::threads::spawn_in;

/// How many threads there are, and how much may be under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// Readers, and as many finishers.
    pub threads: usize,
    /// Blocks that are prepared, or being prepared, beside the one that is ranked.
    pub ahead: usize,
    /// Pieces that are being finished, or finished and not taken.
    pub behind: usize,
}

impl Flow {
    /// By so many threads, with up to `behind` pieces.
    pub(crate) fn new(threads: usize, behind: usize) -> Flow {
        Flow { threads, ahead: (threads + 1).min(MOST_BLOCKS - 1), behind }
    }
}

/// A block that can be ranked.
pub(crate) struct ReadBlock {
    /// Which users.
    pub users: Range<usize>,
    /// What a ranker reads of them.
    pub block: UserBlock,
    /// What it must not return to them, where anything is excluded.
    pub skip: Option<Lists>,
}

/// What the threads other than the caller's do.
pub(crate) struct Stages<Prepare, Finish, Take> {
    /// Reads a block.
    pub prepare: Prepare,
    /// Finishes a piece.
    pub finish: Finish,
    /// Takes it.
    pub take: Take,
}

/// Where ranked pieces go. False when whoever takes them has failed, and says why when all have ended.
pub(crate) type Give<'a, Piece> = dyn Fn(Piece) -> bool + 'a;

/// Reads the blocks of `users`.
pub(crate) fn read<'a>(
    users: &'a Users<'_>,
    options: &'a BlockOptions<'_>,
) -> impl Fn(Range<usize>) -> Result<ReadBlock> + Sync + 'a {
    move |range| {
        let (block, skip) = users.gather(range.clone(), options)?;
        Ok(ReadBlock { users: range, block, skip: (options.exclude != Exclude::None).then_some(skip) })
    }
}

/// The blocks of `users`, one after the other.
pub(crate) fn plan<'a>(
    users: &'a Users<'_>,
    options: &'a BlockOptions<'_>,
) -> impl FnMut() -> Result<Option<Range<usize>>> + 'a {
    let mut next = 0;
    move || {
        let range = users.range_from(next, options)?;
        next = range.end;
        Ok((!range.is_empty()).then_some(range))
    }
}

/// Runs all stages over the users that `plan` gives, block by block. `rank` gets each block in order, and where its pieces go; after the last block it is called once more,
/// without one.
///
/// # Errors
/// The first error of `rank`, which gets what `prepare` reports with the block; else that of the first piece that could not
/// be finished or taken; [`Error::Threads`](crate::Error::Threads) when no thread can be started.
pub(crate) fn run<Block: Send, Piece: Send, Made: Send>(
    flow: Flow,
    mut plan: impl FnMut() -> Result<Option<Range<usize>>>,
    stages: Stages<
        impl Fn(Range<usize>) -> Result<Block> + Sync,
        impl Fn(Piece) -> Result<Made> + Sync,
        impl FnMut(Made) -> Result<()> + Send,
    >,
    mut rank: impl FnMut(Option<Block>, &Give<'_, Piece>) -> Result<()>,
) -> Result<()> {
    let Stages { prepare, finish, mut take } = stages;
    let (blocks, pieces) = (Ordered::new(flow.ahead), Ordered::new(flow.behind));
    thread::scope(|scope| {
        // Whatever ends this thread's part ends the others'; they are joined when the scope ends.
        let (reading, finishing) = (StopOnDrop(&blocks), StopOnDrop(&pieces));
        let (blocks, pieces, prepare, finish) = (&blocks, &pieces, &prepare, &finish);
        for number in 0..flow.threads.max(1) {
            let started = spawn_in(scope, "reader", move || blocks.work(prepare))
                .and_then(|_| spawn_in(scope, "finisher", move || pieces.work(finish)));
            if let Err(error) = started {
                // With some threads it works, too.
                if number == 0 {
                    return Err(error);
                }
                break;
            }
        }
        let taker = spawn_in(scope, "taker", move || {
            let _stop = StopOnDrop(pieces);
            while let Some(made) = pieces.take() {
                take(made?)?;
            }
            Ok(())
        })?;
        let mut rank_all = || -> Result<()> {
            let mut more = true;
            loop {
                while more && blocks.has_room() {
                    match plan()? {
                        Some(users) => more = blocks.give(users),
                        None => more = false,
                    }
                }
                if !more {
                    blocks.end();
                }
                let block = blocks.take().transpose()?;
                let last = block.is_none();
                let failed = Cell::new(false);
                rank(block, &|piece| {
                    let given = pieces.give(piece);
                    failed.set(failed.get() || !given);
                    given
                })?;
                if last || failed.get() {
                    return Ok(());
                }
            }
        };
        let ranked = rank_all();
        drop(reading);
        match ranked {
            Ok(()) => pieces.end(),
            Err(_) => drop(finishing),
        }
        let taken = taker.join().unwrap_or_else(|panic| resume_unwind(panic));
        ranked.and(taken)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;
    use crate::Error;

    fn failed<T>(what: &str, n: usize) -> Result<T> {
        Err(Error::config(what, format!("of {n}")))
    }

    /// Blocks of one user, 0 to `n - 1`.
    fn ones(n: usize) -> impl FnMut() -> Result<Option<Range<usize>>> {
        let mut blocks = 0..n;
        move || Ok(blocks.next().map(|i| i..i + 1))
    }

    /// What is taken where each stage passes its block on, or fails or panics at the block that `at` says.
    fn run_to(threads: usize, at: (&str, usize), panics: bool) -> (Result<()>, Vec<usize>) {
        let stage = |name: &str, n: usize| match at == (name, n) {
            true if panics => panic!("{name}"),
            true => failed(name, n),
            false => Ok(n),
        };
        let taken = Mutex::new(Vec::new());
        let stages = Stages {
            prepare: |users: Range<usize>| stage("prepare", users.start),
            finish: |n| stage("finish", n),
            take: |n| stage("take", n).map(|n| taken.lock().unwrap().push(n)),
        };
        let done = run(Flow { threads, ahead: 3, behind: 2 }, ones(50), stages, |block, give| {
            if let Some(n) = block {
                give(stage("rank", n)?);
            }
            Ok(())
        });
        (done, taken.into_inner().unwrap())
    }

    #[test]
    fn everything_is_taken_in_order_by_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let (done, taken) = run_to(threads, ("nowhere", 0), false);
            assert!(done.is_ok() && taken == (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_in_any_stage_ends_all_and_is_the_callers() {
        for stage in ["prepare", "rank", "finish", "take"] {
            for n in [0, 7, 49] {
                let (done, taken) = run_to(2, (stage, n), false);
                assert_eq!(done.unwrap_err().to_string(), format!("{stage}: of {n}"));
                // Nothing at or behind it was taken, and nothing out of order.
                assert!(taken.len() <= n && taken == (0..taken.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_panic_in_any_stage_is_the_callers() {
        for stage in ["prepare", "rank", "finish", "take"] {
            let panic = std::panic::catch_unwind(|| run_to(2, (stage, 7), true)).err().unwrap();
            assert_eq!(panic.downcast_ref::<String>().map(String::as_str), Some(stage));
        }
    }

    #[test]
    fn a_slow_taker_does_not_stop_the_ranking_before_the_bound() {
        let (ahead, behind) = (2, 4);
        let (ranked, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (go, wait) = channel::<()>();
        let (tell, reached) = channel();
        thread::scope(|scope| {
            let (ranked, started) = (&ranked, &started);
            scope.spawn(move || {
                // The taker holds the first piece until the ranking has gone on as far as it can: `behind` pieces wait, and
                // one more has been ranked and has no room.
                while reached.recv().unwrap() < behind + 2 {}
                assert_eq!(ranked.load(Ordering::SeqCst), behind + 2);
                // Blocks are read no further ahead either.
                assert!(started.load(Ordering::SeqCst) <= behind + 2 + ahead);
                go.send(()).unwrap();
                drop(go);
                reached.iter().for_each(drop);
            });
            let mut first = true;
            let stages = Stages {
                prepare: |users: Range<usize>| {
                    started.fetch_add(1, Ordering::SeqCst);
                    Ok(users.start)
                },
                finish: Ok,
                take: move |_: usize| {
                    if std::mem::take(&mut first) {
                        wait.recv().unwrap();
                    }
                    Ok(())
                },
            };
            let done = run(Flow { threads: 1, ahead, behind }, ones(20), stages, |block, give| {
                if let Some(n) = block {
                    tell.send(ranked.fetch_add(1, Ordering::SeqCst) + 1).unwrap();
                    give(n);
                }
                Ok(())
            });
            drop(tell);
            assert!(done.is_ok() && ranked.load(Ordering::SeqCst) == 20);
        });
    }
}
