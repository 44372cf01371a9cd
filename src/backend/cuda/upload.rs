//! A batch's inputs on their way to the device.
//!
//! Two staging areas take turns, one batch each. `stage` copies into pinned memory and gives the place on the device
//! where the values will stand; what has gathered is copied on the copy stream right before the next kernel launch, in
//! one piece, and the compute stream waits for it there. When an area's turn comes again, its last batch must be done:
//! the host is never more than two batches ahead, and copying one batch overlaps with computing the other.

use std::sync::Arc;
use std::thread::ThreadId;

use cudarc::driver::{CudaEvent, result};

use super::context::{Context, DeviceMemory, Pinned};
use crate::Result;

/// Places start at multiples of this many bytes: whole cache lines.
const ALIGN: usize = 256;
/// Bytes of a chunk, at least.
const SMALLEST: usize = 1 << 20;

/// Pinned memory and its twin on the device.
pub(crate) struct Chunk {
    device: DeviceMemory,
    pinned: Pinned,
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
        self.device.address()
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
    /// Whether it was recorded after all that the batch has queued so far.
    recorded: bool,
    /// Address and length of each place of the batch.
    places: Vec<u64>,
}

/// Both areas.
pub(super) struct Uploads {
    areas: [StagingArea; 2],
    turn: usize,
    copied: CudaEvent,
    /// The thread that began the batch, which the device was bound to.
    thread: Option<ThreadId>,
}

impl Uploads {
    pub(super) fn new(context: &Context) -> Result<Uploads> {
        let area = || {
            let (chunks, places) = (Vec::new(), Vec::new());
            Ok(StagingArea { chunks, used: 0, copied: 0, done: context.event()?, recorded: false, places })
        };
        Ok(Uploads { areas: [area()?, area()?], turn: 0, copied: context.event()?, thread: None })
    }

    /// The area whose turn it is.
    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    /// What tells where everything of the batch was staged.
    pub(super) fn places(&self) -> &[u64] {
        &self.areas[self.turn].places
    }

    /// What the batch was staged in, to be kept by what uses the places later.
    pub(super) fn chunk(&self) -> Option<Arc<Chunk>> {
        self.areas[self.turn].chunks.last().cloned()
    }

    /// Makes the device this thread's; at once where this thread began the batch.
    pub(super) fn bind(&self, context: &Context) -> Result<()> {
        if self.thread == Some(std::thread::current().id()) { Ok(()) } else { context.bind() }
    }

    /// Copies `bytes` to the area whose turn it is: where they will stand.
    pub(super) fn stage(&mut self, context: &Context, bytes: &[u8]) -> Result<(Arc<Chunk>, usize)> {
        self.stage_in(context, bytes, bytes.len())
    }

    /// [`stage`](Uploads::stage) with `room` bytes in all, of which only the first are set.
    pub(super) fn stage_in(&mut self, context: &Context, bytes: &[u8], room: usize) -> Result<(Arc<Chunk>, usize)> {
        let room = room.max(bytes.len());
        let area = &mut self.areas[self.turn];
        let start = area.used.next_multiple_of(ALIGN);
        let have = area.chunks.last().map_or(0, |chunk| chunk.bytes);
        if start + room > have || area.chunks.is_empty() {
            self.flush(context)?;
            let area = &mut self.areas[self.turn];
            let size = (room.max(2 * have)).next_multiple_of(ALIGN).max(SMALLEST);
            area.chunks.push(Arc::new(Chunk::new(context, size)?));
            (area.used, area.copied) = (0, 0);
            return self.stage_in(context, bytes, room);
        }
        let chunk = Arc::clone(&area.chunks[area.chunks.len() - 1]);
        debug_assert!(start + room <= chunk.pinned.bytes());
        // SAFETY: start + bytes.len() lies inside the chunk's pinned memory (checked above). Nobody reads or writes the
        // place: places are handed out once per turn, the copy of what stood there last turn is done (`next` waited for
        // the compute stream, which had waited for that copy), and `&mut self` keeps other threads out.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), chunk.pinned.start().add(start), bytes.len()) };
        area.used = start + room;
        area.places.extend([chunk.address() + start as u64, room as u64]);
        Ok((chunk, start))
    }

    /// Sends what has gathered; the compute stream waits for it.
    pub(super) fn flush(&mut self, context: &Context) -> Result<()> {
        let area = &mut self.areas[self.turn];
        // What is queued next comes after the event.
        area.recorded = false;
        let (from, to) = (area.copied, area.used);
        let Some(chunk) = area.chunks.last().cloned() else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        // The next piece starts on a cache line of its own: kernels may be reading this one while it comes in.
        area.used = to.next_multiple_of(ALIGN);
        area.copied = area.used;
        self.bind(context)?;
        // SAFETY: from..to lies inside both the pinned memory and its device twin, and stays alive: chunks are dropped
        // in `next`, after the compute stream has passed the wait below. The pinned bytes are not written again before that;
        // those between what `stage` wrote are copied with them, whatever they are, and nobody reads them.
        let copy = unsafe {
            let source = std::slice::from_raw_parts(chunk.pinned.start().add(from), to - from);
            result::memcpy_htod_async(chunk.address() + from as u64, source, context.copy.cu_stream())
        };
        context.check("copy a batch to the device", copy)?;
        context.record(&self.copied, &context.copy)?;
        context.compute_waits(&self.copied)
    }

    /// Ends the batch as far as it is queued. The device must be this thread's.
    pub(super) fn record(&mut self, context: &Context) -> Result<()> {
        let area = &mut self.areas[self.turn];
        context.record(&area.done, &context.compute)?;
        area.recorded = true;
        Ok(())
    }

    /// The next batch begins: gives the turn to the other area, once its last batch is done, which is the answer.
    pub(super) fn next(&mut self, context: &Context) -> Result<usize> {
        context.bind()?;
        self.thread = Some(std::thread::current().id());
        let area = &self.areas[self.turn];
        if area.used > area.copied || !area.recorded {
            self.flush(context)?;
            self.record(context)?;
        }
        self.turn = 1 - self.turn;
        let area = &mut self.areas[self.turn];
        context.host_waits(&area.done)?;
        (area.used, area.copied) = (0, 0);
        area.places.clear();
        if area.chunks.len() > 1 {
            let bytes = area.chunks.iter().map(|chunk| chunk.bytes).sum();
            area.chunks.clear();
            area.chunks.push(Arc::new(Chunk::new(context, bytes)?));
        }
        Ok(self.turn)
    }
}
