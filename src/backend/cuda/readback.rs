//! Single values on their way back to the host, without a wait: the losses of the last steps.

use std::collections::VecDeque;

use cudarc::driver::{CudaEvent, PinnedHostSlice, result};

use super::buffer::Buf;
use super::context::Context;
use crate::Result;

/// Values under way at a time; the host is at most two batches ahead.
const SLOTS: usize = 4;

pub(super) struct Readback {
    pinned: PinnedHostSlice<f32>,
    /// Recorded behind each slot's copy.
    copied: [CudaEvent; SLOTS],
    /// The slots under way, oldest first.
    under_way: VecDeque<usize>,
    next: usize,
    here: Vec<f32>,
}

impl Readback {
    pub(super) fn new(context: &Context) -> Result<Readback> {
        Ok(Readback {
            pinned: context.pinned_to_read(SLOTS)?,
            copied: [context.event()?, context.event()?, context.event()?, context.event()?],
            under_way: VecDeque::new(),
            next: 0,
            here: Vec::new(),
        })
    }

    /// Queues a copy of the first value of `from`.
    pub(super) fn ask(&mut self, context: &Context, from: &Buf<f32>) -> Result<()> {
        while self.under_way.len() >= SLOTS {
            self.take_oldest(context)?;
        }
        let slot = self.next;
        let host = context.check("reach pinned memory", self.pinned.as_mut_ptr())?;
        context.bind()?;
        // SAFETY: the slot lies inside the pinned memory, which lives as long as `self`; nobody reads it before its
        // event (`take_oldest`), and no other copy writes it before that. `from` holds a value (checked by the caller).
        let copy = unsafe {
            let slot = std::slice::from_raw_parts_mut(host.add(slot), 1);
            result::memcpy_dtoh_async(slot, from.ptr(), context.compute.cu_stream())
        };
        context.check("copy a value to the host", copy)?;
        context.check("record the copy", self.copied[slot].record(&context.compute))?;
        self.under_way.push_back(slot);
        self.next = (slot + 1) % SLOTS;
        Ok(())
    }

    /// Moves what has come to `values`; with `all`, waits for the rest.
    pub(super) fn take(&mut self, context: &Context, all: bool, values: &mut Vec<f32>) -> Result<()> {
        while let Some(&slot) = self.under_way.front() {
            let done = all || context.check("run queued kernels", self.copied[slot].try_is_complete())?;
            if !done {
                break;
            }
            self.take_oldest(context)?;
        }
        values.append(&mut self.here);
        Ok(())
    }

    fn take_oldest(&mut self, context: &Context) -> Result<()> {
        let Some(slot) = self.under_way.pop_front() else { return Ok(()) };
        context.check("run queued kernels", self.copied[slot].synchronize())?;
        let values = context.check("reach pinned memory", self.pinned.as_slice())?;
        self.here.push(values[slot]);
        Ok(())
    }
}
