//! cuGraph*.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::super::error::*;
use super::super::graph::update::{self, Updated};
use super::super::launch::{Request, arguments};
use super::super::state::{Driver, call};
use super::super::stream::Action;
use super::{put, put_if_asked};

/// CUDA_KERNEL_NODE_PARAMS_v2.
#[repr(C)]
pub struct KernelNodeParams {
    /// CUfunction.
    pub function: usize,
    /// Blocks (x, y, z), threads per block (x, y, z).
    pub extents: [c_uint; 6],
    /// Dynamic shared memory, bytes.
    pub dynamic_shared: c_uint,
    /// Addresses of the arguments.
    pub kernel_params: *mut *mut c_void,
    /// Packed arguments.
    pub extra: *mut *mut c_void,
    /// CUkernel: instead of the function, not offered.
    pub kernel: usize,
    /// The context of a CUkernel.
    pub context: usize,
}

/// CUDA_GRAPH_INSTANTIATE_PARAMS.
#[repr(C)]
pub struct InstantiateParams {
    /// Flags.
    pub flags: u64,
    /// Stream of an upload.
    pub upload_stream: usize,
    /// The node that failed.
    pub error_node: usize,
    /// CUgraphInstantiateResult.
    pub result: c_int,
}

/// CUgraphExecUpdateResultInfo.
#[repr(C)]
pub struct UpdateInfo {
    /// CUgraphExecUpdateResult.
    pub result: c_int,
    /// The node of the new graph that does not fit.
    pub error_node: usize,
    /// Of an edge that does not fit.
    pub error_from_node: usize,
}

/// Reads a kernel node's parameters.
///
/// # Safety
/// `params` is null or valid for reads, and its lists of arguments are as cuLaunchKernel asks.
unsafe fn request(params: *const KernelNodeParams) -> Outcome<Request> {
    if params.is_null() {
        return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
    }
    // SAFETY: not null, so the caller's parameters.
    let params = unsafe { &*params };
    if params.kernel != 0 {
        return Err(CudaError(CUDA_ERROR_NOT_SUPPORTED));
    }
    // SAFETY: the caller's lists, as the function says.
    let arguments = unsafe { arguments(params.kernel_params, params.extra) }?;
    Ok(update::request(params.function, params.extents, params.dynamic_shared, arguments))
}

/// An empty graph.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphCreate(graph: *mut usize, flags: c_uint) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        if flags != 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(graph, driver.new_graph(context)) }
    })
}

/// Adds a kernel to a graph, after some of its nodes.
///
/// # Safety
/// As the module says; `after` has `count` nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphAddKernelNode_v2(
    node: *mut usize,
    graph: usize,
    after: *const usize,
    count: usize,
    params: *const KernelNodeParams,
) -> CUresult {
    call(|driver| {
        let after = match (after.is_null(), count) {
            (_, 0) => &[][..],
            (true, _) => return Err(CudaError(CUDA_ERROR_INVALID_VALUE)),
            // SAFETY: not null, so the caller's list.
            (false, _) => unsafe { std::slice::from_raw_parts(after, count) },
        };
        // SAFETY: the caller's parameters, as the module says.
        let request = unsafe { request(params) }?;
        let added = driver.add_kernel_node(graph, after, &request)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(node, added) }
    })
}

/// The nodes of a graph: their number, or as many as `count` says.
///
/// # Safety
/// As the module says; `nodes` is null or has room for `count` nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphGetNodes(graph: usize, nodes: *mut usize, count: *mut usize) -> CUresult {
    call(|driver| {
        let found: Vec<usize> = driver.graph("cuGraphGetNodes", graph)?.nodes.iter().map(|n| n.handle).collect();
        if count.is_null() {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        if !nodes.is_null() {
            // SAFETY: neither is null; the room is the caller's number.
            let room = unsafe { std::slice::from_raw_parts_mut(nodes, count.read()) };
            for (at, place) in room.iter_mut().enumerate() {
                *place = found.get(at).copied().unwrap_or(0);
            }
        }
        // SAFETY: not null.
        unsafe { put(count, found.len()) }
    })
}

