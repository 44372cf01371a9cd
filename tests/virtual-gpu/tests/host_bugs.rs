//! Wrong uses of memory by the host: each is found, in every stream mode, and told in the right words.

#[path = "support/gpu.rs"]
mod gpu;

use gpu::{MODES, clean_in_all_modes, found_in_all_modes, run, run_with};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::{Settings, StreamMode};

#[test]
fn a_clean_program_of_copies_finds_nothing() {
    clean_in_all_modes(|gpu| {
        let (x, y) = (gpu.alloc(33), gpu.alloc(33));
        let data: Vec<f32> = (0..33_u8).map(f32::from).collect();
        gpu.upload(x, &data, 0);
        gpu.copy(y, x, 33, 0);
        gpu.zero(y, 1, 0);
        let back = gpu.download(y, 33, 0);
        assert_eq!((back[0], &back[1..]), (0.0, &data[1..]));
        gpu.free(x);
        gpu.free(y);
    });
}

#[test]
fn a_full_device_says_so_and_takes_freed_memory_back() {
    for streams in MODES {
        let findings = run_with(Settings { memory_bytes: 1 << 20, streams, ..Settings::default() }, |gpu| {
            let s = gpu.stream();
            let x = gpu.alloc_on(600 << 8, s);
            assert_eq!(gpu.try_alloc(600 << 10), Err(CUDA_ERROR_OUT_OF_MEMORY));
            gpu.free_on(x, s);
            let y = gpu.try_alloc(600 << 10).unwrap();
            gpu.free(y);
            gpu.destroy_stream(s);
        });
        assert_eq!(findings, [], "{streams:?}");
    }
}

#[test]
fn use_after_free_is_found() {
    found_in_all_modes("use after free", &["cuMemcpyHtoDAsync", "freed by cuMemFree"], |gpu| {
        let x = gpu.alloc(8);
        gpu.free(x);
        assert_eq!(gpu.upload(x, &[1.0], 0), CUDA_ERROR_INVALID_VALUE);
    });
}

#[test]
fn use_after_a_queued_free_is_found() {
    found_in_all_modes("use after free", &["freed by cuMemFreeAsync"], |gpu| {
        let s = gpu.stream();
        let x = gpu.alloc_on(8, s);
        gpu.free_on(x, s);
        assert_eq!(gpu.zero(x, 8, s), CUDA_ERROR_INVALID_VALUE);
    });
}

#[test]
fn double_free_is_found() {
    found_in_all_modes("double free", &["freed already, by cuMemFree"], |gpu| {
        let x = gpu.alloc(8);
        gpu.free(x);
        assert_eq!(gpu.free(x), CUDA_ERROR_INVALID_VALUE);
    });
    found_in_all_modes("double free", &["freed already, by cuMemFreeAsync on stream 1"], |gpu| {
        let s = gpu.stream();
        let x = gpu.alloc_on(8, s);
        gpu.free_on(x, s);
        gpu.free_on(x, s);
    });
}

#[test]
fn a_free_of_something_else_is_found() {
    found_in_all_modes("invalid free", &["inside an allocation, not its start"], |gpu| {
        let x = gpu.alloc(8);
        assert_eq!(gpu.free(x + 4), CUDA_ERROR_INVALID_VALUE);
        gpu.free(x);
    });
}

#[test]
fn leaks_are_found() {
    let found = run(StreamMode::Late, |gpu| {
        gpu.alloc(8);
        gpu.alloc(1);
        gpu.pinned(16);
        gpu.stream();
        gpu.event();
    });
    let texts: Vec<&str> = found.iter().map(|f| f.text.as_str()).collect();
    let expected = [
        "2 device allocations never freed, 36 bytes (32, 4)",
        "1 pinned buffers never freed, 64 bytes (64)",
        "1 streams never destroyed",
        "1 events never destroyed",
    ];
    assert_eq!(texts, expected);
    assert!(found.iter().all(|f| f.kind == "leak"));
}

