//! The calls that read and write files.

use std::ffi::{c_int, c_void};

use crate::fault::{Verdict, die, read as reading, write as writing};

/// What comes back from the system, as the C library gives it on.
macro_rules! system {
    ($number:ident($($passed:expr),*)) => {
        // SAFETY: the caller's arguments as they came; the caller of the wrapper answers for them.
        (unsafe { libc::syscall(libc::$number, $($passed),*) }) as libc::ssize_t
    };
}

/// Wrappers that count a call and pass it on to the system.
macro_rules! calls {
    ($($way:ident $name:ident(handle: c_int $(, $argument:ident: $kind:ty)*) $(cut $length:ident)?, $number:ident;)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`, counted on files.")]
        ///
        /// # Safety
        /// As of the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(handle: c_int $(, $argument: $kind)*) -> libc::ssize_t {
            match $way(stringify!($name), handle) {
                Verdict::Failed => return -1,
                Verdict::Half => {
                    $(let $length = $length / 2;)?
                    system!($number(handle $(, $argument)*));
                    die();
                }
                Verdict::Go => {}
            }
            system!($number(handle $(, $argument)*))
        }
    )*};
}

calls! {
    writing write(handle: c_int, bytes: *const c_void, count: usize) cut count, SYS_write;
    writing pwrite(handle: c_int, bytes: *const c_void, count: usize, at: libc::off_t) cut count, SYS_pwrite64;
    writing pwrite64(handle: c_int, bytes: *const c_void, count: usize, at: libc::off_t) cut count, SYS_pwrite64;
    writing writev(handle: c_int, parts: *const libc::iovec, count: c_int) cut count, SYS_writev;
    reading read(handle: c_int, bytes: *mut c_void, count: usize), SYS_read;
    reading pread(handle: c_int, bytes: *mut c_void, count: usize, at: libc::off_t), SYS_pread64;
    reading pread64(handle: c_int, bytes: *mut c_void, count: usize, at: libc::off_t), SYS_pread64;
    reading readv(handle: c_int, parts: *const libc::iovec, count: c_int), SYS_readv;
}

macro_rules! maps {
    ($($name:ident)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`, counted where it maps a file.")]
        ///
        /// # Safety
        /// As of the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            handle: c_int,
            offset: libc::off_t,
        ) -> *mut c_void {
            if handle >= 0 && reading("mmap", handle) == Verdict::Failed {
                return libc::MAP_FAILED;
            }
            system!(SYS_mmap(address, length, protection, flags, handle, offset)) as *mut c_void
        }
    )*};
}

maps!(mmap mmap64);

/// Says that the system cannot copy inside itself: the Rust library then falls back to reads and writes, which are counted.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    _: c_int,
    _: *mut libc::off_t,
    _: c_int,
    _: *mut libc::off_t,
    _: usize,
    _: libc::c_uint,
) -> libc::ssize_t {
    // SAFETY: `errno` is this thread's own.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}
