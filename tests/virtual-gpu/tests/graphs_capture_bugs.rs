//! Wrong uses of captures: each is found, in every stream mode, and told in the right words.

#[path = "support/gpu.rs"]
mod gpu;
#[path = "support/graphs.rs"]
mod graphs;

use gpu::{Gpu, clean_in_all_modes, found_in_all_modes, run_with};
use graphs::{GLOBAL, RELAXED, THREAD_LOCAL};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::sabotage::{LeftOut, Ordering};
use virtual_gpu::driver::settings::Settings;

/// `a` zeroes x, `b` copies it to y, both in one capture; `fork` and `join` say whether the waits are there.
fn two_streams(gpu: &Gpu, fork: bool, join: bool) {
    let (a, b) = (gpu.stream(), gpu.stream());
    let (x, y, events) = (gpu.alloc(8), gpu.alloc(8), [gpu.event(), gpu.event(), gpu.event()]);
    gpu.upload(x, &[1.0; 8], a);
    gpu.sync(a);
    gpu.begin(a, GLOBAL);
    gpu.record(events[0], a);
    gpu.wait(b, events[0]);
    gpu.zero(x, 8, a);
    if fork {
        gpu.record(events[1], a);
        gpu.wait(b, events[1]);
    }
    gpu.copy(y, x, 8, b);
    if join {
        gpu.record(events[2], b);
        gpu.wait(a, events[2]);
    }
    match gpu.end(a) {
        Ok(graph) => {
            assert!(join);
            let exec = gpu.instantiate(graph, 0).unwrap();
            assert_eq!((gpu.replay(exec, a), gpu.sync(a)), (0, 0));
            gpu.destroy_exec(exec);
            gpu.destroy_graph(graph);
        }
        Err(code) => assert_eq!((code, join), (CUDA_ERROR_STREAM_CAPTURE_UNJOINED, false)),
    }
    assert_eq!((gpu.capturing(a), gpu.capturing(b)), (Ok(0), Ok(0)));
    assert_eq!(events.map(|event| gpu.destroy_event(event)), [0; 3]);
    gpu.free(x);
    gpu.free(y);
    gpu.destroy_stream(a);
    gpu.destroy_stream(b);
}

#[test]
fn a_missing_wait_between_captured_streams_is_found() {
    clean_in_all_modes(|gpu| two_streams(gpu, true, true));
    let words =
        ["node 1, copy on the device, on graph 1 in stream 1 reads bytes written by node 0, memset, on graph 1"];
    found_in_all_modes("stream hazard", &words, |gpu| two_streams(gpu, false, true));
    // The second wait of a correct capture, left out as the runner's --leave-out does.
    let leave_out = Some(LeftOut { call: Ordering::Wait, number: Some(2) });
    let found = run_with(Settings { leave_out, ..Settings::default() }, |gpu| two_streams(gpu, true, true));
    assert_eq!(found.iter().map(|f| f.kind.as_str()).collect::<Vec<_>>(), ["stream hazard"]);
}

#[test]
fn a_captured_stream_that_is_not_joined_is_found() {
    let words = ["cuStreamEndCapture: stream 1 does not wait for the work captured on stream 2"];
    found_in_all_modes("unjoined capture", &words, |gpu| two_streams(gpu, true, false));
}

