//! The CUDA side: so far the probe that answers for hosts without a driver.
#![allow(unsafe_code)]

/// Whether the device can be used, or why not.
///
/// The library is looked for before the first call: cudarc panics, even while formatting its own errors, where
/// `libcuda` is missing.
pub(crate) fn probe(ordinal: usize) -> Result<(), String> {
    // SAFETY: the call opens the library by name and closes it again; it calls no function of the driver.
    let present = unsafe { cudarc::driver::sys::is_culib_present() };
    if !present {
        return Err("no NVIDIA driver on this host (libcuda was not found)".into());
    }
    Err(format!("the driver is there, but this version has no kernels for cuda:{ordinal} yet"))
}
