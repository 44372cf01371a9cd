//! The buffers that the host knows of: device allocations and pinned host memory, with who used them last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::hazard::History;

/// How a buffer came into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// cuMemAlloc.
    Device,
    /// cuMemAllocAsync: freed in stream order.
    Pool,
    /// A variable of a module: it goes with the module.
    Module,
    /// Pinned host memory.
    Pinned,
}

/// One buffer.
#[derive(Debug)]
pub struct Buffer {
    /// First address.
    pub base: u64,
    /// Size, bytes.
    pub bytes: u64,
    /// Where it is from.
    pub origin: Origin,
    /// The context it belongs to.
    pub context: usize,
    /// Who frees it, once that is queued.
    pub freed_by: Option<Arc<str>>,
    /// Who used it.
    pub history: History,
}

impl Buffer {
    /// A buffer that nobody has used.
    pub fn new(base: u64, bytes: u64, origin: Origin, context: usize) -> Buffer {
        Buffer { base, bytes, origin, context, freed_by: None, history: History::default() }
    }
}

/// A buffer that was freed.
#[derive(Clone, Debug)]
struct Gone {
    base: u64,
    bytes: u64,
    by: Arc<str>,
}

/// What is at a range of addresses.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Inside one buffer: its base.
    Inside(u64),
    /// It begins in a buffer and ends behind it; the words say by how much.
    PastEnd(String),
    /// In a buffer that was freed, or is being freed: by whom, and its base while the free still waits.
    Freed(String, Option<u64>),
    /// No buffer there.
    Nothing,
}

/// How many freed buffers are remembered for the messages.
const MAX_GONE: usize = 4096;

/// Buffers by address.
#[derive(Debug, Default)]
pub struct Buffers {
    live: BTreeMap<u64, Buffer>,
    gone: VecDeque<Gone>,
}

impl Buffers {
    /// Adds a buffer.
    pub fn insert(&mut self, buffer: Buffer) {
        let end = buffer.base + buffer.bytes;
        self.gone.retain(|g| g.base + g.bytes <= buffer.base || end <= g.base);
        self.live.insert(buffer.base, buffer);
    }

    /// Takes a buffer out; later look-ups say that `by` freed it.
    pub fn remove(&mut self, base: u64, by: &Arc<str>) -> Option<Buffer> {
        let buffer = self.live.remove(&base)?;
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(Gone { base, bytes: buffer.bytes, by: by.clone() });
        Some(buffer)
    }

    /// The live buffer that starts at `base`.
    pub fn at(&mut self, base: u64) -> Option<&mut Buffer> {
        self.live.get_mut(&base)
    }

    /// Whether `address` starts a buffer that was freed, and by whom.
    pub fn gone_at(&self, address: u64) -> Option<Arc<str>> {
        self.gone.iter().rev().find(|g| g.base == address).map(|g| g.by.clone())
    }

    /// What is at `bytes` bytes from `address`.
    pub fn look_up(&self, address: u64, bytes: u64) -> Lookup {
        if let Some((_, b)) = self.live.range(..=address).next_back() {
            let offset = address - b.base;
            if offset < b.bytes {
                if let Some(by) = &b.freed_by {
                    return Lookup::Freed(format!("a buffer of {} bytes, freed by {by}", b.bytes), Some(b.base));
                }
                if bytes <= b.bytes - offset {
                    return Lookup::Inside(b.base);
                }
                return Lookup::PastEnd(format!(
                    "{bytes} bytes from byte {offset} of a buffer of {} bytes ({} too many)",
                    b.bytes,
                    offset.saturating_add(bytes) - b.bytes
                ));
            }
        }
        match self.gone.iter().rev().find(|g| g.base <= address && address - g.base < g.bytes) {
            Some(g) => Lookup::Freed(format!("a buffer of {} bytes, freed by {}", g.bytes, g.by), None),
            None => Lookup::Nothing,
        }
    }

    /// The live buffers, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Buffer> {
        self.live.values()
    }

    /// Forgets all live buffers of `context` and returns their addresses.
    pub fn drop_context(&mut self, context: usize) -> Vec<Buffer> {
        let bases: Vec<u64> = self.live.values().filter(|b| b.context == context).map(|b| b.base).collect();
        bases.iter().filter_map(|base| self.live.remove(base)).collect()
    }
}
