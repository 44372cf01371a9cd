//! The calls that change what a folder holds, or make it durable.

use std::ffi::{c_char, c_int, c_long, c_uint};

use crate::fault::{Verdict, directory};
use crate::line::About;

/// Wrappers that count a call and pass it on to the system. What has a newer form with a folder's handle is passed on as
/// that form: it exists on every architecture.
macro_rules! calls {
    ($($name:ident($($argument:ident: $kind:ty),*) is $word:literal about $about:expr, $number:ident($($passed:expr),*);)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`, counted.")]
        ///
        /// # Safety
        /// As of the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $kind),*) -> c_int {
            if directory($word, $about) == Verdict::Failed {
                return -1;
            }
            // SAFETY: the caller's arguments as they came; the caller answers for them.
            (unsafe { libc::syscall(libc::$number, $($passed),*) }) as c_int
        }
    )*};
}

const HERE: c_long = libc::AT_FDCWD as c_long;

calls! {
    rename(from: *const c_char, to: *const c_char) is "rename" about About::Path(to), SYS_renameat2(HERE, from, HERE, to, 0);
    renameat(a: c_int, from: *const c_char, b: c_int, to: *const c_char) is "rename" about About::Path(to),
        SYS_renameat2(a, from, b, to, 0);
    renameat2(a: c_int, from: *const c_char, b: c_int, to: *const c_char, flags: c_uint) is "rename" about About::Path(to),
        SYS_renameat2(a, from, b, to, flags);
    unlink(path: *const c_char) is "unlink" about About::Path(path), SYS_unlinkat(HERE, path, 0);
    unlinkat(a: c_int, path: *const c_char, flags: c_int) is "unlink" about About::Path(path), SYS_unlinkat(a, path, flags);
    rmdir(path: *const c_char) is "rmdir" about About::Path(path), SYS_unlinkat(HERE, path, libc::AT_REMOVEDIR);
    mkdir(path: *const c_char, mode: libc::mode_t) is "mkdir" about About::Path(path), SYS_mkdirat(HERE, path, mode);
    mkdirat(a: c_int, path: *const c_char, mode: libc::mode_t) is "mkdir" about About::Path(path), SYS_mkdirat(a, path, mode);
    link(from: *const c_char, to: *const c_char) is "link" about About::Path(to), SYS_linkat(HERE, from, HERE, to, 0);
    linkat(a: c_int, from: *const c_char, b: c_int, to: *const c_char, flags: c_int) is "link" about About::Path(to),
        SYS_linkat(a, from, b, to, flags);
    symlink(target: *const c_char, path: *const c_char) is "symlink" about About::Path(path), SYS_symlinkat(target, HERE, path);
    symlinkat(target: *const c_char, a: c_int, path: *const c_char) is "symlink" about About::Path(path),
        SYS_symlinkat(target, a, path);
    fsync(handle: c_int) is "fsync" about About::Handle(handle), SYS_fsync(handle);
    fdatasync(handle: c_int) is "fsync" about About::Handle(handle), SYS_fdatasync(handle);
    ftruncate(handle: c_int, length: libc::off_t) is "ftruncate" about About::Handle(handle), SYS_ftruncate(handle, length);
    ftruncate64(handle: c_int, length: libc::off_t) is "ftruncate" about About::Handle(handle), SYS_ftruncate(handle, length);
}

/// Opens; what creates or cuts a file is counted.
///
/// C declares `open` with a variable number of arguments, which no Rust function can have. On the 64-bit architectures of
/// Linux they are passed as fixed ones are, and the system looks at the mode only where the flags say that it is there.
fn opened(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let changes = creates || flags & libc::O_TRUNC != 0;
    if changes && directory("create", About::Path(path)) == Verdict::Failed {
        return -1;
    }
    let mode = if creates { mode } else { 0 };
    // SAFETY: the caller's arguments as they came; the caller of `open` answers for them.
    (unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, mode) }) as c_int
}

macro_rules! opens {
    ($($name:ident($($folder:ident)?);)*) => {$(
        #[doc = concat!("The C library's `", stringify!($name), "`, counted where it creates a file.")]
        ///
        /// # Safety
        /// As of the C library's.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($folder: c_int,)? path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
            opened([$($folder,)? libc::AT_FDCWD][0], path, flags, mode)
        }
    )*};
}

opens! {
    open();
    open64();
    openat(folder);
    openat64(folder);
}
