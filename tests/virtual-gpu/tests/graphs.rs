//! Graphs that are right: what a capture puts together and what a launch of it does, in every stream mode.

#[path = "support/gpu.rs"]
mod gpu;
#[path = "support/graphs.rs"]
mod graphs;

use gpu::{clean_in_all_modes, run};
use graphs::GLOBAL;
use virtual_gpu::driver::error::*;
use virtual_gpu::driver::settings::StreamMode;

#[test]
fn a_captured_step_runs_at_each_launch_and_not_before() {
    clean_in_all_modes(|gpu| {
        let (s, x, input, output) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8), gpu.pinned(8));
        let module = gpu.module();
        let scale = gpu.kernel(module, "scale").unwrap();
        gpu.zero(x, 8, s);
        input.set(1.0);
        assert_eq!(gpu.capturing(s), Ok(0));
        let mut k = 3.0;
        let exec = gpu.captured(s, || {
            assert_eq!(gpu.upload_pinned(x, input, s), 0);
            assert_eq!(gpu.scale(scale, x, k, 8, s), 0);
            assert_eq!(gpu.capturing(s), Ok(1));
            assert_eq!(gpu.download_pinned(output, x, s), 0);
        });
        // Arguments were copied at the capture, pinned memory is read at each launch.
        k += 1.0;
        assert_eq!(k, 4.0);
        assert_eq!(gpu.capturing(s), Ok(0));
        assert_eq!(gpu.download(x, 8, s), [0.0; 8], "nothing ran yet");
        assert_eq!(gpu.upload_graph(exec, s), 0);
        for step in 1..=3_u8 {
            input.set(f32::from(step));
            assert_eq!(gpu.replay(exec, s), 0);
            assert_eq!(gpu.sync(s), 0);
            assert_eq!(output.get(7), 3.0 * f32::from(step));
        }
        let counts = gpu.counts();
        let numbers = ["graph_launches", "graph_kernels", "graph_nodes", "kernel_launches", "bytes_to_device"];
        assert_eq!(numbers.map(|name| counts[name].as_u64().unwrap()), [3, 3, 9, 0, 96]);
        gpu.destroy_exec(exec);
        gpu.unload(module);
        gpu.free_pinned(input);
        gpu.free_pinned(output);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}

#[test]
fn a_capture_forks_and_joins() {
    clean_in_all_modes(|gpu| {
        let (a, b) = (gpu.stream(), gpu.stream());
        let (x, y, module) = (gpu.alloc(64), gpu.alloc(32), gpu.module());
        let (scale, add) = (gpu.kernel(module, "scale").unwrap(), gpu.kernel(module, "add").unwrap());
        gpu.upload(x, &[1.0; 64], a);
        let (fork, join) = (gpu.event(), gpu.event());
        let exec = gpu.captured(a, || {
            gpu.scale(scale, x, 2.0, 64, a);
            gpu.record(fork, a);
            assert_eq!(gpu.wait(b, fork), 0);
            assert_eq!(gpu.capturing(b), Ok(1));
            // The two halves of x are used at the same time, then the first takes up what b copied of it.
            gpu.copy(y, x, 32, b);
            gpu.record(join, b);
            gpu.scale(scale, x + 128, 2.0, 32, a);
            assert_eq!(gpu.wait(a, join), 0);
            gpu.add(add, x, y, 32, a);
        });
        assert_eq!(gpu.capturing(b), Ok(0));
        assert_eq!((gpu.replay(exec, a), gpu.replay(exec, a)), (0, 0));
        assert_eq!(gpu.download(x, 64, a), [16.0; 64]);
        // Launches of one graph are in order, whatever the streams.
        assert_eq!((gpu.replay(exec, b), gpu.sync(b)), (0, 0));
        assert_eq!(gpu.download(x, 64, a), [64.0; 64]);
        gpu.destroy_exec(exec);
        gpu.unload(module);
        gpu.destroy_event(fork);
        gpu.destroy_event(join);
        gpu.free(x);
        gpu.free(y);
        gpu.destroy_stream(a);
        gpu.destroy_stream(b);
    });
}

#[test]
fn the_nodes_of_a_capture_can_be_looked_at() {
    assert_eq!(
        run(StreamMode::Late, |gpu| {
            let (s, x, p) = (gpu.stream(), gpu.alloc(8), gpu.pinned(8));
            p.set(1.0);
            assert_eq!(gpu.begin(s, GLOBAL), 0);
            assert!(gpu.capture_info(s).1.is_empty());
            gpu.upload_pinned(x, p, s);
            gpu.zero(x, 4, s);
            let (graph, last) = gpu.capture_info(s);
            assert_eq!(gpu.end(s), Ok(graph));
            let nodes = gpu.nodes(graph);
            assert_eq!((nodes.len(), &last[..]), (2, &nodes[1..]));
            assert_eq!(nodes.iter().map(|&n| gpu.node_type(n)).collect::<Vec<_>>(), [Ok(1), Ok(2)]);
            // AUTO_FREE_ON_LAUNCH with DEVICE_LAUNCH, as cudarc's own test has it.
            assert_eq!(gpu.instantiate(graph, 5), Err(CUDA_ERROR_INVALID_VALUE));
            gpu.destroy_graph(graph);
            gpu.free_pinned(p);
            gpu.free(x);
            gpu.destroy_stream(s);
        }),
        []
    );
}

