//! cuFunc*.

use std::ffi::{c_int, c_uint};

use super::super::device::SHARED_DEFAULT;
use super::super::error::*;
use super::super::state::{Driver, call};
use super::put;

/// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
const MAX_DYNAMIC_SHARED: c_int = 8;
/// CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT.
const CARVEOUT: c_int = 9;
/// Registers per thread that are shown. PTX does not say: the number comes from ptxas, which does not run here.
pub const SHOWN_REGISTERS: c_int = 32;

impl Driver {
    /// An attribute of a function.
    fn function_attribute(&mut self, handle: usize, attribute: c_int) -> Outcome<c_int> {
        self.current()?;
        let function = self.function("cuFuncGetAttribute", handle)?;
        let module = self.modules[&function.module].module.clone();
        let kernel = module.ptx.kernel(&function.name).expect("the function was found by this name in this module");
        Ok(match attribute {
            0 => kernel.max_threads as c_int,
            1 => kernel.static_shared_bytes() as c_int,
            2 => 0,
            3 => kernel.local_bytes() as c_int,
            4 => SHOWN_REGISTERS,
            5 | 6 => self.model.major * 10 + self.model.minor,
            7 => 0,
            MAX_DYNAMIC_SHARED if function.max_dynamic_shared > 0 => function.max_dynamic_shared,
            MAX_DYNAMIC_SHARED => SHARED_DEFAULT - kernel.static_shared_bytes() as c_int,
            CARVEOUT => -1,
            10..=15 => 0,
            _ => return Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        })
    }

    fn set_function_attribute(&mut self, handle: usize, attribute: c_int, value: c_int) -> Outcome {
        self.current()?;
        let function = self.function("cuFuncSetAttribute", handle)?;
        match attribute {
            MAX_DYNAMIC_SHARED => {
                let module = self.modules[&function.module].module.clone();
                let kernel =
                    module.ptx.kernel(&function.name).expect("the function was found by this name in this module");
                let most = self.model.shared_optin - kernel.static_shared_bytes() as c_int;
                if !(0..=most).contains(&value) {
                    let name = &function.name;
                    let text = format!("kernel {name}: {value} bytes of dynamic shared memory, the device has {most}");
                    return self.wrong_launch(name, text, CUDA_ERROR_INVALID_VALUE);
                }
                if let Some(entry) = self.functions.get_mut(&handle) {
                    entry.max_dynamic_shared = value;
                }
                Ok(())
            }
            CARVEOUT if (-1..=100).contains(&value) => Ok(()),
            _ => Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        }
    }
}

/// An attribute of a function.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: usize) -> CUresult {
    call(|driver| {
        let found = driver.function_attribute(function, attribute)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(value, found) }
    })
}

/// Sets an attribute: the dynamic shared memory allowed; the carve-out is a preference and changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(function: usize, attribute: c_int, value: c_int) -> CUresult {
    call(|driver| driver.set_function_attribute(function, attribute, value))
}

/// A preference only, so it may be ignored, and is.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(function: usize, _config: c_uint) -> CUresult {
    call(|driver| driver.function("cuFuncSetCacheConfig", function).map(drop))
}

/// The module of a function.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuFuncGetModule(module: *mut usize, function: usize) -> CUresult {
    call(|driver| {
        let found = driver.function("cuFuncGetModule", function)?.module;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(module, found) }
    })
}
