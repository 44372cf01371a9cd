//! CUDA's C functions, as NVIDIA's driver API reference declares them.
//!
//! # Safety
//! Each function asks of its caller what CUDA asks: a pointer is null only where CUDA allows it and otherwise points
//! to a value of the type named, writable where a result goes. Handles are numbers here and are looked up, never
//! followed, so a wrong handle is an error and not undefined behaviour. Device addresses are looked up too, and host
//! memory is probed before a copy.

pub mod capture;
pub mod context;
pub mod counts;
pub mod device;
pub mod event;
pub mod function;
pub mod graph;
pub mod init;
pub mod launch;
pub mod memcpy;
pub mod memory;
pub mod module;
pub mod occupancy;
pub mod pool;
pub mod stream;
pub mod unsupported;

use std::ffi::{CStr, c_char};

use super::error::*;

/// Writes a result to where the caller wants it.
///
/// # Safety
/// `to` is null or valid for a write of `T`.
unsafe fn put<T>(to: *mut T, value: T) -> Outcome {
    if to.is_null() {
        return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
    }
    // SAFETY: not null, so valid by the function's contract.
    unsafe { to.write(value) };
    Ok(())
}

/// Writes a result that the caller may not want.
///
/// # Safety
/// `to` is null or valid for a write of `T`.
unsafe fn put_if_asked<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not null, so valid by the function's contract.
        unsafe { to.write(value) };
    }
}

/// Reads a name.
///
/// # Safety
/// `from` is null or a C string that lives for `'a`.
unsafe fn text<'a>(from: *const c_char) -> Outcome<&'a str> {
    if from.is_null() {
        return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
    }
    // SAFETY: not null, so a C string by the function's contract.
    unsafe { CStr::from_ptr(from) }.to_str().map_err(|_| CudaError(CUDA_ERROR_INVALID_VALUE))
}
