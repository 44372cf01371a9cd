//! The driver's C functions in process, for tests: each program runs on a driver of its own.
#![allow(dead_code)] // Each test file uses its part.

use std::ffi::{CString, c_void};
use std::sync::{Mutex, PoisonError};

use virtual_gpu::driver::abi::{context, device, event, function, init, launch, memcpy, memory, module, pool, stream};
use virtual_gpu::driver::error::{CUresult, name};
use virtual_gpu::driver::journal::Finding;
use virtual_gpu::driver::settings::{Settings, StreamMode};
use virtual_gpu::driver::state;

/// All stream modes, random ones by several seeds.
pub const MODES: [StreamMode; 7] = [
    StreamMode::Serial,
    StreamMode::Early,
    StreamMode::Late,
    StreamMode::Random(1),
    StreamMode::Random(2),
    StreamMode::Random(3),
    StreamMode::Random(4),
];

/// Three kernels: `scale(x, k, n)` multiplies `n` floats by `k`, `add(y, x, n)` adds `x` to `y`, `wild(x, n)` stores
/// behind the buffer's end.
pub const PTX: &str = include_str!("kernels.ptx");

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The driver as a test sees it.
pub struct Gpu;

fn ok(code: CUresult) {
    assert_eq!(code, 0, "{:?}", name(code));
}

/// Runs a program on a fresh driver and returns what was found, leaks at the context's end included.
pub fn run(mode: StreamMode, program: impl FnOnce(&Gpu)) -> Vec<Finding> {
    run_with(Settings { streams: mode, ..Settings::default() }, program)
}

/// As [`run`], on a device of other settings.
pub fn run_with(settings: Settings, program: impl FnOnce(&Gpu)) -> Vec<Finding> {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    state::restart(Settings { print: false, ..settings }).unwrap();
    ok(init::cuInit(0));
    let mut primary = 0;
    // SAFETY: the pointer is to a local of the right type.
    ok(unsafe { device::cuDevicePrimaryCtxRetain(&mut primary, 0) });
    ok(context::cuCtxSetCurrent(primary));
    program(&Gpu);
    ok(device::cuDevicePrimaryCtxRelease_v2(0));
    state::with(|driver| Ok(driver.journal.findings().to_vec())).unwrap()
}

/// Asserts that a program is found guilty of `kind` in every stream mode, with `words` in the text.
pub fn found_in_all_modes(kind: &str, words: &[&str], program: impl Fn(&Gpu)) {
    for mode in MODES {
        let findings = run(mode, &program);
        let hit = findings.iter().find(|f| f.kind == kind).unwrap_or_else(|| panic!("{mode:?}: {findings:?}"));
        for word in words {
            assert!(hit.text.contains(word), "{mode:?}: `{word}` not in `{}`", hit.text);
        }
    }
}

/// Asserts that nothing is found in any stream mode.
pub fn clean_in_all_modes(program: impl Fn(&Gpu)) {
    for mode in MODES {
        assert_eq!(run(mode, &program), [], "{mode:?}");
    }
}

/// Pinned floats.
#[derive(Clone, Copy)]
pub struct Pinned {
    /// Host address.
    pub at: *mut f32,
    /// Floats.
    pub len: usize,
}

impl Pinned {
    pub fn set(&self, value: f32) {
        // SAFETY: cuMemHostAlloc gave `len` floats and the test has not freed them.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }.fill(value);
    }

    pub fn get(&self, index: usize) -> f32 {
        assert!(index < self.len);
        // SAFETY: inside the `len` floats that the test has not freed.
        unsafe { self.at.add(index).read() }
    }
}

