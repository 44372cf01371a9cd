//! What orders accesses of global memory by different blocks: fences of the device and atomics between them.
//!
//! A thread's fence covers what it did, what its warp did before the lanes last met, what its block did before its last
//! barrier, and what these knew. An atomic behind the fence leaves that with the word; an atomic of the word that comes later
//! takes it along, and behind a fence the thread knows it: its warp from where the lanes next meet, its block from the next
//! barrier on. An atomic with `.acq_rel` has both fences. Only launches that look at what an atomic returns are followed:
//! their blocks run one after another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::block::Block;
use super::race::Who;
use super::shadow::Race;
use super::warp::{Warp, lanes};

/// Accesses that have happened before: of each block those before some points.
#[derive(Clone, Default)]
struct Known(HashMap<u32, Vec<Who>>);

impl Known {
    fn add(&mut self, point: Who) {
        let points = self.0.entry(point.block()).or_default();
        if !points.contains(&point) {
            points.push(point);
        }
    }

    fn join(&mut self, other: &Known) {
        other.0.values().flatten().for_each(|&point| self.add(point));
    }

    fn covers(&self, access: Who) -> bool {
        self.0.get(&access.block()).is_some_and(|points| points.iter().any(|&point| access.before(point)))
    }
}

/// What atomics of a launch left with words, by address.
#[derive(Default)]
pub(crate) struct Released(Mutex<HashMap<u64, Known>>);

/// What an atomic is beside its update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fences {
    pub before: bool,
    pub after: bool,
}

/// What a block's threads told and were told.
#[derive(Default)]
pub(crate) struct Releases {
    /// Where each thread had its last fence.
    fenced: HashMap<u32, Who>,
    /// What a thread's atomics took since.
    taken: HashMap<u32, Known>,
    /// What is known from some points on.
    acquired: Vec<(Who, Known)>,
}

impl Releases {
    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.fenced.clear();
        self.taken.clear();
        self.acquired.clear();
    }

    fn fence(&mut self, who: Who) {
        if let Some(known) = self.taken.remove(&who.thread()) {
            self.acquired.push((who, known));
        }
        self.fenced.insert(who.thread(), who);
    }
}

impl Block<'_> {
    fn follows_releases(&self) -> bool {
        self.checks && self.grid.program.ordered
    }

    /// A fence of the device, by the executing lanes.
    pub fn memory_fence(&mut self, w: &Warp) {
        if self.follows_releases() {
            let who = self.who(w);
            lanes(w.mask).for_each(|i| self.releases.fence(who.lane(i as u32)));
        }
    }

    /// A lane's atomic of the word at this address.
    pub fn release_and_acquire(&mut self, who: Who, address: u64, fences: Fences) {
        if !self.follows_releases() {
            return;
        }
        if fences.before {
            self.releases.fence(who);
        }
        let mut released = self.grid.released.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = released.entry(address).or_default();
        if !left.0.is_empty() {
            self.releases.taken.entry(who.thread()).or_default().join(left);
        }
        if let Some(&point) = self.releases.fenced.get(&who.thread()) {
            left.add(point);
            let known = self.releases.acquired.iter().filter(|(from, _)| from.before(point));
            known.for_each(|(_, known)| left.join(known));
        }
        drop(released);
        if fences.after {
            self.releases.fence(who);
        }
    }

    /// Whether the other access of a race had happened before, as an atomic told.
    #[inline(never)]
    pub fn was_released(&self, race: Race, who: Who) -> bool {
        let other = race.other;
        self.follows_releases()
            && (race.other_wrote || !other.is_of_many())
            && self.releases.acquired.iter().any(|(from, known)| from.before(who) && known.covers(other))
    }
}
