//! Blocks of users on their way from the files to whoever takes what was found for them.
//!
//! Four kinds of thread: readers prepare blocks ahead; the caller's thread ranks them, one after the other, in order;
//! finishers make of what was found what the taker wants (bytes of a file, values of metrics); one taker has it in order.
//! Queues between them are bounded: the ranking waits for nobody as long as there is a block ahead and room behind. What
//! comes out does not depend on the number of threads. An error or a panic anywhere ends all of them and is the caller's.

use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

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

/// What each kind of thread does.
pub(crate) struct Stages<Plan, Prepare, Finish, Take> {
    /// The users of the next block, on the caller's thread; none when there are no more.
    pub plan: Plan,
    /// Reads a block.
    pub prepare: Prepare,
    /// Finishes a piece.
    pub finish: Finish,
    /// Takes it.
    pub take: Take,
}

/// Where ranked pieces go. False when whoever takes them has failed, and says why when all have ended.
pub(crate) type Give<'a, Piece> = dyn Fn(Piece) -> bool + 'a;

/// Runs all stages. `rank` gets each block in order, and where its pieces go; after the last block it is called once more,
/// without one.
///
/// # Errors
/// The first error of `rank`, which gets what `prepare` reports with the block; else that of the first piece that could not
/// be finished or taken; [`Error::Threads`](crate::Error::Threads) when no thread can be started.
pub(crate) fn run<Block: Send, Piece: Send, Made: Send>(
    flow: Flow,
    stages: Stages<
        impl FnMut() -> Result<Option<Range<usize>>>,
        impl Fn(Range<usize>) -> Result<Block> + Sync,
        impl Fn(Piece) -> Result<Made> + Sync,
        impl FnMut(Made) -> Result<()> + Send,
    >,
    mut rank: impl FnMut(Option<Block>, &Give<'_, Piece>) -> Result<()>,
) -> Result<()> {
    let Stages { mut plan, prepare, finish, mut take } = stages;
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
                let failed = std::cell::Cell::new(false);
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
