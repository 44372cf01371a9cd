//! Wrong launches and faults of kernels: the error that a real driver gives, at the call that a real driver gives it
//! from, and the words for it.

#[path = "support/gpu.rs"]
mod gpu;

use gpu::{Gpu, MODES, PTX, clean_in_all_modes, found_in_all_modes, run, run_with};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::{Settings, StreamMode};

/// Loads the module, gives the kernel to `body`, waits and unloads.
fn with_kernel(gpu: &Gpu, name: &str, body: impl FnOnce(usize)) {
    let module = gpu.module();
    body(gpu.kernel(module, name).unwrap());
    gpu.sync_all();
    gpu.unload(module);
}

#[test]
fn kernels_run_in_stream_order() {
    clean_in_all_modes(|gpu| {
        with_kernel(gpu, "scale", |scale| {
            let (s, x) = (gpu.stream(), gpu.alloc_on(100, 0));
            gpu.sync(0);
            let data: Vec<f32> = (0..100_u8).map(f32::from).collect();
            gpu.upload(x, &data, s);
            assert_eq!(gpu.scale(scale, x, 3.0, 100, s), 0);
            assert_eq!(gpu.scale(scale, x, 0.5, 50, s), 0);
            let back = gpu.download(x, 100, s);
            let expected = |i: usize| if i < 50 { 1.5 * i as f32 } else { 3.0 * i as f32 };
            assert!((0..100).all(|i| back[i] == expected(i)), "{back:?}");
            gpu.free_on(x, s);
            gpu.destroy_stream(s);
        });
    });
}

