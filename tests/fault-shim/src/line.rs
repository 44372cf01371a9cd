//! A line of text on the stack.

use std::ffi::{CStr, c_char, c_int};

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) enum About {
    /// A path, as the caller gave it.
    Path(*const c_char),
    /// An open file.
    Handle(c_int),
}

/// A line of at most 1,024 bytes; what is beyond is left out.
pub(crate) struct Line {
    bytes: [u8; 1024],
    length: usize,
}

impl Line {
    /// `class call path`.
    pub(crate) fn of(class: &str, call: &str, about: About) -> Line {
        let mut line = Line { bytes: [0; 1024], length: 0 };
        line.push(class.as_bytes());
        line.push(b" ");
        line.push(call.as_bytes());
        line.push(b" ");
        match about {
            About::Path(path) if path.is_null() => {}
            // SAFETY: the caller of a file call gives a text that ends with a 0.
            About::Path(path) => line.push(unsafe { CStr::from_ptr(path) }.to_bytes()),
            About::Handle(handle) => line.push_target(handle),
        }
        line
    }

    /// `word number`.
    pub(crate) fn number(word: &str, mut number: u64) -> Line {
        let mut digits = [b'0'; 20];
        let mut first = digits.len() - 1;
        loop {
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 || first == 0 {
                break;
            }
            first -= 1;
        }
        let mut line = Line { bytes: [0; 1024], length: 0 };
        line.push(word.as_bytes());
        line.push(b" ");
        line.push(&digits[first..]);
        line
    }

    /// The path that an open file has now.
    pub(crate) fn target(handle: c_int) -> Line {
        let mut line = Line { bytes: [0; 1024], length: 0 };
        line.push_target(handle);
        line
    }

    /// What it says.
    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, text: &[u8]) {
        // One byte stays for the end of the line.
        let room = self.bytes.len() - 1 - self.length;
        let taken = text.len().min(room);
        self.bytes[self.length..self.length + taken].copy_from_slice(&text[..taken]);
        self.length += taken;
    }

    fn push_target(&mut self, handle: c_int) {
        let mut name = Line::number("/proc/self/fd/", handle.max(0) as u64);
        // The blank between word and number goes, and a 0 ends the name.
        let blank = "/proc/self/fd/".len();
        name.bytes.copy_within(blank + 1..name.length + 1, blank);
        let mut target = [0u8; 900];
        // SAFETY: the name ends with a 0 (the line was zeroed), and at most the target's length is written to it.
        let found = unsafe {
            libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, name.bytes.as_ptr(), target.as_mut_ptr(), target.len())
        };
        self.push(&target[..usize::try_from(found).unwrap_or(0)]);
    }

    /// Writes it, with its end, to an open file.
    pub(crate) fn write(mut self, handle: c_int) {
        self.bytes[self.length] = b'\n';
        // SAFETY: the bytes are this line's own.
        unsafe { libc::syscall(libc::SYS_write, handle, self.bytes.as_ptr(), self.length + 1) };
    }
}
