//! Start, version, errors, and the ways to ask for functions by name.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

use super::super::error::{self, *};
use super::super::state;
use super::{put, put_if_asked, text};

/// Starts the driver.
#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: c_uint) -> CUresult {
    match flags {
        0 => state::code(state::initialise()),
        _ => CUDA_ERROR_INVALID_VALUE,
    }
}

/// The CUDA version of the driver. May be called before cuInit.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> CUresult {
    let found = state::initialise().and_then(|()| state::with(|driver| Ok(driver.settings.driver_version)));
    // SAFETY: the caller's pointer, as the module says.
    state::code(found.and_then(|value| unsafe { put(version, value) }))
}

/// The name of a result code.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorName(code: CUresult, to: *mut *const c_char) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { put_text(error::name(code), to) }
}

/// The description of a result code.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(code: CUresult, to: *mut *const c_char) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { put_text(error::text(code), to) }
}

/// # Safety
/// As the module says.
unsafe fn put_text(found: Option<&'static CStr>, to: *mut *const c_char) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    let done = unsafe { put(to, found.map_or(std::ptr::null(), CStr::as_ptr)) };
    match (done, found) {
        (Ok(()), Some(_)) => CUDA_SUCCESS,
        _ => CUDA_ERROR_INVALID_VALUE,
    }
}

/// NVRTC asks for internal tables; there are none.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetExportTable(table: *mut *const c_void, _id: *const c_void) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { put_if_asked(table, std::ptr::null()) };
    CUDA_ERROR_NOT_FOUND
}

/// The address of a driver function, looked up in this library.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetProcAddress_v2(
    symbol: *const c_char,
    function: *mut *mut c_void,
    cuda_version: c_int,
    _flags: u64,
    status: *mut c_int,
) -> CUresult {
    // SAFETY: the caller's string, as the module says.
    let Ok(name) = (unsafe { text(symbol) }) else { return CUDA_ERROR_INVALID_VALUE };
    let found = candidates(name, cuda_version).iter().find_map(|name| own_symbol(name));
    // SAFETY: the caller's pointers, as the module says.
    unsafe {
        // CU_GET_PROC_ADDRESS_SUCCESS or _SYMBOL_NOT_FOUND.
        put_if_asked(status, if found.is_some() { 0 } else { 1 });
        match put(function, found.unwrap_or(std::ptr::null_mut())) {
            Ok(()) if found.is_some() => CUDA_SUCCESS,
            Ok(()) => CUDA_ERROR_NOT_FOUND,
            Err(CudaError(code)) => code,
        }
    }
}

/// The older form of [`cuGetProcAddress_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetProcAddress(
    symbol: *const c_char,
    function: *mut *mut c_void,
    cuda_version: c_int,
    flags: u64,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says; a null status is allowed.
    unsafe { cuGetProcAddress_v2(symbol, function, cuda_version, flags, std::ptr::null_mut()) }
}

/// The symbols that may stand behind a name: the versioned ones first, as CUDA's headers map names since 3.2.
fn candidates(name: &str, cuda_version: c_int) -> Vec<String> {
    if name == "cuCtxCreate" && cuda_version >= 13000 {
        return vec!["cuCtxCreate_v4".into()];
    }
    vec![format!("{name}_v2"), name.into()]
}

fn own_symbol(name: &str) -> Option<*mut c_void> {
    let name = CString::new(name).ok()?;
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr takes any address and writes `info` when it returns other than 0; cuInit is in this library.
    let found = unsafe { libc::dladdr(cuInit as *const c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: written by dladdr; the file's name lives as long as the library, which stays loaded.
    let library = unsafe { libc::dlopen(info.assume_init().dli_fname, libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return None;
    }
    // SAFETY: a handle from dlopen and a C string; the count that dlopen raised is lowered again.
    let symbol = unsafe {
        let symbol = libc::dlsym(library, name.as_ptr());
        libc::dlclose(library);
        symbol
    };
    (!symbol.is_null()).then_some(symbol)
}