/// Does something in a capture that breaks it; the code that it gets.
fn broken(gpu: &Gpu, mode: i32, call: impl FnOnce(usize, u64) -> CUresult) -> CUresult {
    let (s, x) = (gpu.stream(), gpu.alloc(8));
    gpu.begin(s, mode);
    gpu.zero(x, 8, s);
    let code = call(s, x);
    if code != 0 {
        assert_eq!(gpu.capturing(s), Ok(2));
        assert_eq!(gpu.zero(x, 8, s), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        assert_eq!(gpu.end(s), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
    } else {
        gpu.destroy_graph(gpu.end(s).unwrap());
    }
    // The stream is as good as new.
    assert_eq!((gpu.capturing(s), gpu.zero(x, 8, s), gpu.sync(s)), (Ok(0), 0, 0));
    gpu.free(x);
    gpu.destroy_stream(s);
    code
}

#[test]
fn a_wait_for_what_is_captured_is_found() {
    let found = |words: &str, code, call: &dyn Fn(&Gpu, usize, usize) -> CUresult| {
        found_in_all_modes("illegal call in a capture", &[words], |gpu| {
            let event = gpu.event();
            let told = broken(gpu, RELAXED, |s, _| {
                gpu.record(event, s);
                call(gpu, s, event)
            });
            assert_eq!(told, code);
            gpu.destroy_event(event);
        });
    };
    let unsupported = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    found("cuStreamSynchronize: stream 1 is being captured", unsupported, &|gpu, s, _| gpu.sync(s));
    found("cuCtxSynchronize: a stream of the context is being captured", unsupported, &|gpu, _, _| gpu.sync_all());
    found("cuEventSynchronize", CUDA_ERROR_CAPTURED_EVENT, &|_, _, event| {
        virtual_gpu::driver::abi::event::cuEventSynchronize(event)
    });
    found("cuEventQuery", CUDA_ERROR_CAPTURED_EVENT, &|_, _, event| {
        virtual_gpu::driver::abi::event::cuEventQuery(event)
    });
}

#[test]
fn memory_that_comes_or_goes_in_a_capture_is_found() {
    found_in_all_modes("allocation in a capture", &["cuMemAllocAsync"], |gpu| {
        let mut at = 0;
        // SAFETY: the pointer is to a local of the right type.
        let call = |s, _| unsafe { virtual_gpu::driver::abi::pool::cuMemAllocAsync(&mut at, 8, s) };
        assert_eq!(broken(gpu, RELAXED, call), CUDA_ERROR_NOT_SUPPORTED);
    });
    found_in_all_modes("allocation in a capture", &["cuMemFreeAsync"], |gpu| {
        assert_eq!(broken(gpu, RELAXED, |s, x| gpu.free_on(x, s)), CUDA_ERROR_NOT_SUPPORTED);
    });
    let words = ["cuMemAlloc: not while a stream is captured"];
    for mode in [GLOBAL, THREAD_LOCAL] {
        found_in_all_modes("illegal call in a capture", &words, |gpu| {
            let alloc = |_, _| gpu.try_alloc(8).unwrap_err();
            assert_eq!(broken(gpu, mode, alloc), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
    }
}

#[test]
fn the_modes_say_who_may_allocate_meanwhile() {
    let alloc = |gpu: &Gpu| gpu.try_alloc(8).map_or_else(|code| code, |at| gpu.free(at));
    clean_in_all_modes(|gpu| {
        assert_eq!(broken(gpu, RELAXED, |_, _| alloc(gpu)), 0);
        // A thread may say that it knows what it does.
        assert_eq!(gpu.thread_mode(RELAXED), GLOBAL);
        assert_eq!(broken(gpu, GLOBAL, |_, _| alloc(gpu)), 0);
        assert_eq!(gpu.thread_mode(GLOBAL), RELAXED);
    });
    let elsewhere = |gpu: &Gpu, mode| {
        broken(gpu, mode, |_, _| {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    virtual_gpu::driver::abi::context::cuCtxSetCurrent(virtual_gpu::driver::state::PRIMARY);
                    alloc(gpu)
                });
                other.join().unwrap()
            })
        })
    };
    clean_in_all_modes(|gpu| assert_eq!(elsewhere(gpu, THREAD_LOCAL), 0));
    found_in_all_modes("illegal call in a capture", &["cuMemAlloc"], |gpu| {
        assert_eq!(elsewhere(gpu, GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    });
}

#[test]
fn pageable_memory_in_a_capture_is_found() {
    found_in_all_modes("pageable memory in a capture", &["cuMemcpyHtoDAsync"], |gpu| {
        let host = [1.0; 8];
        assert_eq!(broken(gpu, RELAXED, |s, x| gpu.upload(x, &host, s)), CUDA_ERROR_NOT_SUPPORTED);
    });
}

#[test]
fn the_default_stream_in_a_capture_is_found() {
    found_in_all_modes("capture misuse", &["the default stream cannot be captured"], |gpu| {
        assert_eq!(gpu.begin(0, GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    });
    // A stream that keeps step with the default stream: its use would be a wait for what never runs.
    found_in_all_modes("illegal call in a capture", &["cuMemsetD32Async: the default stream keeps step"], |gpu| {
        let (s, x) = (gpu.blocking_stream(), gpu.alloc(8));
        gpu.begin(s, RELAXED);
        assert_eq!(gpu.zero(x, 8, 0), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
        assert_eq!(gpu.end(s), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        gpu.free(x);
        gpu.destroy_stream(s);
    });
    // The others it does not concern.
    clean_in_all_modes(|gpu| {
        let elsewhere = |_, x| gpu.zero(x, 8, 0) + gpu.sync(0);
        assert_eq!(broken(gpu, RELAXED, elsewhere), 0);
    });
}

#[test]
fn captures_that_would_mix_are_found() {
    found_in_all_modes("capture misuse", &["the event was recorded outside of the capture"], |gpu| {
        let (event, other) = (gpu.event(), gpu.stream());
        gpu.record(event, other);
        let code = broken(gpu, RELAXED, |s, _| gpu.wait(s, event));
        assert_eq!(code, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        gpu.destroy_event(event);
        gpu.destroy_stream(other);
    });
    found_in_all_modes("capture misuse", &["stream 1 and the event belong to different captures"], |gpu| {
        let (a, b, event) = (gpu.stream(), gpu.stream(), gpu.event());
        gpu.begin(a, RELAXED);
        gpu.begin(b, RELAXED);
        gpu.record(event, b);
        assert_eq!(gpu.wait(a, event), CUDA_ERROR_STREAM_CAPTURE_MERGE);
        assert_eq!([gpu.end(a), gpu.end(b)], [Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED); 2]);
        gpu.destroy_event(event);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

#[test]
fn a_capture_ended_in_the_wrong_place_is_found() {
    found_in_all_modes("capture misuse", &["cuStreamEndCapture: stream 1 is not being captured"], |gpu| {
        let s = gpu.stream();
        assert_eq!(gpu.end(s), Err(CUDA_ERROR_ILLEGAL_STATE));
        gpu.destroy_stream(s);
    });
    found_in_all_modes("capture misuse", &["cuStreamBeginCapture: stream 1 is being captured already"], |gpu| {
        let s = gpu.stream();
        gpu.begin(s, GLOBAL);
        assert_eq!(gpu.begin(s, GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
        gpu.destroy_graph(gpu.end(s).unwrap());
        gpu.destroy_stream(s);
    });
    found_in_all_modes("capture misuse", &["the capture began on stream 1, not on stream 2"], |gpu| {
        let (a, b, event) = (gpu.stream(), gpu.stream(), gpu.event());
        gpu.begin(a, GLOBAL);
        gpu.record(event, a);
        gpu.wait(b, event);
        assert_eq!(gpu.end(b), Err(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
        assert_eq!(gpu.end(a), Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        gpu.destroy_event(event);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
    found_in_all_modes("capture misuse", &["the capture of stream 1 was begun by another thread"], |gpu| {
        let s = gpu.stream();
        std::thread::scope(|scope| {
            let begin = scope.spawn(|| {
                virtual_gpu::driver::abi::context::cuCtxSetCurrent(virtual_gpu::driver::state::PRIMARY);
                gpu.begin(s, THREAD_LOCAL)
            });
            assert_eq!(begin.join().unwrap(), 0);
        });
        assert_eq!(gpu.end(s), Err(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD));
        // It stays, to be ended by its own thread: here it is left.
    });
}
