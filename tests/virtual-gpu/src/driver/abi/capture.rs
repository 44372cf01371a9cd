//! Stream capture: cuStreamBeginCapture, cuStreamEndCapture and what can be asked meanwhile.

use std::ffi::{c_int, c_void};

use super::super::error::*;
use super::super::graph::capture::{Mode, exchange_thread_mode};
use super::super::state::{Driver, call};
use super::{put, put_if_asked};

/// CU_STREAM_CAPTURE_STATUS_NONE, _ACTIVE and _INVALIDATED.
const STATUS: [c_int; 3] = [0, 1, 2];

/// What cuStreamGetCaptureInfo says of a stream that is captured.
struct Info {
    status: c_int,
    number: u64,
    graph: usize,
    nodes: *const usize,
    count: usize,
}

impl Driver {
    fn capture_status(&mut self, name: &str, stream: usize) -> Outcome<(usize, c_int)> {
        let slot = self.stream(name, stream)?;
        Ok(match self.check_capture(slot) {
            Ok(false) => (slot, STATUS[0]),
            Ok(true) => (slot, STATUS[1]),
            Err(_) => (slot, STATUS[2]),
        })
    }

    fn capture_info(&mut self, stream: usize) -> Outcome<Info> {
        let (slot, status) = self.capture_status("cuStreamGetCaptureInfo", stream)?;
        let mut info = Info { status, number: 0, graph: 0, nodes: std::ptr::null(), count: 0 };
        let Some(place) = self.streams[slot].captured.clone() else { return Ok(info) };
        let Some(capture) = self.captures.get_mut(&place.capture) else { return Ok(info) };
        let nodes = &self.graphs[&capture.graph].nodes;
        capture.shown = place.after.iter().map(|&node| nodes[node].handle).collect();
        (info.number, info.graph) = (place.capture, capture.graph);
        (info.nodes, info.count) = (capture.shown.as_ptr(), capture.shown.len());
        Ok(info)
    }
}

/// Begins to capture a stream: what is put in it runs at each launch of the graph that comes of it, not now.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: usize, mode: c_int) -> CUresult {
    call(|driver| {
        let mode = Mode::of(mode)?;
        let slot = driver.stream("cuStreamBeginCapture", stream)?;
        driver.begin_capture(slot, mode)
    })
}

/// Ends a capture. Where it failed the graph is null.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamEndCapture(stream: usize, graph: *mut usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamEndCapture", stream)?;
        let ended = driver.end_capture(slot);
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(graph, ended.unwrap_or(0)) }?;
        ended.map(drop)
    })
}

/// Whether a stream is captured.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamIsCapturing(stream: usize, status: *mut c_int) -> CUresult {
    call(|driver| {
        let (_, found) = driver.capture_status("cuStreamIsCapturing", stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(status, found) }
    })
}

/// The capture that a stream is in: status, number, graph, and the nodes that the stream's next one waits for.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetCaptureInfo_v2(
    stream: usize,
    status: *mut c_int,
    number: *mut u64,
    graph: *mut usize,
    nodes: *mut *const usize,
    count: *mut usize,
) -> CUresult {
    call(|driver| {
        let info = driver.capture_info(stream)?;
        // SAFETY: the caller's pointers, as the module says; all but the status may be null.
        unsafe {
            put(status, info.status)?;
            put_if_asked(number, info.number);
            put_if_asked(graph, info.graph);
            put_if_asked(nodes, info.nodes);
            put_if_asked(count, info.count);
        }
        Ok(())
    })
}

/// As [`cuStreamGetCaptureInfo_v2`]; the edges have no data.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetCaptureInfo_v3(
    stream: usize,
    status: *mut c_int,
    number: *mut u64,
    graph: *mut usize,
    nodes: *mut *const usize,
    edges: *mut *const c_void,
    count: *mut usize,
) -> CUresult {
    // SAFETY: the caller's pointers, as the module says.
    unsafe {
        put_if_asked(edges, std::ptr::null());
        cuStreamGetCaptureInfo_v2(stream, status, number, graph, nodes, count)
    }
}

/// Sets which unsafe calls of this thread captures of others refuse; writes what held before.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuThreadExchangeStreamCaptureMode(mode: *mut c_int) -> CUresult {
    call(|_| {
        if mode.is_null() {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        // SAFETY: not null, so the caller's mode.
        let asked = Mode::of(unsafe { mode.read() })?;
        // SAFETY: as above.
        unsafe { put(mode, exchange_thread_mode(asked) as c_int) }
    })
}
