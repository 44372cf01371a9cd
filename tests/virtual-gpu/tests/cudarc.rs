//! Unmodified cudarc on the stand-in library: each test runs itself again below the runner, in a process of its own.

use std::ffi::CString;
use std::process::{Command, Output};
use std::sync::Arc;

use cudarc::driver::sys::{
    CUgraphInstantiate_flags as Flags, CUresult, CUstreamCaptureMode as Mode, CUstreamCaptureStatus,
};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

const PTX: &str = include_str!("support/kernels.ptx");
const MODES: [&str; 5] = ["serial", "early", "late", "random:1", "random:2"];
/// Set in the process below the runner.
const CHILD: &str = "VIRTUAL_GPU_TEST_CHILD";

/// Runs the test `name` again below the runner; what it printed.
fn again(name: &str, options: &[&str]) -> (Output, String) {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_virtual-gpu"))
        .arg("run")
        .args(options)
        .arg("--")
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads", "1"])
        .env(CHILD, "1")
        .env_remove("VIRTUAL_GPU_REPORT")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, text)
}

/// The program is to end well, with nothing found, in every mode.
fn clean(name: &str, program: fn() -> Result<(), DriverError>) {
    if std::env::var_os(CHILD).is_some() {
        return program().unwrap();
    }
    for mode in MODES {
        let (output, text) = again(name, &["--streams", mode]);
        assert!(output.status.success(), "{mode}: {}\n{text}", output.status);
        assert!(text.contains("virtual GPU: 1 processes") && !text.contains("found:"), "{mode}: {text}");
    }
}

/// The program is to end well and yet with exit code 86, with `words` on stderr, in every mode of `modes`.
fn found(name: &str, modes: &[&str], words: &[&str], program: fn() -> Result<(), DriverError>) {
    if std::env::var_os(CHILD).is_some() {
        return program().unwrap();
    }
    for mode in modes {
        let (output, text) = again(name, &["--streams", mode]);
        assert_eq!(output.status.code(), Some(86), "{mode}: {text}");
        for word in words {
            assert!(text.contains(word), "{mode}: `{word}` not in\n{text}");
        }
    }
}

fn kernel(context: &Arc<CudaContext>, name: &str) -> Result<CudaFunction, DriverError> {
    context.load_module(Ptx::from_src(PTX))?.load_function(name)
}

fn scale(stream: &Arc<CudaStream>, f: &CudaFunction, x: &mut CudaSlice<f32>, k: f32) -> Result<(), DriverError> {
    let n = x.len() as u32;
    let mut launch = stream.launch_builder(f);
    launch.arg(x).arg(&k).arg(&n);
    // SAFETY: scale takes (float*, float, unsigned) and stays below n.
    unsafe { launch.launch(LaunchConfig::for_num_elems(n)) }.map(drop)
}

/// Event tracking off: the program orders its streams itself.
fn untracked() -> Result<Arc<CudaContext>, DriverError> {
    let context = CudaContext::new(0)?;
    // SAFETY: what the tests below are about.
    unsafe { context.disable_event_tracking() };
    Ok(context)
}

#[test]
fn the_device_is_shown() {
    clean("the_device_is_shown", || {
        let context = CudaContext::new(0)?;
        assert_eq!(context.name()?, "Virtual GPU");
        assert_eq!(context.compute_capability()?, (8, 0));
        assert_eq!(context.total_mem()?, 4 << 30);
        assert_eq!(CudaContext::device_count()?, 1);
        assert_eq!(context.mem_get_info()?, (4 << 30, 4 << 30));
        Ok(())
    });
}

#[test]
fn tracked_streams_are_ordered() {
    clean("tracked_streams_are_ordered", || {
        let context = CudaContext::new(0)?;
        let (load, compute) = (context.new_stream()?, context.new_stream()?);
        let f = kernel(&context, "scale")?;
        let mut x = load.alloc_zeros::<f32>(1000)?;
        for step in 1..=4_u16 {
            load.memcpy_htod(&vec![f32::from(step); 1000], &mut x)?;
            scale(&compute, &f, &mut x, 2.0)?;
            assert_eq!(compute.clone_dtoh(&x)?, vec![2.0 * f32::from(step); 1000]);
        }
        compute.synchronize()
    });
}

#[test]
fn untracked_streams_are_ordered_by_events() {
    clean("untracked_streams_are_ordered_by_events", || {
        let context = untracked()?;
        let (load, compute) = (context.new_stream()?, context.new_stream()?);
        let f = kernel(&context, "scale")?;
        let mut staging = load.alloc_zeros::<f32>(100)?;
        compute.join(&load)?;
        for step in 1..=4_u16 {
            load.memcpy_htod(&vec![f32::from(step); 100], &mut staging)?;
            compute.join(&load)?;
            scale(&compute, &f, &mut staging, 2.0)?;
            assert_eq!(compute.clone_dtoh(&staging)?, vec![2.0 * f32::from(step); 100]);
            load.join(&compute)?;
        }
        load.synchronize()
    });
}

