//! Checks of shared memory where part of a block synchronises, or something is asynchronous: by vector clocks.

use super::block::Block;
use super::clocks::Clock;
use super::ledger::{Other, Reader, Writer};
use super::warp::Warp;

/// A read of a copy that nobody waited for.
const EARLY_READ: &str = "shared memory read before its bulk copy was waited for";

impl Block<'_> {
    /// Checks and records a generic read.
    #[inline(always)]
    pub fn ledger_read(&mut self, w: &Warp, lane: u32, word: usize, bytes: u8, written: bool) {
        let at = w.index as usize;
        let clock = self.clocks.clock(at);
        match self.ledger.unordered_write(word, clock, w.index, lane, bytes) {
            Some(writer) => self.unordered_read(w, lane, word, writer),
            None if !written => self.unwritten_shared(w, lane, 4 * word as u32, 4),
            None => {}
        }
        let reader = Reader { warp: w.index as u8, bytes, lanes: 1 << lane, time: self.clocks.time(at) };
        self.ledger.read(word, reader);
    }

    #[inline(never)]
    fn unordered_read(&mut self, w: &Warp, lane: u32, word: usize, writer: Writer) {
        let offset = 4 * word;
        if writer.is_copy() {
            self.warn(EARLY_READ, w, lane, || format!("offset {offset}: the phase it belongs to was not seen to end"));
            return;
        }
        let thread = writer.thread();
        let missing = missing(w, thread);
        self.warn("shared memory race", w, lane, || {
            format!("offset {offset} read here, written by thread {thread} with no {missing} between")
        });
    }

    /// Checks and records a generic write; `same`: it changes nothing.
    #[inline(always)]
    pub fn ledger_write(&mut self, w: &Warp, lane: u32, word: usize, bytes: u8, same: bool, atomic: bool) {
        let at = w.index as usize;
        let clock = self.clocks.clock(at);
        if let Some(other) = self.ledger.unordered(word, clock, w.index, lane, bytes, atomic)
            && !same
        {
            self.unordered_write(w, lane, word, other);
        }
        self.clocks.touched(at);
        self.ledger.write(word, Writer::lane(w.index, lane, self.clocks.time(at), bytes, atomic));
    }

    #[inline(never)]
    fn unordered_write(&mut self, w: &Warp, lane: u32, word: usize, other: Other) {
        let offset = 4 * word;
        let (thread, before) = match other {
            Other::Wrote(writer) if writer.is_copy() => {
                self.warn("shared memory written before its bulk copy was waited for", w, lane, || {
                    format!("offset {offset}: the phase the copy belongs to was not seen to end")
                });
                return;
            }
            Other::Wrote(writer) => (writer.thread(), "written"),
            Other::Read(reader) => (first_thread(reader), "read"),
        };
        let missing = missing(w, thread);
        self.warn("shared memory race", w, lane, || {
            format!("offset {offset} written here, {before} by thread {thread} with no {missing} between")
        });
    }

    /// Checks a copy's target and records the copy as its writer, of a phase of a barrier.
    pub fn ledger_copy(&mut self, w: &Warp, lane: u32, to: u32, bytes: u32, barrier: usize, phase: u64) {
        let at = w.index as usize;
        let writer = Writer::copy(barrier, phase);
        for word in (to / 4) as usize..((to + bytes) / 4) as usize {
            let clock = self.clocks.clock(at);
            let before = self.ledger.writer(word);
            let own = |r: &Reader| u32::from(r.warp) == w.index && r.lanes & !(1 << lane) == 0;
            let wrote = self.ledger.unordered_write(word, clock, w.index, lane, 0xf).map(Other::Wrote);
            let other = wrote.or_else(|| self.ledger.unordered_read(word, clock, 0xf, own).map(Other::Read));
            let hidden = other.is_none() && !before.visible(clock);
            match other {
                Some(Other::Wrote(other)) if other.is_copy() => {
                    self.warn("bulk copy over memory in use", w, lane, || {
                        format!("offset {}: another copy to it was not waited for", 4 * word)
                    });
                }
                Some(other) => {
                    let (thread, did) = match other {
                        Other::Wrote(writer) => (writer.thread(), "written"),
                        Other::Read(reader) => (first_thread(reader), "read"),
                    };
                    self.warn("bulk copy over memory in use", w, lane, || {
                        format!("offset {}, {did} by thread {thread} with no barrier between", 4 * word)
                    });
                }
                None if hidden => self.no_proxy_fence(w, lane, word, before, "overwritten by a bulk copy"),
                None => {}
            }
            self.ledger.write(word, writer);
        }
    }

    /// Checks what an asynchronous product is going to read, 16 bytes each; whether all is well.
    pub fn ledger_begin(&mut self, w: &Warp, clock: &Clock, chunks: &[u32]) -> bool {
        let mut good = true;
        for &chunk in chunks {
            for word in (chunk / 4) as usize..(chunk / 4 + 4) as usize {
                let writer = self.ledger.writer(word);
                let lane = w.mask.trailing_zeros();
                if !writer.known(clock) {
                    self.unordered_read(w, lane, word, writer);
                } else if !writer.visible(clock) {
                    self.no_proxy_fence(w, lane, word, writer, "read by wgmma");
                } else if self.shared.written(word) {
                    continue;
                } else {
                    self.unwritten_shared(w, lane, 4 * word as u32, 4);
                }
                good = false;
            }
        }
        good
    }

    /// Checks that nothing was overwritten while a product was under way, and records the reads. `clock`: the warp's when
    /// it began; none if what it found was reported then.
    pub fn ledger_end(&mut self, w: &Warp, clock: Option<&Clock>, chunks: &[u32]) {
        let time = self.clocks.time(w.index as usize);
        let reader = Reader { warp: w.index as u8, bytes: 0xf, lanes: 0, time };
        for &chunk in chunks {
            for word in (chunk / 4) as usize..(chunk / 4 + 4) as usize {
                let writer = self.ledger.writer(word);
                if let Some(clock) = clock
                    && !writer.known(clock)
                {
                    let by =
                        if writer.is_copy() { "a bulk copy".into() } else { format!("thread {}", writer.thread()) };
                    self.warn("operand of a wgmma under way overwritten", w, w.mask.trailing_zeros(), || {
                        format!("offset {} by {by} before the wait for the product", 4 * word)
                    });
                }
                self.ledger.read(word, reader);
            }
        }
    }

    #[inline(never)]
    fn no_proxy_fence(&mut self, w: &Warp, lane: u32, word: usize, writer: Writer, what: &str) {
        let (offset, thread) = (4 * word, writer.thread());
        self.warn("no fence.proxy.async before an asynchronous access", w, lane, || {
            format!("offset {offset}, written by thread {thread}, {what}")
        });
    }
}

fn first_thread(reader: Reader) -> u32 {
    u32::from(reader.warp) * 32 + if reader.lanes == 0 { 0 } else { reader.lanes.trailing_zeros() }
}

fn missing(w: &Warp, thread: u32) -> &'static str {
    if thread / 32 == w.index { "__syncwarp" } else { "barrier" }
}
