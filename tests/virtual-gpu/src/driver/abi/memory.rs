//! Device and pinned memory: cuMemAlloc, cuMemFree, cuMemHost*.

use std::ffi::{c_int, c_uint, c_void};

use super::super::buffers::Lookup;
use super::super::error::*;
use super::super::state::call;
use super::{put, put_if_asked};

/// Allocates device memory.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        let base = driver.allocate(context, bytes as u64, None)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(address, base) }
    })
}

/// As [`cuMemAlloc_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc(address: *mut u64, bytes: usize) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuMemAlloc_v2(address, bytes) }
}

/// Frees device memory.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> CUresult {
    call(|driver| {
        let context = driver.current_any()?;
        driver.free_now(address)?;
        driver.alive(context)
    })
}

/// As [`cuMemFree_v2`].
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree(address: u64) -> CUresult {
    cuMemFree_v2(address)
}

/// Free and total device memory, bytes.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> CUresult {
    call(|driver| {
        driver.current()?;
        let (capacity, live) = (driver.memory.capacity(), driver.memory.live_bytes());
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put(free, capacity.saturating_sub(live) as usize)?;
            put(total, capacity as usize)
        }
    })
}

/// As [`cuMemGetInfo_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo(free: *mut usize, total: *mut usize) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe { cuMemGetInfo_v2(free, total) }
}

/// The allocation an address is in.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetAddressRange_v2(base: *mut u64, bytes: *mut usize, address: u64) -> CUresult {
    call(|driver| {
        driver.current()?;
        let Lookup::Inside(start) = driver.device.look_up(address, 1) else {
            return Err(CudaError(CUDA_ERROR_NOT_FOUND));
        };
        let size = driver.device.at(start).map_or(0, |b| b.bytes);
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put_if_asked(base, start);
            put_if_asked(bytes, size as usize);
        }
        Ok(())
    })
}

/// CU_MEMHOSTALLOC_DEVICEMAP, _PORTABLE and _WRITECOMBINED.
const HOST_ALLOC_FLAGS: c_uint = 7;

/// Allocates pinned host memory. It is not mapped to the device, whatever the flags.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        if flags & !HOST_ALLOC_FLAGS != 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        let at = driver.allocate_pinned(context, bytes)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(address, at as *mut c_void) }
    })
}

/// As [`cuMemHostAlloc`] without flags.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocHost_v2(address: *mut *mut c_void, bytes: usize) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuMemHostAlloc(address, bytes, 0) }
}

/// As [`cuMemAllocHost_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocHost(address: *mut *mut c_void, bytes: usize) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuMemHostAlloc(address, bytes, 0) }
}

/// Frees pinned host memory.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(address: *mut c_void) -> CUresult {
    call(|driver| {
        let context = driver.current_any()?;
        driver.free_pinned(address as usize)?;
        driver.alive(context)
    })
}

/// The flags pinned memory was made with: none is kept.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemHostGetFlags(flags: *mut c_uint, address: *mut c_void) -> CUresult {
    call(|driver| match driver.pinned.look_up(address as u64, 1) {
        // SAFETY: the caller's pointer, as the module says.
        Lookup::Inside(_) => unsafe { put(flags, 0) },
        _ => Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
    })
}

/// The kind of memory an address is in: CU_POINTER_ATTRIBUTE_MEMORY_TYPE, _CONTEXT and _DEVICE_ORDINAL are known.
///
/// # Safety
/// As the module says; `data` points to a value of the attribute's type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuPointerGetAttribute(data: *mut c_void, attribute: c_int, address: u64) -> CUresult {
    call(|driver| {
        let device = matches!(driver.device.look_up(address, 1), Lookup::Inside(_));
        let pinned = matches!(driver.pinned.look_up(address, 1), Lookup::Inside(_));
        if !device && !pinned {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        match attribute {
            // SAFETY: a CUcontext, as the function says.
            1 => unsafe { put(data.cast::<usize>(), driver.current()?) },
            // SAFETY: a CUmemorytype: 1 for the host, 2 for the device.
            2 => unsafe { put(data.cast::<c_uint>(), if device { 2 } else { 1 }) },
            // SAFETY: an int, as the function says.
            9 => unsafe { put(data.cast::<c_int>(), 0) },
            _ => Err(CudaError(CUDA_ERROR_NOT_SUPPORTED)),
        }
    })
}
