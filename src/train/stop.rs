//! Evaluations that end when the run is to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::index::ahead::{Gathered, Reader};
use crate::index::{Found, HitCounter, Hits, Lists, Ranker, UserBlock};
use crate::{Error, Result};

/// A ranker, or its counter, that finds nothing more once `stop` is set.
pub(super) struct Stoppable<'a, R> {
    pub(super) ranker: R,
    pub(super) stop: &'a AtomicBool,
}

impl<R> Stoppable<'_, R> {
    fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted { what: "the evaluation".into() });
        }
        Ok(())
    }
}

impl<R: Ranker> Ranker for Stoppable<'_, R> {
    fn history_len(&self) -> usize {
        self.ranker.history_len()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.check()?;
        self.ranker.top_k(users, k, skip)
    }

    fn reader(&mut self) -> Result<Reader> {
        self.ranker.reader()
    }

    fn rank(&mut self, block: Gathered, k: usize) -> Result<Option<Found>> {
        self.check()?;
        self.ranker.rank(block, k)
    }

    fn rest(&mut self) -> Result<Option<Found>> {
        self.ranker.rest()
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        let Some(ranker) = self.ranker.hit_counter(k)? else { return Ok(None) };
        Ok(Some(Box::new(Stoppable { ranker, stop: self.stop })))
    }
}

impl HitCounter for Stoppable<'_, Box<dyn HitCounter + '_>> {
    fn hits(&mut self, block: Gathered, relevant: Lists) -> Result<Hits> {
        self.check()?;
        self.ranker.hits(block, relevant)
    }

    fn first_places(&mut self) -> Result<Vec<u32>> {
        self.ranker.first_places()
    }
}
