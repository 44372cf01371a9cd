//! Streams that nothing orders: each missing wait is found in every mode, and shows in the numbers when streams run
//! late.

#[path = "support/gpu.rs"]
mod gpu;

use gpu::{Gpu, MODES, clean_in_all_modes, found_in_all_modes, run};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::StreamMode;

/// Uploads on one stream, copies on another, reads on the second; `order` is put between.
fn producer_consumer(gpu: &Gpu, order: impl Fn(usize, usize)) -> Vec<f32> {
    let (a, b) = (gpu.stream(), gpu.stream());
    let (x, y) = (gpu.alloc(8), gpu.alloc(8));
    gpu.zero(x, 8, a);
    gpu.sync(a);
    gpu.upload(x, &[1.0; 8], a);
    order(a, b);
    gpu.copy(y, x, 8, b);
    let back = gpu.download(y, 8, b);
    gpu.sync(a);
    gpu.free(x);
    gpu.free(y);
    gpu.destroy_stream(a);
    gpu.destroy_stream(b);
    back
}

#[test]
fn an_event_orders_two_streams() {
    clean_in_all_modes(|gpu| {
        let event = gpu.event();
        let back = producer_consumer(gpu, |a, b| {
            gpu.record(event, a);
            gpu.wait(b, event);
        });
        assert_eq!(back, [1.0; 8]);
        gpu.destroy_event(event);
    });
}

#[test]
fn an_event_destroyed_after_the_wait_still_orders() {
    clean_in_all_modes(|gpu| {
        let back = producer_consumer(gpu, |a, b| {
            let event = gpu.event();
            gpu.record(event, a);
            gpu.wait(b, event);
            gpu.destroy_event(event);
        });
        assert_eq!(back, [1.0; 8]);
    });
}

#[test]
fn a_host_wait_orders_two_streams() {
    clean_in_all_modes(|gpu| {
        assert_eq!(producer_consumer(gpu, |a, _| assert_eq!(gpu.sync(a), 0)), [1.0; 8]);
        assert_eq!(producer_consumer(gpu, |_, _| assert_eq!(gpu.sync_all(), 0)), [1.0; 8]);
    });
}

#[test]
fn a_missing_wait_for_the_writer_is_found() {
    let words =
        ["copy on the device on stream 2 reads bytes written by copy from the host on stream 1, nothing orders"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        producer_consumer(gpu, |_, _| {});
    });
    run(StreamMode::Late, |gpu| assert_eq!(producer_consumer(gpu, |_, _| {}), [0.0; 8]));
}

