//! Stream-ordered allocation and its pools.

use std::ffi::{c_int, c_void};

use super::super::error::*;
use super::super::state::{Driver, Kind, call};
use super::put;

/// The handle of the device's default pool.
const DEFAULT_POOL: usize = (Kind::Pool as usize) << 32;

impl Driver {
    fn allocate_from(&mut self, bytes: usize, pool: usize, stream: usize) -> Outcome<u64> {
        let slot = self.stream("cuMemAllocAsync", stream)?;
        self.check_pool(pool)?;
        let context = self.streams[slot].context;
        self.allocate(context, bytes as u64, Some(slot))
    }

    fn check_pool(&mut self, pool: usize) -> Outcome {
        if pool == DEFAULT_POOL || self.pools.contains_key(&pool) {
            return Ok(());
        }
        self.wrong("pool misuse", format!("{pool:#x} is no memory pool"), CUDA_ERROR_INVALID_VALUE)
    }
}

/// Allocates in a stream's order.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: usize) -> CUresult {
    call(|driver| {
        let base = driver.allocate_from(bytes, DEFAULT_POOL, stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(address, base) }
    })
}

/// Allocates in a stream's order. All pools share the device's memory.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocFromPoolAsync(
    address: *mut u64,
    bytes: usize,
    pool: usize,
    stream: usize,
) -> CUresult {
    call(|driver| {
        let base = driver.allocate_from(bytes, pool, stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(address, base) }
    })
}

/// Frees in a stream's order.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: u64, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuMemFreeAsync", stream)?;
        driver.free_async(address, slot)
    })
}

/// The default pool.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut usize, device: c_int) -> CUresult {
    match device {
        // SAFETY: the caller's pointer, as the module says.
        0 => call(|_| unsafe { put(pool, DEFAULT_POOL) }),
        _ => CUDA_ERROR_INVALID_DEVICE,
    }
}

/// The current pool: always the default one.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetMemPool(pool: *mut usize, device: c_int) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuDeviceGetDefaultMemPool(pool, device) }
}

/// Sets the current pool; only the default one can be.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetMemPool(_device: c_int, pool: usize) -> CUresult {
    match pool {
        DEFAULT_POOL => CUDA_SUCCESS,
        _ => CUDA_ERROR_NOT_SUPPORTED,
    }
}

/// Makes a pool.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolCreate(pool: *mut usize, _properties: *const c_void) -> CUresult {
    call(|driver| {
        let handle = driver.new_handle(Kind::Pool);
        driver.pools.insert(handle, 0);
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(pool, handle) }
    })
}

/// Destroys a pool.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolDestroy(pool: usize) -> CUresult {
    call(|driver| {
        driver.check_pool(pool)?;
        driver.pools.remove(&pool).map(drop).ok_or(CudaError(CUDA_ERROR_INVALID_VALUE))
    })
}

/// Gives unused memory back: there is none.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(pool: usize, _keep: usize) -> CUresult {
    call(|driver| driver.check_pool(pool))
}

/// CU_MEMPOOL_ATTR_RELEASE_THRESHOLD.
const RELEASE_THRESHOLD: c_int = 4;

/// An attribute of a pool: the reuse policies, the release threshold, the bytes in use and the most there were.
///
/// # Safety
/// As the module says; `value` points to a value of the attribute's type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolGetAttribute(pool: usize, attribute: c_int, value: *mut c_void) -> CUresult {
    call(|driver| {
        driver.check_pool(pool)?;
        let bytes = match attribute {
            // SAFETY: the reuse policies are ints.
            1..=3 => return unsafe { put(value.cast::<c_int>(), 1) },
            RELEASE_THRESHOLD => driver.pools.get(&pool).copied().unwrap_or(0),
            5 | 7 => driver.memory.live_bytes(),
            6 | 8 => driver.memory.peak_bytes(),
            _ => return Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        };
        // SAFETY: the other attributes are cuuint64_t.
        unsafe { put(value.cast::<u64>(), bytes) }
    })
}

/// Sets an attribute. Memory is never kept back, so only the threshold's number is remembered.
///
/// # Safety
/// As the module says; `value` points to a value of the attribute's type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemPoolSetAttribute(pool: usize, attribute: c_int, value: *mut c_void) -> CUresult {
    call(|driver| {
        driver.check_pool(pool)?;
        if value.is_null() {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        match attribute {
            RELEASE_THRESHOLD => {
                // SAFETY: the threshold is a cuuint64_t, and the pointer is not null.
                let bytes = unsafe { value.cast::<u64>().read() };
                driver.pools.insert(pool, bytes);
                Ok(())
            }
            1..=3 | 6 | 8 => Ok(()),
            _ => Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        }
    })
}
