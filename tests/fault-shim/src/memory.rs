//! The calls that ask for memory.

use std::ffi::{c_int, c_void};
use std::ptr;

use crate::fault::allocation;

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, bytes: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, bytes: usize) -> *mut c_void;
}

/// The C library's `malloc`, which may be told to fail.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    if !allocation(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's argument as it came.
    unsafe { __libc_malloc(bytes) }
}

/// The C library's `calloc`, which may be told to fail.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    if !allocation(count.saturating_mul(bytes)) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's arguments as they came.
    unsafe { __libc_calloc(count, bytes) }
}

/// The C library's `realloc`, which may be told to fail; what was there then stays.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void {
    if !allocation(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's arguments as they came.
    unsafe { __libc_realloc(old, bytes) }
}

/// The C library's `aligned_alloc`, which may be told to fail.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(alignment: usize, bytes: usize) -> *mut c_void {
    if !allocation(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's arguments as they came.
    unsafe { __libc_memalign(alignment, bytes) }
}

/// The C library's `posix_memalign`, which may be told to fail.
///
/// # Safety
/// As of the C library's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, bytes: usize) -> c_int {
    if !allocation(bytes) {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's arguments as they came.
    let found = unsafe { __libc_memalign(alignment, bytes) };
    if found.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller gives a place for one address.
    unsafe { *out = found };
    0
}