#[test]
fn a_captured_step_is_replayed() {
    clean("a_captured_step_is_replayed", || {
        let context = untracked()?;
        let stream = context.new_stream()?;
        let f = kernel(&context, "scale")?;
        let mut x = stream.clone_htod(&vec![1.0_f32; 100])?;
        let all = Flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH
            | Flags::CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
        for (round, flags) in [Flags(0), all].into_iter().enumerate() {
            stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
            let active = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE;
            assert_eq!(stream.capture_status()?, active);
            scale(&stream, &f, &mut x, 2.0)?;
            scale(&stream, &f, &mut x, 2.0)?;
            let graph = stream.end_capture(flags)?.expect("a graph");
            graph.upload()?;
            let before = virtual_gpu_counts();
            for _ in 0..3 {
                graph.launch()?;
            }
            let after = virtual_gpu_counts();
            let more = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
            assert_eq!(["graph_launches", "graph_kernels", "kernel_launches"].map(more), [3, 6, 0]);
            // Beside each launch cudarc looks whether its context is the current one.
            assert_eq!((more("driver_calls"), &after["calls"]["cuGraphLaunch"]), (6, &(3 * (round + 1)).into()));
            assert_eq!(stream.clone_dtoh(&x)?, vec![64.0_f32.powi(round as i32 + 1); 100]);
        }
        let flags =
            Flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | Flags::CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
        stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
        let refused = stream.end_capture(flags).err().map(|e| e.0);
        assert_eq!(refused, Some(CUresult::CUDA_ERROR_INVALID_VALUE));
        Ok(())
    });
}

/// The stand-in's own count, as any test of a process that runs on it can read it.
fn virtual_gpu_counts() -> serde_json::Value {
    type Counts = unsafe extern "C" fn(*mut std::ffi::c_char, usize) -> usize;
    // SAFETY: the driver is loaded already, and loading it runs nothing.
    let library = unsafe { libloading::Library::new("libcuda.so.1") }.expect("the driver is loaded");
    // SAFETY: the function has this signature.
    let counts = unsafe { library.get::<Counts>(c"virtual_gpu_counts") }.expect("the driver is the stand-in");
    let mut text = vec![0_u8; 1 << 16];
    // SAFETY: the buffer has the room that is claimed.
    let length = unsafe { counts(text.as_mut_ptr().cast(), text.len()) };
    serde_json::from_slice(&text[..length]).expect("it is JSON")
}

