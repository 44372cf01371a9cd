//! Who touched each word of shared memory, where [`super::clocks`] say what is ordered: the last writer, and all readers
//! since.

use std::collections::HashMap;

use super::clocks::{Clock, FIRST_BARRIER};

/// A write: bytes of the word 4 bits, atomic 1, lane 5, agent 8, time 32, and a bit that says there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Writer(u64);

const ATOMIC: u64 = 1 << 4;
const LANE_AT: u32 = 5;
const AGENT_AT: u32 = 10;
const TIME_AT: u32 = 18;
const VALID: u64 = 1 << 63;

impl Writer {
    /// A write by a lane of a warp.
    #[inline(always)]
    pub fn lane(warp: u32, lane: u32, time: u32, bytes: u8, atomic: bool) -> Writer {
        let flag = if atomic { ATOMIC } else { 0 };
        let lane = u64::from(lane) << LANE_AT;
        Writer(VALID | u64::from(bytes) | flag | lane | u64::from(warp) << AGENT_AT | u64::from(time) << TIME_AT)
    }

    /// A write by a bulk copy that belongs to a phase of a barrier.
    pub fn copy(barrier: usize, phase: u64) -> Writer {
        let agent = (FIRST_BARRIER + barrier).min(255) as u64;
        Writer(VALID | 0xf | agent << AGENT_AT | (phase & 0xffff_ffff) << TIME_AT)
    }

    #[inline(always)]
    fn agent(self) -> usize {
        (self.0 >> AGENT_AT & 0xff) as usize
    }

    #[inline(always)]
    fn time(self) -> u32 {
        (self.0 >> TIME_AT) as u32
    }

    fn lane_bit(self) -> u32 {
        1 << (self.0 >> LANE_AT & 31)
    }

    /// Whether it was a bulk copy.
    pub fn is_copy(self) -> bool {
        self.agent() >= FIRST_BARRIER
    }

    /// The thread, of a write by one.
    pub fn thread(self) -> u32 {
        self.agent() as u32 * 32 + (self.0 >> LANE_AT & 31) as u32
    }

    /// Whether it is known, and where it was generic, visible to asynchronous accesses if those ask.
    #[inline(always)]
    pub fn known(self, clock: &Clock) -> bool {
        self.0 == 0 || clock.of(self.agent()).covers(if self.is_copy() { 0 } else { self.lane_bit() }, self.time())
    }

    /// Whether an asynchronous access sees it.
    #[inline(always)]
    pub fn visible(self, clock: &Clock) -> bool {
        self.0 == 0 || self.is_copy() || clock.seen_of(self.agent()).covers(self.lane_bit(), self.time())
    }
}

/// Reads of a word by one warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Reader {
    pub warp: u8,
    pub bytes: u8,
    pub lanes: u32,
    pub time: u32,
}

/// A word's record.
#[derive(Clone, Copy, Default)]
struct Word {
    writer: Writer,
    /// A set of readers.
    readers: u32,
}

/// Records of a block's shared memory.
pub(crate) struct Ledger {
    words: Vec<Word>,
    sets: Vec<Box<[Reader]>>,
    numbers: HashMap<Box<[Reader]>, u32>,
    /// The last additions to sets: set, reader, set after.
    recent: Vec<(u32, Reader, u32)>,
}

const RECENT: usize = 1024;
const NOBODY: Reader = Reader { warp: 255, bytes: 0, lanes: 0, time: 0 };

/// Another access that is not ordered with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Wrote(Writer),
    Read(Reader),
}

impl Ledger {
    pub fn new(bytes: u32) -> Ledger {
        let words = vec![Word::default(); bytes.div_ceil(4) as usize];
        let mut ledger = Ledger { words, sets: Vec::new(), numbers: HashMap::new(), recent: Vec::new() };
        ledger.reset();
        ledger
    }

