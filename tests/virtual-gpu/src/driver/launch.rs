//! Checks of a kernel launch, at the call.

use std::ffi::c_void;

use super::device;
use super::error::*;
use super::module::Function;
use super::settings::StreamMode;
use super::state::Driver;
use super::stream::{Action, OpId, QueuedLaunch};

/// Where a launch's arguments are.
#[derive(Clone, Copy)]
pub enum Arguments {
    /// `kernelParams`: address of an array with the address of each argument.
    Pointers(usize),
    /// One packed block: its address and size in bytes.
    Packed(usize, usize),
    /// None.
    Absent,
}

/// The arguments of cuLaunchKernel in one place.
pub struct Request {
    /// CUfunction.
    pub function: usize,
    /// Blocks (x, y, z).
    pub grid: [u32; 3],
    /// Threads per block (x, y, z).
    pub block: [u32; 3],
    /// Dynamic shared memory, bytes.
    pub dynamic_shared: u32,
    /// CUstream.
    pub stream: usize,
    /// Arguments.
    pub arguments: Arguments,
}

/// Reads cuLaunchKernel's two ways to pass arguments.
///
/// # Safety
/// `extra`, if not null, is CUDA's list of (key, value) pairs ended by a null.
pub unsafe fn arguments(kernel_params: *mut *mut c_void, extra: *mut *mut c_void) -> Outcome<Arguments> {
    if !kernel_params.is_null() {
        return Ok(Arguments::Pointers(kernel_params as usize));
    }
    if extra.is_null() {
        return Ok(Arguments::Absent);
    }
    let (mut address, mut size) = (0, None);
    let mut at = extra;
    loop {
        // SAFETY: `at` has not passed the list's end, a key of 0, and each key is followed by its value.
        let (key, value) = unsafe { (at.read() as usize, at.add(1)) };
        match key {
            0 => break,
            // SAFETY: as above: a key other than 0 has a value.
            1 => address = unsafe { value.read() } as usize,
            // SAFETY: as above, and this key's value is the address of a size_t.
            2 => size = Some(unsafe { value.read().cast::<usize>().read() }),
            _ => return Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
        }
        // SAFETY: the pair just read is followed by another pair or by the end.
        at = unsafe { at.add(2) };
    }
    match size {
        Some(size) => Ok(Arguments::Packed(address, size)),
        None => Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
    }
}

impl Driver {
    /// The function of a handle, and its kernel's module.
    pub fn function(&mut self, call: &str, handle: usize) -> Outcome<Function> {
        match self.functions.get(&handle) {
            Some(function) => Ok(function.clone()),
            None => {
                let text = format!("{call}: {handle:#x} is no function, or one whose module was unloaded");
                self.wrong("module misuse", text, CUDA_ERROR_INVALID_HANDLE)
            }
        }
    }

    /// Dynamic shared memory that a launch of the function may ask for, bytes.
    pub fn dynamic_shared_limit(&self, function: &Function, static_bytes: u32) -> u32 {
        let default = (device::SHARED_DEFAULT as u32).saturating_sub(static_bytes);
        default.max(function.max_dynamic_shared as u32)
    }

    /// Checks a launch as a driver does and puts it in its stream.
    pub fn launch(&mut self, request: &Request) -> Outcome {
        let slot = self.stream("cuLaunchKernel", request.stream)?;
        let (what, queued) = self.check_launch("cuLaunchKernel", request)?;
        let module = queued.module.clone();
        if let Some(op) = self.put(slot, &what, Action::Launch(Box::new(queued)))? {
            self.note_launch(module.handle, op);
        }
        match self.settings.streams {
            StreamMode::Serial => self.alive(module.context),
            _ => Ok(()),
        }
    }

    /// Notes the last launch of a module's kernels on a stream.
    pub fn note_launch(&mut self, module: usize, op: OpId) {
        let what = self.streams[op.slot].last_work.as_ref().map(|(_, what)| what.clone()).unwrap_or_default();
        if let Some(entry) = self.modules.get_mut(&module) {
            entry.launches.retain(|(earlier, _)| earlier.slot != op.slot);
            entry.launches.push((op, what));
        }
    }