impl Driver {
    fn node_type(&mut self, node: usize) -> Outcome<c_int> {
        let found = self.graphs.values().flat_map(|g| &g.nodes).find(|n| n.handle == node);
        match found.map(|n| &n.action) {
            Some(Action::Launch(_)) => Ok(0),
            Some(Action::HostToDevice { .. } | Action::DeviceToHost { .. } | Action::DeviceToDevice { .. }) => Ok(1),
            Some(Action::Fill { .. }) => Ok(2),
            Some(Action::Host { .. }) => Ok(3),
            Some(Action::Mark | Action::Free { .. }) => Ok(5),
            None => {
                let text = format!("cuGraphNodeGetType: {node:#x} is no node of a graph");
                self.wrong("graph misuse", text, CUDA_ERROR_INVALID_VALUE)
            }
        }
    }
}

/// What a node is: CUgraphNodeType.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphNodeGetType(node: usize, kind: *mut c_int) -> CUresult {
    call(|driver| {
        let found = driver.node_type(node)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(kind, found) }
    })
}

/// Makes an executable copy of a graph.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiateWithFlags(exec: *mut usize, graph: usize, flags: u64) -> CUresult {
    call(|driver| {
        let made = driver.instantiate("cuGraphInstantiate", graph, flags)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(exec, made) }
    })
}

/// As [`cuGraphInstantiateWithFlags`]; the parameters say what went wrong, and may ask for an upload.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiateWithParams(
    exec: *mut usize,
    graph: usize,
    params: *mut InstantiateParams,
) -> CUresult {
    if params.is_null() {
        return CUDA_ERROR_INVALID_VALUE;
    }
    // SAFETY: not null, so the caller's parameters.
    let params = unsafe { &mut *params };
    // SAFETY: the caller's pointer, as the module says.
    let code = unsafe { cuGraphInstantiateWithFlags(exec, graph, params.flags) };
    params.error_node = 0;
    // CUDA_GRAPH_INSTANTIATE_SUCCESS or _ERROR.
    params.result = c_int::from(code != CUDA_SUCCESS);
    code
}

/// The older form of [`cuGraphInstantiateWithFlags`], with room for a log that stays empty.
///
/// # Safety
/// As the module says; `log` is null or has room for `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiate_v2(
    exec: *mut usize,
    graph: usize,
    error_node: *mut usize,
    log: *mut c_char,
    room: usize,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe {
        put_if_asked(error_node, 0);
        if room > 0 {
            put_if_asked(log, 0);
        }
        cuGraphInstantiateWithFlags(exec, graph, 0)
    }
}

/// As [`cuGraphInstantiate_v2`].
///
/// # Safety
/// As for [`cuGraphInstantiate_v2`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphInstantiate(
    exec: *mut usize,
    graph: usize,
    error_node: *mut usize,
    log: *mut c_char,
    room: usize,
) -> CUresult {
    // SAFETY: the caller's pointers, as the function says.
    unsafe { cuGraphInstantiate_v2(exec, graph, error_node, log, room) }
}

/// Launches an executable graph in a stream.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(exec: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuGraphLaunch", stream)?;
        driver.launch_graph(exec, slot)
    })
}

/// There is nothing to upload, but the handles must be right.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphUpload(exec: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuGraphUpload", stream)?;
        driver.exec("cuGraphUpload", exec)?;
        driver.refuse_wait("cuGraphUpload", slot)
    })
}

/// Makes an executable graph do what another graph of the same shape does.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphExecUpdate_v2(exec: usize, graph: usize, info: *mut UpdateInfo) -> CUresult {
    call(|driver| {
        let (result, node, outcome) = driver.update_exec(exec, graph);
        let told = UpdateInfo { result: result as c_int, error_node: node.unwrap_or(0), error_from_node: 0 };
        debug_assert_eq!(result == Updated::Success, outcome.is_ok());
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put_if_asked(info, told) };
        outcome
    })
}

/// Changes a kernel of an executable graph.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGraphExecKernelNodeSetParams_v2(
    exec: usize,
    node: usize,
    params: *const KernelNodeParams,
) -> CUresult {
    call(|driver| {
        // SAFETY: the caller's parameters, as the module says.
        let request = unsafe { request(params) }?;
        driver.set_kernel_node(exec, node, &request)
    })
}

/// Destroys a graph.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: usize) -> CUresult {
    call(|driver| driver.destroy_graph(graph))
}

/// Destroys an executable graph.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(exec: usize) -> CUresult {
    call(|driver| driver.destroy_exec(exec))
}
