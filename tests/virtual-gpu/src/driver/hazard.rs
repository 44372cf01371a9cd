//! Which operation touched which bytes of a buffer last, and whether the next one is ordered after it.

use std::ops::Range;
use std::sync::Arc;

use super::clock::Clock;

/// What an operation does to a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The buffer came into being.
    Allocate,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// The buffer went away.
    Free,
}

impl Use {
    fn changes(self) -> bool {
        self != Use::Read
    }

    fn present(self) -> &'static str {
        match self {
            Use::Allocate => "allocates",
            Use::Read => "reads",
            Use::Write => "writes",
            Use::Free => "frees",
        }
    }

    fn past(self) -> &'static str {
        match self {
            Use::Allocate => "allocated",
            Use::Read => "read",
            Use::Write => "written",
            Use::Free => "freed",
        }
    }
}

/// One operation's use of one range.
#[derive(Clone, Debug)]
pub struct Access {
    /// Addresses.
    pub range: Range<u64>,
    /// What it does.
    pub how: Use,
    /// Slot of the stream.
    pub slot: usize,
    /// Number of the operation in its stream.
    pub seq: u64,
    /// Number of the operation among all streams' operations, in the order of the calls.
    pub order: u64,
    /// The operation and its stream, in words.
    pub what: Arc<str>,
}

/// Two accesses of the same bytes that nothing orders.
#[derive(Debug)]
pub struct Hazard {
    /// Whether one of them frees the buffer.
    pub frees: bool,
    /// Both, in words: the later call first, in whichever order they ran.
    pub words: String,
}

/// The uses of one buffer that a later operation may still race with.
#[derive(Debug, Default)]
pub struct History {
    accesses: Vec<Access>,
}

/// Beyond this many entries the oldest is dropped: a race with it would go unseen, a false alarm cannot come of it.
const MAX_ACCESSES: usize = 256;

impl History {
    /// Notes `access`, made by an operation that runs after all that `clock` covers. Returns the first
    /// access before it that it conflicts with and is not ordered after.
    pub fn note(&mut self, access: Access, clock: &Clock) -> Option<Hazard> {
        let overlaps = |a: &Access| a.range.start < access.range.end && access.range.start < a.range.end;
        let conflict = self
            .accesses
            .iter()
            .find(|a| overlaps(a) && (a.how.changes() || access.how.changes()) && !clock.covers(a.slot, a.seq));
        let hazard = conflict.map(|a| {
            let (later, earlier) = if a.order > access.order { (a, &access) } else { (&access, a) };
            let (does, was) = (later.how.present(), earlier.how.past());
            let words = format!("{} {does} bytes {was} by {}, nothing orders them", later.what, earlier.what);
            Hazard { frees: a.how == Use::Free || access.how == Use::Free, words }
        });
        // Whoever is ordered after `access` is ordered after what it covers, so those entries can go.
        self.accesses.retain(|a| {
            let inside = access.range.start <= a.range.start && a.range.end <= access.range.end;
            !(inside && clock.covers(a.slot, a.seq) && (access.how.changes() || !a.how.changes()))
        });
        if self.accesses.len() >= MAX_ACCESSES {
            self.accesses.remove(0);
        }
        self.accesses.push(access);
        hazard
    }

    /// The first access that `clock` does not cover.
    pub fn first_unordered(&self, clock: &Clock) -> Option<&Access> {
        self.accesses.iter().find(|a| !clock.covers(a.slot, a.seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(slot: usize, seq: u64, range: Range<u64>, how: Use) -> (Access, Clock) {
        let what = format!("op {seq} on stream {slot}").into();
        let mut clock = Clock::default();
        clock.raise(slot, seq);
        (Access { range, how, slot, seq, order: seq, what }, clock)
    }

    #[test]
    fn only_unordered_overlaps_with_a_write_are_hazards() {
        let mut history = History::default();
        let mut note = |(access, clock): (Access, Clock)| history.note(access, &clock).is_some();
        assert!(!note(access(0, 1, 0..8, Use::Write)));
        assert!(!note(access(0, 2, 4..6, Use::Write)), "one stream is in order");
        assert!(!note(access(1, 3, 8..16, Use::Write)), "other bytes");
        assert!(note(access(2, 4, 7..9, Use::Read)));
        let (ordered, mut clock) = access(3, 5, 0..16, Use::Read);
        for (slot, seq) in [(0, 2), (1, 3)] {
            clock.raise(slot, seq);
        }
        assert!(!note((ordered, clock)), "it waited for both writers, and readers do not disturb each other");
    }

    #[test]
    fn the_words_follow_the_order_of_the_calls() {
        let mut history = History::default();
        let (write, clock) = access(1, 9, 0..8, Use::Write);
        assert!(history.note(write, &clock).is_none());
        // The read was called first and ran last.
        let (read, clock) = access(0, 3, 0..8, Use::Read);
        let hazard = history.note(read, &clock).unwrap();
        assert_eq!(hazard.words, "op 9 on stream 1 writes bytes read by op 3 on stream 0, nothing orders them");
        assert!(!hazard.frees);
    }
}