    /// Forgets the block before.
    pub fn reset(&mut self) {
        self.words.fill(Word::default());
        self.sets.clear();
        self.sets.push(Box::new([]));
        self.numbers.clear();
        self.recent.clear();
        self.recent.resize(RECENT, (u32::MAX, NOBODY, 0));
    }

    /// The word's last writer.
    #[inline(always)]
    pub fn writer(&self, word: usize) -> Writer {
        self.words[word].writer
    }

    /// Records a read.
    #[inline(always)]
    pub fn read(&mut self, word: usize, reader: Reader) {
        let set = self.words[word].readers;
        let mix = (set ^ reader.time.rotate_left(7) ^ reader.lanes.rotate_left(13)).wrapping_mul(0x9e37_79b1);
        let slot = (mix >> 16 ^ u32::from(reader.warp) << 4) as usize % RECENT;
        let (before, who, after) = self.recent[slot];
        let after = if before == set && who == reader {
            after
        } else {
            let after = self.add(set, reader);
            self.recent[slot] = (set, reader, after);
            after
        };
        self.words[word].readers = after;
    }

    fn add(&mut self, set: u32, reader: Reader) -> u32 {
        let mut list = self.sets[set as usize].to_vec();
        match list.iter_mut().find(|r| r.warp == reader.warp) {
            Some(r) if r.time == reader.time => {
                r.lanes |= reader.lanes;
                r.bytes |= reader.bytes;
            }
            Some(r) => *r = reader,
            None => list.push(reader),
        }
        list.sort_unstable();
        let list = list.into_boxed_slice();
        if let Some(&number) = self.numbers.get(&list) {
            return number;
        }
        let number = self.sets.len() as u32;
        self.sets.push(list.clone());
        self.numbers.insert(list, number);
        number
    }

    /// A generic read: the write that is not ordered with it, if there is one.
    #[inline(always)]
    pub fn unordered_write(&self, word: usize, clock: &Clock, warp: u32, lane: u32, bytes: u8) -> Option<Writer> {
        let writer = self.words[word].writer;
        if writer.0 & u64::from(bytes) == 0 || (!writer.is_copy() && writer.thread() == warp * 32 + lane) {
            return None;
        }
        (!writer.known(clock)).then_some(writer)
    }

    /// A generic write: what is not ordered with it.
    #[inline(always)]
    pub fn unordered(
        &self,
        word: usize,
        clock: &Clock,
        warp: u32,
        lane: u32,
        bytes: u8,
        atomic: bool,
    ) -> Option<Other> {
        if let Some(writer) = self.unordered_write(word, clock, warp, lane, bytes)
            && !(atomic && writer.0 & ATOMIC != 0)
        {
            return Some(Other::Wrote(writer));
        }
        let own = |r: &Reader| u32::from(r.warp) == warp && r.lanes == 1 << lane;
        self.unordered_read(word, clock, bytes, own).map(Other::Read)
    }

    /// A read of the word that is not known.
    pub fn unordered_read(
        &self,
        word: usize,
        clock: &Clock,
        bytes: u8,
        own: impl Fn(&Reader) -> bool,
    ) -> Option<Reader> {
        let readers = &self.sets[self.words[word].readers as usize];
        let unknown =
            |r: &&Reader| r.bytes & bytes != 0 && !own(r) && !clock.of(usize::from(r.warp)).covers(r.lanes, r.time);
        readers.iter().find(unknown).copied()
    }

    /// Records a write.
    #[inline(always)]
    pub fn write(&mut self, word: usize, writer: Writer) {
        let w = &mut self.words[word];
        let same = (w.writer.0 ^ writer.0) & !0x1f == 0;
        if same {
            // An atomic does not hide the same lane's earlier plain write.
            let flag = w.writer.0 & writer.0 & ATOMIC;
            w.writer = Writer(((w.writer.0 | writer.0) & !ATOMIC) | flag);
        } else {
            w.writer = writer;
        }
        if writer.0 & 0xf == 0xf {
            w.readers = 0;
        }
    }
}
