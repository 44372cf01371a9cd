//! Evaluations that end when the run is to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::index::{Found, Lists, Ranker, UserBlock};
use crate::{Error, Result};

/// A ranker that finds nothing more once `stop` is set.
pub(super) struct Stoppable<'a, R> {
    pub(super) ranker: R,
    pub(super) stop: &'a AtomicBool,
}

impl<R: Ranker> Ranker for Stoppable<'_, R> {
    fn history_len(&self) -> usize {
        self.ranker.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted { what: "the evaluation".into() });
        }
        self.ranker.top_k(users, k, skip)
    }
}
