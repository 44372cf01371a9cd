//! One allocation: its bytes and which of them were written.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Bytes of device memory. Host threads that run blocks share it, so every access is a relaxed atomic one.
pub(crate) struct Allocation {
    /// Device address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
    /// A kernel may not write it (`__constant__`).
    pub constant: bool,
    words: Box<[AtomicU64]>,
    /// One bit per byte: written.
    init: Box<[AtomicU8]>,
    /// Every byte was written: `init` need not be looked at.
    all_init: AtomicBool,
}

impl Allocation {
    /// Poisoned bytes: all ones, a NaN in every float format and -1 in every integer format.
    pub fn new(base: u64, size: u64, constant: bool) -> Allocation {
        let words = size.div_ceil(8) as usize;
        Allocation {
            base,
            size,
            constant,
            words: std::iter::repeat_with(|| AtomicU64::new(!0)).take(words).collect(),
            init: std::iter::repeat_with(|| AtomicU8::new(0)).take(words).collect(),
            all_init: AtomicBool::new(size == 0),
        }
    }

    #[inline(always)]
    fn at<T>(&self, offset: u64) -> *mut T {
        let width = size_of::<T>() as u64;
        assert!(offset.is_multiple_of(width) && offset + width <= self.words.len() as u64 * 8);
        self.words.as_ptr().cast::<u8>().cast_mut().wrapping_add(offset as usize).cast()
    }

    /// The atomic 32-bit word at an aligned offset.
    #[inline(always)]
    pub fn word32(&self, offset: u64) -> &AtomicU32 {
        // SAFETY: `at` checked bounds and alignment of the atomic's 4 bytes, which live as long as `self` and are
        // only ever accessed by atomics.
        unsafe { AtomicU32::from_ptr(self.at(offset)) }
    }

    /// The atomic 64-bit word at an aligned offset.
    #[inline(always)]
    pub fn word64(&self, offset: u64) -> &AtomicU64 {
        &self.words[(offset / 8) as usize]
    }

    /// The atomic 16-bit word at an aligned offset.
    #[inline(always)]
    pub fn word16(&self, offset: u64) -> &AtomicU16 {
        // SAFETY: as in `word32`, for 2 bytes.
        unsafe { AtomicU16::from_ptr(self.at(offset)) }
    }

    /// The atomic byte at an offset.
    #[inline(always)]
    pub fn word8(&self, offset: u64) -> &AtomicU8 {
        // SAFETY: as in `word32`, for 1 byte.
        unsafe { AtomicU8::from_ptr(self.at(offset)) }
    }

    /// Loads `width` bytes (1, 2, 4 or 8) at an aligned offset.
    #[inline(always)]
    pub fn load(&self, offset: u64, width: u32) -> u64 {
        match width {
            4 => self.word32(offset).load(Relaxed).into(),
            8 => self.word64(offset).load(Relaxed),
            2 => self.word16(offset).load(Relaxed).into(),
            _ => self.word8(offset).load(Relaxed).into(),
        }
    }

    /// Stores the low `width` bytes (1, 2, 4 or 8) at an aligned offset.
    #[inline(always)]
    pub fn store(&self, offset: u64, width: u32, value: u64) {
        match width {
            4 => self.word32(offset).store(value as u32, Relaxed),
            8 => self.word64(offset).store(value, Relaxed),
            2 => self.word16(offset).store(value as u16, Relaxed),
            _ => self.word8(offset).store(value as u8, Relaxed),
        }
    }

    /// Copies host bytes in; the caller checked the bounds.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let head = ((8 - offset % 8) % 8).min(bytes.len() as u64) as usize;
        let (head, rest) = bytes.split_at(head);
        for (i, &b) in head.iter().enumerate() {
            self.word8(offset + i as u64).store(b, Relaxed);
        }
        let at = offset + head.len() as u64;
        let (words, tail) = rest.as_chunks::<8>();
        for (i, w) in words.iter().enumerate() {
            self.word64(at + 8 * i as u64).store(u64::from_le_bytes(*w), Relaxed);
        }
        let at = at + 8 * words.len() as u64;
        for (i, &b) in tail.iter().enumerate() {
            self.word8(at + i as u64).store(b, Relaxed);
        }
        self.mark(offset, bytes.len() as u64);
    }

    /// Copies bytes out; the caller checked the bounds.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) {
        let head = ((8 - offset % 8) % 8).min(bytes.len() as u64) as usize;
        let (head, rest) = bytes.split_at_mut(head);
        for (i, b) in head.iter_mut().enumerate() {
            *b = self.word8(offset + i as u64).load(Relaxed);
        }
        let at = offset + head.len() as u64;
        let (words, tail) = rest.as_chunks_mut::<8>();
        for (i, w) in words.iter_mut().enumerate() {
            *w = self.word64(at + 8 * i as u64).load(Relaxed).to_le_bytes();
        }
        let at = at + 8 * words.len() as u64;
        for (i, b) in tail.iter_mut().enumerate() {
            *b = self.word8(at + i as u64).load(Relaxed);
        }
    }

    /// Records bytes as written.
    #[inline(always)]
    pub fn mark(&self, offset: u64, bytes: u64) {
        if self.all_init.load(Relaxed) {
            return;
        }
        if offset == 0 && bytes == self.size {
            self.all_init.store(true, Relaxed);
            return;
        }
        self.mark_bits(offset, bytes);
    }

    fn mark_bits(&self, offset: u64, bytes: u64) {
        let mut at = offset;
        while at < offset + bytes {
            let n = (8 - at % 8).min(offset + bytes - at);
            let bits = ((1u32 << n) - 1) as u8;
            let bits = bits << (at % 8);
            let byte = &self.init[(at / 8) as usize];
            if byte.load(Relaxed) & bits != bits {
                byte.fetch_or(bits, Relaxed);
            }
            at += n;
        }
    }

    /// The first unwritten byte of a range and how many there are.
    #[inline(always)]
    pub fn unwritten(&self, offset: u64, bytes: u64) -> Option<(u64, u64)> {
        if self.all_init.load(Relaxed) {
            return None;
        }
        self.unwritten_bits(offset, bytes)
    }

    fn unwritten_bits(&self, offset: u64, bytes: u64) -> Option<(u64, u64)> {
        let (mut first, mut count) = (None, 0);
        let mut at = offset;
        while at < offset + bytes {
            let n = (8 - at % 8).min(offset + bytes - at);
            let bits = ((1u32 << n) - 1) << (at % 8);
            let missing = bits & !u32::from(self.init[(at / 8) as usize].load(Relaxed));
            if missing != 0 {
                first.get_or_insert(at - at % 8 + u64::from(missing.trailing_zeros()));
                count += u64::from(missing.count_ones());
            }
            at += n;
        }
        first.map(|f| (f, count))
    }
}
