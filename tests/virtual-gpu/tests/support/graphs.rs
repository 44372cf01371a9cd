//! Capture and graphs for tests, on the driver of [`super::gpu`].
#![allow(dead_code)] // Each test file uses its part.

use std::ffi::{c_int, c_void};

use virtual_gpu::driver::abi::graph::{KernelNodeParams, UpdateInfo};
use virtual_gpu::driver::abi::{capture, counts, graph};
use virtual_gpu::driver::error::CUresult;

use super::gpu::Gpu;

/// CU_STREAM_CAPTURE_MODE_GLOBAL, _THREAD_LOCAL and _RELAXED.
pub const GLOBAL: c_int = 0;
pub const THREAD_LOCAL: c_int = 1;
pub const RELAXED: c_int = 2;

/// The value, or the code of the call that was to write it.
fn result<T>(code: CUresult, value: T) -> Result<T, CUresult> {
    if code == 0 { Ok(value) } else { Err(code) }
}

impl Gpu {
    pub fn begin(&self, stream: usize, mode: c_int) -> CUresult {
        capture::cuStreamBeginCapture_v2(stream, mode)
    }

    pub fn end(&self, stream: usize) -> Result<usize, CUresult> {
        let mut handle = 7;
        // SAFETY: pointers are to locals of the right types, alive during the call.
        let code = unsafe { capture::cuStreamEndCapture(stream, &mut handle) };
        assert_eq!(handle == 0, code != 0, "a failed capture leaves a null graph");
        result(code, handle)
    }

    /// 0 when the stream is not captured, 1 when it is, 2 when the capture broke.
    pub fn capturing(&self, stream: usize) -> Result<c_int, CUresult> {
        let mut status = 7;
        // SAFETY: pointers are to locals of the right types, alive during the call.
        result(unsafe { capture::cuStreamIsCapturing(stream, &mut status) }, status)
    }

    /// Graph and the nodes that the stream's next one waits for.
    pub fn capture_info(&self, stream: usize) -> (usize, Vec<usize>) {
        let (mut status, mut number, mut graph, mut nodes, mut count) = (0, 0, 0, std::ptr::null(), 0);
        let mut edges = std::ptr::null();
        // SAFETY: pointers are to locals of the right types, alive during the call.
        let code = unsafe {
            capture::cuStreamGetCaptureInfo_v3(
                stream,
                &mut status,
                &mut number,
                &mut graph,
                &mut nodes,
                &mut edges,
                &mut count,
            )
        };
        assert_eq!((code, status, number > 0), (0, 1, true));
        // SAFETY: the driver's list lives until the next such call.
        let nodes = if count == 0 { Vec::new() } else { unsafe { std::slice::from_raw_parts(nodes, count) }.to_vec() };
        (graph, nodes)
    }

    /// Sets the thread's mode; the one before.
    pub fn thread_mode(&self, mut mode: c_int) -> c_int {
        // SAFETY: pointers are to locals of the right types, alive during the call.
        assert_eq!(unsafe { capture::cuThreadExchangeStreamCaptureMode(&mut mode) }, 0);
        mode
    }

    pub fn instantiate(&self, graph: usize, flags: u64) -> Result<usize, CUresult> {
        let mut exec = 0;
        // SAFETY: pointers are to locals of the right types, alive during the call.
        result(unsafe { graph::cuGraphInstantiateWithFlags(&mut exec, graph, flags) }, exec)
    }

    pub fn replay(&self, exec: usize, stream: usize) -> CUresult {
        graph::cuGraphLaunch(exec, stream)
    }

    pub fn upload_graph(&self, exec: usize, stream: usize) -> CUresult {
        graph::cuGraphUpload(exec, stream)
    }

    pub fn destroy_graph(&self, graph: usize) -> CUresult {
        graph::cuGraphDestroy(graph)
    }

    pub fn destroy_exec(&self, exec: usize) -> CUresult {
        graph::cuGraphExecDestroy(exec)
    }

