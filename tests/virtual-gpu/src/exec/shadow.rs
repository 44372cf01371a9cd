//! What a launch did to each word of global memory: last writer, readers, sectors touched.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::race::{Scope, Who, add_reader, add_writer, conflicts_with_readers, conflicts_with_writer};

/// Bytes that one page of records covers.
const PAGE: u64 = 4096;
const WORDS: usize = (PAGE / 4) as usize;
const SECTOR_WORDS: usize = (PAGE / 32 / 64) as usize;

/// Records of one page.
pub(crate) struct Page {
    writers: [AtomicU64; WORDS],
    readers: [AtomicU64; WORDS],
    /// Words read through the read-only path, one bit each.
    read_only: [AtomicU64; WORDS / 64],
    sectors_read: [AtomicU64; SECTOR_WORDS],
    sectors_written: [AtomicU64; SECTOR_WORDS],
}

/// Records of one allocation, made as they are needed.
pub(crate) struct Shadow {
    bytes: u64,
    pages: OnceLock<Vec<OnceLock<Box<Page>>>>,
}

/// What a check of one word found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Race {
    pub other: Who,
    /// The other access was a write.
    pub other_wrote: bool,
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Shadow {
    /// No records for an allocation of `bytes`.
    pub fn new(bytes: u64) -> Shadow {
        Shadow { bytes, pages: OnceLock::new() }
    }

    /// The pages there are, with their offsets.
    fn used(&self) -> impl Iterator<Item = (u64, &Page)> {
        let pages = self.pages.get().into_iter().flatten();
        (0..).step_by(PAGE as usize).zip(pages).filter_map(|(at, p)| Some((at, &**p.get()?)))
    }

    /// The page of an offset.
    #[inline(always)]
    pub fn page(&self, offset: u64) -> &Page {
        let count = self.bytes.div_ceil(PAGE) as usize;
        let pages = self.pages.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(count).collect());
        pages[(offset / PAGE) as usize].get_or_init(|| {
            Box::new(Page {
                writers: zeros(),
                readers: zeros(),
                read_only: zeros(),
                sectors_read: zeros(),
                sectors_written: zeros(),
            })
        })
    }

    /// Sectors read and written.
    pub fn sectors(&self) -> (u64, u64) {
        let ones = |s: &[AtomicU64]| s.iter().map(|w| u64::from(w.load(Relaxed).count_ones())).sum::<u64>();
        self.used().fold((0, 0), |(r, w), (_, p)| (r + ones(&p.sectors_read), w + ones(&p.sectors_written)))
    }

    /// The smallest ranges of offsets, in whole sectors, that hold all reads and all writes.
    pub fn ranges(&self) -> (Option<Range<u64>>, Option<Range<u64>>) {
        (self.range(|p| &p.sectors_read), self.range(|p| &p.sectors_written))
    }

    fn range(&self, of: impl Fn(&Page) -> &[AtomicU64; SECTOR_WORDS]) -> Option<Range<u64>> {
        let mut range: Option<Range<u64>> = None;
        for (at, page) in self.used() {
            for (bits, at) in of(page).iter().zip((at..).step_by(64 * 32)) {
                let bits = bits.load(Relaxed);
                if bits != 0 {
                    let first = at + 32 * u64::from(bits.trailing_zeros());
                    let end = at + 32 * u64::from(64 - bits.leading_zeros());
                    range = Some(range.map_or(first, |r| r.start)..end);
                }
            }
        }
        range
    }
}

fn mark(sectors: &[AtomicU64; SECTOR_WORDS], offset: u64) {
    let sector = (offset % PAGE / 32) as usize;
    let (word, bit) = (&sectors[sector / 64], 1u64 << (sector % 64));
    if word.load(Relaxed) & bit == 0 {
        word.fetch_or(bit, Relaxed);
    }
}

impl Page {
    /// Records a sector as read.
    #[inline(always)]
    pub fn sector_read(&self, offset: u64) {
        mark(&self.sectors_read, offset);
    }

    /// Records a sector as written.
    #[inline(always)]
    pub fn sector_written(&self, offset: u64) {
        mark(&self.sectors_written, offset);
    }

    /// Records a read through the read-only path; whether this launch wrote the word.
    pub fn read_only(&self, offset: u64) -> bool {
        let at = (offset % PAGE / 4) as usize;
        let (word, bit) = (&self.read_only[at / 64], 1 << (at % 64));
        if word.load(Relaxed) & bit == 0 {
            word.fetch_or(bit, Relaxed);
        }
        self.writers[at].load(Relaxed) != 0
    }

    /// Whether this launch read the word through the read-only path.
    pub fn was_read_only(&self, offset: u64) -> bool {
        let at = (offset % PAGE / 4) as usize;
        self.read_only[at / 64].load(Relaxed) >> (at % 64) & 1 != 0
    }

    /// Records a read of the word. A strong read (volatile, relaxed, acquire) conflicts with plain writes only.
    #[inline(always)]
    pub fn read(&self, offset: u64, who: Who, strong: bool) -> Option<Race> {
        let at = (offset % PAGE / 4) as usize;
        let writer = self.writers[at].load(Relaxed);
        let race = conflicts_with_writer(writer, if strong { who.atomic() } else { who }, Scope::Grid);
        if !strong {
            let entry = self.readers[at].load(Relaxed);
            let new = add_reader(entry, who, Scope::Grid);
            if new != entry {
                self.readers[at].store(new, Relaxed);
            }
        }
        race.then_some(Race { other: Who(writer), other_wrote: true })
    }

    /// Records a write of the word. `same` says that it leaves the word's bytes as they are, which no reader of a
    /// concurrent write can tell from its absence.
    #[inline(always)]
    pub fn write(&self, offset: u64, who: Who, same: bool) -> Option<Race> {
        let at = (offset % PAGE / 4) as usize;
        let (writer, readers) = (self.writers[at].load(Relaxed), self.readers[at].load(Relaxed));
        let by_writer = conflicts_with_writer(writer, who, Scope::Grid);
        let by_readers = conflicts_with_readers(readers, who, Scope::Grid);
        self.writers[at].store(add_writer(writer, who), Relaxed);
        match (by_writer && !same, by_readers && !same) {
            (true, _) => Some(Race { other: Who(writer), other_wrote: true }),
            (_, true) => Some(Race { other: Who(readers), other_wrote: false }),
            _ => None,
        }
    }
}