#[test]
fn an_update_changes_what_later_launches_do() {
    clean_in_all_modes(|gpu| {
        let (s, x, module) = (gpu.stream(), gpu.alloc(8), gpu.module());
        let scale = gpu.kernel(module, "scale").unwrap();
        gpu.upload(x, &[1.0; 8], s);
        let capture = |k: f32, twice: bool| {
            gpu.begin(s, GLOBAL);
            gpu.scale(scale, x, k, 8, s);
            if twice {
                gpu.scale(scale, x, k, 8, s);
            }
            gpu.end(s).unwrap()
        };
        let graphs = [capture(2.0, false), capture(3.0, false), capture(3.0, true)];
        gpu.begin(s, GLOBAL);
        gpu.zero(x, 8, s);
        let other = gpu.end(s).unwrap();
        let exec = gpu.instantiate(graphs[0], 0).unwrap();
        gpu.replay(exec, s);
        // What was launched keeps what it was launched with.
        assert_eq!(gpu.update(exec, graphs[1]), (0, 0, 0));
        gpu.replay(exec, s);
        assert_eq!(gpu.download(x, 8, s), [6.0; 8]);
        assert_eq!(gpu.update(exec, graphs[2]), (CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 2, 0));
        let failed = (CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 3, gpu.nodes(other)[0]);
        assert_eq!(gpu.update(exec, other), failed);
        assert_eq!(gpu.set_scale(exec, gpu.nodes(graphs[0])[0], scale, x, 0.5, 8), 0);
        gpu.replay(exec, s);
        assert_eq!(gpu.download(x, 8, s), [3.0; 8]);
        gpu.destroy_exec(exec);
        assert_eq!(graphs.map(|graph| gpu.destroy_graph(graph)), [0; 3]);
        gpu.destroy_graph(other);
        gpu.unload(module);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}

#[test]
fn a_graph_can_be_put_together_by_hand() {
    clean_in_all_modes(|gpu| {
        let (s, x, module, graph) = (gpu.stream(), gpu.alloc(8), gpu.module(), gpu.empty_graph());
        let scale = gpu.kernel(module, "scale").unwrap();
        gpu.upload(x, &[1.0; 8], s);
        let first = gpu.add_scale(graph, &[], scale, x, 2.0, 8).unwrap();
        let second = gpu.add_scale(graph, &[first], scale, x, 5.0, 8).unwrap();
        assert_eq!(gpu.nodes(graph), [first, second]);
        let exec = gpu.instantiate(graph, 0).unwrap();
        gpu.replay(exec, s);
        assert_eq!(gpu.download(x, 8, s), [10.0; 8]);
        gpu.destroy_exec(exec);
        gpu.destroy_graph(graph);
        gpu.unload(module);
        gpu.free(x);
        gpu.destroy_stream(s);
    });
}

#[test]
fn launches_of_one_graph_are_in_order_whatever_the_streams() {
    clean_in_all_modes(|gpu| {
        let (a, b, c) = (gpu.stream(), gpu.stream(), gpu.stream());
        let (x, y, z) = (gpu.alloc(8), gpu.alloc(8), gpu.alloc(8));
        let (fork, written, join) = (gpu.event(), gpu.event(), gpu.event());
        let exec = gpu.captured(a, || {
            gpu.record(fork, a);
            gpu.wait(b, fork);
            gpu.zero(x, 8, a);
            gpu.record(written, a);
            gpu.zero(z, 4, a);
            // The last to read x, and not in line with the first to write it.
            gpu.zero(z + 16, 4, b);
            gpu.wait(b, written);
            gpu.copy(y, x, 8, b);
            gpu.record(join, b);
            gpu.wait(a, join);
        });
        assert_eq!((gpu.replay(exec, a), gpu.replay(exec, c), gpu.replay(exec, a)), (0, 0, 0));
        assert_eq!((gpu.sync(a), gpu.sync(c)), (0, 0));
        assert_eq!((gpu.download(y, 8, a), gpu.download(z, 8, a)), (vec![0.0; 8], vec![0.0; 8]));
        gpu.destroy_exec(exec);
        let _ = [fork, written, join].map(|event| gpu.destroy_event(event));
        let _ = [x, y, z].map(|at| gpu.free(at));
        let _ = [a, b, c].map(|stream| gpu.destroy_stream(stream));
    });
}
