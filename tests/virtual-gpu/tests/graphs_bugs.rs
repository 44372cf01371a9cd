//! Wrong uses of captures and graphs: each is found, in every stream mode, and told in the right words.

#[path = "support/gpu.rs"]
mod gpu;
#[path = "support/graphs.rs"]
mod graphs;

use gpu::{Gpu, clean_in_all_modes, found_in_all_modes, run, run_with};
use graphs::{GLOBAL, RELAXED, THREAD_LOCAL};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::sabotage::{LeftOut, Ordering};
use virtual_gpu::driver::settings::{Settings, StreamMode};

/// One captured kernel that scales eight floats; `end` gets the stream, the floats, the module and the graph.
fn one_kernel(gpu: &Gpu, end: impl FnOnce(usize, u64, usize, usize)) {
    let (s, x, module) = (gpu.stream(), gpu.alloc(8), gpu.module());
    let scale = gpu.kernel(module, "scale").unwrap();
    gpu.upload(x, &[1.0; 8], s);
    gpu.sync(s);
    let exec = gpu.captured(s, || assert_eq!(gpu.scale(scale, x, 2.0, 8, s), 0));
    end(s, x, module, exec);
    gpu.sync(s);
    gpu.destroy_stream(s);
}

#[test]
fn a_kernel_of_a_graph_whose_memory_was_freed_is_found() {
    let words = ["cuGraphLaunch: graph 1, node 0 (kernel scale): byte 0 of its arguments", "freed by cuMemFree"];
    found_in_all_modes("stale graph", &words, |gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            gpu.free(x);
            assert_eq!(gpu.replay(exec, s), CUDA_ERROR_INVALID_VALUE);
            gpu.destroy_exec(exec);
            gpu.unload(module);
        });
    });
}

#[test]
fn a_copy_of_a_graph_whose_memory_was_freed_is_found() {
    for which in 0..3 {
        let words = ["cuGraphLaunch: graph 1, node 0 (", ["(pinned)", "freed by cuMemFreeAsync", "(memset)"][which]];
        found_in_all_modes("stale graph", &words, |gpu| {
            let (s, x, p) = (gpu.stream(), gpu.alloc_on(8, gpu_default()), gpu.pinned(8));
            p.set(1.0);
            let exec = gpu.captured(s, || {
                assert_eq!(if which == 2 { gpu.zero(x, 8, s) } else { gpu.upload_pinned(x, p, s) }, 0);
            });
            if which == 0 {
                gpu.free_pinned(p);
            } else {
                gpu.free_on(x, gpu_default());
            }
            assert_eq!(gpu.replay(exec, s), CUDA_ERROR_INVALID_VALUE);
            gpu.destroy_exec(exec);
            gpu.destroy_stream(s);
        });
    }
}

/// The default stream's handle.
fn gpu_default() -> usize {
    0
}

#[test]
fn a_graph_whose_module_was_unloaded_is_found() {
    let program = |gpu: &Gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            gpu.unload(module);
            assert_eq!(gpu.replay(exec, s), CUDA_ERROR_INVALID_VALUE);
            gpu.destroy_exec(exec);
            gpu.free(x);
        });
    };
    found_in_all_modes("module unloaded early", &["graph 1 still holds kernel scale"], program);
    found_in_all_modes("stale graph", &["node 0 (kernel scale): its module was unloaded"], program);
}

#[test]
fn a_module_unloaded_while_a_graph_runs_is_found() {
    let words = ["the node 0, kernel scale, on graph 1 in stream 1 may still run, nothing waited for it"];
    found_in_all_modes("module unloaded early", &words, |gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            gpu.replay(exec, s);
            gpu.destroy_exec(exec);
            gpu.unload(module);
            gpu.sync(s);
            gpu.free(x);
        });
    });
}

#[test]
fn a_graph_destroyed_while_it_runs_is_found() {
    let words = ["cuGraphExecDestroy: graph 1 on stream 1 may still run, nothing waited for it"];
    found_in_all_modes("graph destroyed early", &words, |gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            assert_eq!(gpu.replay(exec, s), 0);
            assert_eq!(gpu.destroy_exec(exec), 0);
            // It runs all the same.
            assert_eq!(gpu.download(x, 8, s), [2.0; 8]);
            gpu.unload(module);
            gpu.free(x);
        });
    });
}

