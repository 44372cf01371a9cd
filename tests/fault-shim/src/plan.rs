//! What is to happen, read once from the environment when the library is loaded.

use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};

/// The kind of fault.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    Off,
    Count,
    Kill,
    KillWrite,
    Stop,
    StopRead,
    Fail,
    Full,
    BadRead,
    BadWrite,
    Alloc,
    AllocOn,
}

const MODES: [(&str, Mode); 11] = [
    ("count", Mode::Count),
    ("kill", Mode::Kill),
    ("kill-write", Mode::KillWrite),
    ("stop", Mode::Stop),
    ("stop-read", Mode::StopRead),
    ("fail", Mode::Fail),
    ("enospc", Mode::Full),
    ("eio-read", Mode::BadRead),
    ("eio-write", Mode::BadWrite),
    ("alloc", Mode::Alloc),
    ("alloc-on", Mode::AllocOn),
];

static MODE: AtomicU8 = AtomicU8::new(Mode::Off as u8);
static AT: AtomicU64 = AtomicU64::new(0);
static MINIMUM: AtomicU64 = AtomicU64::new(0);
static LOG: AtomicI32 = AtomicI32::new(-1);

/// The kind of fault that was asked for.
pub(crate) fn mode() -> Mode {
    let mode = MODE.load(Relaxed);
    MODES.iter().map(|(_, known)| *known).find(|known| *known as u8 == mode).unwrap_or(Mode::Off)
}

/// Whether this is the kind of fault: one load, for the calls that are many.
pub(crate) fn is(mode: Mode) -> bool {
    MODE.load(Relaxed) == mode as u8
}

/// The number of the call that meets it.
pub(crate) fn at() -> u64 {
    AT.load(Relaxed)
}

/// The least size of an allocation that counts.
pub(crate) fn minimum() -> u64 {
    MINIMUM.load(Relaxed)
}

/// The file that calls are listed in; -1 where there is none.
pub(crate) fn log() -> c_int {
    LOG.load(Relaxed)
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Runs before the program does.
extern "C" fn start() {
    let mut name = [0; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, the last of them 0.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let process = variable(c"FAULT_PROCESS").unwrap_or(b"tercel");
    let ours = CStr::from_bytes_until_nul(&name).is_ok_and(|name| name.to_bytes() == process);
    let Some(said) = variable(c"FAULT").filter(|_| ours) else { return };
    let mut parts = said.split(|byte| *byte == b':');
    let word = parts.next().unwrap_or_default();
    let Some((_, mode)) = MODES.iter().find(|(known, _)| known.as_bytes() == word) else { refuse() };
    if *mode == Mode::Count {
        let path = said.get(word.len() + 1..).unwrap_or_default();
        LOG.store(open_log(path), Relaxed);
    } else {
        AT.store(parts.next().and_then(number).unwrap_or_else(|| refuse()), Relaxed);
        MINIMUM.store(parts.next().map_or(Some(0), number).unwrap_or_else(|| refuse()), Relaxed);
    }
    let on = parts.next() == Some(b"on".as_slice()) && *mode == Mode::Alloc;
    MODE.store(if on { Mode::AllocOn } else { *mode } as u8, Relaxed);
}

/// An environment variable.
fn variable(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: the name ends with a 0, and nothing changes the environment before `main`.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: `getenv` gives a text that ends with a 0 and lies in the environment, which stays.
    Some(unsafe { CStr::from_ptr(value) }.to_bytes())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Opens the file that calls are listed in.
fn open_log(path: &[u8]) -> c_int {
    let mut name = [0; libc::PATH_MAX as usize];
    if path.is_empty() || path.len() >= name.len() {
        refuse();
    }
    name[..path.len()].copy_from_slice(path);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    // SAFETY: `name` ends with a 0; `openat` without the library's own wrappers, which would count it.
    let handle =
        unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr().cast::<c_char>(), flags, 0o644) };
    if handle < 0 {
        refuse();
    }
    handle as c_int
}

/// A plan that cannot be read must not look like a run without faults.
fn refuse() -> ! {
    let text = b"fault-shim: FAULT cannot be read\n";
    // SAFETY: the bytes live as long as the call; `_exit` does not return and runs nothing of the program.
    unsafe {
        libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len());
        libc::_exit(99)
    }
}
