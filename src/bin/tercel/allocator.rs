//! Memory of the command: where the system has none left, a line and an exit code, not an abort.
//!
//! What the library asks for in amounts that grow with the data takes a refusal for an answer and becomes an error that
//! says what it was for ([`tercel::memory`]). Everything else, in Rust's collections and in other libraries, would end the
//! process with SIGABRT: here it ends with a line and exit code 1. Nothing is cleaned up then, as after a kill: outputs
//! come to be by rename, so that none is half there.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// An allocator, and what to do when it refuses.
pub struct OrExit<A>(pub A);

// SAFETY: every call is passed on as it came to an allocator that keeps the contract; what it answers is answered, or the
// process ends.
unsafe impl<A: GlobalAlloc> GlobalAlloc for OrExit<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout.
        there(unsafe { self.0.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout.
        there(unsafe { self.0.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises about the block and both sizes.
        there(unsafe { self.0.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about the block.
        unsafe { self.0.dealloc(block, layout) }
    }
}

/// The block, unless there is none and nobody takes that for an answer.
#[inline]
fn there(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() && !tercel::memory::is_tried() {
        leave(size);
    }
    block
}

/// Ends with a line, too, where a new thread finds no memory for its signal handlers: the standard library panics there,
/// before any code of ours runs. Other panics are the earlier hook's.
pub fn speak_of_threads_without_memory() {
    let speak = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        if text.is_some_and(|text| text.starts_with("failed to allocate an alternative stack")) {
            one_speaks();
            exit_with(b"error: out of memory: a thread could not start; provide more memory, or use fewer --threads\n");
        }
        speak(panic);
    }));
}

/// Returns to one thread alone: where one has no memory, others soon have none, and one line is enough.
pub fn one_speaks() {
    static SPOKEN: AtomicBool = AtomicBool::new(false);
    while SPOKEN.swap(true, Relaxed) {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Says it, without allocating, and exits.
#[cold]
fn leave(size: usize) -> ! {
    one_speaks();
    let mut digits = [0; 20];
    let line: [&[u8]; 3] = [
        b"error: out of memory: ",
        decimal(size, &mut digits),
        b" more bytes were requested; provide more memory, or use fewer --threads, or a smaller --memory or --batch-size\n",
    ];
    let mut text = [0; 160];
    let mut len = 0;
    for part in line {
        text[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    exit_with(&text[..len])
}

fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Without what runs at a normal exit: it may allocate, or wait for a thread that stopped in here.
#[cfg(unix)]
fn exit_with(line: &[u8]) -> ! {
    // SAFETY: the bytes are there; `_exit` does not come back.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        libc::_exit(1)
    }
}

#[cfg(not(unix))]
fn exit_with(line: &[u8]) -> ! {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line);
    std::process::exit(1)
}
