//! The device's memory: allocations with bounds, poison, and a record of which bytes were written.

pub(crate) mod allocation;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use allocation::Allocation;

/// Device addresses start here: not canonical on x86-64, and far above any mapping elsewhere, so that a host
/// dereference of a device pointer faults.
pub(crate) const DEVICE_BASE: u64 = 0x4000_0000_0000_0000;

/// Bytes between allocations, at least.
const RED_ZONE: u64 = 4096;
/// Alignment of allocations.
const ALIGN: u64 = 256;

/// Device memory. Blocks of a launch read and write it from several host threads.
pub struct Memory {
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<u64, Arc<Allocation>>,
    /// Address and size of what was freed. Addresses are never used again.
    freed: BTreeMap<u64, u64>,
    next: u64,
    bytes: u64,
    peak: u64,
}

/// A call that a driver refuses, or an access outside every live allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// The allocation does not fit.
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes in use.
        live: u64,
        /// Bytes of the device.
        capacity: u64,
    },
    /// The address is not the start of a live allocation.
    InvalidFree(String),
    /// Bytes outside every live allocation.
    OutOfBounds(String),
    /// The bytes belonged to an allocation that was freed.
    UseAfterFree(String),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { asked, live, capacity } => {
                write!(f, "out of device memory: {asked} bytes asked for, {live} of {capacity} in use")
            }
            Self::InvalidFree(text) | Self::OutOfBounds(text) | Self::UseAfterFree(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for MemoryError {}

/// A copy read bytes that nothing had written; the copy was made all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UninitRead {
    /// Device address of the first such byte.
    pub address: u64,
    /// How many such bytes.
    pub bytes: u64,
}

impl Memory {
    /// An empty device memory of `capacity_bytes`.
    pub fn new(capacity_bytes: u64) -> Memory {
        let state = State { next: DEVICE_BASE + RED_ZONE, ..State::default() };
        Memory { capacity: capacity_bytes, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates `bytes`, aligned to 256 bytes, poisoned.
    pub fn alloc(&self, bytes: u64) -> Result<u64, MemoryError> {
        self.alloc_as(bytes, false)
    }

    /// The same; `constant` memory may not be written by kernels.
    pub(crate) fn alloc_as(&self, bytes: u64, constant: bool) -> Result<u64, MemoryError> {
        let mut s = self.state();
        if bytes > self.capacity - s.bytes.min(self.capacity) {
            return Err(MemoryError::OutOfMemory { asked: bytes, live: s.bytes, capacity: self.capacity });
        }
        let base = s.next;
        s.next = (base + bytes + RED_ZONE).next_multiple_of(ALIGN);
        s.bytes += bytes;
        s.peak = s.peak.max(s.bytes);
        s.live.insert(base, Arc::new(Allocation::new(base, bytes, constant)));
        Ok(base)
    }

    /// Frees the allocation that starts at `address`.
    pub fn free(&self, address: u64) -> Result<(), MemoryError> {
        let mut s = self.state();
        match s.live.remove(&address) {
            Some(a) => {
                s.bytes -= a.size;
                s.freed.insert(address, a.size);
                Ok(())
            }
            None if s.freed.contains_key(&address) => {
                Err(MemoryError::InvalidFree(format!("double free of {address:#x}, {} bytes", s.freed[&address])))
            }
            None => Err(MemoryError::InvalidFree(format!("free of {address:#x}: {}", describe(&s, address)))),
        }
    }

    fn find(&self, address: u64, bytes: u64) -> Result<Arc<Allocation>, MemoryError> {
        let s = self.state();
        let below = s.live.range(..=address).next_back().map(|(_, a)| a);
        if let Some(a) = below.filter(|a| address - a.base <= a.size && bytes <= a.size - (address - a.base)) {
            return Ok(Arc::clone(a));
        }
        let text = format!("{bytes} bytes at {address:#x}: {}", describe(&s, address));
        let freed = s.freed.range(..=address).next_back().is_some_and(|(b, n)| address - b < *n);
        Err(if freed { MemoryError::UseAfterFree(text) } else { MemoryError::OutOfBounds(text) })
    }

    /// Copies host bytes to the device.
    pub fn copy_in(&self, to: u64, from: &[u8]) -> Result<(), MemoryError> {
        if !from.is_empty() {
            let a = self.find(to, from.len() as u64)?;
            a.write(to - a.base, from);
        }
        Ok(())
    }

    /// Copies device bytes to the host; says whether some were never written.
    pub fn copy_out(&self, to: &mut [u8], from: u64) -> Result<Option<UninitRead>, MemoryError> {
        if to.is_empty() {
            return Ok(None);
        }
        let a = self.find(from, to.len() as u64)?;
        let offset = from - a.base;
        a.read(offset, to);
        let unwritten = a.unwritten(offset, to.len() as u64);
        Ok(unwritten.map(|(first, bytes)| UninitRead { address: a.base + first, bytes }))
    }

    /// Copies within the device. What the source's bytes lacked is reported, and then counts as written.
    pub fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<Option<UninitRead>, MemoryError> {
        let mut buffer = vec![0; bytes as usize];
        let unwritten = self.copy_out(&mut buffer, from)?;
        self.copy_in(to, &buffer)?;
        Ok(unwritten)
    }

    /// Writes `count` elements of `width` bytes (1, 2 or 4), each the low bytes of `value`.
    pub fn fill(&self, to: u64, value: u32, width: u32, count: u64) -> Result<(), MemoryError> {
        let element = &value.to_le_bytes()[..width as usize];
        self.copy_in(to, &element.repeat(count as usize))
    }

    /// Live allocations as (address, bytes), by address.
    pub fn live(&self) -> Vec<(u64, u64)> {
        self.state().live.values().map(|a| (a.base, a.size)).collect()
    }

    /// The most bytes that were ever live at once.
    pub fn peak_bytes(&self) -> u64 {
        self.state().peak
    }

    /// Bytes live now.
    pub fn live_bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Bytes of the device.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The live allocations by address, for a launch.
    pub(crate) fn snapshot(&self) -> Vec<Arc<Allocation>> {
        self.state().live.values().cloned().collect()
    }

    /// What is at or near an address, in words.
    pub(crate) fn describe(&self, address: u64) -> String {
        describe(&self.state(), address)
    }
}

fn describe(s: &State, address: u64) -> String {
    if let Some((base, size)) = s.freed.range(..=address).next_back().filter(|(b, n)| address - **b < **n) {
        return format!("use after free, byte {} of the freed {size}-byte allocation at {base:#x}", address - base);
    }
    let below = s.live.range(..=address).next_back().map(|(_, a)| a);
    let above = s.live.range(address..).next().map(|(_, a)| a);
    let past = below.map(|a| ((address - a.base).saturating_sub(a.size), a));
    let before = above.map(|a| (a.base - address, a));
    match (past, before) {
        (Some((p, a)), b) if b.is_none_or(|(d, _)| p <= d) => {
            if address - a.base < a.size {
                format!("byte {} of the {}-byte allocation at {:#x}", address - a.base, a.size, a.base)
            } else {
                format!("{p} bytes past the end of the {}-byte allocation at {:#x}", a.size, a.base)
            }
        }
        (_, Some((d, a))) => format!("{d} bytes before the {}-byte allocation at {:#x}", a.size, a.base),
        _ => "no allocation is live".into(),
    }
}