#[test]
fn a_copy_that_is_too_long_is_found() {
    found_in_all_modes("out of bounds copy", &["36 bytes from byte 0 of a buffer of 32 bytes (4 too many)"], |gpu| {
        let x = gpu.alloc(8);
        assert_eq!(gpu.upload(x, &[0.0; 9], 0), CUDA_ERROR_INVALID_VALUE);
        gpu.free(x);
    });
    found_in_all_modes("out of bounds copy", &["cuMemcpyDtoDAsync", "from byte 16", "(16 too many)"], |gpu| {
        let (x, y) = (gpu.alloc(8), gpu.alloc(8));
        gpu.zero(x, 8, 0);
        gpu.copy(y + 16, x, 8, 0);
        gpu.free(x);
        gpu.free(y);
    });
    found_in_all_modes("out of bounds copy", &["cuMemsetD32Async", "(4 too many)"], |gpu| {
        let x = gpu.alloc(8);
        gpu.zero(x, 9, 0);
        gpu.free(x);
    });
    found_in_all_modes("out of bounds copy", &["(pinned)"], |gpu| {
        let (x, mut p) = (gpu.alloc(8), gpu.pinned(7));
        p.len = 8;
        gpu.upload_pinned(x, p, 0);
        gpu.free_pinned(p);
        gpu.free(x);
    });
}

#[test]
fn a_host_pointer_as_device_pointer_is_found() {
    found_in_all_modes("host pointer as device pointer", &["host memory where a device address is needed"], |gpu| {
        let host = [0.0_f32; 8];
        assert_eq!(gpu.upload(host.as_ptr() as u64, &[1.0], 0), CUDA_ERROR_INVALID_VALUE);
    });
}

#[test]
fn a_device_pointer_as_host_pointer_is_found() {
    found_in_all_modes("device pointer as host pointer", &["device memory where a host address is needed"], |gpu| {
        let (x, y) = (gpu.alloc(8), gpu.alloc(8));
        let wrong = gpu::Pinned { at: y as *mut f32, len: 8 };
        assert_eq!(gpu.upload_pinned(x, wrong, 0), CUDA_ERROR_INVALID_VALUE);
        gpu.free(x);
        gpu.free(y);
    });
}

#[test]
fn uninitialised_bytes_that_reach_the_host_are_found() {
    let words = ["16 of 32 bytes were never written, the first at byte 16", "copy to the host on the default stream"];
    found_in_all_modes("uninitialised copy-out", &words, |gpu| {
        let x = gpu.alloc(8);
        gpu.upload(x, &[1.0; 4], 0);
        gpu.download(x, 8, 0);
        gpu.free(x);
    });
}

#[test]
fn a_pinned_source_that_changes_too_early_is_found() {
    for mode in [StreamMode::Late, StreamMode::Random(1), StreamMode::Random(2), StreamMode::Random(5)] {
        let findings = run(mode, |gpu| {
            let (s, x, p) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8));
            for round in 0..8_u8 {
                p.set(f32::from(round));
                gpu.upload_pinned(x, p, s);
            }
            gpu.sync(s);
            gpu.free_pinned(p);
            gpu.free(x);
            gpu.destroy_stream(s);
        });
        let [finding] = &findings[..] else { panic!("{mode:?}: {findings:?}") };
        assert_eq!(finding.kind, "pinned source changed");
        assert!(finding.text.contains("copy from the host on stream 1: pinned source changed before the copy ran"));
    }
}

#[test]
fn a_pinned_buffer_freed_too_early_is_found() {
    let words = ["cuMemFreeHost", "copy from the host on stream 1 may still use it"];
    found_in_all_modes("pinned buffer freed while in use", &words, |gpu| {
        let (s, x, p) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8));
        p.set(1.0);
        gpu.upload_pinned(x, p, s);
        gpu.free_pinned(p);
        gpu.sync(s);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}

#[test]
fn pageable_memory_may_change_after_the_call() {
    clean_in_all_modes(|gpu| {
        let (s, x) = (gpu.stream(), gpu.alloc(8));
        let mut host = [1.0; 8];
        gpu.upload(x, &host, s);
        host.fill(2.0);
        assert_eq!(gpu.download(x, 8, s), [1.0; 8]);
        assert_eq!(host, [2.0; 8]);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}
