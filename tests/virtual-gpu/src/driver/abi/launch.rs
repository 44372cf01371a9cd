//! cuLaunchKernel and cuLaunchKernelEx.

use std::ffi::{c_uint, c_void};

use super::super::error::*;
use super::super::launch::{Request, arguments};
use super::super::state::call;

/// Launches a kernel.
///
/// # Safety
/// As the module says; `kernel_params` has the address of each of the kernel's parameters, or `extra` has them packed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    dynamic_shared: c_uint,
    stream: usize,
    kernel_params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> CUresult {
    call(|driver| {
        driver.launch(&Request {
            function,
            grid: [grid_x, grid_y, grid_z],
            block: [block_x, block_y, block_z],
            dynamic_shared,
            stream,
            // SAFETY: the caller's list, as the function says.
            arguments: unsafe { arguments(kernel_params, extra) }?,
        })
    })
}

/// CUlaunchConfig.
#[repr(C)]
pub struct CUlaunchConfig {
    /// Blocks (x, y, z).
    pub grid: [c_uint; 3],
    /// Threads per block (x, y, z).
    pub block: [c_uint; 3],
    /// Dynamic shared memory, bytes.
    pub dynamic_shared: c_uint,
    /// CUstream.
    pub stream: usize,
    /// Attributes.
    pub attributes: *const c_void,
    /// Number of attributes.
    pub count: c_uint,
}

/// Launches a kernel; launch attributes (clusters, programmatic launches) are not offered.
///
/// # Safety
/// As for [`cuLaunchKernel`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchKernelEx(
    config: *const CUlaunchConfig,
    function: usize,
    kernel_params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> CUresult {
    if config.is_null() {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // SAFETY: not null, so the caller's configuration.
    let config = unsafe { &*config };
    if config.count != 0 {
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    let ([gx, gy, gz], [bx, by, bz]) = (config.grid, config.block);
    // SAFETY: the caller's arguments, as the function says.
    unsafe {
        cuLaunchKernel(function, gx, gy, gz, bx, by, bz, config.dynamic_shared, config.stream, kernel_params, extra)
    }
}