#[test]
fn a_stream_destroyed_while_its_graph_runs_is_found() {
    found_in_all_modes("stream destroyed with work", &["nothing waits for the graph 1 on stream 2"], |gpu| {
        one_kernel(gpu, |_, x, module, exec| {
            let other = gpu.stream();
            gpu.replay(exec, other);
            gpu.destroy_stream(other);
            gpu.sync_all();
            gpu.destroy_exec(exec);
            gpu.unload(module);
            gpu.free(x);
        });
    });
}

#[test]
fn a_launch_of_what_is_no_executable_graph_is_found() {
    found_in_all_modes("graph misuse", &["no executable graph, or one that was destroyed"], |gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            gpu.destroy_exec(exec);
            assert_eq!(gpu.replay(exec, s), CUDA_ERROR_INVALID_VALUE);
            gpu.unload(module);
            gpu.free(x);
        });
    });
    found_in_all_modes("graph misuse", &["is a graph that was not instantiated"], |gpu| {
        let s = gpu.stream();
        gpu.begin(s, GLOBAL);
        let graph = gpu.end(s).unwrap();
        assert_eq!(gpu.replay(graph, s), CUDA_ERROR_INVALID_VALUE);
        gpu.destroy_graph(graph);
        gpu.destroy_stream(s);
    });
    found_in_all_modes("graph misuse", &["cuGraphInstantiate: graph 1 is still being captured"], |gpu| {
        let s = gpu.stream();
        gpu.begin(s, GLOBAL);
        let (graph, _) = gpu.capture_info(s);
        assert_eq!(gpu.instantiate(graph, 0), Err(CUDA_ERROR_INVALID_VALUE));
        assert_eq!(gpu.end(s), Ok(graph));
        gpu.destroy_graph(graph);
        gpu.destroy_stream(s);
    });
}

#[test]
fn graphs_and_captures_that_are_left_are_leaks() {
    let found = run(StreamMode::Late, |gpu| {
        let (s, x) = (gpu.stream(), gpu.alloc(8));
        gpu.captured(s, || assert_eq!(gpu.zero(x, 8, s), 0));
        gpu.begin(s, GLOBAL);
        gpu.end(s).unwrap();
        gpu.begin(s, RELAXED);
        gpu.free(x);
    });
    let texts: Vec<&str> = found.iter().map(|f| f.text.as_str()).collect();
    let expected = ["1 streams never destroyed", "1 captures never ended", "1 graphs never destroyed"];
    assert_eq!(texts, [&expected[..], &["1 executable graphs never destroyed"]].concat());
}

#[test]
fn a_pinned_source_rewritten_before_the_graphs_copy_ran_is_found() {
    for mode in [StreamMode::Late, StreamMode::Random(1), StreamMode::Random(2), StreamMode::Random(5)] {
        let findings = run(mode, |gpu| {
            let (s, x, p) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8));
            p.set(0.0);
            let exec = gpu.captured(s, || assert_eq!(gpu.upload_pinned(x, p, s), 0));
            for step in 1..8_u8 {
                assert_eq!(gpu.replay(exec, s), 0);
                p.set(f32::from(step));
            }
            gpu.sync(s);
            gpu.destroy_exec(exec);
            gpu.free_pinned(p);
            gpu.free(x);
            gpu.destroy_stream(s);
        });
        let [finding] = &findings[..] else { panic!("{mode:?}: {findings:?}") };
        assert_eq!(finding.kind, "pinned source changed");
        assert!(finding.text.contains("node 0, copy from the host, on graph 1 in stream 1"), "{}", finding.text);
    }
}

#[test]
fn a_host_read_before_the_graphs_copy_is_done_gets_nan() {
    run(StreamMode::Late, |gpu| {
        let (s, x, p) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8));
        gpu.zero(x, 8, s);
        let exec = gpu.captured(s, || assert_eq!(gpu.download_pinned(p, x, s), 0));
        p.set(7.0);
        gpu.replay(exec, s);
        assert!(p.get(0).is_nan());
        gpu.sync(s);
        assert_eq!(p.get(0), 0.0);
    });
}

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

#[test]
fn a_graph_and_another_stream_that_nothing_orders_are_found() {
    let words = ["copy to the host on stream 2 reads bytes", "by node 0, kernel scale, on graph 1 in stream 1"];
    found_in_all_modes("stream hazard", &words, |gpu| {
        one_kernel(gpu, |s, x, module, exec| {
            let other = gpu.stream();
            gpu.replay(exec, s);
            gpu.download(x, 8, other);
            gpu.sync(s);
            gpu.destroy_exec(exec);
            gpu.unload(module);
            gpu.free(x);
            gpu.destroy_stream(other);
        });
    });
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
