//! A batch's inputs on their way to the device.
//!
//! Two staging areas take turns, one batch each. `stage` copies into pinned memory and gives the place on the device
//! where the values will stand; what has gathered is copied on the copy stream right before the next kernel launch, in
//! one piece, and the compute stream waits for it there. When an area's turn comes again, its last batch must be done:
//! the host is never more than two batches ahead, and copying one batch overlaps with computing the other.

use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaSlice, DevicePtr, PinnedHostSlice, result};

use super::context::Context;
use crate::Result;

/// Places start at multiples of this many bytes: whole cache lines.
const ALIGN: usize = 256;
/// Bytes of a chunk, at least.
const SMALLEST: usize = 1 << 20;

/// Pinned memory and its twin on the device.
pub(crate) struct Chunk {
    device: CudaSlice<u8>,
    pinned: PinnedHostSlice<u8>,
    bytes: usize,
}

impl Chunk {
    fn new(context: &Context, bytes: usize) -> Result<Chunk> {
        let device = context.alloc(bytes)?;
        let pinned = context.pinned(bytes)?;
        // The copy stream may use the memory once the compute stream has allocated it.
        context.check("order the copy stream", context.copy.join(&context.compute))?;
        Ok(Chunk { device, pinned, bytes })
    }

    pub(super) fn address(&self) -> u64 {
        self.device.device_ptr(self.device.stream()).0
    }

    fn host(&self) -> Result<*mut u8, cudarc::driver::DriverError> {
        Ok(self.pinned.as_ptr()?.cast_mut())
    }
}

/// One staging area.
struct StagingArea {
    /// The last one is being filled; earlier ones were too small for the batch.
    chunks: Vec<Arc<Chunk>>,
    used: usize,
    copied: usize,
    /// Recorded on the compute stream after the area's last batch.
    done: CudaEvent,
}

/// Both areas.
pub(super) struct Uploads {
    areas: [StagingArea; 2],
    turn: usize,
    copied: CudaEvent,
}

impl Uploads {
    pub(super) fn new(context: &Context) -> Result<Uploads> {
        let area = || Ok(StagingArea { chunks: Vec::new(), used: 0, copied: 0, done: context.event()? });
        Ok(Uploads { areas: [area()?, area()?], turn: 0, copied: context.event()? })
    }

    /// Copies `bytes` to the area whose turn it is: where they will stand.
    pub(super) fn stage(&mut self, context: &Context, bytes: &[u8]) -> Result<(Arc<Chunk>, usize)> {
        let area = &mut self.areas[self.turn];
        let start = area.used.next_multiple_of(ALIGN);
        let room = area.chunks.last().map_or(0, |chunk| chunk.bytes);
        if start + bytes.len() > room || area.chunks.is_empty() {
            self.flush(context)?;
            let area = &mut self.areas[self.turn];
            let size = (bytes.len().max(2 * room)).next_multiple_of(ALIGN).max(SMALLEST);
            area.chunks.push(Arc::new(Chunk::new(context, size)?));
            (area.used, area.copied) = (0, 0);
            return self.stage(context, bytes);
        }
        let chunk = Arc::clone(&area.chunks[area.chunks.len() - 1]);
        let host = context.check("reach pinned memory", chunk.host())?;
        // SAFETY: start + bytes.len() lies inside the chunk's pinned memory (checked above). Nobody reads or writes the
        // place: places are handed out once per turn, the copy of what stood there last turn is done (`next` waited for
        // the compute stream, which had waited for that copy), and `&mut self` keeps other threads out.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host.add(start), bytes.len()) };
        area.used = start + bytes.len();
        Ok((chunk, start))
    }

    /// Sends what has gathered; the compute stream waits for it.
    pub(super) fn flush(&mut self, context: &Context) -> Result<()> {
        let area = &mut self.areas[self.turn];
        let (from, to) = (area.copied, area.used);
        let Some(chunk) = area.chunks.last() else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        context.bind()?;
        let host = context.check("reach pinned memory", chunk.host())?;
        // SAFETY: from..to lies inside both the pinned memory and its device twin, and stays alive: chunks are dropped
        // in `next`, after the compute stream has passed the wait below. The pinned bytes were written by `stage` and
        // are not written again before that either.
        let copy = unsafe {
            let source = std::slice::from_raw_parts(host.add(from), to - from);
            result::memcpy_htod_async(chunk.address() + from as u64, source, context.copy.cu_stream())
        };
        context.check("copy a batch to the device", copy)?;
        context.check("record the copy", self.copied.record(&context.copy))?;
        context.check("wait for the copy", context.compute.wait(&self.copied))?;
        // The next piece starts on a cache line of its own: kernels may be reading this one while it comes in.
        area.used = to.next_multiple_of(ALIGN);
        area.copied = area.used;
        Ok(())
    }

    /// The next batch begins: gives the turn to the other area, once its last batch is done.
    pub(super) fn next(&mut self, context: &Context) -> Result<()> {
        self.flush(context)?;
        let area = &self.areas[self.turn];
        context.check("record the end of a batch", area.done.record(&context.compute))?;
        self.turn = 1 - self.turn;
        let area = &mut self.areas[self.turn];
        context.check("wait for an earlier batch", area.done.synchronize())?;
        (area.used, area.copied) = (0, 0);
        if area.chunks.len() > 1 {
            let bytes = area.chunks.iter().map(|chunk| chunk.bytes).sum();
            area.chunks.clear();
            area.chunks.push(Arc::new(Chunk::new(context, bytes)?));
        }
        Ok(())
    }
}