#[test]
fn an_event_recorded_too_early_is_found() {
    found_in_all_modes("stream hazard", &["reads bytes written by"], |gpu| {
        let (a, b, event) = (gpu.stream(), gpu.stream(), gpu.event());
        let x = gpu.alloc(8);
        gpu.zero(x, 8, a);
        gpu.record(event, a);
        gpu.upload(x, &[1.0; 8], a);
        gpu.wait(b, event);
        gpu.download(x, 8, b);
        gpu.sync_all();
        gpu.free(x);
        gpu.destroy_event(event);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

/// Stream `a` reads a buffer that stream `b` then overwrites; `order` is put between.
fn reader_writer(gpu: &Gpu, order: impl Fn(usize, usize)) -> f32 {
    let (a, b) = (gpu.stream(), gpu.stream());
    let (x, y) = (gpu.alloc(8), gpu.alloc(8));
    gpu.upload(x, &[1.0; 8], a);
    gpu.sync(a);
    gpu.copy(y, x, 8, a);
    order(a, b);
    gpu.zero(x, 8, b);
    gpu.sync(b);
    let back = gpu.download(y, 8, a);
    gpu.free(x);
    gpu.free(y);
    gpu.destroy_stream(a);
    gpu.destroy_stream(b);
    back[0]
}

#[test]
fn a_missing_wait_for_the_reader_is_found() {
    let words = ["memset on stream 2 writes bytes read by copy on the device on stream 1"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        reader_writer(gpu, |_, _| {});
    });
    run(StreamMode::Late, |gpu| assert_eq!(reader_writer(gpu, |_, _| {}), 0.0));
    clean_in_all_modes(|gpu| {
        let event = gpu.event();
        let value = reader_writer(gpu, |a, b| {
            gpu.record(event, a);
            gpu.wait(b, event);
        });
        assert_eq!(value, 1.0);
        gpu.destroy_event(event);
    });
}

#[test]
fn a_host_read_before_the_synchronise_gets_nan() {
    for mode in [StreamMode::Late, StreamMode::Early] {
        run(mode, |gpu| {
            let (s, x, p) = (gpu.stream(), gpu.alloc(4), gpu.pinned(4));
            gpu.upload(x, &[1.0; 4], s);
            p.set(7.0);
            gpu.download_pinned(p, x, s);
            if mode == StreamMode::Late {
                assert!(p.get(0).is_nan());
            }
            gpu.sync(s);
            assert_eq!(p.get(3), 1.0);
            gpu.free_pinned(p);
            gpu.free(x);
            gpu.destroy_stream(s);
        });
    }
}

#[test]
fn a_queued_free_that_others_do_not_wait_for_is_found() {
    let words = ["free on stream 1 frees bytes read by copy on the device on stream 2, nothing orders"];
    for mode in MODES {
        let findings = run(mode, |gpu| {
            let (a, b) = (gpu.stream(), gpu.stream());
            let (x, y) = (gpu.alloc_on(8, a), gpu.alloc_on(8, b));
            gpu.zero(x, 8, a);
            gpu.sync(a);
            gpu.copy(y, x, 8, b);
            gpu.free_on(x, a);
            gpu.sync(b);
            gpu.sync(a);
            gpu.free_on(y, b);
            gpu.destroy_stream(a);
            gpu.destroy_stream(b);
        });
        // A random order may run the free first: then the copy itself is the illegal access.
        let hit = findings
            .iter()
            .any(|f| (f.kind == "free while in use" && f.text.contains(words[0])) || f.kind == "illegal access");
        assert!(hit, "{mode:?}: {findings:?}");
    }
}

#[test]
fn a_free_without_a_synchronise_is_found() {
    found_in_all_modes("free while in use", &["cuMemFree", "memset on stream 1 may still use it"], |gpu| {
        let (s, x) = (gpu.stream(), gpu.alloc(8));
        gpu.zero(x, 8, s);
        gpu.free(x);
        gpu.sync(s);
        gpu.destroy_stream(s);
    });
}

#[test]
fn an_allocation_of_another_stream_needs_a_wait() {
    let words = ["memset on stream 2 writes bytes allocated by the allocation on stream 1"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        let (a, b) = (gpu.stream(), gpu.stream());
        let x = gpu.alloc_on(8, a);
        gpu.zero(x, 8, b);
        gpu.sync(b);
        gpu.free_on(x, b);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

#[test]
fn the_default_stream_keeps_step_with_blocking_streams_only() {
    clean_in_all_modes(|gpu| {
        let (s, x) = (gpu.blocking_stream(), gpu.alloc(8));
        gpu.upload(x, &[1.0; 8], s);
        assert_eq!(gpu.download(x, 8, 0), [1.0; 8]);
        gpu.zero(x, 8, 0);
        assert_eq!(gpu.download(x, 8, s), [0.0; 8]);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
    found_in_all_modes("stream hazard", &["the default stream reads bytes written by"], |gpu| {
        let (s, x) = (gpu.stream(), gpu.alloc(8));
        gpu.upload(x, &[1.0; 8], s);
        gpu.download(x, 8, 0);
        gpu.sync(s);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}

#[test]
fn wrong_uses_of_events_are_found() {
    found_in_all_modes("event misuse", &["cuEventRecord", "no event, or one that was destroyed"], |gpu| {
        let (s, event) = (gpu.stream(), gpu.event());
        gpu.destroy_event(event);
        assert_eq!(gpu.record(event, s), CUDA_ERROR_INVALID_HANDLE);
        gpu.destroy_stream(s);
    });
    found_in_all_modes("event misuse", &["cuStreamWaitEvent"], |gpu| {
        let (s, event) = (gpu.stream(), gpu.event());
        gpu.destroy_event(event);
        assert_eq!(gpu.wait(s, event), CUDA_ERROR_INVALID_HANDLE);
        gpu.destroy_stream(s);
    });
    found_in_all_modes("event misuse", &["cuEventElapsedTime", "was never recorded"], |gpu| {
        let (start, end) = (gpu.event(), gpu.event());
        assert_eq!(gpu.elapsed(start, end), Err(CUDA_ERROR_INVALID_HANDLE));
        gpu.destroy_event(start);
        gpu.destroy_event(end);
    });
}

#[test]
fn time_is_never_made_up() {
    clean_in_all_modes(|gpu| {
        let (start, end) = (gpu.event(), gpu.event());
        gpu.record(start, 0);
        gpu.record(end, 0);
        gpu.sync_all();
        assert_eq!(gpu.elapsed(start, end), Ok(0.0));
        gpu.destroy_event(start);
        gpu.destroy_event(end);
    });
}

#[test]
fn a_stream_destroyed_with_work_is_found() {
    let words = ["nothing waits for the memset on stream 1"];
    found_in_all_modes("stream destroyed with work", &words, |gpu| {
        let (s, x) = (gpu.stream(), gpu.alloc(8));
        gpu.zero(x, 8, s);
        gpu.destroy_stream(s);
        gpu.sync_all();
        gpu.free(x);
    });
    clean_in_all_modes(|gpu| {
        let (s, main, x) = (gpu.stream(), gpu.stream(), gpu.alloc(8));
        gpu.zero(x, 8, s);
        let event = gpu.event();
        gpu.record(event, s);
        gpu.wait(main, event);
        gpu.destroy_event(event);
        gpu.destroy_stream(s);
        assert_eq!(gpu.download(x, 8, main), [0.0; 8]);
        gpu.free(x);
        gpu.destroy_stream(main);
    });
}

#[test]
fn a_destroyed_stream_is_no_stream() {
    found_in_all_modes("stream misuse", &["cuStreamSynchronize", "no stream, or one that was destroyed"], |gpu| {
        let s = gpu.stream();
        gpu.destroy_stream(s);
        assert_eq!(gpu.sync(s), CUDA_ERROR_INVALID_HANDLE);
    });
}
