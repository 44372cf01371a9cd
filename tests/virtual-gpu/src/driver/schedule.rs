//! The order in which streams run: as late or as early as their dependencies allow.

use std::sync::Arc;

use super::error::*;
use super::settings::StreamMode;
use super::state::{Driver, Kind};
use super::stream::{Action, Op, OpId, Recorded, Stream};

/// Operations that may wait in all streams together; beyond it the oldest run, as a real queue is bounded too.
const MAX_QUEUED: usize = 1024;

impl Driver {
    /// A new stream of `context`; its slot.
    pub fn new_stream(&mut self, context: usize, name: Option<&str>, blocking: bool, priority: i32) -> usize {
        let handle = self.new_handle(Kind::Stream);
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                self.streams_made += 1;
                format!("stream {}", self.streams_made)
            }
        };
        // A destroyed stream's slot is taken over with its numbering, so recorded events stay true.
        let free = self.streams.iter().position(|s| s.handle == 0 && s.queue.is_empty());
        let slot = free.unwrap_or(self.streams.len());
        let (issued, clock) = free.map_or_else(Default::default, |at| {
            let old = &self.streams[at];
            (old.issued, old.clock.clone())
        });
        let stream = Stream {
            handle,
            context,
            name,
            blocking,
            priority,
            queue: Default::default(),
            issued,
            completed: issued,
            clock,
            last_work: None,
            captured: None,
        };
        match free {
            Some(at) => self.streams[at] = stream,
            None => self.streams.push(stream),
        }
        slot
    }

    /// Puts an operation at the end of a stream, to run when the mode says. `what` is without the stream's name.
    pub fn submit(&mut self, slot: usize, what: &str, mut waits: Vec<OpId>, action: Action) -> OpId {
        let context = self.streams[slot].context;
        let default_slot = self.contexts[&context].default_slot;
        // The default stream and the blocking streams keep step with each other.
        let step: Vec<usize> = match (slot == default_slot, self.streams[slot].blocking) {
            (true, _) => {
                let peers = self.streams.iter().enumerate();
                let peers = peers.filter(|(at, s)| {
                    *at != slot && (s.handle != 0 || !s.queue.is_empty()) && s.blocking && s.context == context
                });
                peers.map(|(at, _)| at).collect()
            }
            (false, true) => vec![default_slot],
            (false, false) => Vec::new(),
        };
        let mut clock = self.streams[slot].clock.clone();
        clock.join(&self.host);
        for peer in step {
            clock.join(&self.streams[peer].clock.clone());
            waits.push(OpId { slot: peer, seq: self.streams[peer].issued });
        }
        let stream = &mut self.streams[slot];
        stream.issued += 1;
        let id = OpId { slot, seq: stream.issued };
        clock.raise(slot, id.seq);
        stream.clock = clock.clone();
        let what: Arc<str> = format!("{what} on {}", stream.name).into();
        if action.is_work() {
            stream.last_work = Some((id, what.clone()));
        }
        self.ops += 1;
        let order = self.ops;
        stream.queue.push_back(Op { id, order, what, context, clock, waits, action });
        self.advance(id);
        id
    }

    /// Runs what the mode wants to run now that `id` was put in.
    fn advance(&mut self, id: OpId) {
        match self.settings.streams {
            StreamMode::Serial | StreamMode::Early => self.run_to(id),
            StreamMode::Late => {}
            StreamMode::Random(_) => {
                while self.next_random().is_multiple_of(2) {
                    let waiting: Vec<usize> =
                        (0..self.streams.len()).filter(|&s| !self.streams[s].queue.is_empty()).collect();
                    if waiting.is_empty() {
                        break;
                    }
                    let slot = waiting[(self.next_random() % waiting.len() as u64) as usize];
                    self.step(slot);
                }
            }
        }
        while self.streams.iter().map(|s| s.queue.len()).sum::<usize>() > MAX_QUEUED {
            let longest = (0..self.streams.len()).max_by_key(|&s| self.streams[s].queue.len());
            self.step(longest.expect("some stream holds the queued operations"));
        }
    }

    /// splitmix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Runs the stream's next operation, and first what it waits for.
    pub fn step(&mut self, slot: usize) {
        let Some(next) = self.streams[slot].queue.front() else { return };
        let id = next.id;
        for wait in next.waits.clone() {
            self.run_to(wait);
        }
        // What it waited for may have had it run already.
        if self.streams[slot].queue.front().is_some_and(|op| op.id == id) {
            let op = self.streams[slot].queue.pop_front().expect("looked at just now");
            self.execute(op);
            self.streams[slot].completed = id.seq;
        }
    }

    /// Runs a stream up to and including an operation.
    pub fn run_to(&mut self, id: OpId) {
        while self.streams[id.slot].completed < id.seq {
            self.step(id.slot);
        }
    }

    /// Lets a stream wait for what an event was recorded after.
    pub fn wait_for(&mut self, slot: usize, recorded: &Recorded) {
        self.streams[slot].clock.join(&recorded.clock);
        self.submit(slot, "wait for an event", vec![recorded.op], Action::Mark);
    }

    /// Whether an operation is done.
    pub fn is_done(&self, id: OpId) -> bool {
        self.streams[id.slot].completed >= id.seq
    }

    /// The host waits for a stream.
    pub fn synchronise_stream(&mut self, slot: usize) -> Outcome {
        let clock = self.streams[slot].clock.clone();
        self.run_to(OpId { slot, seq: self.streams[slot].issued });
        self.host.join(&clock);
        self.alive(self.streams[slot].context)
    }

    /// The host waits for all streams of a context.
    pub fn synchronise_context(&mut self, context: usize) -> Outcome {
        for slot in 0..self.streams.len() {
            if self.streams[slot].context == context {
                let clock = self.streams[slot].clock.clone();
                self.run_to(OpId { slot, seq: self.streams[slot].issued });
                self.host.join(&clock);
            }
        }
        self.alive(context)
    }

    /// Runs all that waits, without the host having waited for it.
    pub fn drain(&mut self) {
        for slot in 0..self.streams.len() {
            self.run_to(OpId { slot, seq: self.streams[slot].issued });
        }
    }
}
