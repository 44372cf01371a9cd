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

/// Pinned memory that values are gathered in, and where they will stand on the device.
pub(super) struct StagingArea {
    /// The last one is being filled; earlier ones were too small for the batch.
    chunks: Vec<Arc<Chunk>>,
    used: usize,
    copied: usize,
    /// Recorded on the copy stream after the last copy.
    arrived: CudaEvent,
    /// Address and length of each place of the batch.
    places: Vec<u64>,
}

impl StagingArea {
    pub(super) fn new(context: &Context) -> Result<StagingArea> {
        let (chunks, places) = (Vec::new(), Vec::new());
        Ok(StagingArea { chunks, used: 0, copied: 0, arrived: context.event()?, places })
    }

    /// Copies `bytes` to the area, with `room` bytes in all, of which only the first are set: where they will stand.
    pub(super) fn stage(&mut self, context: &Context, bytes: &[u8], room: usize) -> Result<(Arc<Chunk>, usize)> {
        let room = room.max(bytes.len());
        let start = self.used.next_multiple_of(ALIGN);
        let have = self.chunks.last().map_or(0, |chunk| chunk.bytes);
        if start + room > have || self.chunks.is_empty() {
            context.bind()?;
            self.flush(context)?;
            let size = (room.max(2 * have)).next_multiple_of(ALIGN).max(SMALLEST);
            self.chunks.push(Arc::new(Chunk::new(context, size)?));
            (self.used, self.copied) = (0, 0);
            return self.stage(context, bytes, room);
        }
        let chunk = Arc::clone(&self.chunks[self.chunks.len() - 1]);
        debug_assert!(start + room <= chunk.pinned.bytes());
        // SAFETY: start + bytes.len() lies inside the chunk's pinned memory (checked above). Nobody reads or writes the
        // place: places are handed out once until `clear`, the copy of what stood there before it is done (whoever clears
        // has waited for the compute stream, which had waited for that copy), and `&mut self` keeps other threads out.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), chunk.pinned.start().add(start), bytes.len()) };
        self.used = start + room;
        self.places.extend([chunk.address() + start as u64, room as u64]);
        Ok((chunk, start))
    }

    /// Whether something has gathered that was not sent.
    pub(super) fn waits(&self) -> bool {
        self.used > self.copied && !self.chunks.is_empty()
    }

    /// Sends what has gathered; the compute stream waits for it. The device must be this thread's.
    pub(super) fn flush(&mut self, context: &Context) -> Result<()> {
        let (from, to) = (self.copied, self.used);
        let Some(chunk) = self.chunks.last().filter(|_| from < to) else { return Ok(()) };
        // SAFETY: from..to lies inside both the pinned memory and its device twin, and stays alive: chunks are dropped
        // in `clear`, after the compute stream has passed the wait below. The pinned bytes are not written again before that;
        // those between what `stage` wrote are copied with them, whatever they are, and nobody reads them.
        let copy = unsafe {
            let source = std::slice::from_raw_parts(chunk.pinned.start().add(from), to - from);
            result::memcpy_htod_async(chunk.address() + from as u64, source, context.copy.cu_stream())
        };
        // The next piece starts on a cache line of its own: kernels may be reading this one while it comes in.
        self.used = to.next_multiple_of(ALIGN);
        self.copied = self.used;
        context.check("copy a batch to the device", copy)?;
        context.record(&self.arrived, &context.copy)?;
        context.compute_waits(&self.arrived)
    }

    /// Begins anew. All that reads what was staged must be done.
    pub(super) fn clear(&mut self, context: &Context) -> Result<()> {
        (self.used, self.copied) = (0, 0);
        self.places.clear();
        if self.chunks.len() > 1 {
            let bytes = self.chunks.iter().map(|chunk| chunk.bytes).sum();
            self.chunks.clear();
            self.chunks.push(Arc::new(Chunk::new(context, bytes)?));
        }
        Ok(())
    }
}

/// The staging of one batch in two.
struct Turn {
    area: StagingArea,
    /// Recorded on the compute stream after the area's last batch.
    done: CudaEvent,
    /// Whether it was recorded after all that the batch has queued so far.
    recorded: bool,
    /// How often it was recorded.
    records: u64,
    /// Whether the host knows that what was recorded last is done.
    passed: bool,
}

/// A moment on the compute stream: the end of a batch as far as it was queued.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    turn: usize,
    records: u64,
}

/// Both areas.
pub(super) struct Uploads {
    turns: [Turn; 2],
    turn: usize,
    /// The thread that began the batch, which the device was bound to.
    thread: Option<ThreadId>,
}

impl Uploads {
    pub(super) fn new(context: &Context) -> Result<Uploads> {
        let turn = || {
            let (area, done) = (StagingArea::new(context)?, context.event()?);
            Ok(Turn { area, done, recorded: false, records: 0, passed: true })
        };
        Ok(Uploads { turns: [turn()?, turn()?], turn: 0, thread: None })
    }

    /// The area whose turn it is.
    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    /// What tells where everything of the batch was staged.
    pub(super) fn places(&self) -> &[u64] {
        &self.turns[self.turn].area.places
    }

    /// What the batch was staged in, to be kept by what uses the places later.
    pub(super) fn chunk(&self) -> Option<Arc<Chunk>> {
        self.turns[self.turn].area.chunks.last().cloned()
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
        self.turns[self.turn].area.stage(context, bytes, room)
    }

    /// Sends what has gathered; the compute stream waits for it.
    pub(super) fn flush(&mut self, context: &Context) -> Result<()> {
        let turn = &mut self.turns[self.turn];
        // What is queued next comes after the event.
        turn.recorded = false;
        if !turn.area.waits() {
            return Ok(());
        }
        self.bind(context)?;
        self.turns[self.turn].area.flush(context)
    }

    /// Ends the batch as far as it is queued. The device must be this thread's.
    pub(super) fn record(&mut self, context: &Context) -> Result<()> {
        let turn = &mut self.turns[self.turn];
        context.record(&turn.done, &context.compute)?;
        (turn.recorded, turn.passed) = (true, false);
        turn.records += 1;
        Ok(())
    }

    /// Ends the batch as far as it is queued, where anything was staged for it: when that is, for [`passed`](Uploads::passed).
    /// The device must be this thread's.
    pub(super) fn moment(&mut self, context: &Context) -> Result<Option<Moment>> {
        if self.turns[self.turn].area.used == 0 {
            return Ok(None);
        }
        self.flush(context)?;
        self.record(context)?;
        Ok(Some(Moment { turn: self.turn, records: self.turns[self.turn].records }))
    }

    /// The host has waited for something that was queued after this moment: the area's turn needs no wait of its own.
    pub(super) fn passed(&mut self, moment: Moment) {
        let turn = &mut self.turns[moment.turn];
        turn.passed |= turn.records == moment.records;
    }

    /// The next batch begins: gives the turn to the other area, once its last batch is done, which is the answer.
    pub(super) fn next(&mut self, context: &Context) -> Result<usize> {
        context.bind()?;
        self.thread = Some(std::thread::current().id());
        let turn = &self.turns[self.turn];
        if turn.area.waits() || !turn.recorded {
            self.flush(context)?;
            self.record(context)?;
        }
        self.turn = 1 - self.turn;
        let turn = &mut self.turns[self.turn];
        if !turn.passed {
            context.host_waits(&turn.done)?;
            turn.passed = true;
        }
        turn.area.clear(context)?;
        Ok(self.turn)
    }
}
