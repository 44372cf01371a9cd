//! Single values on their way back to the host, without a wait: the losses of the last steps. They come with the event that
//! ends their batch ([`upload`](super::upload)), which the host waits for anyway.

use std::collections::VecDeque;

use cudarc::driver::result;

use super::buffer::Buf;
use super::context::{Context, Pinned};
use crate::Result;

/// Values under way at a time; the host is at most two batches ahead.
const SLOTS: usize = 4;

pub(super) struct Readback {
    pinned: Pinned,
    /// The slots under way and the staging area of their batch, oldest first.
    under_way: VecDeque<(usize, usize)>,
    next: usize,
    here: Vec<f32>,
}

impl Readback {
    pub(super) fn new(context: &Context) -> Result<Readback> {
        let pinned = context.pinned_to_read(SLOTS * size_of::<f32>())?;
        Ok(Readback { pinned, under_way: VecDeque::with_capacity(SLOTS), next: 0, here: Vec::new() })
    }

    /// Queues a copy of the first value of `from`, for a batch of the staging area `area`. The device must be this thread's.
    pub(super) fn ask(&mut self, context: &Context, from: &Buf<f32>, area: usize) -> Result<()> {
        if self.under_way.len() == SLOTS {
            context.check("run queued kernels", context.compute.synchronize())?;
            self.landed(None);
        }
        let slot = self.next;
        debug_assert!((slot + 1) * size_of::<f32>() <= self.pinned.bytes());
        // SAFETY: the slot lies inside the pinned memory, which lives as long as `self`; nobody reads it before the event of
        // its batch (`landed`), and no other copy writes it before that. `from` holds a value (checked by the caller).
        let copy = unsafe {
            let slot = std::slice::from_raw_parts_mut(self.pinned.start().cast::<f32>().add(slot), 1);
            result::memcpy_dtoh_async(slot, from.ptr(), context.compute.cu_stream())
        };
        context.check("copy a value to the host", copy)?;
        self.under_way.push_back((slot, area));
        self.next = (slot + 1) % SLOTS;
        Ok(())
    }

    /// The batches of this staging area are done; `None`: all are.
    pub(super) fn landed(&mut self, area: Option<usize>) {
        while let Some(&(slot, of)) = self.under_way.front()
            && area.is_none_or(|area| area == of)
        {
            self.under_way.pop_front();
            // SAFETY: the slot lies inside the pinned memory; its copy is done, and the next is asked for later.
            self.here.push(unsafe { self.pinned.start().cast::<f32>().add(slot).read() });
        }
    }

    /// Moves what has come to `values`.
    pub(super) fn take(&mut self, values: &mut Vec<f32>) {
        values.append(&mut self.here);
    }
}
