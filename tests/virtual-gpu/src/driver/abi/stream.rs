//! cuStream*, and host functions in a stream.

use std::ffi::{c_int, c_uint, c_void};

use super::super::error::*;
use super::super::sabotage::Ordering;
use super::super::settings::StreamMode;
use super::super::state::{Driver, call};
use super::super::stream::Action;
use super::put;

/// CU_EVENT_WAIT_EXTERNAL.
const EXTERNAL: c_uint = 1;
/// CU_STREAM_NON_BLOCKING.
const NON_BLOCKING: c_uint = 1;

/// Makes a stream.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreate(stream: *mut usize, flags: c_uint) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuStreamCreateWithPriority(stream, flags, 0) }
}

/// Makes a stream. A priority is only a wish: here every order that dependencies allow may happen anyway.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamCreateWithPriority(stream: *mut usize, flags: c_uint, priority: c_int) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        if flags > NON_BLOCKING {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        let slot = driver.new_stream(context, None, flags & NON_BLOCKING == 0, priority.clamp(-5, 0));
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(stream, driver.streams[slot].handle) }
    })
}

impl Driver {
    /// Work of a stream that nobody has waited for, that no event stands for, and that nobody can wait for once the
    /// stream is gone.
    fn lost_work(&self, slot: usize) -> Option<String> {
        let (op, what) = self.streams[slot].last_work.as_ref()?;
        let known = |clock: &super::super::clock::Clock| clock.covers(op.slot, op.seq);
        let waited = known(&self.host)
            || self.events.values().filter_map(|e| e.recorded.as_ref()).any(|r| known(&r.clock))
            || self.streams.iter().enumerate().any(|(at, s)| at != slot && s.handle != 0 && known(&s.clock));
        (!waited).then(|| what.to_string())
    }
}

/// Destroys a stream. What is queued in it still runs.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: usize) -> CUresult {
    call(|driver| {
        if stream <= 2 {
            let text = "cuStreamDestroy: a default stream cannot be destroyed".to_owned();
            return driver.wrong("stream misuse", text, CUDA_ERROR_INVALID_HANDLE);
        }
        let Some(slot) = driver.streams.iter().position(|s| s.handle == stream) else {
            let text = format!("cuStreamDestroy: {stream:#x} is no stream, or one that was destroyed");
            return driver.wrong("stream misuse", text, CUDA_ERROR_INVALID_HANDLE);
        };
        let text = format!("cuStreamDestroy: {} is being captured", driver.streams[slot].name);
        driver.refuse_captured(slot, "capture misuse", &text, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)?;
        if let Some(what) = driver.lost_work(slot) {
            let text = format!("cuStreamDestroy: nothing waits for the {what}, and nothing can any more");
            driver.journal.warn("stream destroyed with work", text);
        }
        driver.streams[slot].handle = 0;
        driver.alive(driver.streams[slot].context)
    })
}

/// As [`cuStreamDestroy_v2`].
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy(stream: usize) -> CUresult {
    cuStreamDestroy_v2(stream)
}

/// Waits for a stream.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamSynchronize", stream)?;
        driver.refuse_wait("cuStreamSynchronize", slot)?;
        driver.counts.synchronisations += 1;
        if driver.leaves_out(Ordering::Stream) {
            return Ok(());
        }
        driver.synchronise_stream(slot)
    })
}

/// Whether a stream is done; see [`super::event::cuEventQuery`] for streams that run late.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamQuery", stream)?;
        driver.refuse_wait("cuStreamQuery", slot)?;
        driver.refuse_unsafe("cuStreamQuery")?;
        let idle = driver.streams[slot].queue.is_empty();
        match (idle, driver.settings.streams) {
            (false, StreamMode::Late | StreamMode::Random(_)) => {
                driver.step(slot);
                Err(CudaError(CUDA_ERROR_NOT_READY))
            }
            _ => driver.synchronise_stream(slot),
        }
    })
}

/// Has a stream wait for what an event was recorded after; an event that was never recorded is done.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, flags: c_uint) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamWaitEvent", stream)?;
        let Some(found) = driver.events.get(&event) else {
            let text = format!("cuStreamWaitEvent: {event:#x} is no event, or one that was destroyed");
            return driver.wrong("event misuse", text, CUDA_ERROR_INVALID_HANDLE);
        };
        let recorded = found.recorded.clone();
        if flags & EXTERNAL != 0 {
            let text = "cuStreamWaitEvent: events as nodes of a graph are not offered by the virtual GPU";
            driver.refuse_captured(slot, "unsupported call", text, CUDA_ERROR_NOT_SUPPORTED)?;
        }
        if driver.leaves_out(Ordering::Wait) || driver.wait_captured(slot, event)? {
            return Ok(());
        }
        if let Some(recorded) = recorded {
            driver.wait_for(slot, &recorded);
        }
        Ok(())
    })
}

/// The priority a stream was made with.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetPriority(stream: usize, priority: *mut c_int) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamGetPriority", stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(priority, driver.streams[slot].priority) }
    })
}

/// The flags a stream was made with.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetFlags(stream: usize, flags: *mut c_uint) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamGetFlags", stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(flags, c_uint::from(!driver.streams[slot].blocking)) }
    })
}

/// The context of a stream.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetCtx(stream: usize, context: *mut usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuStreamGetCtx", stream)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(context, driver.streams[slot].context) }
    })
}

/// Calls a function of the host in a stream's order. It must not call CUDA, as with any driver.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchHostFunc(
    stream: usize,
    function: Option<extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuLaunchHostFunc", stream)?;
        let function = function.ok_or(CudaError(CUDA_ERROR_INVALID_VALUE))?;
        driver.put(slot, "host function", Action::Host { function, data: data as usize }).map(drop)
    })
}