    /// Checks a launch: in words, and ready to run. The request's stream is not looked at.
    pub fn check_launch(&mut self, call: &str, request: &Request) -> Outcome<(String, QueuedLaunch)> {
        let function = self.function(call, request.function)?;
        let name = function.name.clone();
        let module = self.modules[&function.module].module.clone();
        let kernel = module.ptx.kernel(&name).expect("the function was found by this name in this module");
        let Request { grid, block, dynamic_shared, .. } = *request;
        let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
        let bad = |extents: [u32; 3], limits: [u32; 3]| (0..3).any(|i| extents[i] == 0 || extents[i] > limits[i]);
        if bad(grid, device::MAX_GRID) {
            let text = format!("kernel {name}: grid {grid:?} is not within 1 and {:?}", device::MAX_GRID);
            return self.wrong_launch(&name, text, CUDA_ERROR_INVALID_VALUE);
        }
        if bad(block, device::MAX_BLOCK) || threads > u64::from(kernel.max_threads) {
            let most = kernel.max_threads;
            let text = format!("kernel {name}: block {block:?} has {threads} threads, it may have 1 to {most}");
            return self.wrong_launch(&name, text, CUDA_ERROR_INVALID_VALUE);
        }
        let limit = self.dynamic_shared_limit(&function, kernel.static_shared_bytes());
        if dynamic_shared > limit {
            let text = format!(
                "kernel {name}: {dynamic_shared} bytes of dynamic shared memory, {limit} are allowed ({} static; more \
                 needs cuFuncSetAttribute MAX_DYNAMIC_SHARED_SIZE_BYTES)",
                kernel.static_shared_bytes()
            );
            return self.wrong_launch(&name, text, CUDA_ERROR_INVALID_VALUE);
        }
        let layout: Vec<(usize, usize)> = kernel.params.iter().map(|p| (p.offset as usize, p.size as usize)).collect();
        let params = self.read_arguments(&name, &layout, kernel.param_bytes() as usize, request.arguments)?;
        let what = format!("kernel {name}");
        Ok((what, QueuedLaunch { module: module.clone(), kernel: name, grid, block, dynamic_shared, params }))
    }

    /// Gathers the parameter block; `layout` has offset and size of each parameter.
    fn read_arguments(
        &mut self,
        name: &str,
        layout: &[(usize, usize)],
        bytes: usize,
        arguments: Arguments,
    ) -> Outcome<Vec<u8>> {
        let mut block = vec![0; bytes];
        match arguments {
            Arguments::Absent if layout.is_empty() => {}
            Arguments::Absent => {
                let text = format!("kernel {name}: {} parameters are needed, none are passed", layout.len());
                return self.wrong_launch(name, text, CUDA_ERROR_INVALID_VALUE);
            }
            Arguments::Packed(address, size) => {
                if size != bytes || (size > 0 && !self.probe.readable(address, size)) {
                    let text = format!("kernel {name}: {bytes} bytes of parameters are needed, {size} are passed");
                    return self.wrong_launch(name, text, CUDA_ERROR_INVALID_VALUE);
                }
                if size > 0 {
                    // SAFETY: the caller vouches for `size` bytes at `address`, and both ends were found readable.
                    block.copy_from_slice(unsafe { std::slice::from_raw_parts(address as *const u8, size) });
                }
            }
            Arguments::Pointers(array) => {
                for (index, &(offset, size)) in layout.iter().enumerate() {
                    let pointer = self.probe.read::<8>(array + 8 * index).map(usize::from_ne_bytes);
                    let Some(pointer) = pointer.filter(|&p| self.probe.readable(p, size)) else {
                        let text = format!(
                            "kernel {name}: parameter {} of {} ({size} bytes) cannot be read: too few are passed",
                            index + 1,
                            layout.len()
                        );
                        return self.wrong_launch(name, text, CUDA_ERROR_INVALID_VALUE);
                    };
                    // SAFETY: entry `index` of kernelParams is the address of an argument of at least `size` bytes,
                    // as cuLaunchKernel asks of its caller, and both ends were found readable.
                    let value = unsafe { std::slice::from_raw_parts(pointer as *const u8, size) };
                    block[offset..offset + size].copy_from_slice(value);
                }
            }
        }
        Ok(block)
    }
}
