//! cuCtx*.

use std::ffi::{c_int, c_uint, c_void};

use super::super::error::*;
use super::super::sabotage::Ordering;
use super::super::state::{self, call};
use super::{put, put_if_asked};

/// Makes a context and makes it current.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v2(context: *mut usize, flags: c_uint, device: c_int) -> CUresult {
    call(|driver| {
        if device != 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_DEVICE));
        }
        let handle = driver.new_context(flags);
        state::push_current(handle);
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(context, handle) }
    })
}

/// As [`cuCtxCreate_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate(context: *mut usize, flags: c_uint, device: c_int) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuCtxCreate_v2(context, flags, device) }
}

/// As [`cuCtxCreate_v2`]; execution affinity is not offered.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v3(
    context: *mut usize,
    _affinity: *const c_void,
    affinities: c_int,
    flags: c_uint,
    device: c_int,
) -> CUresult {
    match affinities {
        // SAFETY: the caller's pointer, as the module says.
        0 => unsafe { cuCtxCreate_v2(context, flags, device) },
        _ => CUDA_ERROR_NOT_SUPPORTED,
    }
}

/// As [`cuCtxCreate_v2`]; creation parameters are not offered.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v4(
    context: *mut usize,
    params: *const c_void,
    flags: c_uint,
    device: c_int,
) -> CUresult {
    match params.is_null() {
        // SAFETY: the caller's pointer, as the module says.
        true => unsafe { cuCtxCreate_v2(context, flags, device) },
        false => CUDA_ERROR_NOT_SUPPORTED,
    }
}

/// Destroys a context.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(context: usize) -> CUresult {
    call(|driver| {
        if context == state::PRIMARY || !driver.contexts.contains_key(&context) {
            let text = format!("cuCtxDestroy: {context:#x} is no context that cuCtxCreate made, or was destroyed");
            return driver.wrong("context misuse", text, CUDA_ERROR_INVALID_CONTEXT);
        }
        driver.destroy_context(context);
        if state::current() == Some(context) {
            state::pop_current();
        }
        Ok(())
    })
}

/// As [`cuCtxDestroy_v2`].
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy(context: usize) -> CUresult {
    cuCtxDestroy_v2(context)
}

/// The thread's current context, null for none.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCurrent(context: *mut usize) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    call(|_| unsafe { put(context, state::current().unwrap_or(0)) })
}

/// Makes a context the thread's current one.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: usize) -> CUresult {
    call(|driver| driver.make_current(context))
}

/// Pushes a context on the thread's stack.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: usize) -> CUresult {
    call(|driver| {
        if !driver.contexts.contains_key(&context) {
            return Err(CudaError(CUDA_ERROR_INVALID_CONTEXT));
        }
        state::push_current(context);
        Ok(())
    })
}

/// Pops the thread's stack.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxPopCurrent_v2(context: *mut usize) -> CUresult {
    call(|_| {
        let popped = state::pop_current().ok_or(CudaError(CUDA_ERROR_INVALID_CONTEXT))?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put_if_asked(context, popped) };
        Ok(())
    })
}

/// The device of the current context.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetDevice(device: *mut c_int) -> CUresult {
    call(|driver| {
        driver.current_any()?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(device, 0) }
    })
}

/// Waits for all work of the current context.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        driver.refuse_context_wait(context)?;
        driver.counts.synchronisations += 1;
        if driver.leaves_out(Ordering::Context) {
            return Ok(());
        }
        driver.synchronise_context(context)
    })
}

/// The flags of the current context.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetFlags(flags: *mut c_uint) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(flags, driver.contexts[&context].flags) }
    })
}

/// Sets the flags of the current context. They say how the host waits, which changes nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(flags: c_uint) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        if let Some(c) = driver.contexts.get_mut(&context) {
            c.flags = flags;
        }
        Ok(())
    })
}

/// The range of stream priorities: 0 to -5, as data-centre GPUs have it.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> CUresult {
    call(|driver| {
        driver.current()?;
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put_if_asked(least, 0);
            put_if_asked(greatest, -5);
        }
        Ok(())
    })
}

/// The API version that contexts have.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetApiVersion(_context: usize, version: *mut c_uint) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    call(|_| unsafe { put(version, 3020) })
}

/// No limit of a context can be read or set.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetLimit(_value: *mut usize, _limit: c_int) -> CUresult {
    CUDA_ERROR_UNSUPPORTED_LIMIT
}

/// No limit of a context can be read or set.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(_limit: c_int, _value: usize) -> CUresult {
    CUDA_ERROR_UNSUPPORTED_LIMIT
}

/// There is no cache to prefer: CU_FUNC_CACHE_PREFER_NONE.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxGetCacheConfig(config: *mut c_int) -> CUresult {
    call(|driver| {
        driver.current()?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(config, 0) }
    })
}

/// A preference only, so it may be ignored, and is.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCacheConfig(_config: c_int) -> CUresult {
    call(|driver| driver.current().map(drop))
}