#[test]
fn an_allocation_in_a_capture_is_found() {
    found("an_allocation_in_a_capture_is_found", &MODES, &["allocation in a capture: cuMemAllocAsync"], || {
        let context = untracked()?;
        let stream = context.new_stream()?;
        stream.begin_capture(Mode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
        let refused = stream.alloc_zeros::<f32>(100).err().map(|e| e.0);
        assert_eq!(refused, Some(CUresult::CUDA_ERROR_NOT_SUPPORTED));
        let refused = stream.end_capture(Flags(0)).err().map(|e| e.0);
        assert_eq!(refused, Some(CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));
        stream.synchronize()
    });
}

#[test]
fn threads_share_the_device() {
    clean("threads_share_the_device", || {
        let context = CudaContext::new(0)?;
        let f = kernel(&context, "scale")?;
        std::thread::scope(|scope| {
            let work = |id: u8| {
                let (context, f) = (context.clone(), f.clone());
                move || -> Result<(), DriverError> {
                    let stream = context.new_stream()?;
                    for round in 0..10_u8 {
                        let mut x = stream.clone_htod(&vec![f32::from(id); 100 + usize::from(round)])?;
                        scale(&stream, &f, &mut x, 2.0)?;
                        assert_eq!(stream.clone_dtoh(&x)?, vec![2.0 * f32::from(id); x.len()]);
                    }
                    Ok(())
                }
            };
            let threads: Vec<_> = (0..4).map(|id| scope.spawn(work(id))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })
    });
}

#[test]
fn a_missing_join_is_found() {
    let words = ["stream hazard: kernel scale on stream 2 reads bytes written by copy from the host on stream 1"];
    found("a_missing_join_is_found", &MODES, &words, || {
        let context = untracked()?;
        let (load, compute) = (context.new_stream()?, context.new_stream()?);
        let f = kernel(&context, "scale")?;
        let mut x = load.alloc_zeros::<f32>(100)?;
        load.synchronize()?;
        load.memcpy_htod(&vec![1.0; 100], &mut x)?;
        scale(&compute, &f, &mut x, 2.0)?;
        context.synchronize()
    });
}

#[test]
fn pinned_memory_of_a_single_stream_is_not_guarded_by_cudarc() {
    let words = ["pinned source changed: copy from the host on the default stream"];
    found("pinned_memory_of_a_single_stream_is_not_guarded_by_cudarc", &["late"], &words, || {
        let context = CudaContext::new(0)?;
        let stream = context.default_stream();
        // SAFETY: filled before it is read.
        let mut pinned = unsafe { context.alloc_pinned::<f32>(64) }?;
        pinned.as_mut_slice()?.fill(1.0);
        let x = stream.clone_htod(&pinned)?;
        // cudarc records its event only once there are several streams, so this does not wait for the copy.
        pinned.as_mut_slice()?.fill(2.0);
        stream.synchronize()?;
        drop(x);
        stream.synchronize()
    });
}

#[test]
fn a_leak_is_found() {
    found("a_leak_is_found", &MODES, &["leak: 1 device allocations never freed, 400 bytes"], || {
        let context = CudaContext::new(0)?;
        let stream = context.default_stream();
        let x = stream.alloc_zeros::<f32>(100)?;
        // The context lives on in the slice that is forgotten, so the leak is seen at exit.
        std::mem::forget(x);
        stream.synchronize()
    });
}

#[test]
fn uninitialised_memory_is_found() {
    let words = ["uninitialised copy-out: copy to the host on the default stream: 400 of 400 bytes were never written"];
    found("uninitialised_memory_is_found", &MODES, &words, || {
        let context = CudaContext::new(0)?;
        let stream = context.default_stream();
        // SAFETY: f32 has no invalid bits; that nothing is written is what is to be found.
        let x = unsafe { stream.alloc::<f32>(100) }?;
        stream.clone_dtoh(&x).map(drop)
    });
}

#[test]
fn a_kernel_fault_is_an_error_and_stays() {
    found("a_kernel_fault_is_an_error_and_stays", &["early", "late"], &["kernels.cu:", "wild"], || {
        let context = CudaContext::new(0)?;
        let stream = context.default_stream();
        let f = kernel(&context, "wild")?;
        let mut x = stream.alloc_zeros::<f32>(8)?;
        let n = 1000_u32;
        let mut launch = stream.launch_builder(&f);
        launch.arg(&mut x).arg(&n);
        // SAFETY: wild takes (float*, unsigned); that it stores out of bounds is what is to be found.
        unsafe { launch.launch(LaunchConfig::for_num_elems(32)) }?;
        let error = stream.synchronize().unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert!(error.to_string().contains("an illegal memory access was encountered"));
        assert_eq!(stream.alloc_zeros::<f32>(8).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        Ok(())
    });
}

#[test]
fn errors_have_cudas_names() {
    found("errors_have_cudas_names", &["late"], &["unknown function: cuModuleGetFunction: no kernel `scala`"], || {
        let context = CudaContext::new(0)?;
        let module = context.load_module(Ptx::from_src(PTX))?;
        let error = module.load_function("scala").unwrap_err();
        assert_eq!(error.error_name()?, CString::new("CUDA_ERROR_NOT_FOUND").unwrap().as_c_str());
        assert_eq!(error.error_string()?, CString::new("named symbol not found").unwrap().as_c_str());
        Ok(())
    });
}

#[test]
fn too_much_shared_memory_is_found() {
    let words = ["bad launch: kernel staged: 60000 bytes of dynamic shared memory, 49152 are allowed"];
    found("too_much_shared_memory_is_found", &["late"], &words, || {
        let context = CudaContext::new(0)?;
        let stream = context.default_stream();
        let f = kernel(&context, "staged")?;
        let mut x = stream.alloc_zeros::<f32>(8)?;
        let n = 8_u32;
        let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (8, 1, 1), shared_mem_bytes: 60_000 };
        let mut launch = stream.launch_builder(&f);
        launch.arg(&mut x).arg(&n);
        // SAFETY: staged takes (float*, unsigned); the driver refuses the launch.
        let error = unsafe { launch.launch(config) }.unwrap_err();
        assert_eq!(error.0, CUresult::CUDA_ERROR_INVALID_VALUE);
        stream.synchronize()
    });
}

#[test]
fn an_expected_finding_needs_a_line_with_a_reason() {
    let name = "an_expected_finding_needs_a_line_with_a_reason";
    let program = || {
        let context = CudaContext::new(0)?;
        std::mem::forget(context.new_stream()?);
        Ok::<(), DriverError>(())
    };
    if std::env::var_os(CHILD).is_some() {
        return program().unwrap();
    }
    let list = std::env::temp_dir().join(format!("virtual-gpu-allow-{}", std::process::id()));
    std::fs::write(&list, "* | leak | the stream lives as long as the process\n").unwrap();
    let (output, text) = again(name, &["--allow", list.to_str().unwrap()]);
    std::fs::remove_file(&list).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 expected findings"), "{text}");
}

#[test]
fn a_wait_that_is_left_out_is_missed() {
    let name = "untracked_streams_are_ordered_by_events";
    for number in 1..=9 {
        let (output, text) = again(name, &["--leave-out", &format!("wait:{number}")]);
        // The first wait is followed by another for the same stream, and before each wait of the copy stream (the odd
        // ones from 3 on) the host has waited for the result: those can go.
        assert_eq!(output.status.success(), number % 2 == 1, "wait {number}: {text}");
    }
}
