//! What the driver answers when it is asked: attributes, occupancy, memory, names; and the calls that only pass through.

#[path = "support/gpu.rs"]
mod gpu;

use std::ffi::{CStr, c_int, c_void};

use gpu::{clean_in_all_modes, found_in_all_modes, run, run_with};
use virtual_gpu::driver::abi::{context, device, function, init, launch, memory, occupancy, pool, stream};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::{Settings, StreamMode};

/// Calls a query that writes one value.
fn ask<T: Default>(query: impl FnOnce(*mut T) -> CUresult) -> Result<T, CUresult> {
    let mut value = T::default();
    match query(&mut value) {
        0 => Ok(value),
        code => Err(code),
    }
}

#[test]
fn each_architecture_has_its_numbers() {
    for (arch, multiprocessors, shared) in [((8, 0), 108, 166_912), ((9, 0), 132, 232_448), ((10, 0), 148, 232_448)] {
        let found = run_with(Settings { arch, ..Settings::default() }, |_| {
            // SAFETY: `ask` passes a local of the type written.
            let attribute = |which| ask(|to| unsafe { device::cuDeviceGetAttribute(to, which, 0) });
            assert_eq!((attribute(75), attribute(76)), (Ok(arch.0), Ok(arch.1)));
            assert_eq!((attribute(16), attribute(97), attribute(8)), (Ok(multiprocessors), Ok(shared), Ok(49_152)));
            assert_eq!((attribute(10), attribute(1), attribute(115)), (Ok(32), Ok(1024), Ok(1)));
            assert_eq!(attribute(100_000), Err(CUDA_ERROR_INVALID_VALUE));
            // SAFETY: as above.
            assert_eq!(ask(|to| unsafe { device::cuDeviceGet(to, 1) }), Err(CUDA_ERROR_INVALID_DEVICE));
        });
        assert_eq!(found, []);
    }
}

#[test]
fn functions_tell_their_needs_and_what_fits() {
    clean_in_all_modes(|gpu| {
        let module = gpu.module();
        let staged = gpu.kernel(module, "staged").unwrap();
        // SAFETY: `ask` passes a local of the type written.
        let attribute = |which| ask(|to| unsafe { function::cuFuncGetAttribute(to, which, staged) });
        assert_eq!((attribute(0), attribute(1), attribute(8)), (Ok(1024), Ok(0), Ok(49_152)));
        let blocks = |threads: c_int, dynamic| {
            // SAFETY: `ask` passes a local of the type written.
            let query =
                |to| unsafe { occupancy::cuOccupancyMaxActiveBlocksPerMultiprocessor(to, staged, threads, dynamic) };
            ask(query)
        };
        assert_eq!((blocks(256, 0), blocks(1024, 0), blocks(32, 0)), (Ok(8), Ok(2), Ok(32)));
        assert_eq!((blocks(256, 40 << 10), blocks(256, 60_000)), (Ok(4), Ok(0)));
        assert_eq!(gpu.allow_shared(staged, 60_000), 0);
        assert_eq!((attribute(8), blocks(256, 60_000)), (Ok(60_000), Ok(2)));
        gpu.unload(module);
    });
}

#[test]
fn memory_in_use_is_told() {
    clean_in_all_modes(|gpu| {
        let free = || {
            let mut total = 0;
            // SAFETY: both point to locals of the type written.
            let free = ask(|to| unsafe { memory::cuMemGetInfo_v2(to, &mut total) }).unwrap();
            (free, total)
        };
        assert_eq!(free(), (4 << 30, 4 << 30));
        let x = gpu.alloc(1 << 20);
        assert_eq!(free(), ((4 << 30) - (4 << 20), 4 << 30));
        gpu.free(x);
        let mut used = 0_u64;
        // SAFETY: `ask` passes a local of the type written; attribute 6, the most bytes in use, is a cuuint64_t.
        let asked = unsafe {
            let pool = ask(|to| pool::cuDeviceGetDefaultMemPool(to, 0)).unwrap();
            pool::cuMemPoolGetAttribute(pool, 6, (&raw mut used).cast())
        };
        assert_eq!((asked, used), (0, 4 << 20));
    });
}

