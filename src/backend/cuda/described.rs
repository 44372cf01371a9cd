//! Descriptions in device memory: structures that a launch finds there because their number has no bound.

use std::collections::HashMap;

use super::arguments::KernelArgs;
use super::{Buf, Cuda};
use crate::Result;

/// Where structures begin among others: what any field's alignment divides.
const ALIGN: usize = 16;
/// Descriptions that are kept for steps that are replayed; beyond it the step's shapes change all the time.
const MOST: usize = 1 << 10;

/// Structures on their way to the device.
#[derive(Default)]
pub(super) struct Described {
    bytes: Vec<u8>,
}

impl Described {
    /// Adds structures: how many bytes behind the first they will stand.
    pub(super) fn push<T: KernelArgs>(&mut self, all: &[T]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        let at = self.bytes.len();
        // SAFETY: every byte of a structure that kernels take is initialised (`Layout`), and `all` is a slice of them.
        let bytes = unsafe { std::slice::from_raw_parts(all.as_ptr().cast::<u8>(), size_of_val(all)) };
        self.bytes.extend_from_slice(bytes);
        at as u64
    }
}

impl Described {
    /// As words: structures are whole ones.
    pub(super) fn words(&self) -> Vec<u32> {
        self.bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect()
    }
}

/// Descriptions that stay on the device, by their bytes.
#[derive(Default)]
pub(super) struct Resident {
    all: HashMap<Vec<u8>, Buf<u8>>,
}

impl Resident {
    pub(super) fn clear(&mut self) {
        self.all.clear();
    }
}

impl Cuda {
    /// The device address of what was described. In a step that may be replayed it stays there: a replay finds the same
    /// bytes. Elsewhere it is an input of the current batch.
    ///
    /// # Errors
    /// [`Error::Cuda`](crate::Error::Cuda).
    pub(super) fn describe(&self, described: &Described) -> Result<u64> {
        if !self.arena.is_replayed() {
            let (chunk, offset) = self.uploads().stage(&self.context, &described.bytes)?;
            return Ok(chunk.address() + offset as u64);
        }
        let mut resident = self.resident.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(buf) = resident.all.get(&described.bytes) {
            return Ok(buf.ptr());
        }
        if resident.all.len() >= MOST {
            resident.clear();
        }
        let buf = self.uninit::<u8>(described.bytes.len())?;
        self.send(&buf, &described.bytes)?;
        let address = buf.ptr();
        resident.all.insert(described.bytes.clone(), buf);
        Ok(address)
    }
}
