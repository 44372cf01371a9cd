//! cuEvent*.

use std::ffi::{c_float, c_uint};

use super::super::error::*;
use super::super::sabotage::Ordering;
use super::super::settings::StreamMode;
use super::super::state::{Driver, Kind, call};
use super::super::stream::{Action, Event, Recorded};
use super::put;

/// CU_EVENT_DISABLE_TIMING.
const DISABLE_TIMING: c_uint = 2;

impl Driver {
    fn event(&mut self, name: &str, handle: usize) -> Outcome<&mut Event> {
        if !self.events.contains_key(&handle) {
            let text = format!("{name}: {handle:#x} is no event, or one that was destroyed");
            return self.wrong("event misuse", text, CUDA_ERROR_INVALID_HANDLE);
        }
        Ok(self.events.get_mut(&handle).expect("looked at just now"))
    }

    fn elapsed(&mut self, start: usize, end: usize) -> Outcome<f32> {
        self.current()?;
        for handle in [start, end] {
            self.event("cuEventElapsedTime", handle)?;
            self.refuse_captured_event("cuEventElapsedTime", handle)?;
            let event = self.event("cuEventElapsedTime", handle)?;
            let problem = match (event.timing, &event.recorded) {
                (false, _) => "was made with CU_EVENT_DISABLE_TIMING",
                (true, None) => "was never recorded",
                (true, Some(recorded)) => {
                    let op = recorded.op;
                    if !self.is_done(op) {
                        return Err(CudaError(CUDA_ERROR_NOT_READY));
                    }
                    continue;
                }
            };
            let text = format!("cuEventElapsedTime: event {handle:#x} {problem}");
            return self.wrong("event misuse", text, CUDA_ERROR_INVALID_HANDLE);
        }
        Ok(0.0)
    }
}

/// Makes an event.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventCreate(event: *mut usize, flags: c_uint) -> CUresult {
    call(|driver| {
        let context = driver.current()?;
        let handle = driver.new_handle(Kind::Event);
        driver
            .events
            .insert(handle, Event { context, timing: flags & DISABLE_TIMING == 0, recorded: None, captured: None });
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(event, handle) }
    })
}

/// Records what the stream holds now.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: usize, stream: usize) -> CUresult {
    call(|driver| {
        let slot = driver.stream("cuEventRecord", stream)?;
        let context = driver.event("cuEventRecord", event)?.context;
        if context != driver.streams[slot].context {
            let text = "cuEventRecord: event and stream are of different contexts".to_owned();
            return driver.wrong("event misuse", text, CUDA_ERROR_INVALID_HANDLE);
        }
        if driver.check_capture(slot)? {
            return driver.record_captured(event, slot);
        }
        let op = driver.submit(slot, "event record", Vec::new(), Action::Mark);
        let clock = driver.streams[slot].clock.clone();
        let found = driver.event("cuEventRecord", event)?;
        (found.recorded, found.captured) = (Some(Recorded { op, clock }), None);
        Ok(())
    })
}

/// CU_EVENT_RECORD_EXTERNAL.
const EXTERNAL: c_uint = 1;

/// As [`cuEventRecord`]; the flag makes a node of a graph, which is not offered.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecordWithFlags(event: usize, stream: usize, flags: c_uint) -> CUresult {
    if flags & EXTERNAL != 0 {
        let refused = call(|driver| {
            let slot = driver.stream("cuEventRecordWithFlags", stream)?;
            let text = "cuEventRecordWithFlags: events as nodes of a graph are not offered by the virtual GPU";
            driver.refuse_captured(slot, "unsupported call", text, CUDA_ERROR_NOT_SUPPORTED)
        });
        if refused != CUDA_SUCCESS {
            return refused;
        }
    }
    cuEventRecord(event, stream)
}

/// Waits for what was recorded; an event that was never recorded is done.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: usize) -> CUresult {
    call(|driver| {
        driver.current()?;
        let found = driver.event("cuEventSynchronize", event)?;
        let (context, recorded) = (found.context, found.recorded.clone());
        driver.refuse_captured_event("cuEventSynchronize", event)?;
        driver.counts.synchronisations += 1;
        if driver.leaves_out(Ordering::Event) {
            return Ok(());
        }
        if let Some(recorded) = recorded {
            driver.run_to(recorded.op);
            driver.host.join(&recorded.clock);
        }
        driver.alive(context)
    })
}

/// Whether what was recorded is done. Where streams run late each such question has them run one operation more, so
/// that a program that asks until it is done comes to an end.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(event: usize) -> CUresult {
    call(|driver| {
        driver.current()?;
        let found = driver.event("cuEventQuery", event)?;
        let (context, recorded) = (found.context, found.recorded.clone());
        driver.refuse_captured_event("cuEventQuery", event)?;
        driver.refuse_unsafe("cuEventQuery")?;
        if let Some(recorded) = recorded {
            if !driver.is_done(recorded.op) {
                match driver.settings.streams {
                    StreamMode::Serial | StreamMode::Early => driver.run_to(recorded.op),
                    StreamMode::Late | StreamMode::Random(_) => {
                        driver.step(recorded.op.slot);
                        return Err(CudaError(CUDA_ERROR_NOT_READY));
                    }
                }
            }
            driver.host.join(&recorded.clock);
        }
        driver.alive(context)
    })
}

/// Destroys an event. What waits for it already goes on waiting for what it was recorded after.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: usize) -> CUresult {
    call(|driver| {
        let context = driver.event("cuEventDestroy", event)?.context;
        driver.events.remove(&event);
        driver.alive(context)
    })
}

/// As [`cuEventDestroy_v2`].
#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy(event: usize) -> CUresult {
    cuEventDestroy_v2(event)
}

/// Always 0 milliseconds: there is no time here, and none is made up.
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime_v2(milliseconds: *mut c_float, start: usize, end: usize) -> CUresult {
    call(|driver| {
        let value = driver.elapsed(start, end)?;
        // SAFETY: the caller's pointer, as the module says.
        unsafe { put(milliseconds, value) }
    })
}

/// As [`cuEventElapsedTime_v2`].
///
/// # Safety
/// As the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut c_float, start: usize, end: usize) -> CUresult {
    // SAFETY: the caller's pointer, as the module says.
    unsafe { cuEventElapsedTime_v2(milliseconds, start, end) }
}
