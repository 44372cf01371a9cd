//! Races: who touched a word last, and whether two accesses are ordered.
//!
//! Accesses of one block are ordered by its barriers (the block epoch), those of one warp also by its warp barriers
//! (the warp epoch); what orders accesses of different blocks is seen to by `release`. One entry is kept for the last
//! writer and one for the readers of a word. Where threads write different bytes of a word, the last one stays on record.

/// One access: 4 bits of bytes of the word, flags, thread 10, warp epoch 10, block epoch 16, block 20, and a bit that
/// says there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who(pub u64);

const MASK: u64 = 0xf;
/// In a writer: the access was atomic. In a reader: several lanes of one warp read.
const FLAG: u64 = 1 << 4;
const THREAD_AT: u32 = 5;
const WARP_EPOCH_AT: u32 = 15;
/// Reader: several warps read.
const MANY_WARPS: u64 = 1 << 25;
/// Reader: several blocks read.
const MANY_BLOCKS: u64 = 1 << 26;
const EPOCH_AT: u32 = 27;
const BLOCK_AT: u32 = 43;
const VALID: u64 = 1 << 63;

/// How a block's accesses relate to entries of another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Shared memory: an entry of another block is left over and means nothing.
    Block,
    /// Global memory: unordered.
    Grid,
}

impl Who {
    /// An access by `thread` of `block` in the given epochs.
    #[inline(always)]
    pub fn new(block: u32, epoch: u32, warp_epoch: u32, thread: u32) -> Who {
        Who(VALID
            | u64::from(block & 0xf_ffff) << BLOCK_AT
            | u64::from(epoch & 0xffff) << EPOCH_AT
            | u64::from(warp_epoch & 0x3ff) << WARP_EPOCH_AT
            | u64::from(thread & 0x3ff) << THREAD_AT)
    }

    /// The same access, by the thread `lanes` further.
    #[inline(always)]
    pub fn lane(self, lane: u32) -> Who {
        Who(self.0 + (u64::from(lane) << THREAD_AT))
    }

    /// The same access, atomic.
    #[inline(always)]
    pub fn atomic(self) -> Who {
        Who(self.0 | FLAG)
    }

    /// The same access, of these bytes of the word.
    #[inline(always)]
    pub fn bytes(self, mask: u64) -> Who {
        Who(self.0 | mask)
    }

    /// Whether the access is atomic.
    pub fn is_atomic(self) -> bool {
        self.0 & FLAG != 0
    }

    /// The thread's index in its block.
    pub fn thread(self) -> u32 {
        (self.0 >> THREAD_AT) as u32 & 0x3ff
    }

    /// The block's index, modulo 2^20.
    pub fn block(self) -> u32 {
        (self.0 >> BLOCK_AT) as u32 & 0xf_ffff
    }

    /// Whether a reader's entry stands for several blocks or warps.
    pub fn is_of_many(self) -> bool {
        self.0 & (MANY_BLOCKS | MANY_WARPS) != 0
    }

    /// Whether the access comes before what the thread of `later`, in the same block, does from there on: it is its own, of
    /// its warp before the lanes met, or before a barrier of the block.
    pub fn before(self, later: Who) -> bool {
        // Epochs wrap around.
        let less = |a: u64, b: u64, bits: u32| a != b && (b.wrapping_sub(a) & ((1 << bits) - 1)) < 1 << (bits - 1);
        self.block() == later.block()
            && (less(self.epoch(), later.epoch(), 16)
                || (self.epoch() == later.epoch() && self.thread() == later.thread())
                || (self.warp() == later.warp() && less(self.warp_epoch(), later.warp_epoch(), 10)))
    }

    fn epoch(self) -> u64 {
        self.0 >> EPOCH_AT & 0xffff
    }

    fn warp_epoch(self) -> u64 {
        self.0 >> WARP_EPOCH_AT & 0x3ff
    }

    fn warp(self) -> u32 {
        self.thread() / 32
    }
}

/// Whether the last writer `entry` and the access `who` are unordered and in conflict.
#[inline(always)]
pub(crate) fn conflicts_with_writer(entry: u64, who: Who, scope: Scope) -> bool {
    if entry == 0 {
        return false;
    }
    // The common cases first: the same thread, and a barrier between.
    let differs = entry ^ who.0;
    if differs >> THREAD_AT == 0 {
        return false;
    }
    if differs >> BLOCK_AT == 0 {
        if differs >> EPOCH_AT != 0 {
            return false;
        }
    } else if scope == Scope::Block {
        return false;
    }
    slow_writer(Who(entry), who, scope)
}

