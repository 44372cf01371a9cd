//! cuDevice*.

use std::ffi::{c_char, c_int, c_uint};

use super::super::device::NAME;
use super::super::error::*;
use super::super::state::{Driver, PRIMARY, call};
use super::{put, put_if_asked};

/// CUuuid.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CUuuid {
    /// The bytes.
    pub bytes: [u8; 16],
}

fn only(device: c_int) -> Outcome {
    match device {
        0 => Ok(()),
        _ => Err(CudaError(CUDA_ERROR_INVALID_DEVICE)),
    }
}

/// Device 0, the only one.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> CUresult {
    call(|_| {
        only(ordinal)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(device, ordinal) }
    })
}

/// One.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    call(|_| unsafe { put(count, 1) })
}

/// The name, cut to `length` bytes.
///
/// # Safety
/// As the module says; `name` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) -> CUresult {
    call(|_| {
        only(device)?;
        let room = usize::try_from(length).unwrap_or(0);
        if name.is_null() || room == 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        // SAFETY: the caller's buffer has `length` bytes.
        let to = unsafe { std::slice::from_raw_parts_mut(name.cast::<u8>(), room) };
        to.fill(0);
        let shown = NAME.len().min(room - 1);
        to[..shown].copy_from_slice(&NAME.as_bytes()[..shown]);
        Ok(())
    })
}

/// A fixed UUID.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut CUuuid, device: c_int) -> CUresult {
    call(|_| {
        only(device)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(uuid, CUuuid { bytes: *b"virtual-gpu-0000" }) }
    })
}

/// As [`cuDeviceGetUuid`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut CUuuid, device: c_int) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuDeviceGetUuid(uuid, device) }
}

/// Device memory, bytes.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(bytes, driver.model.memory_bytes as usize) }
    })
}

/// As [`cuDeviceTotalMem_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem(bytes: *mut usize, device: c_int) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuDeviceTotalMem_v2(bytes, device) }
}

/// One attribute.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        let found = driver.model.attribute(attribute).ok_or(CudaError(CUDA_ERROR_INVALID_VALUE))?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(value, found) }
    })
}

/// The compute capability.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put(major, driver.model.major)?;
            put(minor, driver.model.minor)
        }
    })
}

/// Retains the primary context.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        let handle = driver.retain_primary();
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(context, handle) }
    })
}

/// Releases the primary context; the last release destroys it.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        driver.release_primary()
    })
}

/// As [`cuDevicePrimaryCtxRelease_v2`].
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease(device: c_int) -> CUresult {
    cuDevicePrimaryCtxRelease_v2(device)
}

/// Destroys the primary context whoever retains it.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> CUresult {
    call(|driver| {
        only(device)?;
        if driver.contexts.contains_key(&PRIMARY) {
            driver.destroy_context(PRIMARY);
        }
        Ok(())
    })
}

/// Whether the primary context is active, and its flags.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDevicePrimaryCtxGetState(device: c_int, flags: *mut c_uint, active: *mut c_int) -> CUresult {
    call(|driver: &mut Driver| {
        only(device)?;
        let context = driver.contexts.get(&PRIMARY);
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put_if_asked(flags, context.map_or(0, |c| c.flags));
            put(active, c_int::from(context.is_some()))
        }
    })
}
