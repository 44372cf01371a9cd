//! What becomes of a call: the counters, and the faults.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::line::{About, Line};
use crate::plan::{self, Mode};

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static WRITES: AtomicU64 = AtomicU64::new(0);
static READS: AtomicU64 = AtomicU64::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LARGE_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// What `count` calls an allocation, and a large one, in bytes. Smaller ones are among the C library's own, for whose want
/// it ends the process itself.
const SMALL: usize = 64;
const LARGE: usize = 64 << 10;

/// What is to be done with a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on to the system.
    Go,
    /// Half of it goes on, and then the process dies.
    Half,
    /// It fails; `errno` is set.
    Failed,
}

/// A directory operation.
pub(crate) fn directory(call: &str, about: About) -> Verdict {
    let number = OPERATIONS.fetch_add(1, SeqCst) + 1;
    let needs_room = matches!(call, "create" | "mkdir" | "link" | "symlink" | "ftruncate");
    match plan::mode() {
        Mode::Count => note(Line::of("operation", call, about)),
        Mode::Kill if number == plan::at() => die(),
        Mode::Stop if number >= plan::at() => stop(Line::of("operation", call, about)),
        Mode::Fail if number == plan::at() => return failed(libc::EIO),
        Mode::Full if needs_room && WRITES.load(SeqCst) >= plan::at() => return failed(libc::ENOSPC),
        Mode::BadWrite if call == "fsync" && WRITES.load(SeqCst) >= plan::at() => return failed(libc::EIO),
        _ => {}
    }
    Verdict::Go
}

/// A write.
pub(crate) fn write(call: &str, handle: c_int) -> Verdict {
    if !matches!(plan::mode(), Mode::Count | Mode::KillWrite | Mode::Full | Mode::BadWrite) || !is_on_disk(handle) {
        return Verdict::Go;
    }
    let number = WRITES.fetch_add(1, SeqCst) + 1;
    match plan::mode() {
        Mode::Count => note(Line::of("write", call, About::Handle(handle))),
        Mode::KillWrite if number == plan::at() => return Verdict::Half,
        Mode::Full if number >= plan::at() => return failed(libc::ENOSPC),
        Mode::BadWrite if number >= plan::at() => return failed(libc::EIO),
        _ => {}
    }
    Verdict::Go
}

/// A read, or a mapping of a file.
pub(crate) fn read(call: &str, handle: c_int) -> Verdict {
    if !matches!(plan::mode(), Mode::Count | Mode::StopRead | Mode::BadRead) || !is_on_disk(handle) {
        return Verdict::Go;
    }
    let number = READS.fetch_add(1, SeqCst) + 1;
    match plan::mode() {
        Mode::Count => note(Line::of("read", call, About::Handle(handle))),
        Mode::StopRead if number >= plan::at() => stop(Line::of("read", call, About::Handle(handle))),
        Mode::BadRead if number >= plan::at() => return failed(libc::EIO),
        _ => {}
    }
    Verdict::Go
}

/// Whether an allocation of so many bytes is to be made.
pub(crate) fn allocation(bytes: usize) -> bool {
    if plan::is(Mode::Count) {
        ALLOCATIONS.fetch_add(u64::from(bytes >= SMALL), SeqCst);
        LARGE_ALLOCATIONS.fetch_add(u64::from(bytes >= LARGE), SeqCst);
        return true;
    }
    let on = plan::is(Mode::AllocOn);
    if !(on || plan::is(Mode::Alloc)) || (bytes as u64) < plan::minimum() {
        return true;
    }
    let number = ALLOCATIONS.fetch_add(1, SeqCst) + 1;
    let fails = if on { number >= plan::at() } else { number == plan::at() };
    if fails {
        failed(libc::ENOMEM);
    }
    !fails
}

/// The end of the process, as a power cut is: nothing of the program runs any more.
pub(crate) fn die() -> ! {
    // SAFETY: a signal to the process itself.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        // SAFETY: waits for the signal, which no program can hold off.
        unsafe { libc::pause() };
    }
}

fn failed(number: c_int) -> Verdict {
    // SAFETY: `errno` is this thread's own.
    unsafe { *libc::__errno_location() = number };
    Verdict::Failed
}

fn note(line: Line) {
    keep_errno(|| line.write(plan::log()));
}

/// Says what is about to happen on standard input, a socket, and waits for a byte. Threads wait in turn.
fn stop(line: Line) {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    while TAKEN.swap(true, SeqCst) {
        std::hint::spin_loop();
    }
    keep_errno(|| {
        line.write(0);
        let mut byte = 0u8;
        // SAFETY: one byte, of this function's own; a closed socket gives none, and the process goes on.
        unsafe { libc::syscall(libc::SYS_read, 0, &raw mut byte, 1) };
    });
    TAKEN.store(false, SeqCst);
}

fn keep_errno(work: impl FnOnce()) {
    // SAFETY: `errno` is this thread's own.
    let before = unsafe { *libc::__errno_location() };
    work();
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = before };
}

/// Whether an open file is a regular file that somebody put there: what lies in `/proc` and `/sys` is the system's own.
fn is_on_disk(handle: c_int) -> bool {
    let mut yes = false;
    keep_errno(|| {
        // SAFETY: a structure of plain numbers, for which zeros are values.
        let mut about = unsafe { std::mem::zeroed::<libc::stat>() };
        // SAFETY: the call fills the structure that it is given.
        let known = unsafe { libc::fstat(handle, &mut about) } == 0;
        let path = Line::target(handle);
        let system = [b"/proc/".as_slice(), b"/sys/"].iter().any(|folder| path.text().starts_with(folder));
        yes = known && about.st_mode & libc::S_IFMT == libc::S_IFREG && !system;
    });
    yes
}

#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

/// Runs when the program has returned or called `exit`.
extern "C" fn end() {
    if plan::is(Mode::Count) {
        Line::number("allocations", ALLOCATIONS.load(SeqCst)).write(plan::log());
        Line::number("large-allocations", LARGE_ALLOCATIONS.load(SeqCst)).write(plan::log());
    }
}
