//! cuModule*.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use super::super::buffers::{Buffer, Origin};
use super::super::error::*;
use super::super::module::{Function, LoadedModule, ModuleEntry, check_header, is_binary};
use super::super::state::{Driver, Kind, call};
use super::{put, put_if_asked, text};
use crate::ptx;

impl Driver {
    fn load_text(&mut self, source: &str) -> Outcome<usize> {
        let context = self.current()?;
        self.refuse_unsafe("cuModuleLoadData")?;
        if let Err((code, reason)) = check_header(source, &self.settings) {
            // Drivers are older than compilers every day: a program that goes on with other PTX does well.
            if code == CUDA_ERROR_UNSUPPORTED_PTX_VERSION {
                self.journal.note(&reason);
                return Err(CudaError(code));
            }
            return self.wrong("module refused", reason, code);
        }
        let ptx = match ptx::parse(source) {
            Ok(module) => module,
            Err(e) => return self.wrong("module refused", e.to_string(), CUDA_ERROR_INVALID_PTX),
        };
        if ptx.load(&self.memory).is_err() {
            return Err(CudaError(CUDA_ERROR_OUT_OF_MEMORY));
        }
        let handle = self.new_handle(Kind::Module);
        let module = Arc::new(LoadedModule { handle, context, ptx });
        self.modules.insert(handle, ModuleEntry { module, launches: Vec::new(), variables: Vec::new() });
        Ok(handle)
    }

    fn module(&mut self, name: &str, handle: usize) -> Outcome<&mut ModuleEntry> {
        if !self.modules.contains_key(&handle) {
            let text = format!("{name}: {handle:#x} is no module, or one that was unloaded");
            return self.wrong("module misuse", text, CUDA_ERROR_INVALID_HANDLE);
        }
        Ok(self.modules.get_mut(&handle).expect("looked at just now"))
    }

    fn find_function(&mut self, module: usize, name: &str) -> Outcome<usize> {
        let entry = self.module("cuModuleGetFunction", module)?;
        if entry.module.ptx.kernel(name).is_none() {
            let known: Vec<&str> = entry.module.ptx.kernels().map(|k| k.name.as_str()).collect();
            let text = format!("cuModuleGetFunction: no kernel `{name}`; the module has {}", known.join(", "));
            return self.wrong("unknown function", text, CUDA_ERROR_NOT_FOUND);
        }
        let same = |f: &Function| f.module == module && f.name == name;
        if let Some((&handle, _)) = self.functions.iter().find(|(_, f)| same(f)) {
            return Ok(handle);
        }
        let handle = self.new_handle(Kind::Function);
        self.functions.insert(handle, Function { module, name: name.into(), max_dynamic_shared: 0 });
        Ok(handle)
    }

    fn unload(&mut self, handle: usize) -> Outcome {
        self.module("cuModuleUnload", handle)?;
        self.refuse_unsafe("cuModuleUnload")?;
        if let Some((graph, kernel)) = self.holder_of(handle) {
            let text = format!("cuModuleUnload: {graph} still holds {kernel} of the module, and may be launched again");
            self.journal.warn("module unloaded early", text);
        }
        let entry = self.module("cuModuleUnload", handle)?;
        let (context, launches) = (entry.module.context, entry.launches.clone());
        let pending = launches.iter().find(|(op, _)| !self.host.covers(op.slot, op.seq));
        if let Some((_, what)) = pending {
            let text = format!("cuModuleUnload: the {what} may still run, nothing waited for it");
            self.journal.warn("module unloaded early", text);
        }
        // Its variables go with the module, so whatever is queued has to run before.
        self.drain();
        self.forget_module(handle);
        self.alive(context)
    }

    fn variable(&mut self, module: usize, name: &str) -> Outcome<(u64, u64)> {
        let entry = self.module("cuModuleGetGlobal", module)?;
        let context = entry.module.context;
        let (base, bytes) = entry.module.ptx.global(name).ok_or(CudaError(CUDA_ERROR_NOT_FOUND))?;
        if !entry.variables.contains(&base) {
            entry.variables.push(base);
            self.device.insert(Buffer::new(base, bytes, Origin::Module, context));
        }
        Ok((base, bytes))
    }
}

/// Loads PTX text. Machine code (cubin, fatbin) is refused: no CPU can run it.
///
/// # Safety
/// As the module says; `image` is a C string or starts with a binary's four magic bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadData(module: *mut usize, image: *const c_void) -> CUresult {
    call(|driver| {
        driver.current()?;
        let Some(first) = driver.probe.read::<4>(image as usize) else {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        };
        if is_binary(first) {
            let text = "machine code (cubin or fatbin) cannot run here: load PTX".to_owned();
            return driver.wrong("module refused", text, CUDA_ERROR_NO_BINARY_FOR_GPU);
        }
        // SAFETY: not a binary, so a C string as the function says.
        let source = unsafe { CStr::from_ptr(image.cast()) };
        let Ok(source) = source.to_str() else { return Err(CudaError(CUDA_ERROR_INVALID_IMAGE)) };
        let handle = driver.load_text(source)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(module, handle) }
    })
}

/// As [`cuModuleLoadData`]. The options tune a compiler that is not there, so they are not looked at.
///
/// # Safety
/// As for [`cuModuleLoadData`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoadDataEx(
    module: *mut usize,
    image: *const c_void,
    _count: c_uint,
    _options: *mut c_int,
    _values: *mut *mut c_void,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe { cuModuleLoadData(module, image) }
}

/// Loads a file of PTX text.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleLoad(module: *mut usize, path: *const c_char) -> CUresult {
    call(|driver| {
        // SAFETY: the caller's string, as the module says.
        let path = unsafe { text(path) }?;
        let source = std::fs::read_to_string(path).map_err(|_| CudaError(CUDA_ERROR_FILE_NOT_FOUND))?;
        let handle = driver.load_text(source.trim_end_matches('\0'))?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(module, handle) }
    })
}

/// A kernel of a module.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) -> CUresult {
    call(|driver| {
        driver.current()?;
        // SAFETY: the caller's string, as the module says.
        let name = unsafe { text(name) }?;
        let handle = driver.find_function(module, name)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(function, handle) }
    })
}

/// A variable of a module: address and size in bytes.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetGlobal_v2(
    address: *mut u64,
    bytes: *mut usize,
    module: usize,
    name: *const c_char,
) -> CUresult {
    call(|driver| {
        driver.current()?;
        // SAFETY: the caller's string, as the module says.
        let name = unsafe { text(name) }?;
        let (base, size) = driver.variable(module, name)?;
        // SAFETY: the caller's pointers, as the module says.
        unsafe {
            put_if_asked(address, base);
            put_if_asked(bytes, size as usize);
        }
        Ok(())
    })
}

/// As [`cuModuleGetGlobal_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuModuleGetGlobal(
    address: *mut u64,
    bytes: *mut usize,
    module: usize,
    name: *const c_char,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe { cuModuleGetGlobal_v2(address, bytes, module, name) }
}

/// Unloads a module.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: usize) -> CUresult {
    call(|driver| driver.unload(module))
}
