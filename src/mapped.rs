//! Mapped files, and what happens when one is cut while it is read.
//!
//! A page of a mapping that the file no longer has, or that its disk cannot give, is not an error that a read returns:
//! the system sends SIGBUS, and the process dies without a word. Files of this crate are replaced by rename and never
//! written over, so that a mapping keeps the file that it was made of. Other programs may know no such rule (`cp` writes
//! over the file that is there): a process that calls [`exit_on_cut_files`] ends with a line that names the file.
//!
//! The handler of a signal may neither lock nor allocate. The ranges that are mapped therefore stand in a table of
//! atomics, in blocks that are never freed: a mapping takes a free slot, or one of a new block.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicUsize};

use memmap2::Mmap;

use crate::{Error, Result};

/// Slots of a block.
const SLOTS: usize = 32;
/// Bytes of a path that are kept; of a longer one its end.
const NAME_BYTES: usize = 512;

/// A file mapped read-only, and known to the handler of [`exit_on_cut_files`].
pub(crate) struct Mapped {
    map: Mmap,
    slot: &'static Slot,
}

impl Mapped {
    /// Maps `file`, which lies at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn new(file: &File, path: &Path) -> Result<Mapped> {
        // A file that another process writes to gives other values, which checksums find.
        #[allow(unsafe_code)]
        // SAFETY: the mapping is private to this value and read-only, no reference into it outlives it, and its bytes
        // are only ever read as plain integers and floats, for which every bit pattern is valid.
        let map = unsafe { Mmap::map(file) }.map_err(|e| Error::io(path, e))?;
        let start = map.as_ptr() as usize;
        let slot = Slot::take(start, start + map.len(), path);
        Ok(Mapped { map, slot })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // Before the range is unmapped, when it may become anybody's.
        self.slot.free();
    }
}

/// A mapped range and the path of its file.
struct Slot {
    /// [`FREE`], [`TAKEN`] while it is being filled, else the first address.
    start: AtomicUsize,
    end: AtomicUsize,
    name_len: AtomicUsize,
    name: [AtomicU8; NAME_BYTES],
}

const FREE: usize = 0;
const TAKEN: usize = 1;

/// Slots, and the block behind it once one was needed.
struct Block {
    slots: [Slot; SLOTS],
    next: OnceLock<Box<Block>>,
}

static TABLE: Block = Block::new();

impl Block {
    const fn new() -> Block {
        Block { slots: [const { Slot::new() }; SLOTS], next: OnceLock::new() }
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            start: AtomicUsize::new(FREE),
            end: AtomicUsize::new(0),
            name_len: AtomicUsize::new(0),
            name: [const { AtomicU8::new(0) }; NAME_BYTES],
        }
    }

    /// A free slot, filled.
    fn take(start: usize, end: usize, path: &Path) -> &'static Slot {
        let mut block = &TABLE;
        loop {
            let claim = |slot: &&Slot| slot.start.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok();
            if let Some(slot) = block.slots.iter().find(claim) {
                slot.fill(start, end, path);
                return slot;
            }
            block = block.next.get_or_init(|| Box::new(Block::new()));
        }
    }

    fn fill(&self, start: usize, end: usize, path: &Path) {
        let name = path.as_os_str().as_encoded_bytes();
        let name = &name[name.len().saturating_sub(NAME_BYTES)..];
        for (to, &byte) in self.name.iter().zip(name) {
            to.store(byte, Relaxed);
        }
        self.name_len.store(name.len(), Relaxed);
        self.end.store(end, Relaxed);
        self.start.store(start, Release);
    }

    fn free(&self) {
        self.start.store(FREE, Release);
    }

    fn holds(&self, address: usize) -> bool {
        let start = self.start.load(Acquire);
        start > TAKEN && (start..self.end.load(Relaxed)).contains(&address)
    }

    /// The slot of the mapping that holds `address`. Neither locks nor allocates.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn of(address: usize) -> Option<&'static Slot> {
        let mut block = &TABLE;
        loop {
            match block.slots.iter().find(|slot| slot.holds(address)) {
                None => block = block.next.get()?,
                found => return found,
            }
        }
    }

    /// Writes the path into `to`, control characters as `?`: it stands in one line. How many bytes it took.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn write_name(&self, to: &mut [u8]) -> usize {
        let len = self.name_len.load(Relaxed).min(NAME_BYTES).min(to.len());
        for (to, byte) in to.iter_mut().zip(&self.name[..len]) {
            let byte = byte.load(Relaxed);
            *to = if byte.is_ascii_control() { b'?' } else { byte };
        }
        len
    }
}

