//! A block's shared memory: bytes, which were written, who touched each word.

use super::block::Block;
use super::program::Stop;
use super::race::{Scope, Who, add_reader, add_writer, conflicts_with_readers, conflicts_with_writer};
use super::traffic;
use super::warp::{LANES, Warp, lanes};

/// Shared memory of one block; the next block on the same host thread uses it again.
pub(crate) struct SharedMemory {
    pub bytes: Vec<u8>,
    /// One bit per byte: written. A nibble per word.
    init: Vec<u8>,
    /// Last writer and readers of each word.
    entries: Vec<[u64; 2]>,
}

impl SharedMemory {
    pub fn new(size: u32) -> SharedMemory {
        let size = size as usize;
        let words = size.div_ceil(4);
        SharedMemory { bytes: vec![0xff; words * 4], init: vec![0; words], entries: vec![[0; 2]; words] }
    }

    /// Forgets the block before. Entries of another block mean nothing and may stay.
    pub fn reset(&mut self) {
        self.bytes.fill(0xff);
        self.init.fill(0);
    }

    /// Loads `width` bytes (1, 2, 4, 8); the caller checked the bounds.
    #[inline(always)]
    pub fn load(&self, offset: u32, width: u32) -> u64 {
        let at = offset as usize;
        match width {
            4 => u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap_or_default()).into(),
            8 => u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap_or_default()),
            2 => u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap_or_default()).into(),
            _ => self.bytes[at].into(),
        }
    }

    /// Stores the low `width` bytes; the caller checked the bounds.
    #[inline(always)]
    pub fn store(&mut self, offset: u32, width: u32, value: u64) {
        let at = offset as usize;
        self.bytes[at..at + width as usize].copy_from_slice(&value.to_le_bytes()[..width as usize]);
    }

    /// Whether a word is written.
    #[inline(always)]
    pub fn written(&self, word: usize) -> bool {
        self.init[word] == 0xf
    }

    /// Makes bytes unwritten again and poisons them: the target of an asynchronous copy.
    pub fn poison(&mut self, offset: u32, bytes: u32) {
        self.bytes[offset as usize..(offset + bytes) as usize].fill(0xff);
        for (word, mask) in words(offset, bytes) {
            self.init[word] &= !mask;
        }
    }
}

/// The words of a range, and which of their bytes.
#[inline(always)]
pub(crate) fn words(offset: u32, bytes: u32) -> impl Iterator<Item = (usize, u8)> {
    let end = offset + bytes;
    (offset / 4..end.div_ceil(4)).map(move |w| {
        let low = offset.max(4 * w) - 4 * w;
        let high = end.min(4 * w + 4) - 4 * w;
        (w as usize, (((1u32 << high) - 1) & !((1 << low) - 1)) as u8)
    })
}

/// What an access of shared memory is called in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
    Atomic,
}

