//! Rooms: what a call reads, staged, and what it gives back, without a wait in between.
//!
//! A call takes a room for itself, stages its inputs there, queues its work and the copies of its results, and goes away;
//! who wants the results waits for them, and the room is free again when it is dropped. Calls take turns with as many
//! rooms as are under way at a time: in the steady state nothing is allocated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;
use cudarc::driver::{CudaEvent, result};

use super::context::{Context, Pinned};
use super::upload::{Moment, StagingArea};
use super::{Buf, Cuda, need_len};
use crate::Result;

/// Results start at multiples of this many bytes.
const ALIGN: usize = 64;

/// Rooms that nobody has.
#[derive(Clone, Default)]
pub(super) struct Rooms(Arc<Mutex<Vec<Parts>>>);

impl Rooms {
    fn free(&self) -> MutexGuard<'_, Vec<Parts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a room is made of.
struct Parts {
    inputs: StagingArea,
    results: Option<Pinned>,
    /// Bytes of results that were asked for.
    asked: usize,
    /// Recorded on the compute stream after the last copy of results.
    done: CudaEvent,
    work: Work,
    /// The end of the batch that the call belonged to.
    batch: Option<Moment>,
}

/// The work that uses a room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// There is none.
    None,
    /// It is being queued.
    Open,
    /// It is queued: `done` says when it is done.
    Queued,
}

/// A room of a call's own.
pub(super) struct Room {
    parts: Option<Parts>,
    rooms: Rooms,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.free().extend(self.parts.take());
    }
}

/// Where results will stand: the first value's place in bytes, and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Fetched {
    at: usize,
    len: usize,
}

/// Results that have come.
pub(super) struct Landed<'a> {
    pinned: Option<&'a Pinned>,
}

impl Landed<'_> {
    /// The values of one [`fetch`](Room::fetch).
    pub(super) fn values<T: Pod>(&self, of: Fetched) -> &[T] {
        let Some(pinned) = self.pinned.filter(|_| of.len > 0) else { return &[] };
        debug_assert!(of.at + of.len * size_of::<T>() <= pinned.bytes() && of.at.is_multiple_of(align_of::<T>()));
        // SAFETY: `fetch` has reserved these bytes for as many values of this size, at a multiple of 64 in page-aligned
        // memory; the copy that wrote them is done (`Room::landed`), and no other begins while the borrow lasts.
        unsafe { std::slice::from_raw_parts(pinned.start().add(of.at).cast::<T>(), of.len) }
    }
}

impl Cuda {
    /// A room with place for `results` bytes of results in `pieces` pieces.
    pub(super) fn room(&self, results: usize, pieces: usize) -> Result<Room> {
        let context = &self.context;
        context.bind()?;
        let free = self.rooms.free().pop();
        let parts = match free {
            Some(parts) => parts,
            None => Parts {
                inputs: StagingArea::new(context)?,
                results: None,
                asked: 0,
                done: context.event()?,
                work: Work::None,
                batch: None,
            },
        };
        let mut room = Room { parts: Some(parts), rooms: self.rooms.clone() };
        // Who had it may have gone without its results.
        room.wait(self)?;
        let parts = room.parts();
        parts.inputs.clear(context)?;
        (parts.asked, parts.batch) = (0, None);
        let bytes = results + pieces * ALIGN;
        if parts.results.as_ref().is_none_or(|pinned| pinned.bytes() < bytes) {
            parts.results = None;
            parts.results = Some(context.pinned_to_read(bytes.next_power_of_two())?);
        }
        Ok(room)
    }
}

impl Room {
    fn parts(&mut self) -> &mut Parts {
        self.parts.as_mut().expect("a room has its parts until it is dropped")
    }

    /// Puts values where they will be sent to the device from: what they will be there. [`flush`](Room::flush) sends them.
    pub(super) fn stage<T: Pod>(&mut self, context: &Context, host: &[T]) -> Result<Buf<T>> {
        let (chunk, offset) = self.parts().inputs.stage(context, bytemuck::cast_slice(host), 0)?;
        Ok(Buf::staged(chunk, offset, host.len()))
    }

    /// Sends what was staged; the compute stream waits for it.
    pub(super) fn flush(&mut self, context: &Context) -> Result<()> {
        let parts = self.parts();
        if !parts.inputs.waits() {
            return Ok(());
        }
        parts.work = Work::Open;
        context.bind()?;
        parts.inputs.flush(context)
    }

    /// Queues a copy of the first `len` values of `from` to the host.
    pub(super) fn fetch<T: Pod>(&mut self, context: &Context, from: &Buf<T>, len: usize) -> Result<Fetched> {
        need_len("read", "the buffer", from.len(), len)?;
        let parts = self.parts();
        let (at, bytes) = (parts.asked.next_multiple_of(ALIGN), len * size_of::<T>());
        let room = parts.results.as_ref().map_or(0, Pinned::bytes);
        need_len("read", "the room", room, at + bytes)?;
        let Some(pinned) = parts.results.as_ref().filter(|_| bytes > 0) else { return Ok(Fetched { at, len: 0 }) };
        parts.work = Work::Open;
        // SAFETY: the bytes lie inside the pinned memory (checked above), which lives as long as the room and is not read
        // before the event that `end` records behind this copy (`landed`); each is given out once, until `Cuda::room` has
        // waited for that event. `from` holds as many values (checked above).
        let copy = unsafe {
            let to = std::slice::from_raw_parts_mut(pinned.start().add(at), bytes);
            result::memcpy_dtoh_async(to, from.ptr(), context.compute.cu_stream())
        };
        context.check(&format!("copy {bytes} bytes to the host"), copy)?;
        parts.asked = at + bytes;
        Ok(Fetched { at, len })
    }

    /// The end of what is queued for the room.
    pub(super) fn end(&mut self, cuda: &Cuda) -> Result<()> {
        cuda.context.bind()?;
        let batch = cuda.uploads().moment(&cuda.context)?;
        let parts = self.parts();
        parts.batch = batch;
        cuda.context.record(&parts.done, &cuda.context.compute)?;
        parts.work = Work::Queued;
        Ok(())
    }

    /// Waits for what is queued.
    fn wait(&mut self, cuda: &Cuda) -> Result<()> {
        let parts = self.parts();
        match parts.work {
            Work::None => return Ok(()),
            Work::Queued => {
                cuda.context.bind()?;
                cuda.context.host_waits(&parts.done)?;
                if let Some(batch) = parts.batch.take() {
                    cuda.uploads().passed(batch);
                }
            }
            // It was given up for an error.
            Work::Open => cuda.context.synchronize()?,
        }
        parts.work = Work::None;
        Ok(())
    }

    /// The results, once they are there.
    pub(super) fn landed(&mut self, cuda: &Cuda) -> Result<Landed<'_>> {
        self.wait(cuda)?;
        Ok(Landed { pinned: self.parts().results.as_ref() })
    }
}
