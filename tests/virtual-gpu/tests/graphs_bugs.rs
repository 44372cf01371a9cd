//! Wrong uses of graphs: each is found, in every stream mode, and told in the right words.

#[path = "support/gpu.rs"]
mod gpu;
#[path = "support/graphs.rs"]
mod graphs;

use gpu::{Gpu, found_in_all_modes, run};
use graphs::{GLOBAL, RELAXED};
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::StreamMode;

/// The default stream's handle.
const DEFAULT: usize = 0;

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
            let (s, x, p) = (gpu.stream(), gpu.alloc_on(8, DEFAULT), gpu.pinned(8));
            p.set(1.0);
            let exec = gpu.captured(s, || {
                assert_eq!(if which == 2 { gpu.zero(x, 8, s) } else { gpu.upload_pinned(x, p, s) }, 0);
            });
            if which == 0 {
                gpu.free_pinned(p);
            } else {
                gpu.free_on(x, DEFAULT);
            }
            assert_eq!(gpu.replay(exec, s), CUDA_ERROR_INVALID_VALUE);
            gpu.destroy_exec(exec);
            gpu.destroy_stream(s);
        });
    }
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
