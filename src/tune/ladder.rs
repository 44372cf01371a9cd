//! The trials of a rung, several side by side.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::trial::{Outcome, TrialSetup};
use crate::Result;
use crate::config::Resolved;
use crate::threads::spawn_in;

/// A trial on its way to a rung.
pub(super) struct Climb {
    pub(super) trial: usize,
    pub(super) config: Resolved,
    /// Where it stops to be judged.
    pub(super) until: u64,
}

/// Runs them, `parallel` at a time, and gives each outcome to `done` as it comes. An error of `done` ends the rest.
///
/// # Errors
/// What `done` gives; [`Error::Threads`].
pub(super) fn climb(
    setup: &TrialSetup<'_>,
    climbs: &[Climb],
    parallel: usize,
    done: &mut dyn FnMut(&Climb, Result<Outcome>) -> Result<()>,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let halt = AtomicBool::new(false);
    let (sender, outcomes) = channel();
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, climbs.len().max(1)) {
            let sender = sender.clone();
            let (next, halt) = (&next, &halt);
            spawn_in(scope, "tercel-trial", move || {
                while !halt.load(Ordering::Relaxed) {
                    let Some(climb) = climbs.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    let outcome = setup.run(climb.trial, &climb.config, climb.until, &mut |_| {});
                    if sender.send((climb, outcome)).is_err() {
                        break;
                    }
                }
            })?;
        }
        drop(sender);
        let mut failed = None;
        for (climb, outcome) in outcomes {
            // What others have done by then is kept, too.
            if let Err(error) = done(climb, outcome) {
                halt.store(true, Ordering::Relaxed);
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    })
}