/// Lets this process end with one line and exit code 3 when a file that this crate has mapped is cut while it is read,
/// or its disk fails: `error: PATH: was cut, or its disk failed, …` on stderr. Without it the process dies of SIGBUS and
/// says nothing. Other causes of the signal go to the handler that was there before (Python's `faulthandler`, say).
///
/// The `tercel` command and the Python package call it when they start. It sets what a signal does in the whole process,
/// so a library that embeds this crate has to ask for it. Calling it again does nothing; elsewhere than on Linux it never
/// does anything.
///
/// # Errors
/// [`Error::Io`] when the system refuses.
pub fn exit_on_cut_files() -> Result<()> {
    #[cfg(target_os = "linux")]
    signal::install().map_err(|source| Error::io("SIGBUS", source))?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod signal {
    //! The handler itself.
    #![allow(unsafe_code)]

    use std::io;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    use super::{NAME_BYTES, Slot};

    const BEFORE: &[u8] = b"error: ";
    const AFTER: &[u8] = b": was cut, or its disk failed, while it was being read; replace files that are in use \
        by rename instead of overwriting them\n";

    static SPOKEN: AtomicBool = AtomicBool::new(false);

    /// What the signal did before.
    static EARLIER: OnceLock<libc::sigaction> = OnceLock::new();

    pub(super) fn install() -> io::Result<()> {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if EARLIER.get().is_some() {
            return Ok(());
        }
        let mut earlier = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: without a new action the call only writes the present one, to a place of that type.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), earlier.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: integers and an optional function, for which zeros are values, and the call has written them.
        EARLIER.get_or_init(|| unsafe { earlier.assume_init() });
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
        // SAFETY: integers and an optional function, for which zeros are values.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: the action is complete (an empty mask is all zeros), and its handler only does what one may do.
        match unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Only calls that are allowed in a handler: atomics, `write`, `_exit`, `sigaction`, `raise`.
    extern "C" fn on_signal(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: with SA_SIGINFO the system hands over a valid description.
        let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
        // One that somebody sent has no address.
        let sent = code <= 0;
        if let (false, Some(slot)) = (sent, Slot::of(address)) {
            // Where one thread meets the cut, others soon do: one of them speaks.
            while SPOKEN.swap(true, Ordering::Relaxed) {
                // SAFETY: the call waits for a signal, and one may call it here.
                unsafe { libc::pause() };
            }
            let mut line = [0; BEFORE.len() + NAME_BYTES + AFTER.len()];
            line[..BEFORE.len()].copy_from_slice(BEFORE);
            let mut len = BEFORE.len();
            len += slot.write_name(&mut line[len..][..NAME_BYTES]);
            line[len..][..AFTER.len()].copy_from_slice(AFTER);
            len += AFTER.len();
            // SAFETY: the bytes are there; `_exit` runs nothing of this process any more.
            unsafe {
                libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), len);
                libc::_exit(3);
            }
        }
        // Whoever was there before gets it: the fault comes again when this returns, one that was sent is sent again.
        let earlier = EARLIER.get().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: an action that the system gave, or none, which changes nothing.
        unsafe {
            libc::sigaction(libc::SIGBUS, earlier, ptr::null_mut());
            if sent {
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_mapping_is_known_and_forgotten_however_many_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let mapped: Vec<(String, Mapped)> = (0..3 * SLOTS)
            .map(|n| {
                let path = dir.path().join(format!("file\n{n}"));
                File::create(&path).unwrap().write_all(&vec![n as u8; 5000 + n]).unwrap();
                let map = Mapped::new(&File::open(&path).unwrap(), &path).unwrap();
                (path.to_str().unwrap().replace('\n', "?"), map)
            })
            .collect();
        let name = |address: usize| {
            let mut to = [0; NAME_BYTES];
            let len = Slot::of(address)?.write_name(&mut to);
            String::from_utf8(to[..len].to_vec()).ok()
        };
        for (path, map) in &mapped {
            let start = map.as_ptr() as usize;
            assert_eq!(name(start).as_ref(), Some(path));
            assert_eq!(name(start + map.len() - 1).as_ref(), Some(path));
        }
        let start = mapped[SLOTS + 3].1.as_ptr() as usize;
        drop(mapped);
        assert_eq!(name(start), None);
    }

    #[test]
    fn of_a_long_path_the_end_is_kept() {
        let path = format!("/{}/{}", "a".repeat(2 * NAME_BYTES), "shard.arrow");
        let slot = Slot::new();
        slot.fill(16, 32, Path::new(&path));
        let mut to = [0; NAME_BYTES];
        assert_eq!(slot.write_name(&mut to), NAME_BYTES);
        assert!(path.as_bytes().ends_with(&to));
        assert!(slot.holds(16) && slot.holds(31) && !slot.holds(32) && !slot.holds(15));
    }
}
