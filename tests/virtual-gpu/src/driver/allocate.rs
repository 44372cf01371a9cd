//! Allocating and freeing, on the device and pinned on the host.

use std::alloc::Layout;
use std::sync::Arc;

use super::buffers::{Buffer, Lookup, Origin};
use super::copies::POISON;
use super::error::*;
use super::hazard::{Access, Use};
use super::state::Driver;
use super::stream::Action;
use crate::memory::MemoryError;

/// Alignment of pinned memory: a page.
const PAGE: usize = 4096;

impl Driver {
    /// Allocates device memory; with `slot` in that stream's order. A full device waits for queued frees first.
    pub fn allocate(&mut self, context: usize, bytes: u64, slot: Option<usize>) -> Outcome<u64> {
        if bytes == 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        match slot {
            Some(slot) => self.refuse_captured_memory("cuMemAllocAsync", slot)?,
            None => self.refuse_unsafe("cuMemAlloc")?,
        }
        let mut base = self.memory.alloc(bytes);
        if matches!(base, Err(MemoryError::OutOfMemory { .. })) {
            self.drain();
            base = self.memory.alloc(bytes);
        }
        let base = base.map_err(|_| CudaError(CUDA_ERROR_OUT_OF_MEMORY))?;
        let origin = if slot.is_some() { Origin::Pool } else { Origin::Device };
        let mut buffer = Buffer::new(base, bytes, origin, context);
        if let Some(slot) = slot {
            let op = self.submit(slot, "allocation", Vec::new(), Action::Mark);
            let what: Arc<str> = format!("the allocation on {}", self.streams[slot].name).into();
            let order = self.ops;
            let access = Access { range: base..base + bytes, how: Use::Allocate, slot, seq: op.seq, order, what };
            buffer.history.note(access, &self.streams[slot].clock);
        }
        self.device.insert(buffer);
        self.counts.allocations += 1;
        Ok(base)
    }

    /// Refuses memory that would come and go with each launch of a graph.
    fn refuse_captured_memory(&mut self, call: &str, slot: usize) -> Outcome {
        let text = format!("{call}: memory nodes are not offered by the virtual GPU: allocate before the capture");
        self.refuse_captured(slot, "allocation in a capture", &text, CUDA_ERROR_NOT_SUPPORTED)
    }

    /// Checks that an address is the start of a live device allocation that nobody frees yet.
    fn check_free(&mut self, call: &str, base: u64) -> Outcome {
        if let Some(by) = self.device.at(base).and_then(|b| b.freed_by.clone()).or_else(|| {
            let live = self.device.at(base).is_some();
            (!live).then(|| self.device.gone_at(base)).flatten()
        }) {
            let text = format!("{call}: {base:#x} was freed already, by {by}");
            return self.wrong("double free", text, CUDA_ERROR_INVALID_VALUE);
        }
        match self.device.at(base).map(|b| b.origin) {
            Some(Origin::Device | Origin::Pool) => Ok(()),
            Some(Origin::Module | Origin::Pinned) => {
                let text = format!("{call}: {base:#x} is a variable of a module");
                self.wrong("invalid free", text, CUDA_ERROR_INVALID_VALUE)
            }
            None => {
                let inside = matches!(self.device.look_up(base, 1), Lookup::Inside(_));
                let words = if inside { "is inside an allocation, not its start" } else { "is no device allocation" };
                let text = format!("{call}: {base:#x} {words}");
                self.wrong("invalid free", text, CUDA_ERROR_INVALID_VALUE)
            }
        }
    }

    /// Frees in the order of a stream.
    pub fn free_async(&mut self, base: u64, slot: usize) -> Outcome {
        self.check_free("cuMemFreeAsync", base)?;
        self.refuse_captured_memory("cuMemFreeAsync", slot)?;
        self.counts.frees += 1;
        let by: Arc<str> = format!("cuMemFreeAsync on {}", self.streams[slot].name).into();
        if let Some(buffer) = self.device.at(base) {
            buffer.freed_by = Some(by);
        }
        self.submit(slot, "free", Vec::new(), Action::Free { base });
        Ok(())
    }

    /// Frees at once. What is queued runs first, but the caller should have waited for it.
    pub fn free_now(&mut self, base: u64) -> Outcome {
        self.check_free("cuMemFree", base)?;
        self.refuse_unsafe("cuMemFree")?;
        self.counts.frees += 1;
        self.drain();
        let host = self.host.clone();
        if let Some(what) =
            self.device.at(base).and_then(|b| b.history.first_unordered(&host)).map(|access| access.what.clone())
        {
            let text = format!("cuMemFree: {base:#x} is freed while {what} may still use it; nothing waited for that");
            self.journal.warn("free while in use", text);
        }
        self.device.remove(base, &Arc::from("cuMemFree"));
        self.memory.free(base).map_err(|_| CudaError(CUDA_ERROR_INVALID_VALUE))
    }

    /// Allocates pinned host memory, filled with NaN.
    pub fn allocate_pinned(&mut self, context: usize, bytes: usize) -> Outcome<usize> {
        let layout = Layout::from_size_align(bytes, PAGE).map_err(|_| CudaError(CUDA_ERROR_INVALID_VALUE))?;
        if bytes == 0 {
            return Err(CudaError(CUDA_ERROR_INVALID_VALUE));
        }
        self.refuse_unsafe("cuMemHostAlloc")?;
        // SAFETY: the layout has a size above 0.
        let at = unsafe { std::alloc::alloc(layout) };
        if at.is_null() {
            return Err(CudaError(CUDA_ERROR_OUT_OF_MEMORY));
        }
        // SAFETY: `at` is the start of `bytes` bytes allocated just now.
        unsafe { at.write_bytes(POISON, bytes) };
        self.pinned.insert(Buffer::new(at as u64, bytes as u64, Origin::Pinned, context));
        self.counts.pinned_allocations += 1;
        Ok(at as usize)
    }

    /// Frees pinned host memory. What is queued runs first, but the caller should have waited for it.
    pub fn free_pinned(&mut self, address: usize) -> Outcome {
        let base = address as u64;
        if self.pinned.at(base).is_none() {
            let (kind, text) = match self.pinned.gone_at(base) {
                Some(_) => ("double free", format!("cuMemFreeHost: {address:#x} was freed already")),
                None => ("invalid free", format!("cuMemFreeHost: {address:#x} is no pinned buffer")),
            };
            return self.wrong(kind, text, CUDA_ERROR_INVALID_VALUE);
        }
        self.refuse_unsafe("cuMemFreeHost")?;
        self.counts.pinned_frees += 1;
        self.drain();
        let host = self.host.clone();
        if let Some(what) =
            self.pinned.at(base).and_then(|b| b.history.first_unordered(&host)).map(|access| access.what.clone())
        {
            let text = format!("cuMemFreeHost: {address:#x} is freed while the {what} may still use it");
            self.journal.warn("pinned buffer freed while in use", text);
        }
        if let Some(buffer) = self.pinned.remove(base, &Arc::from("cuMemFreeHost")) {
            release_pinned(&buffer);
        }
        Ok(())
    }
}

/// Gives a pinned buffer's memory back.
pub fn release_pinned(buffer: &Buffer) {
    let layout = Layout::from_size_align(buffer.bytes as usize, PAGE).expect("the layout it was allocated with");
    // SAFETY: a pinned buffer's base came from `alloc` with this layout, and it left the table just now, so it is
    // given back once.
    unsafe { std::alloc::dealloc(buffer.base as *mut u8, layout) };
}