#[test]
fn errors_have_names_and_texts() {
    let text = |found: &CStr| found.to_str().unwrap().to_owned();
    assert_eq!(text(name(700).unwrap()), "CUDA_ERROR_ILLEGAL_ADDRESS");
    assert_eq!(text(virtual_gpu::driver::error::text(2).unwrap()), "out of memory");
    let mut at = std::ptr::null();
    // SAFETY: the pointer is to a local of the type written.
    assert_eq!(unsafe { init::cuGetErrorName(12_345, &mut at) }, CUDA_ERROR_INVALID_VALUE);
    assert!(at.is_null());
}

extern "C" fn note(data: *mut c_void) {
    // SAFETY: the test passes the address of an i32 that lives until the stream is done.
    unsafe { *data.cast::<i32>() += 1 };
}

#[test]
fn host_functions_run_in_stream_order() {
    run(StreamMode::Late, |gpu| {
        let (s, mut count) = (gpu.stream(), 0_i32);
        let data: *mut i32 = &mut count;
        assert_eq!(stream::cuLaunchHostFunc(s, Some(note), data.cast()), 0);
        // SAFETY: nothing writes the value now: streams run late.
        assert_eq!(unsafe { data.read() }, 0);
        gpu.sync(s);
        // SAFETY: the stream is done.
        assert_eq!(unsafe { data.read() }, 1);
        gpu.destroy_stream(s);
    });
}

#[test]
fn packed_arguments_are_measured() {
    let pack = |gpu: &gpu::Gpu, bytes: usize| {
        let module = gpu.module();
        let (scale, x) = (gpu.kernel(module, "scale").unwrap(), gpu.alloc(8));
        gpu.upload(x, &[1.0; 8], 0);
        let mut block = [0_u8; 32];
        block[..8].copy_from_slice(&x.to_ne_bytes());
        block[8..12].copy_from_slice(&2.0_f32.to_ne_bytes());
        block[12..16].copy_from_slice(&8_u32.to_ne_bytes());
        let mut size = bytes;
        let mut extra: [*mut c_void; 5] =
            [1 as _, block.as_mut_ptr().cast(), 2 as _, (&raw mut size).cast(), std::ptr::null_mut()];
        let none = std::ptr::null_mut();
        // SAFETY: `extra` is a list of pairs, ended by a null, of the block and of its size.
        let code = unsafe { launch::cuLaunchKernel(scale, 1, 1, 1, 32, 1, 1, 0, 0, none, extra.as_mut_ptr()) };
        let first = gpu.download(x, 8, 0)[0];
        gpu.free(x);
        gpu.unload(module);
        (code, first)
    };
    clean_in_all_modes(|gpu| assert_eq!(pack(gpu, 16), (0, 2.0)));
    found_in_all_modes("bad launch", &["16 bytes of parameters are needed, 20 are passed"], |gpu| {
        assert_eq!(pack(gpu, 20), (CUDA_ERROR_INVALID_VALUE, 1.0));
    });
}

#[test]
fn what_is_not_offered_is_told() {
    found_in_all_modes("unsupported call", &["cuGraphClone is not offered"], |_| {
        // SAFETY: the call reads and writes nothing.
        let code = unsafe { virtual_gpu::driver::abi::unsupported::cuGraphClone(std::ptr::null_mut(), 0) };
        assert_eq!(code, CUDA_ERROR_NOT_SUPPORTED);
    });
}

#[test]
fn a_thread_without_a_context_is_told() {
    run(StreamMode::Late, |_| {
        let code = std::thread::scope(|scope| scope.spawn(|| context::cuCtxSynchronize()).join().unwrap());
        assert_eq!(code, CUDA_ERROR_INVALID_CONTEXT);
    });
}