impl Block<'_> {
    /// Checks bounds and alignment of a warp's access of `bytes`, and makes offsets of its addresses.
    #[inline(always)]
    pub fn shared_offsets(
        &self,
        address: &[u64; LANES],
        mask: u32,
        bytes: u32,
        access: Access,
    ) -> Result<[u32; LANES], Stop> {
        // Widths are powers of two: a mask tells misaligned addresses.
        let (size, low) = (u64::from(self.grid.shared_bytes), u64::from(bytes) - 1);
        let mut bad = 0u32;
        for (i, &a) in address.iter().enumerate() {
            let wrong = a > size || a + low >= size || a & low != 0;
            bad |= u32::from(wrong) << i;
        }
        if bad & mask != 0 {
            return Err(self.bad_shared(address, (bad & mask).trailing_zeros(), bytes, access));
        }
        Ok(address.map(|a| a as u32))
    }

    #[inline(never)]
    fn bad_shared(&self, address: &[u64; LANES], lane: u32, bytes: u32, access: Access) -> Stop {
        let (a, size) = (address[lane as usize], self.grid.shared_bytes);
        let outside = a > u64::from(size) || a + u64::from(bytes) > u64::from(size);
        let kind = match (outside, access) {
            (true, Access::Load) => "out of bounds shared load",
            (true, Access::Store) => "out of bounds shared store",
            (true, Access::Atomic) => "out of bounds shared atomic",
            (false, Access::Load) => "misaligned shared load",
            (false, Access::Store) => "misaligned shared store",
            (false, Access::Atomic) => "misaligned shared atomic",
        };
        Stop { kind, lane, detail: format!("{bytes} bytes at offset {a} of {size} bytes of shared memory") }
    }

    /// Counts a warp's shared request.
    #[inline(always)]
    pub fn count_shared(&mut self, offset: &[u32; LANES], mask: u32, bytes: u32) {
        let (wavefronts, ideal) = traffic::wavefronts(offset, mask, bytes);
        self.counters.shared_wavefronts += wavefronts;
        self.counters.shared_wavefronts_ideal += ideal;
    }

    /// Checks a lane's read: written bytes, no race.
    #[inline(always)]
    pub fn check_shared_read(&mut self, w: &Warp, lane: u32, who: Who, offset: u32, bytes: u32) {
        if bytes.is_multiple_of(4) {
            for word in offset / 4..(offset + bytes) / 4 {
                self.check_word_read(w, lane, who, word as usize, 0xf);
            }
        } else {
            for (word, mask) in words(offset, bytes) {
                self.check_word_read(w, lane, who, word, mask);
            }
        }
    }

    #[inline(always)]
    fn check_word_read(&mut self, w: &Warp, lane: u32, who: Who, word: usize, mask: u8) {
        let written = self.shared.init[word] & mask == mask;
        if self.precise {
            return self.ledger_read(w, lane, word, mask, written);
        }
        if !written {
            self.unwritten_shared(w, lane, 4 * word as u32, 4);
        }
        let who = who.bytes(mask.into());
        let [writer, readers] = &mut self.shared.entries[word];
        let entry = add_reader(*readers, who, Scope::Block);
        if entry != *readers {
            *readers = entry;
        }
        if conflicts_with_writer(*writer, who, Scope::Block) {
            let other = Who(*writer);
            self.shared_race(w, lane, word, other, "read", "written");
        }
    }

    /// Checks and records a lane's write of `bytes` of which `value` holds the first 8.
    #[inline(always)]
    pub fn check_shared_write(&mut self, w: &Warp, lane: u32, who: Who, offset: u32, bytes: u32, same: bool) {
        if bytes.is_multiple_of(4) {
            for word in offset / 4..(offset + bytes) / 4 {
                self.check_word_write(w, lane, who, word as usize, 0xf, same);
            }
        } else {
            for (word, mask) in words(offset, bytes) {
                self.check_word_write(w, lane, who, word, mask, same);
            }
        }
    }

    #[inline(always)]
    fn check_word_write(&mut self, w: &Warp, lane: u32, who: Who, word: usize, mask: u8, same: bool) {
        self.shared.init[word] |= mask;
        if self.precise {
            return self.ledger_write(w, lane, word, mask, same, who.is_atomic());
        }
        let who = who.bytes(mask.into());
        let [writer, readers] = self.shared.entries[word];
        if conflicts_with_writer(writer, who, Scope::Block) && !same {
            self.shared_race(w, lane, word, Who(writer), "written", "written");
        } else if conflicts_with_readers(readers, who, Scope::Block) && !same {
            self.shared_race(w, lane, word, Who(readers), "written", "read");
        }
        self.shared.entries[word][0] = add_writer(writer, who);
    }

    /// Checks and records a lane's atomic; `who` is marked as one.
    pub fn check_shared_atomic(&mut self, w: &Warp, lane: u32, who: Who, offset: u32, bytes: u32) {
        if words(offset, bytes).any(|(word, mask)| self.shared.init[word] & mask != mask) {
            self.unwritten_shared(w, lane, offset, bytes);
        }
        self.check_shared_write(w, lane, who, offset, bytes, false);
    }

    #[inline(never)]
    fn shared_race(&mut self, w: &Warp, lane: u32, word: usize, other: Who, did: &str, before: &str) {
        let (mine, theirs) = (w.index * 32 + lane, other.thread());
        let missing = if mine / 32 == theirs / 32 { "__syncwarp" } else { "__syncthreads" };
        let offset = word * 4;
        self.warn("shared memory race", w, lane, || {
            format!("offset {offset} {did} here, {before} by thread {theirs} with no {missing} between")
        });
    }

    #[inline(never)]
    pub fn unwritten_shared(&mut self, w: &Warp, lane: u32, offset: u32, bytes: u32) {
        if let Some(thread) = self.pending_copy(offset, bytes) {
            self.warn("shared memory read before cp.async completed", w, lane, || {
                format!("offset {offset}: a copy by thread {thread} has not been waited for")
            });
            return;
        }
        self.warn("uninitialised shared read", w, lane, || format!("{bytes} bytes at offset {offset}"));
    }

    /// Whether the init bits cover a range; marks nothing.
    pub fn mark_shared(&mut self, offset: u32, bytes: u32) {
        for (word, mask) in words(offset, bytes) {
            self.shared.init[word] |= mask;
        }
    }

    /// Loads `n` elements of `width` bytes per lane into rows.
    pub fn shared_load(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &mut [[u64; LANES]],
    ) -> Result<(), Stop> {
        let bytes = width * n;
        let offset = self.shared_offsets(address, mask, bytes, Access::Load)?;
        self.counters.shared_load_requests += 1;
        self.count_shared(&offset, mask, bytes);
        let who = self.who(w);
        for i in lanes(mask) {
            if self.checks {
                self.check_shared_read(w, i as u32, who.lane(i as u32), offset[i], bytes);
            }
            for k in 0..n {
                rows[k as usize][i] = self.shared.load(offset[i] + k * width, width);
            }
        }
        Ok(())
    }

    /// Stores `n` elements of `width` bytes per lane.
    pub fn shared_store(
        &mut self,
        w: &Warp,
        address: &[u64; LANES],
        mask: u32,
        width: u32,
        n: u32,
        rows: &[[u64; LANES]],
    ) -> Result<(), Stop> {
        let bytes = width * n;
        let offset = self.shared_offsets(address, mask, bytes, Access::Store)?;
        self.counters.shared_store_requests += 1;
        self.count_shared(&offset, mask, bytes);
        let who = self.who(w);
        let keep = if width >= 8 { !0 } else { (1u64 << (width * 8)) - 1 };
        for i in lanes(mask) {
            if self.checks {
                let same = (0..n).all(|k| self.shared.load(offset[i] + k * width, width) == rows[k as usize][i] & keep);
                self.check_shared_write(w, i as u32, who.lane(i as u32), offset[i], bytes, same);
            }
            for k in 0..n {
                self.shared.store(offset[i] + k * width, width, rows[k as usize][i]);
            }
        }
        Ok(())
    }
}