impl Gpu {
    pub fn alloc(&self, floats: usize) -> u64 {
        let mut at = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { memory::cuMemAlloc_v2(&mut at, floats * 4) });
        at
    }

    pub fn try_alloc(&self, bytes: usize) -> Result<u64, CUresult> {
        let mut at = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        match unsafe { memory::cuMemAlloc_v2(&mut at, bytes) } {
            0 => Ok(at),
            code => Err(code),
        }
    }

    pub fn free(&self, at: u64) -> CUresult {
        memory::cuMemFree_v2(at)
    }

    pub fn alloc_on(&self, floats: usize, stream: usize) -> u64 {
        let mut at = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { pool::cuMemAllocAsync(&mut at, floats * 4, stream) });
        at
    }

    pub fn free_on(&self, at: u64, stream: usize) -> CUresult {
        pool::cuMemFreeAsync(at, stream)
    }

    pub fn pinned(&self, len: usize) -> Pinned {
        let mut at: *mut c_void = std::ptr::null_mut();
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { memory::cuMemHostAlloc(&mut at, len * 4, 0) });
        Pinned { at: at.cast(), len }
    }

    pub fn free_pinned(&self, pinned: Pinned) -> CUresult {
        memory::cuMemFreeHost(pinned.at.cast())
    }

    pub fn stream(&self) -> usize {
        let mut handle = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { stream::cuStreamCreate(&mut handle, 1) });
        handle
    }

    pub fn blocking_stream(&self) -> usize {
        let mut handle = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { stream::cuStreamCreate(&mut handle, 0) });
        handle
    }

    pub fn destroy_stream(&self, handle: usize) -> CUresult {
        stream::cuStreamDestroy_v2(handle)
    }

    pub fn event(&self) -> usize {
        let mut handle = 0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { event::cuEventCreate(&mut handle, 0) });
        handle
    }

    pub fn record(&self, event: usize, stream: usize) -> CUresult {
        event::cuEventRecord(event, stream)
    }

    pub fn wait(&self, stream: usize, event: usize) -> CUresult {
        stream::cuStreamWaitEvent(stream, event, 0)
    }

    pub fn destroy_event(&self, event: usize) -> CUresult {
        event::cuEventDestroy_v2(event)
    }

    pub fn elapsed(&self, start: usize, end: usize) -> Result<f32, CUresult> {
        let mut ms = 1.0;
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        match unsafe { event::cuEventElapsedTime_v2(&mut ms, start, end) } {
            0 => Ok(ms),
            code => Err(code),
        }
    }

    pub fn sync(&self, stream: usize) -> CUresult {
        stream::cuStreamSynchronize(stream)
    }

    pub fn sync_all(&self) -> CUresult {
        context::cuCtxSynchronize()
    }

    pub fn upload(&self, to: u64, from: &[f32], stream: usize) -> CUresult {
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        unsafe { memcpy::cuMemcpyHtoDAsync_v2(to, from.as_ptr().cast(), size_of_val(from), stream) }
    }

    pub fn upload_pinned(&self, to: u64, from: Pinned, stream: usize) -> CUresult {
        // SAFETY: the pinned buffer is `len` floats until the test frees it.
        unsafe { memcpy::cuMemcpyHtoDAsync_v2(to, from.at.cast(), from.len * 4, stream) }
    }

    pub fn download(&self, from: u64, len: usize, stream: usize) -> Vec<f32> {
        let mut to = vec![0.0_f32; len];
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        ok(unsafe { memcpy::cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, len * 4, stream) });
        to
    }

    pub fn try_download(&self, to: &mut [f32], from: u64) -> CUresult {
        // SAFETY: pointers are to locals or to slices of the sizes passed, alive during the call.
        unsafe { memcpy::cuMemcpyDtoH_v2(to.as_mut_ptr().cast(), from, size_of_val(to)) }
    }

    pub fn download_pinned(&self, to: Pinned, from: u64, stream: usize) -> CUresult {
        // SAFETY: the pinned buffer is `len` floats until the test frees it.
        unsafe { memcpy::cuMemcpyDtoHAsync_v2(to.at.cast(), from, to.len * 4, stream) }
    }

    pub fn copy(&self, to: u64, from: u64, floats: usize, stream: usize) -> CUresult {
        // SAFETY: numbers only.
        unsafe { memcpy::cuMemcpyDtoDAsync_v2(to, from, floats * 4, stream) }
    }

    pub fn zero(&self, to: u64, floats: usize, stream: usize) -> CUresult {
        memcpy::cuMemsetD32Async(to, 0, floats, stream)
    }

    pub fn module(&self) -> usize {
        self.load(PTX).unwrap()
    }

    pub fn load(&self, ptx: &str) -> Result<usize, CUresult> {
        let (mut handle, text) = (0, CString::new(ptx).unwrap());
        // SAFETY: a C string.
        match unsafe { module::cuModuleLoadData(&mut handle, text.as_ptr().cast()) } {
            0 => Ok(handle),
            code => Err(code),
        }
    }

    pub fn unload(&self, handle: usize) -> CUresult {
        module::cuModuleUnload(handle)
    }

    pub fn kernel(&self, module: usize, name: &str) -> Result<usize, CUresult> {
        let (mut handle, name) = (0, CString::new(name).unwrap());
        // SAFETY: a C string.
        match unsafe { module::cuModuleGetFunction(&mut handle, module, name.as_ptr()) } {
            0 => Ok(handle),
            code => Err(code),
        }
    }

    pub fn allow_shared(&self, kernel: usize, bytes: i32) -> CUresult {
        function::cuFuncSetAttribute(kernel, 8, bytes)
    }

    /// Launches with arguments given as their bytes.
    pub fn launch(
        &self,
        kernel: usize,
        grid: u32,
        block: u32,
        shared: u32,
        stream: usize,
        arguments: &[&[u8]],
    ) -> CUresult {
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(|a| a.as_ptr().cast_mut().cast()).collect();
        // Whoever counts on too few arguments finds a null behind them.
        pointers.push(std::ptr::null_mut());
        let params = pointers.as_mut_ptr();
        // SAFETY: each pointer is to a value of the size of its parameter, up to the null, which the driver refuses.
        unsafe { launch::cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, shared, stream, params, std::ptr::null_mut()) }
    }

    /// Launches `scale` on `n` floats.
    pub fn scale(&self, kernel: usize, x: u64, k: f32, n: u32, stream: usize) -> CUresult {
        let args = [&x.to_ne_bytes()[..], &k.to_ne_bytes(), &n.to_ne_bytes()];
        self.launch(kernel, n.div_ceil(64), 64, 0, stream, &args)
    }

    /// Launches `add` on `n` floats.
    pub fn add(&self, kernel: usize, y: u64, x: u64, n: u32, stream: usize) -> CUresult {
        let args = [&y.to_ne_bytes()[..], &x.to_ne_bytes(), &n.to_ne_bytes()];
        self.launch(kernel, n.div_ceil(64), 64, 0, stream, &args)
    }
}