#[test]
fn a_module_has_variables() {
    clean_in_all_modes(|gpu| {
        with_kernel(gpu, "look", |look| {
            let x = gpu.alloc(6);
            let args = [&x.to_ne_bytes()[..], &6_u32.to_ne_bytes()];
            assert_eq!(gpu.launch(look, 1, 32, 0, 0, &args), 0);
            assert_eq!(gpu.download(x, 6, 0), [1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
            gpu.free(x);
        });
    });
}

#[test]
fn a_kernel_that_does_not_wait_for_its_input_is_found() {
    let words = ["kernel add on stream 2 reads bytes written by kernel scale on stream 1, nothing orders them"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        let module = gpu.module();
        let (scale, add) = (gpu.kernel(module, "scale").unwrap(), gpu.kernel(module, "add").unwrap());
        let (a, b, x, y) = (gpu.stream(), gpu.stream(), gpu.alloc(40), gpu.alloc(40));
        gpu.upload(x, &[1.0; 40], a);
        gpu.upload(y, &[1.0; 40], b);
        gpu.sync_all();
        gpu.scale(scale, x, 2.0, 40, a);
        gpu.add(add, y, x, 40, b);
        gpu.sync_all();
        gpu.free(x);
        gpu.free(y);
        gpu.unload(module);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

#[test]
fn a_kernel_that_writes_what_a_copy_still_reads_is_found() {
    let words = ["kernel scale on stream 2 writes bytes read by copy to the host on stream 1"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        let module = gpu.module();
        let scale = gpu.kernel(module, "scale").unwrap();
        let (a, b, x, p) = (gpu.stream(), gpu.stream(), gpu.alloc(40), gpu.pinned(40));
        gpu.upload(x, &[1.0; 40], a);
        gpu.sync_all();
        gpu.download_pinned(p, x, a);
        gpu.scale(scale, x, 2.0, 40, b);
        gpu.sync_all();
        gpu.free(x);
        gpu.free_pinned(p);
        gpu.unload(module);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

#[test]
fn an_illegal_access_ends_the_context() {
    for mode in MODES {
        let findings = run(mode, |gpu| {
            let wild = gpu.kernel(gpu.module(), "wild").unwrap();
            let x = gpu.alloc(8);
            let args = [&x.to_ne_bytes()[..], &100_u32.to_ne_bytes()];
            let code = gpu.launch(wild, 1, 32, 0, 0, &args);
            assert_eq!(code, if mode == StreamMode::Serial { CUDA_ERROR_ILLEGAL_ADDRESS } else { 0 }, "{mode:?}");
            assert_eq!(gpu.sync_all(), CUDA_ERROR_ILLEGAL_ADDRESS, "{mode:?}");
            assert_eq!(gpu.try_alloc(8), Err(CUDA_ERROR_ILLEGAL_ADDRESS));
            assert_eq!(gpu.sync(0), CUDA_ERROR_ILLEGAL_ADDRESS);
            assert_eq!(gpu.free(x), CUDA_ERROR_ILLEGAL_ADDRESS);
        });
        let [fault] = &findings[..] else { panic!("{mode:?}: {findings:?}") };
        assert_eq!(fault.kernel, "wild");
        assert!(fault.text.contains("kernels.cu:"), "{}", fault.text);
    }
}

#[test]
fn a_misaligned_access_has_its_own_error() {
    run(StreamMode::Late, |gpu| {
        let skewed = gpu.kernel(gpu.module(), "skewed").unwrap();
        let x = gpu.alloc(8);
        assert_eq!(gpu.launch(skewed, 1, 1, 0, 0, &[&x.to_ne_bytes()]), 0);
        assert_eq!(gpu.sync_all(), CUDA_ERROR_MISALIGNED_ADDRESS);
    });
}

#[test]
fn a_kernel_on_freed_memory_ends_the_context() {
    for mode in MODES {
        let findings = run(mode, |gpu| {
            let scale = gpu.kernel(gpu.module(), "scale").unwrap();
            let x = gpu.alloc_on(40, 0);
            gpu.zero(x, 40, 0);
            gpu.free_on(x, 0);
            gpu.scale(scale, x, 1.0, 40, 0);
            assert_eq!(gpu.sync_all(), CUDA_ERROR_ILLEGAL_ADDRESS, "{mode:?}");
        });
        assert!(findings.iter().any(|f| f.kernel == "scale" && f.text.contains("free")), "{findings:?}");
    }
}

#[test]
fn wrong_parameters_are_found() {
    found_in_all_modes("bad launch", &["kernel scale: parameter 3 of 3 (4 bytes) cannot be read: too few"], |gpu| {
        with_kernel(gpu, "scale", |scale| {
            let x = gpu.alloc(8);
            let args = [&x.to_ne_bytes()[..], &1.0_f32.to_ne_bytes()];
            assert_eq!(gpu.launch(scale, 1, 32, 0, 0, &args), CUDA_ERROR_INVALID_VALUE);
            gpu.free(x);
        });
    });
}

#[test]
fn too_much_shared_memory_is_found() {
    found_in_all_modes("bad launch", &["60000 bytes of dynamic shared memory, 49152 are allowed"], |gpu| {
        with_kernel(gpu, "staged", |staged| {
            let (x, n) = (gpu.alloc(8), 8_u32.to_ne_bytes());
            let args = [&x.to_ne_bytes()[..], &n];
            assert_eq!(gpu.launch(staged, 1, 8, 60_000, 0, &args), CUDA_ERROR_INVALID_VALUE);
            gpu.free(x);
        });
    });
    found_in_all_modes("bad launch", &["200000 bytes of dynamic shared memory, the device has 166912"], |gpu| {
        with_kernel(gpu, "staged", |staged| {
            assert_eq!(gpu.allow_shared(staged, 200_000), CUDA_ERROR_INVALID_VALUE);
        });
    });
    clean_in_all_modes(|gpu| {
        with_kernel(gpu, "staged", |staged| {
            let (x, n) = (gpu.alloc(8), 8_u32.to_ne_bytes());
            gpu.upload(x, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0);
            assert_eq!(gpu.allow_shared(staged, 60_000), 0);
            assert_eq!(gpu.launch(staged, 1, 8, 60_000, 0, &[&x.to_ne_bytes(), &n]), 0);
            assert_eq!(gpu.download(x, 8, 0), [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
            gpu.free(x);
        });
    });
}

#[test]
fn wrong_grids_and_blocks_are_found() {
    for (grid, block, words) in [
        (0, 32, "kernel scale: grid [0, 1, 1] is not within 1 and"),
        (1, 0, "kernel scale: block [0, 1, 1] has 0 threads"),
        (1, 1025, "kernel scale: block [1025, 1, 1] has 1025 threads, it may have 1 to 1024"),
    ] {
        found_in_all_modes("bad launch", &[words], |gpu| {
            with_kernel(gpu, "scale", |scale| {
                assert_eq!(gpu.launch(scale, grid, block, 0, 0, &[]), CUDA_ERROR_INVALID_VALUE);
            });
        });
    }
}

#[test]
fn an_unknown_kernel_is_found() {
    found_in_all_modes("unknown function", &["no kernel `scala`; the module has scale, add"], |gpu| {
        let module = gpu.module();
        assert_eq!(gpu.kernel(module, "scala"), Err(CUDA_ERROR_NOT_FOUND));
        gpu.unload(module);
    });
}

#[test]
fn a_module_unloaded_too_early_is_found() {
    found_in_all_modes("module unloaded early", &["the kernel scale on stream 1 may still run"], |gpu| {
        let (module, s) = (gpu.module(), gpu.stream());
        let scale = gpu.kernel(module, "scale").unwrap();
        let x = gpu.alloc_on(8, s);
        gpu.zero(x, 8, s);
        gpu.scale(scale, x, 2.0, 8, s);
        gpu.unload(module);
        gpu.sync(s);
        gpu.free_on(x, s);
        gpu.destroy_stream(s);
    });
    found_in_all_modes("module misuse", &["no function, or one whose module was unloaded"], |gpu| {
        let module = gpu.module();
        let scale = gpu.kernel(module, "scale").unwrap();
        gpu.unload(module);
        assert_eq!(gpu.launch(scale, 1, 32, 0, 0, &[]), CUDA_ERROR_INVALID_HANDLE);
    });
}

#[test]
fn modules_are_refused_as_a_driver_refuses_them() {
    let newer = PTX.replace(".version 7.8", ".version 8.8");
    let (later, unknown) = (PTX.replace("sm_75", "sm_90"), PTX.replace("mul.f32", "mulx.f32"));
    for (text, code, words) in [
        (later.as_str(), CUDA_ERROR_INVALID_PTX, "PTX for sm_90 does not run on a device of sm_80"),
        (&unknown, CUDA_ERROR_INVALID_PTX, "mulx.f32"),
        ("nonsense", CUDA_ERROR_INVALID_PTX, "no .version"),
        ("\u{7f}ELF", CUDA_ERROR_NO_BINARY_FOR_GPU, "machine code"),
    ] {
        found_in_all_modes("module refused", &[words], |gpu| assert_eq!(gpu.load(text), Err(code)));
    }
    // That may happen to a right program, so it is an error but no finding.
    clean_in_all_modes(|gpu| assert_eq!(gpu.load(&newer), Err(CUDA_ERROR_UNSUPPORTED_PTX_VERSION)));
    let newest = Settings { driver_version: 13050, arch: (9, 0), ..Settings::default() };
    let found = run_with(newest, |gpu| {
        for text in [&newer, &later] {
            assert_eq!(gpu.unload(gpu.load(text).unwrap()), 0);
        }
    });
    assert_eq!(found, []);
}