#[inline(never)]
fn slow_writer(w: Who, who: Who, scope: Scope) -> bool {
    if w.0 & who.0 & MASK == 0 || (w.is_atomic() && who.is_atomic()) {
        return false;
    }
    if w.block() != who.block() {
        return scope == Scope::Grid;
    }
    if w.epoch() != who.epoch() || w.thread() == who.thread() {
        return false;
    }
    w.warp() != who.warp() || w.warp_epoch() == who.warp_epoch()
}

/// Whether a write by `who` conflicts with the readers' entry.
#[inline(always)]
pub(crate) fn conflicts_with_readers(entry: u64, who: Who, scope: Scope) -> bool {
    if entry == 0 {
        return false;
    }
    let differs = entry ^ who.0;
    if differs >> BLOCK_AT == 0 {
        // A barrier between, and no other block.
        if differs >> EPOCH_AT != 0 && entry & MANY_BLOCKS == 0 {
            return false;
        }
    } else if scope == Scope::Block {
        return false;
    }
    slow_readers(entry, who, scope)
}

fn slow_readers(entry: u64, who: Who, scope: Scope) -> bool {
    let r = Who(entry);
    if r.0 & who.0 & MASK == 0 {
        return false;
    }
    if scope == Scope::Grid && (r.block() != who.block() || entry & MANY_BLOCKS != 0) {
        return true;
    }
    if r.block() != who.block() || r.epoch() != who.epoch() {
        return false;
    }
    if entry & MANY_WARPS != 0 {
        return true;
    }
    if r.warp() != who.warp() {
        return true;
    }
    if r.warp_epoch() != who.warp_epoch() {
        return false;
    }
    entry & FLAG != 0 || r.thread() != who.thread()
}

/// The readers' entry after a read by `who`.
#[inline(always)]
pub(crate) fn add_reader(entry: u64, who: Who, scope: Scope) -> u64 {
    if entry == 0 || (entry | MASK) == (who.0 | MASK) {
        return entry | who.0;
    }
    // Nothing new: another lane of a warp, or another warp, where several have read already.
    let differs = entry ^ who.0;
    if entry & who.0 & MASK == who.0 & MASK {
        let warp = (differs & !(MANY_WARPS | MANY_BLOCKS)) >> (THREAD_AT + 5) == 0 && entry & FLAG != 0;
        if warp || (differs >> EPOCH_AT == 0 && entry & MANY_WARPS != 0) {
            return entry;
        }
    }
    slow_reader(entry, who, scope)
}

fn slow_reader(entry: u64, who: Who, scope: Scope) -> u64 {
    let r = Who(entry);
    if (entry ^ who.0) & MASK != 0 {
        // Readers of different bytes are not told apart, so only the last one stays on record.
        return who.0;
    }
    if r.block() != who.block() {
        return match scope {
            Scope::Block => who.0,
            Scope::Grid => who.0 | MANY_BLOCKS,
        };
    }
    if r.epoch() != who.epoch() {
        return who.0 | (entry & MANY_BLOCKS);
    }
    let kept = entry & (MANY_BLOCKS | MANY_WARPS);
    if r.warp() != who.warp() {
        return who.0 | kept | MANY_WARPS;
    }
    if r.warp_epoch() != who.warp_epoch() {
        // Ordered by a warp barrier; other warps' reads stay on record.
        let kept = if kept & (MANY_BLOCKS | MANY_WARPS) != 0 { kept } else { 0 };
        return who.0 | kept;
    }
    let many = if r.thread() == who.thread() { entry & FLAG } else { FLAG };
    who.0 | kept | many
}

/// The writer's entry after a write by `who`. An atomic does not hide the same thread's earlier plain write.
#[inline(always)]
pub(crate) fn add_writer(entry: u64, who: Who) -> u64 {
    if (entry ^ who.0) >> THREAD_AT != 0 {
        return who.0;
    }
    if who.is_atomic() { entry | (who.0 & MASK) } else { who.0 | (entry & MASK) }
}