    /// Captures what `program` puts in `stream`, as an executable graph.
    pub fn captured(&self, stream: usize, program: impl FnOnce()) -> usize {
        assert_eq!(self.begin(stream, GLOBAL), 0);
        program();
        let graph = self.end(stream).unwrap();
        let exec = self.instantiate(graph, 0).unwrap();
        assert_eq!(self.destroy_graph(graph), 0);
        exec
    }

    pub fn nodes(&self, graph: usize) -> Vec<usize> {
        let mut count = 0;
        // SAFETY: pointers are to locals of the right types, or null, alive during the call.
        assert_eq!(unsafe { graph::cuGraphGetNodes(graph, std::ptr::null_mut(), &mut count) }, 0);
        let mut nodes = vec![0; count];
        // SAFETY: as above, with room for `count` nodes.
        assert_eq!(unsafe { graph::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count) }, 0);
        nodes
    }

    pub fn node_type(&self, node: usize) -> Result<c_int, CUresult> {
        let mut kind = -1;
        // SAFETY: pointers are to locals of the right types, alive during the call.
        result(unsafe { graph::cuGraphNodeGetType(node, &mut kind) }, kind)
    }

    /// Updates an executable graph: the code, CUgraphExecUpdateResult and the node where they part.
    pub fn update(&self, exec: usize, graph: usize) -> (CUresult, c_int, usize) {
        let mut info = UpdateInfo { result: -1, error_node: 0, error_from_node: 0 };
        // SAFETY: pointers are to locals of the right types, alive during the call.
        let code = unsafe { graph::cuGraphExecUpdate_v2(exec, graph, &mut info) };
        (code, info.result, info.error_node)
    }

    /// Gives a `scale` node of an executable graph other arguments.
    pub fn set_scale(&self, exec: usize, node: usize, kernel: usize, x: u64, k: f32, n: u32) -> CUresult {
        with_scale(kernel, x, k, n, |params| {
            // SAFETY: the parameters and what they point to live during the call.
            unsafe { graph::cuGraphExecKernelNodeSetParams_v2(exec, node, params) }
        })
    }

    /// Adds a `scale` node to a graph.
    pub fn add_scale(
        &self,
        graph: usize,
        after: &[usize],
        kernel: usize,
        x: u64,
        k: f32,
        n: u32,
    ) -> Result<usize, CUresult> {
        let mut node = 0;
        let code = with_scale(kernel, x, k, n, |params| {
            // SAFETY: the parameters and what they point to live during the call.
            unsafe { graph::cuGraphAddKernelNode_v2(&mut node, graph, after.as_ptr(), after.len(), params) }
        });
        result(code, node)
    }

    pub fn empty_graph(&self) -> usize {
        let mut graph = 0;
        // SAFETY: pointers are to locals of the right types, alive during the call.
        assert_eq!(unsafe { graph::cuGraphCreate(&mut graph, 0) }, 0);
        graph
    }

    /// The driver's totals, as a test below the stand-in reads them.
    pub fn counts(&self) -> serde_json::Value {
        // SAFETY: no room is claimed.
        let length = unsafe { counts::virtual_gpu_counts(std::ptr::null_mut(), 0) };
        let mut text = vec![0_u8; length];
        // SAFETY: the buffer has the room that is claimed.
        assert_eq!(unsafe { counts::virtual_gpu_counts(text.as_mut_ptr().cast(), length) }, length);
        serde_json::from_slice(&text).unwrap()
    }
}

fn with_scale(kernel: usize, x: u64, k: f32, n: u32, call: impl FnOnce(&KernelNodeParams) -> CUresult) -> CUresult {
    let (mut x, mut k, mut n) = (x, k, n);
    let (at_x, at_k, at_n): (*mut u64, *mut f32, *mut u32) = (&mut x, &mut k, &mut n);
    let mut pointers: [*mut c_void; 3] = [at_x.cast(), at_k.cast(), at_n.cast()];
    call(&KernelNodeParams {
        function: kernel,
        extents: [1, 1, 1, 64, 1, 1],
        dynamic_shared: 0,
        kernel_params: pointers.as_mut_ptr(),
        extra: std::ptr::null_mut(),
        kernel: 0,
        context: 0,
    })
}
