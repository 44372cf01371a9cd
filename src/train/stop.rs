//! Evaluations that end when the run is to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::index::{Found, HitCounter, Hits, Lists, Ranker, UserBlock};
use crate::{Error, Result};

/// A ranker, or its counter, that finds nothing more once `stop` is set.
pub(super) struct Stoppable<'a, R> {
    pub(super) ranker: R,
    pub(super) stop: &'a AtomicBool,
}

impl<R> Stoppable<'_, R> {
    /// The ranker, unless it is to stop.
    fn running(&mut self) -> Result<&mut R> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted { what: "the evaluation".into() });
        }
        Ok(&mut self.ranker)
    }
}

impl<R: Ranker> Ranker for Stoppable<'_, R> {
    fn history_len(&self) -> usize {
        self.ranker.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.running()?.top_k(users, k, skip)
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        let Some(ranker) = self.ranker.hit_counter(k)? else { return Ok(None) };
        Ok(Some(Box::new(Stoppable { ranker, stop: self.stop })))
    }
}

impl HitCounter for Stoppable<'_, Box<dyn HitCounter + '_>> {
    fn hits(&mut self, users: &UserBlock, skip: Option<&Lists>, relevant: &Lists) -> Result<Hits> {
        self.running()?.hits(users, skip, relevant)
    }

    fn first_places(&mut self) -> Result<Vec<u32>> {
        self.running()?.first_places()
    }
}
